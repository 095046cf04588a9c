"""Bodies whose line breaks in the middle, and bodies that never come: on the real server, since only it has lines."""

import contextlib
import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from bench.servers import THREADS, Server
from incentives.vouchers.bulk_tables import bulk_jobs
from tests.faults.serving import House, house_at, started
from tests.small_catalog import TAG, catalog

CSV = b"issue_tag,external_ref\n" + b"".join(b"%s,c%d\n" % (TAG.encode(), number) for number in range(4))
LARGE = CSV + b"".join(b"%s,c%d\n" % (TAG.encode(), number) for number in range(4, 8000))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_at(f"sqlite:///{tmp_path_factory.mktemp('house')}/house.db", catalog()) as place:
        yield place


@pytest.fixture(scope="module")
def server(place: House) -> Iterator[Server]:
    served = place.server(processes=1, HTTP_AUTHORIZATION=f"Bearer {place.secret}")
    with started(served):
        yield served


def jobs(place: House) -> int:
    with place.core.database.read() as tx:
        return len(tx.execute(bulk_jobs.select()).all())


def said(place: House, server: Server, *, length: str, body: bytes, kind: str = "text/csv") -> socket.socket:
    """Say what a request is to bear, and some of it."""
    line = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = f"POST /api/v1/issuances/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {place.secret}\r\n"
    line.sendall(f"{head}Content-Type: {kind}\r\n{length}\r\n\r\n".encode() + body)
    return line


@pytest.mark.parametrize("whole", [CSV, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("how", ["reset", "half-closed"])
def test_a_file_whose_line_broke_is_no_file(place: House, server: Server, whole: bytes, how: str) -> None:
    before = jobs(place)
    line = said(place, server, length=f"Content-Length: {len(whole)}", body=whole[:-3])
    time.sleep(0.3)
    if how == "reset":
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
    else:
        line.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            line.recv(1000)
        line.close()
    time.sleep(0.7)
    assert jobs(place) == before
    with said(place, server, length=f"Content-Length: {len(whole)}", body=whole) as line:
        assert line.recv(12) == b"HTTP/1.1 202"


def test_what_comes_in_pieces_must_be_something_that_shows_where_it_ends(place: House, server: Server) -> None:
    before = jobs(place)
    pieces = b"%x\r\n%s\r\nzz\r\n" % (len(CSV), CSV)
    with said(place, server, length="Transfer-Encoding: chunked", body=pieces) as line:
        assert line.recv(12) == b"HTTP/1.1 411"
    assert jobs(place) == before
    body = json.dumps({"issue_tag": TAG, "channels": []}).encode()
    headers = {"Authorization": f"Bearer {place.secret}", "Content-Type": "application/json", "Idempotency-Key": "p"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as asked:
        asked.request("POST", "/api/v1/issuances", iter([body[:9], body[9:]]), headers, encode_chunked=True)
        assert asked.getresponse().status == 201


def test_bodies_that_never_come_leave_threads_to_others(place: House, server: Server) -> None:
    with contextlib.ExitStack() as lines:
        for _ in range(THREADS + 4):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            line.sendall(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\na")
        time.sleep(0.5)
        asked = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        lines.callback(asked.close)
        asked.request("GET", "/api/v1/health/live")
        answer = asked.getresponse()
        answer.read()
        assert answer.status == 200
        asked.request("POST", "/api/v1/vouchers/lookup", b"{}", {"Content-Type": "application/json"})
        told = asked.getresponse()
        assert (told.status, told.headers["Retry-After"]) == (503, "1")
        assert json.loads(told.read())["type"] == "/problems/busy"


def test_the_environment_of_the_server_is_no_part_of_a_request(server: Server) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as asked:
        asked.request("GET", "/api/v1/budgets")
        assert asked.getresponse().status == 401
