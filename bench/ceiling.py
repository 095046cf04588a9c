"""What a program could do at most that has our rows written: ``python -m bench.ceiling [quick]``.

Sixteen gifts, and sixteen redemptions, go through the engine once, as requests that wait at the same moment do: so many
come together of 32 connections in each of two processes. Then thirty-two do, all that there could be at once. What was
sent for them is sent over and over, from two processes with two connections each, and nothing else is done: no request
is read, nobody is let in, nothing is decided, no row is made. Ids, digests and keys are replaced by fresh
ones before the clock runs. Beside it, in turn, stand a hello of Flask and the program by hand
(``bench/handwritten.py``), on the same machine: what the goals refer to.
"""

import multiprocessing
import re
import secrets
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from bench.handwritten import Floor
from bench.load import Request, Result
from bench.servers import Server, World, granian
from bench.side_by_side import Contender, Pace, median
from incentives.flows.issue import Issued, IssueVoucher, _give
from incentives.flows.redeem import Redeemed, RedeemVoucher, _redeem_all
from incentives.kernel.postgres import _OF_WRITERS, _SHARED
from incentives.queries.access import actor_of_api_key
from incentives.recovery.customers import CustomerGiven
from tests.small_catalog import INCENTIVE, TAG

TOGETHER = (16, 32)
IN_NUMBERS = 500
GOALS = {"issue": 0.35, "redeem": 0.5}
_CORES = 2
_PROCESSES, _CONNECTIONS = 2, 2
_WARM = 3
_HEX_DIGITS = 32  # of a UUID
_PLACES = 50
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_TOKEN = re.compile(rf"{_UUID}|(?<![0-9a-wyzA-Z_-])[0-9a-f]{{24,}}(?![0-9a-zA-Z_-])")

_HEAD = (
    f"{'':14}{'our rows/s':>12}{'by hand/s':>11}{'of by hand':>12}{'goal':>6}{'goal, core-ms':>15}"
    f"{'rows take':>11}{'left':>8}{'Flask hello':>13}"
)
_WRITTEN = {"issue": "vouchers", "redeem": "redemptions"}

Sent = tuple[str, Any]
"""A statement and its parameters, as the driver was given them; a list of them where it goes for many rows."""


@dataclass(frozen=True)
class Recorded:
    """What one batch of each kind sent, and which tokens in it belong to that batch alone."""

    issue: list[Sent]
    redeem: list[Sent]
    own: frozenset[str]


def recorded(world: World, together: int) -> Recorded:
    """Give and redeem a few batches, and return what the last one sent."""
    agent = actor_of_api_key(core=world.core, secret=world.secret)
    till = actor_of_api_key(core=world.core, secret=world._till)  # noqa: SLF001 - of this bench
    assert agent
    assert till
    batches: list[tuple[list[Sent], list[Sent]]] = []
    for _ in range(_WARM):
        with _noted(world) as issue:
            given = _give(world.core, [(agent, _wish(place % _PLACES)) for place in range(together)])
        codes = [each.voucher.code for each in given if isinstance(each, Issued) and each.voucher]
        with _noted(world) as redeem:
            wishes = [(till, RedeemVoucher(code=code, idempotency_key=uuid.uuid4().hex)) for code in codes]
            used = _redeem_all(world.core, wishes)
        assert len(codes) == together
        assert all(isinstance(each, Redeemed) for each in used), used
        batches.append((issue, redeem))
    before, last = (set(_tokens([*issue, *redeem])) for issue, redeem in batches[-2:])
    return Recorded(*batches[-1], own=frozenset(last - before))


def _wish(place: int) -> IssueVoucher:
    customer = CustomerGiven(email=f"{uuid.uuid4().hex}@example.com", name="Ada")
    return IssueVoucher(
        issue_tag=TAG, incentive=INCENTIVE, location=f"place-{place}", customer=customer, channels=("email",),
        idempotency_key=uuid.uuid4().hex,
    )  # fmt: skip


