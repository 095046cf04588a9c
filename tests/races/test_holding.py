"""Holds, uses and their undoing under many tills at once: one wins, whatever meets; and the twins without the guard."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import ledger_entries
from incentives.deeds import restoring
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.issue import Issued
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.flows.reverse import AnnulRedemption, ReverseRedemption, annul_redemption, reverse_redemption
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.vouchers import lifecycle, reservations
from incentives.vouchers.tables import redemption_reversals, redemptions, vouchers
from incentives.vouchers.tables import reservations as holds
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.conftest import DropConstraint
from tests.races.deeds import TILL, broken, counters, give, rows
from tests.small_catalog import PRICE_MINOR, catalog
from tests.world import START, publish_catalog

ROUNDS = 12
ONE_STANDING = "uq_redemptions_voucher_id_use_number_standing"
ONE_HELD = "uq_reservations_one_held"
SUPERVISOR = replace(TILL, id=UUID(int=8), name="Sue", role="supervisor")
_QUARTER = timedelta(minutes=15)


class Job(NamedTuple):
    """What one process does: ``what`` with ``thing``, at an instant of its own clock (None: the crew's)."""

    what: str
    thing: Any
    at: datetime | None = None


def work(core: Core, job: Job) -> Outcome:
    """Do one job."""
    here = core if job.at is None else replace(core, clock=FixedClock(job.at))
    return Outcome(job.what, _DEEDS[job.what](here, job.thing))


def _redeem(core: Core, code: str) -> UUID:
    return redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=code)).id


def _hold(core: Core, code: str) -> UUID:
    return reserve_voucher(core=core, actor=TILL, command=ReserveVoucher(code=code)).id


def _commit(core: Core, held: UUID) -> UUID:
    return commit_reservation(core=core, actor=TILL, command=CommitReservation(reservation_id=held)).id


def _annul(core: Core, redemption: UUID) -> UUID:
    command = AnnulRedemption(redemption_id=redemption, reason="A race.")
    return annul_redemption(core=core, actor=TILL, command=command).id


def _reverse(restore: str) -> Any:
    def deed(core: Core, redemption: UUID) -> UUID:
        command = ReverseRedemption(redemption_id=redemption, reason="A race.", restore=restore)
        return reverse_redemption(core=core, actor=SUPERVISOR, command=command).id

    return deed


_DEEDS = {
    "redeemed": _redeem,
    "held": _hold,
    "committed": _commit,
    "annulled": _annul,
    **{restore: _reverse(restore) for restore in ("same_code", "new_code", "none")},
}


def often(uses: int) -> str:
    """Return the small catalog, in which the dollar may be used several times, and nothing that tills do is odd."""
    text = orjson.loads(catalog())
    text["incentives"][0]["max_redemptions"] = uses
    text["protocols"][0]["most_minor"] = {"USD": PRICE_MINOR * uses}
    return orjson.dumps(text).decode()


def a_code(core: Core) -> str:
    issued = give(core)
    assert isinstance(issued, Issued)
    assert issued.voucher is not None
    return issued.voucher.code


def standing(core: Core) -> list[int]:
    """Return for each voucher how many redemptions of it stand."""
    query = (
        sa.select(sa.func.count(redemptions.c.id))
        .select_from(vouchers)
        .outerjoin(redemptions, (redemptions.c.voucher_id == vouchers.c.id) & redemptions.c.reversed_at.is_(None))
        .group_by(vouchers.c.id)
    )
    with core.database.read() as tx:
        return list(tx.execute(query).scalars())


