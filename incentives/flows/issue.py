"""Issue: a customer is given an incentive, or somebody is asked whether they may be.

permit → now → begin → claim → lock and check → change → post → enqueue → audit → end → result, for a sequence of
commands at once. Requests that wait at the same moment go together, whoever sent them: they share one transaction and
take a busy budget's row once. A single request is a sequence of one. A refused command leaves nothing and disturbs no
neighbor.
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
    give_all,
)
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.together import Together

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

_TOGETHER = "issue"

_Wish = tuple[Actor, IssueVoucher]


def issue_voucher(*, core: Core, actor: Actor, command: IssueVoucher) -> Issued | AwaitingApproval:
    """Give one incentive, or ask for an approval; a refusal leaves no trace.

    Raises what ``assessment`` raises, and ``CaseNotFound``, ``CaseClosed``, ``CaseOfAnotherCustomer``,
    ``BudgetExhausted``, ``CustomerCapReached``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``,
    ``IssuingStopped``, ``BlockedBySafeguards`` (of which a review is left), ``NotPermitted``.
    """
    permit(actor, "issuances:create")
    together: Together[_Wish, Issued | AwaitingApproval] = core.meetings.get(_TOGETHER) or core.meetings.setdefault(
        _TOGETHER, Together(lambda wishes, shared: _give(core, wishes, shared=shared), _names)
    )
    return together.submit((actor, command))


def _names(wish: _Wish) -> list[tuple[str, str]]:
    """Return what no two requests that go together may share: of one key, the second waits for the first."""
    actor, command = wish
    return [(actor.label, command.idempotency_key)] if command.idempotency_key else []


def issue_vouchers(
    *, core: Core, actor: Actor, commands: Sequence[IssueVoucher]
) -> list[Issued | AwaitingApproval | Refusal]:
    """Give incentives in numbers, in one transaction; each command gets its own answer, in order.

    Raises ``NotPermitted``; every other refusal is an answer.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        results = give_all(tx, core, [(actor, command) for command in commands], now)
    _remember(core, actor, [each for each in results if isinstance(each, Refusal)], now)
    return results


def _give(core: Core, wishes: Sequence[_Wish], *, shared: bool = True) -> list[Issued | AwaitingApproval | Exception]:
    """Give what is wished in one transaction. Requests that turn out to be about the same people do not go together."""
    now = core.clock.now()
    with core.database.write(shared=shared) as tx:
        results = give_all(tx, core, wishes, now, strangers=True, last=True)
        if all(isinstance(each, Refusal) for each in results):
            tx.rollback()  # There is nothing to keep.
    return [_remembered(core, actor, result, now) for (actor, _), result in zip(wishes, results, strict=True)]


def _remembered(
    core: Core, actor: Actor, result: Issued | AwaitingApproval | Refusal, now: datetime
) -> Issued | AwaitingApproval | Exception:
    """Return the answer to one request, once what its refusal leaves behind is written; nobody else waits for that."""
    if not isinstance(result, Refusal):
        return result
    try:
        _remember(core, actor, [result], now)
    except Exception as error:  # noqa: BLE001 - the others were answered already, and their gifts stand
        return error
    return result


def _remember(core: Core, actor: Actor, refusals: Sequence[Refusal], now: datetime) -> None:
    """Write what rules against abuse keep of what they refused, once nothing else is left of it."""
    if not reviewing.left_of(refusals):
        return
    with core.database.write() as tx:
        stopped = reviewing.remember(tx, core, actor, refusals, now)
    if stopped:
        guarding.forget(core)
