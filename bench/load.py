"""A small load generator: one process, one loop over 32 keep-alive connections, only to this machine.

It shares the machine with what it measures, so it does as little as it can: a request is bytes that were written
before, an answer is read as far as its length and its status. One loop over all connections costs a third of what a
thread for each costs, and leaves the second core to whom is measured.
"""

import gc
import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

CONNECTIONS = 32
_CHUNK_BYTES = 65_536
_PATIENCE_SECONDS = 60
_HEAD_END = b"\r\n\r\n"
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One request; it is sent once."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def written(self) -> bytes:
        """Return it as HTTP/1.1 has it."""
        headers = {"Host": "127.0.0.1", **self.headers, "Content-Length": str(len(self.body))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + _HEAD_END + self.body


@dataclass(frozen=True)
class Result:
    """What a round gave; ``bodies`` are kept where somebody asked for them."""

    per_second: float
    median_ms: float
    p99_ms: float
    wrong: int
    first_wrong: bytes = b""
    cpu_ms: float = 0.0  # of the server's processes, a request; whoever knows them fills it in
    bodies: list[bytes] = field(default_factory=list)


def run(
    port: int, requests: Sequence[Request], *, expected: int, keep: bool = False, connections: int = CONNECTIONS
) -> Result:
    """Send every request once, over 32 connections or another number of them, and measure."""
    written = [each.written() for each in requests]
    return Load(port, written, expected=expected, keep=keep, connections=connections).run()


class _Connection:
    """One connection, when its request was sent, and what has come of the answer."""

    __slots__ = ("part", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.part = b""


class Load:
    """One round: who has answered is sent the next request, until there is none."""

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        *,
        expected: int,
        keep: bool = False,
        connections: int = CONNECTIONS,
    ) -> None:
        """Connect nobody yet."""
        self._port, self._expected, self._keep = port, b"%d" % expected, keep
        self._many = connections
        self._requests: Iterator[bytes] = iter(requests)
        self._waiting = selectors.DefaultSelector()
        self._times: list[float] = []
        self._wrong: list[bytes] = []
        self._bodies: list[bytes] = []

    def run(self) -> Result:
        """Send everything and return what came of it."""
        connections = [_Connection(self._port) for _ in range(self._many)]
        gc.disable()  # A pause of ours would be told as theirs.
        try:
            began = time.perf_counter()
            for each in connections:
                self._begin(each)
            while self._waiting.get_map():
                self._answers()
            took = time.perf_counter() - began
        finally:
            gc.enable()
            self._waiting.close()
            for each in connections:
                each.socket.close()
        return self._result(took)

    def _begin(self, connection: _Connection) -> None:
        """Send a connection's first request, if there is one left."""
        self._waiting.register(connection.socket, selectors.EVENT_READ, connection)
        self._send_next(connection)

    def _send_next(self, connection: _Connection) -> None:
        request = next(self._requests, None)
        if request is None:
            self._waiting.unregister(connection.socket)
            return
        connection.sent_at = time.perf_counter()
        connection.socket.sendall(request)

    def _answers(self) -> None:
        ready = self._waiting.select(_PATIENCE_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer after {_PATIENCE_SECONDS} seconds")
        for key, _ in ready:
            connection = key.data
            chunk = connection.socket.recv(_CHUNK_BYTES)
            if not chunk:
                raise ConnectionError("the server hung up in the middle of an answer")
            connection.part = answer = connection.part + chunk
            end = answer.find(_HEAD_END)
            if end < 0:
                continue
            length = _LENGTH.search(answer, 0, end)
            assert length, answer  # Every answer of ours says how long it is.
            if end + len(_HEAD_END) + int(length[1]) <= len(answer):
                self._answered(connection, answer, end)

    def _answered(self, connection: _Connection, answer: bytes, end: int) -> None:
        self._times.append(time.perf_counter() - connection.sent_at)
        connection.part = b""
        if answer[9:12] != self._expected:
            self._wrong.append(answer)
        elif self._keep:
            self._bodies.append(answer[end + len(_HEAD_END) :])
        if _CLOSES.search(answer, 0, end):  # Some servers hang up after each answer: what that costs is theirs.
            self._waiting.unregister(connection.socket)
            connection.socket.close()
            self._begin(_Connection(self._port))
        else:
            self._send_next(connection)

    def _result(self, took: float) -> Result:
        times = sorted(self._times)
        return Result(
            per_second=len(times) / took,
            median_ms=times[len(times) // 2] * 1000,
            p99_ms=times[int(len(times) * 0.99)] * 1000,
            wrong=len(self._wrong),
            first_wrong=self._wrong[0] if self._wrong else b"",
            bodies=self._bodies,
        )
