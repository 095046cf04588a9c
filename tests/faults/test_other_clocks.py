"""Machines whose own clocks are wrong, or are set while they work: the database's time decides, everywhere the same."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import worker
from bench.servers import Server
from incentives.flows.issue import CustomerGiven, Issued, IssueVoucher, issue_vouchers
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.shared_clock import clock_of
from incentives.vouchers.tables import reservations, vouchers
from tests.faults import other_clock
from tests.faults.doomed import start
from tests.faults.sending import ACCEPTED, copies, sending_core
from tests.faults.serving import House, Program, Seen, at_work, give, house, redeem, started
from tests.faults.test_killed_workers import statuses
from tests.providers.stand_in import Answer, Asked, StandIn
from tests.races.deeds import MANAGER, TILL, broken, rows
from tests.run_folder import RunFolder
from tests.small_catalog import TAG, catalog

OFF_SECONDS = 120
VOUCHERS = 300
FLIPS_WITHIN_SECONDS = 1.0


@pytest.fixture
def place(run: RunFolder) -> Iterator[House]:
    with house(run, catalog()) as place:
        yield place


def a_machine(place: House, folder: Path, off_seconds: float) -> Server:
    """Return a server on a machine whose clock is off."""
    off = folder / f"off{off_seconds}"
    off.write_text(str(off_seconds))
    return place.server(processes=1, target="tests.faults.other_clock:app", **{other_clock.FILE: str(off)})


@pytest.mark.timeout(300)
def test_what_one_machine_gives_the_other_redeems(place: House, tmp_path: Path) -> None:
    behind, ahead = a_machine(place, tmp_path, -OFF_SECONDS), a_machine(place, tmp_path, OFF_SECONDS)
    seen = Seen()

    def here_and_there(program: Program, number: int) -> None:
        status, given = give(program, place, f"give-{number}")
        assert status == 201, given
        with contextlib.closing(Program(there[program.port], seen)) as other:
            status, done = redeem(other, place, given["voucher"]["code"], f"redeem-{number}")
        assert status == 201, done

    there = {behind.port: ahead.port, ahead.port: behind.port}
    with started(behind, ahead):
        at_work(8, list(there), seen, iter(range(VOUCHERS)), here_and_there).end()
    assert dict(seen.statuses) == {"201": 2 * VOUCHERS}
    assert broken(place.core) == []


@dataclass(frozen=True, slots=True)
class Tried:
    """A redemption, when it was asked for and answered by the database's clock, which is this machine's, and how."""

    asked_at: datetime
    answered_at: datetime
    slug: str


@pytest.mark.timeout(300)
def test_a_voucher_ends_on_all_machines_when_the_database_says_so(place: House, tmp_path: Path) -> None:
    behind, ahead = a_machine(place, tmp_path, -OFF_SECONDS), a_machine(place, tmp_path, OFF_SECONDS)
    codes = given(place.core, 400)
    with started(behind, ahead), ThreadPoolExecutor(2) as threads:
        end_at = datetime.now(UTC) + timedelta(seconds=4)
        with place.core.database.write() as tx:
            tx.execute(vouchers.update().values(expires_at=end_at))
        tried = [threads.submit(keep_redeeming, place, each.port, codes, end_at) for each in (behind, ahead)]
        for each in tried:
            flips(each.result(), end_at)


def given(core: Core, number: int) -> Iterator[str]:
    """Give so many vouchers and return their codes, one after the other, to whoever asks."""
    wishes = [IssueVoucher(issue_tag=TAG, customer=CustomerGiven()) for _ in range(number)]
    made = issue_vouchers(core=core, actor=MANAGER, commands=wishes)
    return iter([each.voucher.code for each in made if isinstance(each, Issued) and each.voucher])


def keep_redeeming(place: House, port: int, codes: Iterator[str], end_at: datetime) -> list[Tried]:
    """Redeem one voucher after the other, until all must be over for a while."""
    tried = []
    with contextlib.closing(Program(port, Seen())) as program:
        while datetime.now(UTC) < end_at + timedelta(seconds=2 * FLIPS_WITHIN_SECONDS):
            code, asked_at = next(codes), datetime.now(UTC)
            status, content = redeem(program, place, code, code)
            slug = "redeemed" if status == 201 else content["type"].rpartition("/")[2]
            tried.append(Tried(asked_at, datetime.now(UTC), slug))
            time.sleep(0.05)
    return tried


def flips(tried: list[Tried], end_at: datetime) -> None:
    """Look that all was good before the end and nothing after it, but for a second."""
    within = timedelta(seconds=FLIPS_WITHIN_SECONDS)
    early = {each.slug for each in tried if each.answered_at < end_at - within}
    late = {each.slug for each in tried if each.asked_at > end_at + within}
    assert (early, late) == ({"redeemed"}, {"voucher-expired"})


class SlowProvider(StandIn):
    """A provider that takes its time, so that clocks are set while letters are on their way."""

    def answer_to(self, asked: Asked) -> Answer:
        time.sleep(0.15)
        return super().answer_to(asked)


def work_by_a_wrong_clock(database_url: str, provider_url: str, off: str) -> None:
    """Work as `incentives worker` does, on a machine whose clock a file sets; it sweeps all the time."""
    other_clock.set_wrong(Path(off))
    worker.IDLE_SECONDS, worker.SWEEP_EVERY = 0.05, timedelta(seconds=0.1)
    core = sending_core(database_url, provider_url, clock=SystemClock(), timeout_seconds=10, pool_size=8)
    worker.run(replace(core, clock=clock_of(core.database)), threading.Event())


STEPS = (0, -3_600, 172_800)
MESSAGES = 80
PATIENCE_SECONDS = 60


@pytest.mark.timeout(300)
def test_setting_clocks_loses_nothing_ends_nothing_and_sends_nothing_twice(place: House, tmp_path: Path) -> None:
    url, off = place.url, tmp_path / "off"
    off.write_text("0")
    held = next(given(place.core, 1))
    reserve_voucher(core=place.core, actor=TILL, command=ReserveVoucher(code=held))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with SlowProvider(ACCEPTED).serving() as provider:
        by_email(place.core)
        with place.core.database.write() as tx:
            tx.execute(vouchers.update().values(expires_at=tomorrow))
        workers = [start(work_by_a_wrong_clock, url, provider.url, str(off)) for _ in range(2)]
        until = time.monotonic() + PATIENCE_SECONDS
        for step in itertools.cycle(STEPS):
            assert time.monotonic() < until, statuses(place.core.database)
            off.with_suffix(".new").write_text(str(step))
            off.with_suffix(".new").replace(off)
            if statuses(place.core.database) == {"sent": MESSAGES}:
                break
            time.sleep(0.2)
        for each in workers:
            each.kill()
            each.join()
            each.close()
        assert sorted(copies(provider).values()) == [1] * MESSAGES
    assert rows(place.core, vouchers, vouchers.c.status == "issued") == MESSAGES
    assert rows(place.core, vouchers, vouchers.c.status == "reserved") == 1
    assert rows(place.core, reservations, reservations.c.status == "held") == 1
    assert broken(place.core) == []


def by_email(core: Core) -> Any:
    """Give to so many customers, each by one email."""
    wishes = [
        IssueVoucher(issue_tag=TAG, customer=CustomerGiven(email=f"{each}@customer.example"), channels=("email",))
        for each in range(MESSAGES)
    ]
    return issue_vouchers(core=core, actor=MANAGER, commands=wishes)
