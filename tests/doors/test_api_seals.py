"""What auditors get by the API is enough to prove the chain without us."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from incentives.flows.seal import seal_due
from incentives.flows.watch_books import watch_books
from incentives.kernel.clock import FixedClock
from tests.doors.machines import Machines, assert_problem, json_of, opened
from tests.world import START


@pytest.fixture(scope="module")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    databases = request.getfixturevalue("sqlite")
    url = databases.new()
    with opened(url) as machines:
        for number in range(1, 4):
            machines.issue()
            assert seal_due(core=replace(machines.core, clock=FixedClock(START + timedelta(minutes=number))))
            if isinstance(machines.core.clock, FixedClock):
                machines.core.clock.advance(timedelta(minutes=1))
        watch_books(core=machines.core)
        yield machines
    databases.drop(url)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hash_of(seal: dict[str, Any]) -> str:
    """Return a seal's hash by the documents alone."""
    parts = [
        {
            **part,
            "columns": json.dumps(part["columns"], separators=(",", ":")),
            "first_id": part["first_id"].replace("-", ""),
            "last_id": part["last_id"].replace("-", ""),
        }
        for part in sorted(seal["parts"], key=lambda part: part["book"])
    ]
    at = datetime.fromisoformat(seal["at"]).isoformat(timespec="microseconds")
    head = {"at": at, "number": seal["number"], "parts": parts}
    text = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(bytes.fromhex(seal["previous_hash"]) + text.encode()).hexdigest()


def test_an_auditor_proves_the_chain_without_us(machines: Machines) -> None:
    seals = json_of(machines.get("/books/seals", "auditor"))["items"]
    keys = {
        each["key_id"]: each["public_key"] for each in json_of(machines.get("/books/seal-keys", "auditor"))["items"]
    }
    previous = "0" * 64
    assert len(seals) == 3
    for seal in reversed(seals):
        assert seal["previous_hash"] == previous
        assert hash_of(seal) == seal["hash"]
        at = datetime.fromisoformat(seal["at"]).isoformat(timespec="microseconds")
        message = f"incentives seal 1\n{seal['number']}\n{seal['hash']}\n{at}".encode()
        key = Ed25519PublicKey.from_public_bytes(unpadded(keys[seal["key_id"]]))
        key.verify(unpadded(seal["signature"]), message)
        with pytest.raises(InvalidSignature):
            key.verify(unpadded(seal["signature"]), message + b"0")
        previous = seal["hash"]


def test_seals_come_in_pages(machines: Machines) -> None:
    first = json_of(machines.get("/books/seals?limit=2", "finance"))
    rest = json_of(machines.get(f"/books/seals?limit=2&after={first['next']}", "finance"))
    assert [each["number"] for each in first["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next"] is None
    for cursor in ("x", "-1", "9" * 30, "²"):
        assert_problem(machines.get(f"/books/seals?after={cursor}"), 422, "input-invalid", field="after")


def test_what_the_worker_found_is_shown(machines: Machines) -> None:
    (check,) = json_of(machines.get("/books/checks", "auditor"))["items"]
    assert (check["holds"], check["seal_number"], check["whole"], check["broken"]) == (True, 3, True, [])


@pytest.mark.parametrize("path", ["/books/seals", "/books/seal-keys", "/books/checks"])
def test_others_see_none_of_it(machines: Machines, path: str) -> None:
    assert_problem(machines.get(path, "manager"), 403, "not-permitted")
