"""A stream of gifts, or of redemptions, over several processes, and a switch that is set in the middle of it."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from incentives.flows.issue import Issued
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.switch import SetSwitch, set_switch
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.errors import IssuingStopped, RedeemingStopped
from tests.crew import Twin, freeze, processes
from tests.races.deeds import MANAGER, give
from tests.world import make_core

PROCESSES = 4
_WARM_SECONDS = 0.7
_ANSWER_SECONDS = 120

TILL = Actor(kind="key", id=MANAGER.id, name="Till", role="till")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How a stream ended: what went through before and after the switch was set, and when the last one did."""

    before: int
    after: int
    last_seconds: float
    refused: int


def stop_a_stream(
    database_url: str, stops: str = "issuing", *, codes: int = 0, wait_seconds: float = 1.5, twin: Twin | None = None
) -> Stopped:
    """Let four processes give (or redeem so many vouchers), set the organization's switch, and look when it held.

    Seconds are counted from when whoever set it was told that it is set; all processes share one monotonic clock.
    """
    core = make_core(database_url, clock=SystemClock())
    hands = [[given.voucher.code for given in _vouchers(core, codes // PROCESSES)] for _ in range(PROCESSES)]
    members = [_start(database_url, hand if codes else None, twin) for hand in hands]
    for _, pipe in members:
        pipe.recv()  # It is connected, and has begun.
    time.sleep(_WARM_SECONDS)
    command = SetSwitch(stops=stops, scope="organization", reason="A leak.")
    set_switch(core=core, actor=SYSTEM, command=command)
    set_at = time.monotonic()
    time.sleep(wait_seconds)
    done, refused = _collect(members)
    core.database.dispose()
    late = [at for at in done if at > set_at]
    return Stopped(
        before=len(done) - len(late),
        after=len(late),
        last_seconds=max(late, default=set_at) - set_at,
        refused=refused,
    )


def _vouchers(core: Core, number: int) -> list[Any]:
    given = [give(core) for _ in range(number)]
    return [each for each in given if isinstance(each, Issued) and each.voucher]


def _start(database_url: str, codes: list[str] | None, twin: Twin | None) -> tuple[Any, Connection]:
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_stream, args=(theirs, database_url, codes, twin), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _collect(members: list[tuple[Any, Connection]]) -> tuple[list[float], int]:
    done: list[float] = []
    refused = 0
    for _, pipe in members:
        pipe.send("stop")
    for process, pipe in members:
        if not pipe.poll(_ANSWER_SECONDS):
            raise AssertionError("a stream does not end")
        mine, no = pipe.recv()
        done += mine
        refused += no
        process.join(timeout=5)
    return done, refused


def _stream(pipe: Connection, database_url: str, codes: list[str] | None, twin: Twin | None) -> None:
    """Give, or redeem, one after the other until told to stop; note when each had gone through."""
    freeze()
    core = make_core(database_url, clock=SystemClock(), INCENTIVES_DATABASE_POOL_SIZE="2")
    deed = _giving(core) if codes is None else _redeeming(core, codes)
    done: list[float] = []
    refused = 0
    with twin() if twin else nullcontext():
        pipe.send("begun")
        while not pipe.poll():
            try:
                if deed():
                    done.append(time.monotonic())
            except (IssuingStopped, RedeemingStopped):
                refused += 1
                time.sleep(0.002)
    pipe.send((done, refused))
    core.database.dispose()


def _giving(core: Core) -> Callable[[], bool]:
    return lambda: isinstance(give(core), Issued)


def _redeeming(core: Core, codes: list[str]) -> Callable[[], bool]:
    left = iter(codes)
    last: list[str] = []

    def redeem() -> bool:
        code = last[0] if last else next(left, None)
        if code is None:
            time.sleep(0.01)
            return False
        last[:] = [code]  # A voucher that was refused is tried again.
        redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=code))
        last.clear()
        return True

    return redeem