@contextmanager
def _noted(world: World) -> Iterator[list[Sent]]:
    """Note what is sent to the database, in order."""
    sent: list[Sent] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's signature
        del many
        sent.append((statement, parameters))

    sa.event.listen(world.core.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(world.core.database.engine, "before_cursor_execute", note)


def _tokens(value: Any) -> Iterator[str]:
    """Return every id, digest and key in what was sent."""
    if isinstance(value, uuid.UUID):
        yield str(value)
    elif isinstance(value, str):
        yield from _TOKEN.findall(value)
    elif isinstance(value, Mapping):
        yield from _tokens(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tokens(each)


def renewed(sent: Recorded, number: int) -> dict[str, list[Sent]]:
    """Return the batches with tokens of their own: ids follow a number, so that indexes grow at one end as ours do."""
    fresh = {token: _fresh(token, number) for token in sent.own}
    return {kind: _with(getattr(sent, kind), fresh) for kind in GOALS}


def _fresh(token: str, number: int) -> str:
    if "-" in token:
        return f"{token[:8]}-{number & 0xFFFF:04x}{token[13:24]}{secrets.token_hex(6)}"
    if len(token) == _HEX_DIGITS and token[12] == "7":  # a UUID as SQLite keeps it
        return f"{token[:8]}{number & 0xFFFF:04x}{token[12:20]}{secrets.token_hex(6)}"
    return secrets.token_hex(len(token))[: len(token)]


def _with(value: Any, fresh: Mapping[str, str]) -> Any:
    if isinstance(value, uuid.UUID):
        return uuid.UUID(fresh.get(str(value), str(value)))
    if isinstance(value, str):
        return _TOKEN.sub(lambda token: fresh.get(token[0], token[0]), value)
    if isinstance(value, Mapping):
        return {name: _with(each, fresh) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with(each, fresh) for each in value)
    return value


def _send(connection: psycopg.Connection[Any], batch: Sequence[Sent]) -> None:
    """Send one transaction as ours goes: BEGIN with its first statement, COMMIT with its last, each answer read."""
    for place, (statement, parameters) in enumerate(batch):
        with connection.pipeline():
            if place == 0:
                connection.execute("BEGIN")
                connection.execute(_SHARED)
            cursor = connection.execute(statement, parameters, prepare=True)
            if place == len(batch) - 1:
                connection.execute("COMMIT")
        if cursor.description:
            cursor.fetchall()


def _replay(url: str, batches: Sequence[Sequence[Sent]], connections: int, ready: Any, told: Any) -> None:
    """Send batches over some connections once everybody is ready; tell when it began and when it ended."""

    def send(mine: Sequence[Sequence[Sent]]) -> None:
        with psycopg.connect(url, autocommit=True, options=f"-c jit=off{_OF_WRITERS}") as connection:
            _send(connection, mine[0])
            ready.wait()
            for batch in mine[1:]:
                _send(connection, batch)

    threads = [threading.Thread(target=send, args=(batches[each::connections],)) for each in range(connections)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    told.put((began, time.monotonic()))


def per_second(
    url: str, batches: Sequence[Sequence[Sent]], *, processes: int = _PROCESSES, connections: int = _CONNECTIONS
) -> float:
    """Return how many batches a second are sent by all processes at once; the first of each connection counts not."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(processes * (connections + 1)), context.Queue()
    shares = [batches[each::processes] for each in range(processes)]
    running = [context.Process(target=_replay, args=(url, share, connections, ready, told)) for share in shares]
    for process in running:
        process.start()
    times = [told.get(timeout=300) for _ in running]
    for process in running:
        process.join()
    seconds: float = max(ended for _, ended in times) - min(began for began, _ in times)
    return (len(batches) - processes * connections) / seconds


def _rows(world: World, kind: str) -> int:
    with psycopg.connect(world.database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {_WRITTEN[kind]}").fetchone()  # noqa: S608 - a name of ours
    assert row
    return int(row[0])


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    quick = "quick" in arguments
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(ceiling(world, Pace.asked(arguments), batches=80 if quick else 400))
        print(in_numbers(world, rounds=1 if quick else 5))


def in_numbers(world: World, *, rounds: int, batches: int = 12) -> str:
    """Return what giving to hundreds at once takes where nothing but the rows is to be done: COPY's goal is half."""
    sent = recorded(world, IN_NUMBERS)
    world.core.database.dispose()
    rates = []
    for turn in range(rounds):
        made = [renewed(sent, 0x8000 + turn * batches + number)["issue"] for number in range(batches)]
        rates.append(IN_NUMBERS * per_second(world.database_url, made, processes=1, connections=1))
    return (
        f"{IN_NUMBERS} gifts a transaction, one connection: {statistics.median(rates):.0f} gifts/s by their rows alone"
    )


def ceiling(world: World, pace: Pace, *, batches: int) -> str:
    """Return the table: what the rows alone allow, beside the floor that the goals refer to."""
    sent, way = {size: recorded(world, size) for size in TOGETHER}, granian()
    world.core.database.dispose()
    floor = Floor(world.database_url)
    hello: dict[str, Callable[[int], list[Request]]] = {
        "hello": lambda count: [Request("POST", "/x", {}, b"{}")] * count
    }
    others = [
        Contender("hello", Server("bench.hello:flask", {}, factory=True, way=way), hello),
        Contender(
            "by hand",
            Server("bench.handwritten:app", floor.environ, factory=False, way=way),
            {"issue": floor.issues, "redeem": floor.redemptions},
        ),
    ]
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    found: dict[str, list[Result]] = defaultdict(list)
    try:
        for each in others:
            each.server.start()
        for turn in range(pace.rounds):
            for size in TOGETHER:
                made = [renewed(sent[size], turn * batches + number) for number in range(batches)]
                for kind in GOALS:
                    rates[kind, size].append(_by_rows_alone(world, [each[kind] for each in made], kind, size))
            for each in others:
                for kind in each.makers:
                    found[kind].append(each.measure(kind, pace))
    finally:
        for each in others:
            each.server.stop()
    return _table(rates, found, pace)


def _by_rows_alone(world: World, batches: Sequence[Sequence[Sent]], kind: str, size: int) -> float:
    """Return how many requests a second some batches stand for. Raises ``AssertionError`` unless all are written."""
    before = _rows(world, kind)
    rate = size * per_second(world.database_url, batches)
    assert _rows(world, kind) - before == len(batches) * size, "each request writes its rows"
    return rate


def _table(rates: Mapping[tuple[str, int], list[float]], found: Mapping[str, list[Result]], pace: Pace) -> str:
    flask = 1000 * _CORES / median(found["hello"], "per_second")
    how = f"{_PROCESSES} processes x {_CONNECTIONS} connections, medians of {pace.rounds} rounds in turn"
    lines = [f"\n{how}; core-ms a request on {_CORES} cores", _HEAD]
    for (kind, size), each in sorted(rates.items()):
        rate, hand, goal = statistics.median(each), median(found[kind], "per_second"), GOALS[kind]
        allowed, rows = 1000 * _CORES / (goal * hand), 1000 * _CORES / rate
        shares = f"{rate / hand:12.2f}{goal:6.2f}{allowed:15.3f}{rows:11.3f}{allowed - rows:8.3f}{flask:13.3f}"
        lines.append(f"{f'{kind}, by {size}':14}{rate:12.0f}{hand:11.0f}{shares}")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
