"""A process is killed before each statement of a deed: nothing of it stays, and the same request then succeeds."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.issue import AwaitingApproval, CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.flows.reverse import AnnulRedemption, ReverseRedemption, annul_redemption, reverse_redemption
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.kernel.core import Core
from tests.faults.doomed import DEAD, die, exit_code
from tests.races.deeds import FRONTLINE, MANAGER, TILL, broken, give
from tests.schema import all_tables
from tests.small_catalog import TAG, catalog
from tests.world import make_core, publish_catalog

KEY = "the same all the time"


def prepare_issue(core: Core) -> CustomerGiven:
    return CustomerGiven(name="Ana", email="ana@customer.example", phone="+12125550123")


def issue(core: Core, customer: CustomerGiven) -> Any:
    command = IssueVoucher(issue_tag=TAG, customer=customer, channels=("email", "sms"), idempotency_key=KEY)
    return issue_voucher(core=core, actor=MANAGER, command=command)


def prepare_redeem(core: Core) -> str:
    issued = give(core)
    assert isinstance(issued, Issued)
    assert issued.voucher is not None
    return issued.voucher.code


def redeem(core: Core, code: str) -> Any:
    return redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=code, idempotency_key=KEY))


def prepare_decide(core: Core) -> Any:
    asked = give(core, FRONTLINE)
    assert isinstance(asked, AwaitingApproval)
    return asked.approval_id


def decide(core: Core, approval_id: Any) -> Any:
    command = DecideApproval(approval_id=approval_id, decision="grant", idempotency_key=KEY)
    return decide_approval(core=core, actor=MANAGER, command=command)


def prepare_commit(core: Core) -> Any:
    return reserve(core, prepare_redeem(core)).id


def reserve(core: Core, code: str) -> Any:
    return reserve_voucher(core=core, actor=TILL, command=ReserveVoucher(code=code, idempotency_key=KEY))


def commit(core: Core, held: Any) -> Any:
    command = CommitReservation(reservation_id=held, idempotency_key=KEY)
    return commit_reservation(core=core, actor=TILL, command=command)


def prepare_undoing(core: Core) -> Any:
    return redeem(core, prepare_redeem(core)).id


def annul(core: Core, redemption: Any) -> Any:
    command = AnnulRedemption(redemption_id=redemption, reason="A mistake.", idempotency_key=KEY)
    return annul_redemption(core=core, actor=TILL, command=command)


def reverse(core: Core, redemption: Any) -> Any:
    command = ReverseRedemption(
        redemption_id=redemption, reason="Brought back.", restore="new_code", idempotency_key=KEY
    )
    return reverse_redemption(core=core, actor=MANAGER, command=command)


def prepare_care(core: Core) -> Any:
    issued = give(core)
    assert isinstance(issued, Issued)
    assert issued.voucher is not None
    return issued.voucher.id


def void(core: Core, voucher_id: Any) -> Any:
    command = VoidVoucher(voucher_id=voucher_id, reason="A mistake.", idempotency_key=KEY)
    return void_voucher(core=core, actor=MANAGER, command=command)


def reissue(core: Core, voucher_id: Any) -> Any:
    command = ReissueVoucher(voucher_id=voucher_id, reason="It is lost.", idempotency_key=KEY)
    return reissue_voucher(core=core, actor=MANAGER, command=command)


class Deed(NamedTuple):
    """A deed with its preparation, and of how many statements at least it consists."""

    prepare: Callable[[Core], Any]
    do: Callable[[Core, Any], Any]
    statements_min: int


DEEDS = {
    "issue": Deed(prepare_issue, issue, 12),
    "redeem": Deed(prepare_redeem, redeem, 10),
    "decide": Deed(prepare_decide, decide, 10),
    "reserve": Deed(prepare_redeem, reserve, 6),
    "commit": Deed(prepare_commit, commit, 10),
    "annul": Deed(prepare_undoing, annul, 9),
    "reverse": Deed(prepare_undoing, reverse, 10),
    "void": Deed(prepare_care, void, 9),
    "reissue": Deed(prepare_care, reissue, 7),
}


def do_until(database_url: str, name: str, prepared: Any, statement: int) -> None:
    """Do a deed; die before its statement of a number, of which the commit is the last."""
    core = make_core(database_url)
    done = 0

    def count(*_: Any) -> None:
        nonlocal done
        done += 1
        if done == statement:
            die()

    sa.event.listen(core.database.engine, "before_cursor_execute", count)
    sa.event.listen(core.database.engine, "commit", count)
    DEEDS[name].do(core, prepared)
    os._exit(0)


@pytest.mark.parametrize("name", DEEDS)
def test_nothing_stays_of_a_deed_whose_process_was_killed(database_url: str, name: str) -> None:
    core = make_core(database_url)
    publish_catalog(core, catalog())
    deed = DEEDS[name]
    prepared = deed.prepare(core)
    before = contents(core)
    statement = 1
    while exit_code(do_until, database_url, name, prepared, statement) == DEAD:
        assert contents(core) == before, f"killed before statement {statement}"
        assert statement < 100
        statement += 1
    assert statement > deed.statements_min
    after = contents(core)
    assert after != before
    # The last process was killed by nobody, but nobody heard its answer either: asking again is a replay.
    assert deed.do(core, prepared).replayed
    assert contents(core) == after
    assert broken(core) == []
    core.database.dispose()


def contents(core: Core) -> dict[str, int]:
    """Return how many rows each table has."""
    with core.database.read() as tx:
        return {
            table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in all_tables().sorted_tables
        }
