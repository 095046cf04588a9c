"""Bodies that are sent to hurt: each is refused by name, and what the process that answers holds stays what it was."""

import http.client
from collections.abc import Iterator

import pytest

from bench.servers import Server
from tests.faults.serving import House, house_at, started
from tests.small_catalog import TAG, catalog

ROUNDS = 40
GROWTH_MEGABYTES_MAX = 50
_WARM_ROUNDS = 3

PEOPLE = ("عائشة", "\u05d0\u05d1 Ann", "Zoë 👩\u200d👧", "n" * 200)
NAMED = f'{{"issue_tag": "{TAG}", "customer": {{"name": "%s"}}}}'
BODIES = {
    "a megabyte": (b'{"note": "' + b"x" * 1_000_000 + b'"}', 413),
    "two megabytes": (b'{"note": "' + b"x" * 2_000_000 + b'"}', 413),
    "deep lists": (b"[" * 10_000 + b"]" * 10_000, 400),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "many names": (b"{" + b",".join(b'"n%d": 1' % number for number in range(6_000)) + b"}", 422),
    "a long name": ((NAMED % ("n" * 10_000)).encode(), 422),
    "NUL": ((NAMED % "a\\u0000b").encode(), 422),
    "half a surrogate pair": ((NAMED % "\\ud800").encode(), 400),
    "a number of many digits": (b'{"amount_minor": ' + b"9" * 60_000 + b"}", 400),
}


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_at(f"sqlite:///{tmp_path_factory.mktemp('house')}/house.db", catalog()) as place:
        yield place


def status_of(place: House, server: Server, body: bytes, key: str) -> int | None:
    """Return what is answered; None where the server hung up on a body that is too long to be read."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {place.secret}", "Idempotency-Key": key, "Content-Type": "application/json"}
    try:
        line.request("POST", "/api/v1/issuances", body, headers)
        return line.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        line.close()


@pytest.mark.timeout(300)
def test_nothing_that_is_sent_stays_in_memory_and_people_may_be_called_anything(place: House) -> None:
    server, held = place.server(processes=1), []
    with started(server):
        for turn in range(ROUNDS):
            for name, (body, status) in BODIES.items():
                found = status_of(place, server, body, f"{name}-{turn}".replace(" ", "-"))
                assert found == status or (status == 413 and found is None), (name, found)
            held.append(server.worker_megabytes)
        for number, name in enumerate(PEOPLE):
            assert status_of(place, server, (NAMED % name).encode(), f"person-{number}") == 201, name
    assert max(held) - held[_WARM_ROUNDS] < GROWTH_MEGABYTES_MAX
