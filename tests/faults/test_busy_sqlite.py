"""Many write to one SQLite file while others read it: all take their turn, and nobody sees a lock."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from incentives.flows.deliver import deliver_next
from incentives.flows.issue import CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.kernel.core import Core
from incentives.vouchers.tables import redemptions
from tests.faults import busy_file
from tests.races.deeds import MANAGER, TILL, broken, rows
from tests.small_catalog import PRICE_MINOR, TAG, budget, catalog
from tests.world import make_core, publish_catalog

WRITERS = 16
EACH = 6


def give_and_redeem(core: Core, number: int) -> None:
    customer = CustomerGiven(email=f"{number}@customer.example")
    command = IssueVoucher(issue_tag=TAG, customer=customer, channels=("email",), idempotency_key=str(number))
    given = issue_voucher(core=core, actor=MANAGER, command=command)
    assert isinstance(given, Issued)
    assert given.voucher is not None
    redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(token=given.voucher.token))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_sixteen_writers_two_readers_and_a_worker(database_url: str) -> None:
    core = make_core(database_url, INCENTIVES_DATABASE_POOL_SIZE=str(WRITERS + 2))
    publish_catalog(core, catalog(budget(cap_minor=WRITERS * EACH * PRICE_MINOR)))
    over = threading.Event()
    read: list[list[str]] = []

    def keep_reading() -> None:
        while not over.is_set():
            read.append(broken(core))
            time.sleep(0.05)

    def keep_delivering() -> None:
        while not over.is_set():
            deliver_next(core=core)
            time.sleep(0.01)

    with ThreadPoolExecutor(WRITERS + 3) as threads:
        others = [threads.submit(each) for each in (keep_reading, keep_reading, keep_delivering)]
        work = [threads.submit(give_and_redeem, core, number) for number in range(WRITERS * EACH)]
        problems = [each.exception() for each in work]
        over.set()
        problems += [each.exception() for each in others]
    assert [each for each in problems if each] == []
    assert read != []
    assert not any(read)  # Whoever reads sees whole transactions only.
    assert rows(core, redemptions) == WRITERS * EACH
    core.database.dispose()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_reader_that_takes_long_holds_nobody_up(database_url: str) -> None:
    core = make_core(database_url)
    publish_catalog(core, catalog())
    with core.database.read() as tx:
        before = tx.exec_driver_sql("SELECT count(*) FROM vouchers").scalar()
        give_and_redeem(core, 1)
        assert tx.exec_driver_sql("SELECT count(*) FROM vouchers").scalar() == before == 0
    assert rows(core, redemptions) == 1
    core.database.dispose()


@pytest.mark.timeout(300)
def test_sixty_four_programs_a_long_reader_and_backups(tmp_path: Path) -> None:
    story = busy_file.play(tmp_path, gifts=200)
    assert story.faults() == []
    assert len(story.copies) > 1
