"""Issue: a customer is given an incentive, or somebody is asked whether they may be.

permit → now → begin → claim → lock and check → change → post → enqueue → audit → end → result, for a sequence of
commands at once; a single request is a sequence of one. A refused command leaves nothing and disturbs no neighbor.
"""

from collections.abc import Sequence
from datetime import datetime

from incentives.deeds import guarding, reviewing
from incentives.deeds.giving import (
    AwaitingApproval,
    CustomerGiven,
    Delivery,
    Issued,
    IssuedVoucher,
    IssueVoucher,
    give,
)
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards, Refusal

__all__ = [
    "AwaitingApproval",
    "CustomerGiven",
    "Delivery",
    "IssueVoucher",
    "Issued",
    "IssuedVoucher",
    "issue_voucher",
    "issue_vouchers",
]


def issue_voucher(*, core: Core, actor: Actor, command: IssueVoucher) -> Issued | AwaitingApproval:
    """Give one incentive, or ask for an approval; a refusal leaves no trace.

    Raises what ``assessment`` raises, and ``CaseNotFound``, ``CaseClosed``, ``CaseOfAnotherCustomer``,
    ``BudgetExhausted``, ``CustomerCapReached``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``,
    ``IssuingStopped``, ``BlockedBySafeguards`` (of which a review is left), ``NotPermitted``.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    try:
        with core.database.write() as tx:
            (result,) = give(tx, core, actor, [command], now)
            if isinstance(result, Refusal):
                raise result
    except BlockedBySafeguards as refusal:
        _remember(core, actor, [refusal], now)
        raise
    return result


def issue_vouchers(
    *, core: Core, actor: Actor, commands: Sequence[IssueVoucher]
) -> list[Issued | AwaitingApproval | Refusal]:
    """Give incentives in numbers, in one transaction; each command gets its own answer, in order.

    Raises ``NotPermitted``; every other refusal is an answer.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        results = give(tx, core, actor, commands, now)
    _remember(core, actor, [each for each in results if isinstance(each, Refusal)], now)
    return results


def _remember(core: Core, actor: Actor, refusals: Sequence[Refusal], now: datetime) -> None:
    """Write what rules against abuse keep of what they refused, once nothing else is left of it."""
    if not reviewing.left_of(refusals):
        return
    with core.database.write() as tx:
        stopped = reviewing.remember(tx, core, actor, refusals, now)
    if stopped:
        guarding.forget(core)
