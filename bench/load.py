"""A small load generator: keep-alive connections in a few processes, bounded in number and only to this machine.

It shares the machine with what it measures, so it does as little as it can: a request is bytes that were written
before, an answer is read as far as its length and its status.
"""

import multiprocessing
import re
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 32
PROCESSES = 2
_CHUNK_BYTES = 65_536
_HEAD_END = b"\r\n\r\n"
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
    """What a round gave."""

    per_second: float
    median_ms: float
    p99_ms: float
    wrong: int


def run(port: int, requests: Sequence[Request], *, expected: int) -> Result:
    """Send every request once, over 32 connections, and measure."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    written = [request.written() for request in requests]
    parts = [written[start::PROCESSES] for start in range(PROCESSES)]
    gate = context.Barrier(PROCESSES + 1)
    workers = [context.Process(target=_send_all, args=(port, part, expected, gate, queue)) for part in parts]
    for worker in workers:
        worker.start()
    gate.wait()
    began = time.perf_counter()
    answers = [queue.get(timeout=120) for _ in workers]
    took = time.perf_counter() - began
    for worker in workers:
        worker.join()
    times = sorted(each for times, _ in answers for each in times)
    return Result(
        per_second=len(times) / took,
        median_ms=times[len(times) // 2] * 1000,
        p99_ms=times[int(len(times) * 0.99)] * 1000,
        wrong=sum(wrong for _, wrong in answers),
    )


def _send_all(port, requests, expected, gate, queue):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    times: list[float] = []
    wrong: list[int] = []
    threads_count = CONNECTIONS // PROCESSES
    threads = [
        threading.Thread(target=_send_some, args=(port, requests[start::threads_count], expected, times, wrong))
        for start in range(threads_count)
    ]
    gate.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.put((times, len(wrong)))


def _send_some(port: int, requests: Sequence[bytes], expected: int, times: list[float], wrong: list[int]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            began = time.perf_counter()
            connection.sendall(request)
            status = _status(connection)
            times.append(time.perf_counter() - began)
            if status != expected:
                wrong.append(status)


def _status(connection: socket.socket) -> int:
    """Read one answer to its end and return its status. Every answer of ours says how long it is."""
    answer = b""
    while (end := answer.find(_HEAD_END)) < 0:
        answer += _received(connection)
    length = _LENGTH.search(answer, 0, end)
    assert length, answer[:end]
    missing = end + len(_HEAD_END) + int(length[1]) - len(answer)
    while missing > 0:
        missing -= len(_received(connection))
    return int(answer[9:12])


def _received(connection: socket.socket) -> bytes:
    chunk = connection.recv(_CHUNK_BYTES)
    if not chunk:
        raise ConnectionError("the server hung up in the middle of an answer")
    return chunk
