"""Budget requests: somebody wants a budget to hold more, less, or another's money; a second person agrees or does not.

What is agreed is written as allocations, never as another cap: the number that a budget has is the sum of its entries.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import allotting, reasons, same_hands
from incentives.deeds.allotting import Change, PotName
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    BudgetRequestAlreadyDecided,
    BudgetRequestNotFound,
    InputInvalid,
    NotPermitted,
    Refusal,
    SelfApproval,
)
from incentives.kernel.idempotency import Claim
from incentives.kernel.money import Money
from incentives.safeguards import reviews
from incentives.spending import budgets
from incentives.spending.tables import REQUEST_KINDS, budget_requests

__all__ = [
    "DecideBudgetRequest",
    "PotName",
    "ProposeBudgetChange",
    "RequestDone",
    "WithdrawBudgetRequest",
    "decide_budget_request",
    "propose_budget_change",
    "withdraw_budget_request",
]

REVIEW_HOURS = 24
"""So soon somebody looks at what was added in an emergency."""

DECISIONS = {"approve": "approved", "decline": "declined"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeBudgetChange:
    """``kind`` is top_up, transfer, adjustment or break_glass. Only a transfer has a pot that it comes from.

    Amounts are minor units of the pot's currency, and a number of vouchers; an adjustment's may be below zero.
    """

    kind: str
    pot: PotName
    from_pot: PotName | None = None
    amount_minor: int = 0
    amount_count: int = 0
    reason: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideBudgetRequest:
    """``decision`` is approve or decline."""

    request_id: uuid.UUID
    decision: str
    comment: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawBudgetRequest:
    """Whoever asked takes it back."""

    request_id: uuid.UUID
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDone:
    """A request as it stands after the deed."""

    id: uuid.UUID
    status: str
    replayed: bool = False


def propose_budget_change(*, core: Core, actor: Actor, command: ProposeBudgetChange) -> RequestDone:
    """Ask for a change; nothing of the budget changes yet.

    Raises ``BudgetNotFound``, ``BudgetPeriodOver``, ``BudgetInUse``, ``BudgetCurrencyMismatch``,
    ``BreakGlassLimitReached``, ``NoCatalog``, ``InputInvalid``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "budgets:propose")
    now = core.clock.now()
    _check_kind(command)
    command = replace(command, reason=reasons.reason(command.reason))
    request_id = core.ids.new(now)
    with core.database.write() as tx:
        found = _claimed(tx, core, actor, "budget-requests", command, request_id, now)
        if found:
            return RequestDone(id=found, status=_row(tx, found).status, replayed=True)
        catalog = releases.cached_current(tx, core).catalog
        changes = _changes(catalog, command, now)
        _check(tx, catalog, changes, budgets.read(tx, [each.wanted for each in changes]))
        tx.execute(budget_requests.insert(), [_new_row(actor, command, changes, request_id, now)])
        _note(tx, core, actor, now, "requested", request_id, command.reason, changes)
    return RequestDone(id=request_id, status="pending")


def _check_kind(command: ProposeBudgetChange) -> None:
    if command.kind not in REQUEST_KINDS:
        raise InputInvalid(errors=[{"field": "kind", "message": f"Send one of {', '.join(REQUEST_KINDS)}."}])
    if (command.kind == "transfer") != (command.from_pot is not None):
        message = "Say where a transfer comes from." if command.kind == "transfer" else "Only a transfer has this."
        raise InputInvalid(errors=[{"field": "from_budget", "message": message}])


def _changes(catalog: Catalog, command: ProposeBudgetChange, now: datetime) -> list[Change]:
    into = allotting.find(catalog, command.pot, now)
    out_of = allotting.find(catalog, command.from_pot, now, field="from_budget") if command.from_pot else None
    amounts = {"minor": command.amount_minor, "count": command.amount_count}
    return allotting.changes_of(command.kind, into, out_of, amounts)


def _check(tx: Connection, catalog: Catalog, changes: Sequence[Change], pots: Any) -> None:
    if changes[0].kind == "break_glass":
        allotting.check_glass(tx, catalog, changes[0], pots)
    allotting.check_room(changes, pots)


def _new_row(
    actor: Actor, command: ProposeBudgetChange, changes: Sequence[Change], request_id: uuid.UUID, now: datetime
) -> dict[str, Any]:
    into = changes[0].wanted
    out_of = changes[1].wanted.pot if len(changes) > 1 else None
    return {
        "id": request_id,
        "kind": command.kind,
        "status": "pending",
        **into.pot._asdict(),
        "from_budget": out_of.budget if out_of else None,
        "from_subject": out_of.subject if out_of else None,
        "from_period_key": out_of.period_key if out_of else None,
        "amount_minor": command.amount_minor,
        "amount_count": command.amount_count,
        "currency": into.rule.currency,
        "reason": command.reason,
        "requested_by": actor.label,
        "requested_by_name": actor.name,
        "requested_at": now,
    }


