"""What of ``python -m bench.peers`` can be seen without the peers: what it is told, what it prints, what it refuses."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.load import Request, Result
from bench.peer import Environment, PeerMissing, Side, Steward, Work
from bench.peers import CONNECTIONS, Asked, Found, Pace, main, measured, table
from bench.servers import Server
from bench.side_by_side import Void

PACE = Pace(rounds=2, seconds=0.01, warm=4)


class Here(Server):
    """A server that is there already, and computes a millisecond each time that it is looked at."""

    def __init__(self, port: int = 0) -> None:
        super().__init__("nothing:app", {}, factory=False)
        self.port, self.looks = port, 0

    @property
    def cpu_seconds(self) -> float:
        self.looks += 1
        return self.looks / 1000


class Answers(BaseHTTPRequestHandler):
    """Answers 200 to everything, and says what was asked; hangs up where it is told to."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # An answer in one piece: what comes in two waits to be acknowledged.

    def do_GET(self) -> None:
        if self.path == "/hang-up":
            self.close_connection = True
            return
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""


class Listening(ThreadingHTTPServer):
    """Lets as many connect at once as the load has connections; another would come a second later."""

    request_queue_size = max(CONNECTIONS)
    daemon_threads = True


@pytest.fixture
def port() -> Iterator[int]:
    with Listening(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def side(name: str, port: int, *works: tuple[str, str], path: str = "/good", holds: bytes = b"good") -> Side:
    def make(count: int) -> list[Request]:
        return [Request("GET", path, {}, b"")] * count

    made = [Work(kind=kind, name=work, make=make, status=200, holds=holds) for kind, work in works]
    return Side(name=name, server=Here(port), works=made)


def test_the_environments_and_the_pace_are_read() -> None:
    asked = Asked.read(["--pretix", "/a/pretix", "--oscar", "b", "--threads", "4", "quick"])
    assert asked.environments["pretix"] == Environment("--pretix", Path("/a/pretix"), 4)
    assert asked.environments["oscar"].path == Path.cwd() / "b"
    assert asked.pace.rounds == 1
    assert Asked.read(["--oscar", "b"]).pace == Pace()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name at least one: --pretix ENVIRONMENT, --oscar ENVIRONMENT"),
        (["quick"], "name at least one"),
        (["--oscar", "x", "slow"], "invalid choice: 'slow'"),
        (["--saleor=x"], "unrecognized arguments: --saleor=x"),
        (["--oscar", "x", "--threads", "0"], "at least 1"),
    ],
)
def test_what_is_typed_wrongly_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Asked.read(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_environment_that_is_not_there_ends_the_command_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--pretix .*nowhere: there is no .*nowhere/bin/python\. docs/performance"):
        main(["--pretix", str(tmp_path / "nowhere")])


def test_an_environment_without_the_peer_is_said_so(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    environment = Environment("--oscar", tmp_path)
    with pytest.raises(PeerMissing, match=r"there is no .*bin/gunicorn"):
        environment.demand("django-oscar")
    (programs / "gunicorn").write_text("#!/bin/sh\n")
    (programs / "gunicorn").chmod(0o755)
    with pytest.raises(PeerMissing, match=r"django-oscar is not installed there"):
        environment.demand("django-oscar")


def test_why_a_steward_ended_is_told(tmp_path: Path) -> None:
    """Here it is because this environment has no pretix."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    steward = Steward(Environment("--pretix", tmp_path), "pretix_steward.py", {}, tmp_path / "log")
    try:
        with pytest.raises(PeerMissing, match=r"(?s)pretix_steward.py has ended before it answered:.*No module named"):
            _ = steward.facts
    finally:
        steward.close()


def test_all_are_measured_in_turn_and_each_answer_is_read(port: int) -> None:
    ours = side("ours", port, ("issue", ""), ("redeem", ""))
    peer = side("theirs", port, ("issue", "a thing"), ("issue", "another"), ("redeem", "a thing"))
    found = measured(ours, [peer], PACE)
    issued = [("theirs", "issue a thing"), ("theirs", "issue another"), ("ours", "issue")]
    in_turn = [*issued, ("theirs", "redeem a thing"), ("ours", "redeem")]
    assert list(found) == [(*each, connections) for connections in CONNECTIONS for each in in_turn]
    assert all(len(results) == PACE.rounds for results in found.values())
    assert all(each.per_second > 0 and each.cpu_ms > 0 for results in found.values() for each in results)


@pytest.mark.parametrize(
    ("path", "holds", "said"),
    [
        ("/empty", b"good", r"theirs, issue a thing: 4 of 4 answers were wrong: b'/empty'"),
        ("/hang-up", b"", r"theirs, issue a thing: the server hung up"),
    ],
)
def test_an_answer_that_is_no_success_ends_the_run(port: int, path: str, holds: bytes, said: str) -> None:
    peer = side("theirs", port, ("issue", "a thing"), path=path, holds=holds)
    with pytest.raises(Void, match=said):
        measured(side("ours", port), [peer], PACE)


def test_a_status_other_than_the_expected_ends_the_run(port: int) -> None:
    work = Work(
        kind="issue", name="x", make=lambda count: [Request("GET", "/", {}, b"")] * count, status=201, holds=b""
    )
    with pytest.raises(Void, match=r"4 of 4 answers were wrong: b'HTTP/1\.1 200 OK"):
        measured(side("ours", port), [Side(name="theirs", server=Here(port), works=[work])], PACE)


def test_the_table_has_each_work_of_each_peer_beside_ours() -> None:
    ours = side("ours", 0, ("issue", ""))
    peers = [side("slow 1.0", 0, ("issue", "a thing")), side("quick 2.0", 0, ("issue", "a thing"))]
    rates = {"ours": 1000.0, "slow 1.0": 50.0, "quick 2.0": 400.0}
    found: Found = {
        (name, "issue" if name == "ours" else "issue a thing", connections): [
            Result(rate * more, 1.0, 2.0, 0, cpu_ms=1000 / rate) for more in (0.5, 1.0, 1.5)
        ]
        for name, rate in rates.items()
        for connections in CONNECTIONS
    }
    text = table(ours, peers, found, Pace())
    rows = [line.split() for line in text.splitlines() if line.startswith("issue: ")]
    assert [row[-8:] for row in rows[:2]] == [
        ["50", "1000", "20.0", "2", "2", "20.00", "1.00", "20.0"],
        ["400", "1000", "2.5", "2", "2", "2.50", "1.00", "2.5"],
    ]
    assert len(rows) == 4
    assert text.endswith("The least ratio: 2.5 (issue: quick 2.0, a thing, 32 connections)")


def test_peers_are_given_nothing_of_our_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our folders have names that their libraries look for, such as ``channels``."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    theirs = Server("x:y", {"PYTHONPATH": ""}, factory=False)
    assert theirs._environment["PYTHONPATH"] == ""
    assert Server("x:y", {}, factory=False)._environment["PYTHONPATH"]
