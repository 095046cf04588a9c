"""Programs at the API's door that keep their idempotency keys, and what they must be told while records are away."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from incentives.kernel.core import Core
from tests.small_catalog import TAG
from tests.world import api_key
from wsgi import create_app


class Shop:
    """A program that gives and one that redeems."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._secrets = {role: api_key(core, role)[0] for role in ("manager", "till")}
        self._client: FlaskClient = create_app(core).test_client()

    def give(self, key: str) -> TestResponse:
        return self._post("manager", "issuances", {"issue_tag": TAG, "channels": [], "customer": {}}, key)

    def read(self, issuance_id: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {self._secrets['manager']}"}
        return self._client.get(f"/api/v1/issuances/{issuance_id}", headers=headers)

    def redeem(self, code: str, key: str) -> TestResponse:
        return self._post("till", "redemptions", {"code": code}, key)

    def _post(self, role: str, path: str, body: dict[str, Any], key: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {self._secrets[role]}", "Idempotency-Key": key}
        return self._client.post(f"/api/v1/{path}", json=body, headers=headers)


def is_told_to_ask_again(answer: TestResponse) -> bool:
    problem = answer.get_json(silent=True) or {}
    told = answer.status_code, problem.get("type"), int(answer.headers.get("Retry-After", 0)) > 0
    return told == (503, "/problems/storage-unavailable", True)
