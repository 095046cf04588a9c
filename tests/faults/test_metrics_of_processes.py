"""Several processes of one server tell the same, whichever is asked: what all of them counted, exactly."""

import contextlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.servers import Server, Way
from tests.faults.serving import kill, started, worker_pids
from tests.world import environ

TOKEN = "the-token-of-whoever-watches-the-servers"
PROCESSES = 2
REQUESTS = 150
# As on a machine that has no folder in memory, so that the test can look into the one that the server makes.
_SERVE = "import wsgi; wsgi._MEMORY = '/nowhere'; wsgi.main()"


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    def command(_target: str, _factory: bool, port: int) -> list[str]:  # as each way has it
        return [sys.executable, "-c", _SERVE, "serve", "--port", str(port), "--workers", str(PROCESSES)]

    more = {"INCENTIVES_METRICS_TOKEN": TOKEN, "TMPDIR": str(tmp_path), "INCENTIVES_DELIVERY": "worker"}
    server = Server("wsgi:app", environ(database_url, **more), factory=True, way=Way(name="serve", command=command))
    with started(server):
        yield server


def asked(server: Server, path: str, token: str = "") -> tuple[int, str]:
    """Ask by a line of its own, which any of the processes may take."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/api/v1{path}", method="GET")
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def ask_until_all_have_counted(server: Server, folder: Path, processes: int) -> None:
    """Ask until so many processes have a file of their own."""
    until = time.monotonic() + 90
    while len(list(folder.glob("incentives-metrics-*/*.db"))) < processes:
        assert time.monotonic() < until
        with contextlib.suppress(OSError):  # the line to a process that was killed
            asked(server, "/health/live")


def counted(server: Server) -> float:
    """Return how many requests of one kind the server tells of."""
    status, text = asked(server, "/metrics", TOKEN)
    assert status == 200
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "incentives_http_request_seconds_count"
        and (sample.labels["route"], sample.labels["status"]) == ("/api/v1/budgets", "4xx")
    )


@pytest.mark.parametrize("backend", ["sqlite"])
def test_all_processes_are_added_up_and_one_that_dies_is_not_forgotten(server: Server, tmp_path: Path) -> None:
    for _ in range(REQUESTS):
        assert asked(server, "/budgets")[0] == 401
    ask_until_all_have_counted(server, tmp_path, PROCESSES)
    assert {counted(server) for _ in range(20)} == {REQUESTS}
    kill(worker_pids(server)[0])
    ask_until_all_have_counted(server, tmp_path, PROCESSES + 1)  # the one that came in its place
    assert {counted(server) for _ in range(20)} == {REQUESTS}
    assert asked(server, "/budgets")[0] == 401
    assert {counted(server) for _ in range(20)} == {REQUESTS + 1}
    server.stop()
    assert list(tmp_path.glob("incentives-metrics-*")) == []
