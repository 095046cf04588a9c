"""A voucher is spent once, whoever else tries at the same instant, and whatever else ends it then."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import ledger_entries
from incentives.flows.expire import expire_due
from incentives.flows.issue import Issued
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import redemption_attempts, redemptions, vouchers
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.conftest import DropConstraint
from tests.races.deeds import TILL, broken, counters, give, rows
from tests.small_catalog import PRICE_MINOR, catalog
from tests.world import START, publish_catalog

ROUNDS = 16
ONE_STANDING = "uq_redemptions_voucher_id_use_number_standing"
NOT_NEGATIVE = ("budget_periods", "ck_budget_periods_not_negative")


def redeem(core: Core, code: str) -> Outcome:
    redeemed = redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=code))
    return Outcome("Redeemed", redeemed.id)


def redeem_or_sweep(core: Core, job: str | datetime) -> Outcome:
    """Redeem a code; or sweep on a machine whose clock stands at an instant, a little ahead of the till's."""
    if isinstance(job, str):
        return redeem(core, job)
    ahead = replace(core, clock=FixedClock(job))
    return Outcome("Swept", expire_due(core=ahead).vouchers)


@contextmanager
def without_condition() -> Iterator[None]:
    """Look whether the voucher is good, and then spend it or end it."""

    def naive_redeem(tx: Connection, weighed: Mapping[UUID, Any], now: datetime) -> dict[UUID, int]:
        these = vouchers.c.id.in_(list(weighed))
        good = tx.execute(sa.select(vouchers.c.id).where(these, lifecycle.good(now))).scalars().all()
        time.sleep(A_MOMENT_SECONDS)
        this = vouchers.update().where(vouchers.c.id.in_(good))
        tx.execute(this.values(status="redeemed", redeemed_count=1))
        return dict.fromkeys(good, 1)

    def naive_expire_due(tx: Connection, now: datetime, most: int) -> list[Any]:
        due = tx.execute(sa.select(vouchers).where(vouchers.c.status == "issued", vouchers.c.expires_at <= now)).all()
        time.sleep(A_MOMENT_SECONDS)
        tx.execute(vouchers.update().where(vouchers.c.id.in_([row.id for row in due])).values(status="expired"))
        return list(due)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "redeem_all", naive_redeem)
        patch.setattr(lifecycle, "expire_due", naive_expire_due)
        yield


def a_code(core: Core) -> str:
    issued = give(core)
    assert isinstance(issued, Issued)
    assert issued.voucher is not None
    return issued.voucher.code


def test_five_hundred_redemptions_of_one_code_are_one(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    outcomes = crew.share(redeem, [a_code(core)] * 500, core.settings.database_url)
    assert count(outcomes) == {"Redeemed": 1, "AlreadyRedeemed": 499}
    assert rows(core, redemptions) == 1
    assert rows(core, redemption_attempts) == 500
    assert counters(core) == {"spent_minor": PRICE_MINOR, "spent_count": 1}
    assert broken(core) == []


def test_without_the_condition_and_what_stands_behind_it_a_code_is_spent_again(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog())
    drop_constraint.index(ONE_STANDING)
    drop_constraint(*NOT_NEGATIVE)
    outcomes = crew.share(redeem, [a_code(core)] * 32, core.settings.database_url, twin=without_condition)
    assert count(outcomes)["Redeemed"] > 1
    assert rows(core, redemptions) > 1
    assert len(broken(core)) >= 1


def test_without_the_condition_the_database_itself_lets_one_redemption_stand(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    outcomes = crew.share(redeem, [a_code(core)] * 32, core.settings.database_url, twin=without_condition)
    found = count(outcomes)
    assert found.pop("Redeemed") == 1
    assert found["IntegrityError"] > 0
    assert broken(core) == []


def rounds_of_tills_and_sweeps(core: Core, number: int) -> list[list[str | datetime]]:
    """Return for each of some vouchers, which end at different hours, tills and sweeps that meet at its end."""
    rounds: list[list[str | datetime]] = []
    for hours in range(number):
        at = START + timedelta(hours=hours)
        code = a_code(replace(core, clock=FixedClock(at)))
        end_at = at + timedelta(days=30)
        rounds.append([code, end_at] * (SIZE // 2))
    return rounds


def ends(core: Core) -> list[int]:
    """Return for each voucher how often it ended: by redemption and by expiry."""
    redeemed = sa.select(redemptions.c.voucher_id)
    expired = sa.select(ledger_entries.c.voucher_id).where(ledger_entries.c.kind == "voucher-expired")
    with core.database.read() as tx:
        ended = tx.execute(sa.union_all(redeemed, expired)).scalars().all()
        everyone = tx.execute(sa.select(vouchers.c.id)).scalars().all()
    return [ended.count(each) for each in everyone]


def test_a_till_and_the_sweep_that_meet_end_a_voucher_once(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    outcomes = flat(crew.at_once(redeem_or_sweep, rounds_of_tills_and_sweeps(core, ROUNDS), core.settings.database_url))
    found = count(outcomes)
    swept = sum(each.value for each in outcomes if each.name == "Swept")
    assert found.get("Redeemed", 0) + swept == ROUNDS
    assert set(found) <= {"Redeemed", "Swept", "AlreadyRedeemed", "VoucherExpired"}
    assert ends(core) == [1] * ROUNDS
    assert counters(core).get("committed_minor", 0) == 0
    assert broken(core) == []


def test_without_the_conditions_a_voucher_ends_twice(crew: Crew, core: Core, drop_constraint: DropConstraint) -> None:
    publish_catalog(core, catalog())
    drop_constraint.index(ONE_STANDING)
    drop_constraint(*NOT_NEGATIVE)
    crew.at_once(
        redeem_or_sweep, rounds_of_tills_and_sweeps(core, 4), core.settings.database_url, twin=without_condition
    )
    assert max(ends(core)) > 1
    assert broken(core) != []