def decide_budget_request(*, core: Core, actor: Actor, command: DecideBudgetRequest) -> RequestDone:
    """Approve or decline, once, by somebody else than whoever asked; what is approved holds at once.

    Raises ``BudgetRequestNotFound``, ``BudgetRequestAlreadyDecided``, ``SelfApproval``, ``BudgetNotFound``,
    ``BudgetPeriodOver``, ``BudgetInUse``, ``BreakGlassLimitReached``, ``NoCatalog``, ``InputInvalid``,
    ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "budgets:approve")
    now = core.clock.now()
    if command.decision not in DECISIONS:
        raise InputInvalid(errors=[{"field": "decision", "message": "Send approve or decline."}])
    command = replace(command, comment=reasons.comment(command.comment, longest=reasons.REASON_LONGEST))
    with core.database.write() as tx:
        found = _claimed(tx, core, actor, "budget-decisions", command, command.request_id, now)
        row = _row(tx, command.request_id, lock=True)
        if found:
            return RequestDone(id=row.id, status=row.status, replayed=True)
        if same_hands.are_one(tx, core, actor, row.requested_by):
            raise SelfApproval("You asked for this yourself; somebody else decides.")
        _end(tx, row, DECISIONS[command.decision], actor, command.comment, now)
        if command.decision == "decline":
            _note(tx, core, actor, now, "request_declined", row.id, command.comment, ())
        else:
            _carry_out(tx, core, actor, row, now)
    return RequestDone(id=command.request_id, status=DECISIONS[command.decision])


def _carry_out(tx: Connection, core: Core, actor: Actor, row: Any, now: datetime) -> None:
    """Write what was agreed: the pots, locked in the order of their keys, change with their allocations."""
    catalog = releases.cached_current(tx, core).catalog
    changes = _changes(catalog, _again(row), now)
    if row.currency != changes[0].wanted.rule.currency:
        raise BudgetRequestNotFound("The budget is another one now.")
    pots = budgets.lock(tx, core, [each.wanted for each in changes], now)
    _check(tx, catalog, changes, pots)
    rows = allotting.allotments(
        changes,
        pots,
        core=core,
        now=now,
        actor=row.requested_by,
        approved_by=actor.label,
        source_id=row.id,
        reason=row.reason,
    )
    if row.kind == "break_glass":
        _let_review(tx, core, actor, row, now)
    _note(tx, core, actor, now, row.kind, row.id, row.reason, changes, requested_by=row.requested_by)
    budgets.write(tx, pots.values(), (), rows)


def _again(row: Any) -> ProposeBudgetChange:
    """Return what was asked for, as it was asked."""
    came_from = PotName(budget=row.from_budget, subject=row.from_subject, period_key=row.from_period_key)
    return ProposeBudgetChange(
        kind=row.kind,
        pot=PotName(budget=row.budget, subject=row.subject, period_key=row.period_key),
        from_pot=came_from if row.from_budget else None,
        amount_minor=row.amount_minor,
        amount_count=row.amount_count,
        reason=row.reason,
    )


def _let_review(tx: Connection, core: Core, actor: Actor, row: Any, now: datetime) -> None:
    kind, _, number = row.requested_by.partition(":")
    review = reviews.opened(
        core=core,
        actor=Actor(kind=kind, id=uuid.UUID(number), name=row.requested_by_name),
        now=now,
        kind="break_glass",
        subject_id=row.id,
        action="allow",
        signals=[{"name": "break-glass", "budget": row.budget, "approved_by": actor.label}],
        amount=Money(row.amount_minor, row.currency) if row.currency else None,
        hours=REVIEW_HOURS,
    )
    reviews.write(tx, [review])


def withdraw_budget_request(*, core: Core, actor: Actor, command: WithdrawBudgetRequest) -> RequestDone:
    """Take back what one asked for oneself, while nobody has decided.

    Raises ``BudgetRequestNotFound``, ``BudgetRequestAlreadyDecided``, ``InputInvalid``, ``NotPermitted``.
    """
    permit(actor, "budgets:propose")
    now = core.clock.now()
    comment = reasons.comment(command.comment, longest=reasons.REASON_LONGEST)
    with core.database.write() as tx:
        row = _row(tx, command.request_id, lock=True)
        if row.requested_by != actor.label:
            raise NotPermitted("Only whoever asked takes it back; others decline it.", permission="budgets:approve")
        _end(tx, row, "withdrawn", actor, comment, now)
        _note(tx, core, actor, now, "request_withdrawn", row.id, comment, ())
    return RequestDone(id=row.id, status="withdrawn")


def _claimed(
    tx: Connection, core: Core, actor: Actor, what: str, command: Any, result_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    """Claim the key; return the id of what it was used for before."""
    if not command.idempotency_key:
        return None
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "idempotency_key"}
    claim = Claim(f"{actor.label}:{what}", command.idempotency_key, request, result_id)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    return found


def _row(tx: Connection, request_id: uuid.UUID, *, lock: bool = False) -> Any:
    query = sa.select(budget_requests).where(budget_requests.c.id == request_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise BudgetRequestNotFound
    return row


def _end(tx: Connection, row: Any, status: str, actor: Actor, comment: str | None, now: datetime) -> None:
    """Move the request out of pending: one conditional update, and the database's own check of four eyes."""
    this = sa.and_(budget_requests.c.id == row.id, budget_requests.c.status == "pending")
    values = {"status": status, "decided_by": actor.label, "decided_at": now, "comment": comment}
    if tx.execute(budget_requests.update().where(this).values(values)).rowcount != 1:
        raise BudgetRequestAlreadyDecided(
            decision=row.status, decided_at=row.decided_at.isoformat() if row.decided_at else None
        )


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    request_id: uuid.UUID,
    reason: str | None,
    changes: Sequence[Change],
    **facts: Any,
) -> None:
    name = "wanted" if action == "requested" else "allocations"
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"budget.{action}",
        subject_kind="budget_request",
        subject_id=request_id,
        reason=reason,
        # What is only asked for is told by another name: whoever counts allocations counts what was allotted.
        facts={**facts, **({name: [each.facts for each in changes]} if changes else {})},
    )
