"""A small load generator: keep-alive connections in a few processes, bounded in number and only to this machine."""

import http.client
import multiprocessing
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 32
PROCESSES = 2


@dataclass(frozen=True)
class Request:
    """One request; it is sent once."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


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
    parts = [list(requests[start::PROCESSES]) for start in range(PROCESSES)]
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


def _send_some(port: int, requests: Sequence[Request], expected: int, times: list[float], wrong: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for request in requests:
        began = time.perf_counter()
        connection.request(request.method, request.path, request.body, request.headers)
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - began)
        if answer.status != expected:
            wrong.append(answer.status)
    connection.close()