@contextmanager
def without_condition() -> Iterator[None]:
    """Look whether a voucher or a hold is good, and then take it."""

    def naive_redeem(tx: Connection, voucher_id: UUID, condition: Any) -> int | None:
        query = sa.select(vouchers.c.redeemed_count).where(vouchers.c.id == voucher_id, condition)
        used = tx.execute(query).scalar_one_or_none()
        if used is None:
            return None
        time.sleep(A_MOMENT_SECONDS)
        values = {"status": "redeemed", "redeemed_count": 1, "reservation_id": None, "reserved_until_at": None}
        tx.execute(vouchers.update().where(vouchers.c.id == voucher_id).values(**values))
        return int(used) + 1

    def naive_redeem_all(tx: Connection, weighed: Mapping[UUID, Any], now: datetime) -> dict[UUID, int]:
        spent = {each: naive_redeem(tx, each, lifecycle.good(now)) for each in weighed}
        return {each: used for each, used in spent.items() if used is not None}

    def naive_hold(tx: Connection, voucher: Any, reservation_id: UUID, until: datetime, now: datetime) -> bool:
        query = sa.select(vouchers.c.id).where(vouchers.c.id == voucher.id, lifecycle.good(now))
        if tx.execute(query).first() is None:
            return False
        time.sleep(A_MOMENT_SECONDS)
        values = {"status": "reserved", "reservation_id": reservation_id, "reserved_until_at": until}
        tx.execute(vouchers.update().where(vouchers.c.id == voucher.id).values(**values))
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "redeem", naive_redeem)
        patch.setattr(lifecycle, "redeem_all", naive_redeem_all)
        patch.setattr(reservations, "hold", naive_hold)
        yield


@contextmanager
def without_mark() -> Iterator[None]:
    """Look whether a redemption stands, without keeping its voucher's row, and then undo it."""

    def naive_mark(tx: Connection, redemption_id: UUID, now: datetime) -> bool:
        query = sa.select(redemptions.c.reversed_at).where(redemptions.c.id == redemption_id)
        if tx.execute(query).scalar_one() is not None:
            return False
        time.sleep(A_MOMENT_SECONDS)
        tx.execute(redemptions.update().where(redemptions.c.id == redemption_id).values(reversed_at=now))
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "mark", naive_mark)
        patch.setattr(lifecycle, "lock", lifecycle.state)
        yield


# --- holding against redeeming -----------------------------------------------------------------------------------


