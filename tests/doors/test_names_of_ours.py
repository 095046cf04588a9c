"""Whoever asks by a name that is not ours is told so at every door, with the headers that every answer wears."""

import pytest

from tests.databases import SqliteDatabases
from tests.world import make_core
from wsgi import create_app


@pytest.mark.parametrize("path", ["/sign-in", "/staff", "/v/abc", "/f/abc", "/nowhere", "/api/v1/health/live"])
def test_a_name_that_is_not_ours_is_refused(sqlite: SqliteDatabases, path: str) -> None:
    core = make_core(sqlite.new(), INCENTIVES_TRUSTED_HOSTS="ours.example.com, also-ours.example.com")
    client = create_app(core).test_client()
    refused = client.get(path, base_url="https://evil.example.com")
    assert refused.status_code == 400
    assert "evil" not in refused.text
    assert {"X-Content-Type-Options", "Content-Security-Policy", "X-Request-Id"} <= set(refused.headers.keys())
    assert client.get(path, base_url="https://also-ours.example.com").status_code != 400
    core.database.dispose()
