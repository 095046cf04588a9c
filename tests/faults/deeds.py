"""What is done that writes: each deed with what comes before it, and what there must be of it afterwards.

A process finds a deed here by its name, to be killed in the midst of it.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from incentives.books.tables import ledger_entries
from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.flows.carry_over import carry_over_due
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.deliver import deliver_next
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.issue import AwaitingApproval, CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.flows.prolong import ExtendVoucher, extend_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.flows.reverse import AnnulRedemption, ReverseRedemption, annul_redemption, reverse_redemption
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.kernel.actors import Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetRequestAlreadyDecided, Refusal, SwitchAlreadyLifted, SwitchAlreadySet
from incentives.messages.tables import outbox_messages
from incentives.safeguards.tables import reviews, switches
from incentives.spending.tables import budget_allocations, budget_requests
from incentives.vouchers.tables import redemption_reversals, redemptions, reservations, vouchers
from tests.races.deeds import FRONTLINE, MANAGER, TILL, give
from tests.small_catalog import PRICE_MINOR, TAG, budget, catalog
from tests.world import START

KEY = "the same all the time"
REASON = "A mistake."
FINANCE = Actor(kind="person", id=uuid.UUID(int=3), name="Fay", role="finance")
ROOM_MINOR = 1_000_000
NEXT_YEAR = START + timedelta(days=60)


def text_of_catalog() -> str:
    """Return the small catalog with a dollar that may be two, and budgets of which each can be changed somehow."""
    budgets = (
        budget(cap_minor=ROOM_MINOR, break_glass_percent=50),
        budget("other", scope="team", of="desk", cap_minor=ROOM_MINOR),
        budget("saved", scope="location", of="here", cap_minor=ROOM_MINOR, rollover="carry_over"),
    )
    found: dict[str, Any] = orjson.loads(catalog(*budgets))
    found["incentives"][0] |= {"min_amount_minor": PRICE_MINOR, "max_amount_minor": 2 * PRICE_MINOR}
    found["protocols"][0]["most_minor"] = {"USD": 2 * PRICE_MINOR}
    return orjson.dumps(found).decode()


def voucher(core: Core) -> Any:
    issued = give(core)
    assert isinstance(issued, Issued)
    assert issued.voucher is not None
    return issued.voucher


# --- given and used --------------------------------------------------------------------------------------


def prepare_issue(core: Core) -> CustomerGiven:
    return CustomerGiven(name="Ana", email="ana@customer.example", phone="+12125550123")


def issue(core: Core, customer: CustomerGiven) -> Any:
    command = IssueVoucher(issue_tag=TAG, customer=customer, channels=("email", "sms"), idempotency_key=KEY)
    return issue_voucher(core=core, actor=MANAGER, command=command)


def prepare_redeem(core: Core) -> str:
    return str(voucher(core).code)


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
    return voucher(core).id


def void(core: Core, voucher_id: Any) -> Any:
    command = VoidVoucher(voucher_id=voucher_id, reason="A mistake.", idempotency_key=KEY)
    return void_voucher(core=core, actor=MANAGER, command=command)


def reissue(core: Core, voucher_id: Any) -> Any:
    command = ReissueVoucher(voucher_id=voucher_id, reason="It is lost.", idempotency_key=KEY)
    return reissue_voucher(core=core, actor=MANAGER, command=command)


# --- cared for -------------------------------------------------------------------------------------------


def adjust(core: Core, voucher_id: Any, *, amount_minor: int) -> Any:
    command = AdjustVoucher(voucher_id=voucher_id, amount_minor=amount_minor, reason=REASON, idempotency_key=KEY)
    return adjust_voucher(core=core, actor=MANAGER, command=command)


def prepare_lowering(core: Core) -> Any:
    raised = prepare_care(core)
    command = AdjustVoucher(voucher_id=raised, amount_minor=2 * PRICE_MINOR, reason=REASON)
    adjust_voucher(core=core, actor=MANAGER, command=command)
    return raised


def freeze(core: Core, voucher_id: Any) -> Any:
    command = FreezeVoucher(voucher_id=voucher_id, reason=REASON, idempotency_key=KEY)
    return freeze_voucher(core=core, actor=MANAGER, command=command)


def prepare_unfreezing(core: Core) -> Any:
    frozen = prepare_care(core)
    freeze_voucher(core=core, actor=MANAGER, command=FreezeVoucher(voucher_id=frozen, reason=REASON))
    return frozen


def unfreeze(core: Core, voucher_id: Any) -> Any:
    command = UnfreezeVoucher(voucher_id=voucher_id, reason=REASON, idempotency_key=KEY)
    return unfreeze_voucher(core=core, actor=MANAGER, command=command)


def extend(core: Core, voucher_id: Any) -> Any:
    command = ExtendVoucher(voucher_id=voucher_id, days=7, reason=REASON, idempotency_key=KEY)
    return extend_voucher(core=core, actor=MANAGER, command=command)


def prepare_resending(core: Core) -> Any:
    issued = issue(core, prepare_issue(core))
    while deliver_next(core=core):
        pass
    return issued.voucher.id


def resend(core: Core, voucher_id: Any) -> Any:
    command = ResendVoucher(voucher_id=voucher_id, reason=REASON, idempotency_key=KEY)
    return resend_voucher(core=core, actor=MANAGER, command=command)


# --- budgets ---------------------------------------------------------------------------------------------


def ask(core: Core, _prepared: Any = None, *, kind: str = "top_up", key: str | None = KEY) -> Any:
    command = ProposeBudgetChange(
        kind=kind,
        pot=PotName(budget="all"),
        from_pot=PotName(budget="other") if kind == "transfer" else None,
        amount_minor=PRICE_MINOR,
        reason=REASON,
        idempotency_key=key,
    )
    return propose_budget_change(core=core, actor=MANAGER, command=command)


def prepare_asked(core: Core, *, kind: str = "top_up") -> Any:
    give(core)  # So that the pots are there, with something in them.
    return ask(core, kind=kind, key=None).id


def agree(core: Core, request_id: Any, *, decision: str = "approve") -> Any:
    command = DecideBudgetRequest(request_id=request_id, decision=decision, idempotency_key=KEY)
    return decide_budget_request(core=core, actor=FINANCE, command=command)


def withdraw(core: Core, request_id: Any) -> Any:
    command = WithdrawBudgetRequest(request_id=request_id)
    return withdraw_budget_request(core=core, actor=MANAGER, command=command)


def prepare_carrying(core: Core) -> None:
    carry_over_due(core=core)
    give(core)


@dataclass(frozen=True)
class Swept:
    """What a sweep did; one that finds nothing more to do is what a replay is elsewhere."""

    replayed: bool


def carry(core: Core, _prepared: Any) -> Swept:
    later = replace(core, clock=FixedClock(NEXT_YEAR))
    return Swept(replayed=carry_over_due(core=later) == 0)


# --- switches --------------------------------------------------------------------------------------------


def stop(core: Core, _prepared: Any = None) -> Any:
    command = SetSwitch(stops="issuing", scope="organization", reason=REASON)
    return set_switch(core=core, actor=FINANCE, command=command)


def prepare_lifting(core: Core) -> Any:
    return stop(core).id


def lift(core: Core, switch_id: Any) -> Any:
    return lift_switch(core=core, actor=FINANCE, switch_id=switch_id, reason=REASON)


class Deed(NamedTuple):
    """A deed with its preparation, of how many statements at least it consists, and what there is of it afterwards.

    ``leaves`` says how many rows, those of the preparation with them. ``said`` is what whoever does it again is told
    where it takes no key.
    """

    prepare: Callable[[Core], Any]
    do: Callable[[Core, Any], Any]
    statements_min: int
    leaves: dict[sa.Table, int]
    said: type[Refusal] | None = None


def nothing(_core: Core) -> None:
    """Prepare nothing."""


GIVEN = {vouchers: 1, ledger_entries: 1}
ASKED = {budget_requests: 1}
DEEDS = {
    "issue": Deed(prepare_issue, issue, 12, {**GIVEN, outbox_messages: 2}),
    "redeem": Deed(prepare_redeem, redeem, 10, {vouchers: 1, ledger_entries: 2, redemptions: 1}),
    "decide": Deed(prepare_decide, decide, 10, GIVEN),
    "reserve": Deed(prepare_redeem, reserve, 6, {**GIVEN, reservations: 1}),
    "commit": Deed(prepare_commit, commit, 10, {reservations: 1, ledger_entries: 2, redemptions: 1}),
    "annul": Deed(prepare_undoing, annul, 9, {vouchers: 1, redemptions: 1, redemption_reversals: 1}),
    "reverse": Deed(prepare_undoing, reverse, 10, {vouchers: 2, redemptions: 1, redemption_reversals: 1}),
    "void": Deed(prepare_care, void, 9, {vouchers: 1, ledger_entries: 2}),
    "reissue": Deed(prepare_care, reissue, 7, {vouchers: 2}),
    "raise": Deed(prepare_care, partial(adjust, amount_minor=2 * PRICE_MINOR), 9, {ledger_entries: 2}),
    "lower": Deed(prepare_lowering, partial(adjust, amount_minor=PRICE_MINOR), 8, {ledger_entries: 3}),
    "freeze": Deed(prepare_care, freeze, 5, GIVEN),
    "unfreeze": Deed(prepare_unfreezing, unfreeze, 6, GIVEN),
    "extend": Deed(prepare_care, extend, 5, GIVEN),
    "resend": Deed(prepare_resending, resend, 5, {**GIVEN, outbox_messages: 4}),
    "ask": Deed(nothing, ask, 4, {**ASKED, budget_allocations: 0}),
    "ask for a transfer": Deed(nothing, partial(ask, kind="transfer"), 4, {**ASKED, budget_allocations: 0}),
    "break glass": Deed(nothing, partial(ask, kind="break_glass"), 4, {**ASKED, budget_allocations: 0}),
    "approve": Deed(prepare_asked, agree, 7, {**ASKED, budget_allocations: 1}),
    "approve a transfer": Deed(partial(prepare_asked, kind="transfer"), agree, 7, {**ASKED, budget_allocations: 2}),
    "approve broken glass": Deed(
        partial(prepare_asked, kind="break_glass"), agree, 8, {**ASKED, budget_allocations: 1, reviews: 1}
    ),
    "decline": Deed(prepare_asked, partial(agree, decision="decline"), 5, {**ASKED, budget_allocations: 0}),
    "withdraw": Deed(prepare_asked, withdraw, 3, {**ASKED, budget_allocations: 0}, said=BudgetRequestAlreadyDecided),
    "carry over": Deed(prepare_carrying, carry, 7, {**GIVEN, budget_allocations: 2}),
    "stop": Deed(nothing, stop, 3, {switches: 1}, said=SwitchAlreadySet),
    "go on": Deed(prepare_lifting, lift, 4, {switches: 1}, said=SwitchAlreadyLifted),
}
OFTEN = ("issue", "redeem", "decide", "reserve", "commit", "annul", "reverse", "void", "reissue")