def test_of_tills_that_hold_and_tills_that_redeem_one_has_the_voucher(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    codes = [a_code(core) for _ in range(ROUNDS)]
    rounds = [[Job(what, code) for what in ("held", "redeemed") * (SIZE // 2)] for code in codes]
    outcomes = flat(crew.at_once(work, rounds, core.settings.database_url))
    found = count(outcomes)
    assert found.get("held", 0) + found.get("redeemed", 0) == ROUNDS
    assert set(found) <= {"held", "redeemed", "VoucherReserved", "AlreadyRedeemed"}
    assert rows(core, holds) == found.get("held", 0)
    assert rows(core, redemptions) == found.get("redeemed", 0)
    assert broken(core) == []


def test_without_the_condition_a_voucher_is_held_and_redeemed(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    publish_catalog(core, catalog())
    drop_constraint.index(ONE_STANDING)
    drop_constraint.index(ONE_HELD)
    drop_constraint("budget_periods", "ck_budget_periods_not_negative")
    codes = [a_code(core) for _ in range(4)]
    rounds = [[Job(what, code) for what in ("held", "redeemed") * (SIZE // 2)] for code in codes]
    found = count(flat(crew.at_once(work, rounds, core.settings.database_url, twin=without_condition)))
    assert found.get("held", 0) + found.get("redeemed", 0) > 4


# --- committing against lapsing ----------------------------------------------------------------------------------


def test_around_the_edge_of_a_hold_it_is_committed_or_redeemed_anew_and_never_both(crew: Crew, core: Core) -> None:
    """The clocks of the tills differ by a little: some see the hold, some see that it has lapsed."""
    publish_catalog(core, catalog())
    rounds = []
    for _ in range(ROUNDS):
        code = a_code(core)
        held = reserve_voucher(core=core, actor=TILL, command=ReserveVoucher(code=code)).id
        edge = START + _QUARTER
        steps = [edge + timedelta(microseconds=by) for by in (-1, 0, 1, 2)]
        meet = (("committed", held), ("redeemed", code))
        rounds.append([Job(what, thing, at) for at in steps for what, thing in meet] * 2)
    outcomes = flat(crew.at_once(work, rounds, core.settings.database_url))
    found = count(outcomes)
    assert found.get("committed", 0) + found.get("redeemed", 0) == ROUNDS
    refusals = {"VoucherReserved", "AlreadyRedeemed", "ReservationLapsed", "ReservationEnded"}
    assert set(found) <= {"committed", "redeemed", *refusals}
    assert standing(core) == [1] * ROUNDS
    assert counters(core) == {"spent_minor": ROUNDS * PRICE_MINOR, "spent_count": ROUNDS}
    assert broken(core) == []


# --- several uses ------------------------------------------------------------------------------------------------


def test_five_hundred_redemptions_of_three_uses_are_three(crew: Crew, core: Core) -> None:
    publish_catalog(core, often(3))
    outcomes = crew.share(work, [Job("redeemed", a_code(core))] * 500, core.settings.database_url)
    assert count(outcomes) == {"redeemed": 3, "AlreadyRedeemed": 497}
    with core.database.read() as tx:
        assert sorted(tx.execute(sa.select(redemptions.c.use_number)).scalars()) == [1, 2, 3]
    assert counters(core) == {"spent_minor": 3 * PRICE_MINOR, "spent_count": 1}
    assert broken(core) == []


# --- undoing -----------------------------------------------------------------------------------------------------


def undoings(core: Core, *what: str, rounds: int = ROUNDS) -> list[list[Job]]:
    """Return rounds in which the redemption of a voucher is undone in several ways at once."""
    sold = [_redeem(core, a_code(core)) for _ in range(rounds)]
    return [[Job(what[number % len(what)], redemption) for number in range(SIZE)] for redemption in sold]


@pytest.mark.parametrize(
    "what", [("same_code",), ("same_code", "new_code", "none"), ("annulled", "new_code"), ("annulled", "none")]
)
def test_whoever_undoes_a_redemption_it_is_undone_once(crew: Crew, core: Core, what: tuple[str, ...]) -> None:
    publish_catalog(core, catalog())
    outcomes = flat(crew.at_once(work, undoings(core, *what), core.settings.database_url))
    found = count(outcomes)
    assert sum(found.get(each, 0) for each in what) == ROUNDS
    assert set(found) <= {*what, "RedemptionAlreadyReversed"}
    assert rows(core, redemption_reversals) == ROUNDS
    assert rows(core, ledger_entries, ledger_entries.c.kind == "redemption-reversed") == ROUNDS
    given_back = found.get("same_code", 0) + found.get("new_code", 0) + found.get("annulled", 0)
    assert counters(core).get("committed_minor", 0) == given_back * PRICE_MINOR
    assert broken(core) == []


def test_without_the_mark_a_redemption_is_undone_again(crew: Crew, core: Core, drop_constraint: DropConstraint) -> None:
    publish_catalog(core, catalog())
    drop_constraint("redemption_reversals", "uq_redemption_reversals_redemption_id")
    drop_constraint("ledger_entries", "uq_ledger_entries_kind_source_id")
    drop_constraint("budget_movements", "uq_budget_movements_issuance_id_budget_period_id_kind_source_id")
    drop_constraint("budget_periods", "ck_budget_periods_not_negative")
    drop_constraint("vouchers", "ck_vouchers_redeemed_within")
    found = count(
        flat(crew.at_once(work, undoings(core, "same_code", rounds=4), core.settings.database_url, twin=without_mark))
    )
    assert found["same_code"] > 4
    assert broken(core) != []


def test_who_redeems_what_is_being_given_back_finds_it_spent_or_good(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = []
    for _ in range(ROUNDS):
        code = a_code(core)
        sold = _redeem(core, code)
        rounds.append([Job("same_code", sold), *[Job("redeemed", code)] * (SIZE - 1)])
    found = count(flat(crew.at_once(work, rounds, core.settings.database_url)))
    assert found["same_code"] == ROUNDS
    assert found.get("redeemed", 0) <= ROUNDS
    assert set(found) <= {"same_code", "redeemed", "AlreadyRedeemed"}
    assert sum(standing(core)) == found.get("redeemed", 0)
    assert broken(core) == []
