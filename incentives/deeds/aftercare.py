"""What all flows do that change a voucher after it was given: it is found and locked, its reason is read, it is told.

Not a flow: it opens no transaction. Whoever belongs to a place finds its own vouchers only; to them the others are not
there. The voucher's row is locked before the budgets, and what is decided is decided while it is.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import answers, casework, guarding
from incentives.deeds.batch import Batch
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AlreadyRedeemed,
    Refusal,
    VoucherExpired,
    VoucherFrozen,
    VoucherNotFound,
    VoucherReplaced,
    VoucherReserved,
    VoucherVoided,
)
from incentives.kernel.money import Money
from incentives.queries.scope import seen_by
from incentives.spending import budgets, settling
from incentives.vouchers import aftercare, lifecycle
from incentives.vouchers.shares import left_minor
from incentives.vouchers.tables import issuances, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Cared:
    """A voucher after something was done to it; ``left`` is what it is still worth."""

    voucher_id: uuid.UUID
    issuance_id: uuid.UUID
    case_id: uuid.UUID
    status: str
    last4: str
    amount: Money
    left: Money
    expires_at: datetime
    frozen: bool
    frozen_until_at: datetime | None
    replayed: bool = False


def find(tx: Connection, actor: Actor, voucher_id: uuid.UUID) -> Any:
    """Return a voucher's row with what its issuance says, not locked. Raises ``VoucherNotFound``."""
    query = aftercare.selected().where(vouchers.c.id == voucher_id, seen_by(actor, issuances.c.location))
    row = tx.execute(query).one_or_none()
    if row is None:
        raise VoucherNotFound
    return row


def take(tx: Connection, actor: Actor, voucher_id: uuid.UUID) -> Any:
    """Return a voucher's row with what its issuance says, locked until the transaction ends.

    Raises ``VoucherNotFound`` for one that the actor does not see.
    """
    query = aftercare.selected().where(vouchers.c.id == voucher_id, seen_by(actor, issuances.c.location))
    row = tx.execute(query.with_for_update(of=vouchers, key_share=True)).one_or_none()
    if row is None:
        raise VoucherNotFound
    return row


def done_before(
    tx: Connection,
    core: Core,
    actor: Actor,
    deed: str,
    key: str | None,
    request: Mapping[str, Any],
    now: datetime,
) -> Cared | None:
    """Claim an idempotency key; how the voucher stood after the first request when it was used before, or None.

    Raises ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight`` and ``VoucherNotFound``.
    """
    found = casework.claimed_before(tx, core, actor, deed, key, request, core.ids.new(now), now)
    if found is None:
        return None
    row = find(tx, actor, request["voucher_id"])
    stood = _stood(tx, row, actor, deed, key, found)
    return replace(stood, replayed=True) if stood else cared(row, now, replayed=True)


def _stood(tx: Connection, row: Any, actor: Actor, deed: str, key: str | None, since: uuid.UUID) -> Cared | None:
    """Return how a voucher stood after what was done to it under a key, as the audit trail was told.

    Its event is the actor's first, at that very instant, whose id is later than ``since``, which was made for the key.
    None where no event says it: those of reissues do not, nor do those of what was done before any said it.
    """
    keys = idempotency.idempotency_keys.c
    this = (keys.scope == f"{actor.label}:{deed}", keys.key == key)
    at = tx.execute(sa.select(keys.created_at).where(*this)).scalar_one()
    for event in answers.history(tx, row.issuance_id):
        own = event.at == at and event.actor == actor.label and event.id > since
        if own and event.facts.get("voucher_id") == str(row.id) and "stands" in event.facts:
            return _read(row, event.facts["stands"])
    return None


def _read(row: Any, stands: Mapping[str, Any]) -> Cared:
    """Return how a voucher stood, as ``_stands`` wrote it."""
    until = stands["frozen_until_at"]
    return Cared(
        voucher_id=row.id,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        status=stands["status"],
        last4=row.last4,
        amount=Money(stands["amount_minor"], row.currency),
        left=Money(stands["left_minor"], row.currency),
        expires_at=datetime.fromisoformat(stands["expires_at"]),
        frozen=stands["frozen"],
        frozen_until_at=datetime.fromisoformat(until) if until else None,
    )


def _stands(row: Any, action: str, facts: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return how a voucher stands after something was done to it, for whoever asks for the same again."""
    done = cared(SimpleNamespace(**{**row._asdict(), **_changes(action, facts, now)}), now)
    return {
        "status": done.status,
        "amount_minor": done.amount.amount_minor,
        "left_minor": done.left.amount_minor,
        "expires_at": done.expires_at.isoformat(),
        "frozen": done.frozen,
        "frozen_until_at": done.frozen_until_at.isoformat() if done.frozen_until_at else None,
    }


def _changes(action: str, facts: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what something changed of a voucher's row, which was read before it was done."""
    until = facts.get("until_at")
    match action:
        case "voucher.adjusted":
            held = {"frozen_at": now, "frozen_until_at": None} if facts.get("held_for") else {}
            return {"status": "issued", "amount_minor": facts["amount_minor"], **held}
        case "voucher.extended":
            return {"expires_at": datetime.fromisoformat(facts["expires_at"])}
        case "voucher.frozen":
            # It was told in whatever zone it was asked for.
            until_at = datetime.fromisoformat(until).astimezone(UTC) if until else None
            return {"frozen_at": now, "frozen_until_at": until_at}
        case "voucher.unfrozen":
            return {"frozen_at": None, "frozen_until_at": None}
        case "voucher.voided":
            return {"status": "voided"}
    return {}


def cared(row: Any, now: datetime, *, replayed: bool = False) -> Cared:
    """Return how a voucher stands; ``row`` is as ``find`` gives it."""
    frozen = lifecycle.is_frozen(row, now)
    return Cared(
        voucher_id=row.id,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        status=lifecycle.status_now(row, now),
        last4=row.last4,
        amount=Money(row.amount_minor, row.currency),
        left=Money(outstanding_minor(row) if row.status in aftercare.OPEN else 0, row.currency),
        expires_at=row.expires_at,
        frozen=frozen,
        frozen_until_at=row.frozen_until_at if frozen else None,
        replayed=replayed,
    )


def outstanding_minor(row: Any) -> int:
    """Return what a voucher's unspent uses are worth, in its minor units."""
    return left_minor(row.amount_minor, row.max_redemptions, row.redeemed_count)


def check(tx: Connection, row: Any, now: datetime, *, held: bool = False, frozen: bool = False) -> None:
    """Refuse a voucher that has ended; one that a till holds, and one that is frozen, unless these may be changed.

    Raises ``AlreadyRedeemed``, ``VoucherExpired``, ``VoucherVoided``, ``VoucherReplaced``, ``VoucherReserved`` and
    ``VoucherFrozen``.
    """
    status = lifecycle.status_now(row, now)
    if status not in aftercare.OPEN or (status == "reserved" and not held):
        raise _over(tx, row, status)
    if not frozen and lifecycle.is_frozen(row, now):
        until = row.frozen_until_at.isoformat() if row.frozen_until_at else None
        raise VoucherFrozen(frozen_until_at=until, last4=row.last4)


def _over(tx: Connection, row: Any, status: str) -> Refusal:
    if status == "redeemed":
        before = lifecycle.standing_redemption(tx, row.id)
        if before is None:  # each use was undone, and its worth went on to other vouchers
            return AlreadyRedeemed(last4=row.last4)
        return AlreadyRedeemed(
            redeemed_at=before.redeemed_at.isoformat(), location=before.location, redeemed_by=before.actor_name
        )
    if status == "expired":
        return VoucherExpired(expires_at=row.expires_at.isoformat(), time_zone=row.time_zone)
    return {"voided": VoucherVoided, "reserved": VoucherReserved, "replaced": VoucherReplaced}[status](last4=row.last4)


def refuse_stopped(tx: Connection, core: Core, actor: Actor, row: Any) -> None:
    """Refuse what gives more, or to somebody else, while giving is stopped for what a voucher was given for.

    Raises ``IssuingStopped``.
    """
    catalog = releases.cached_current(tx, core).catalog
    tags = catalog.lineage(row.issue_tag) if row.issue_tag in catalog.issue_tags else ()
    subjects = guarding.Subjects(
        location=row.location,
        incentive=row.incentive,
        issue_tags=tags or (row.issue_tag,),
        team=row.team,
        actor=actor.label,
        source=row.source,
        issued_by=row.issued_by,
    )
    guarding.refuse_stopped(tx, core, guarding.ISSUING, subjects)


def changed(done: bool) -> None:  # noqa: FBT001 - the answer of a conditional update
    """Stop where a voucher changed in spite of its lock: that is a bug, and nothing must come of it."""
    if not done:
        raise AssertionError("a locked voucher was changed by somebody else")


def lapse_hold(tx: Connection, row: Any) -> None:
    """Write down that what held a voucher, which is locked, has lapsed."""
    if row.status == "reserved":
        aftercare.lapse_holds(tx, [row.id])


def note(batch: Batch, row: Any, action: str, reason: str | None, facts: Mapping[str, Any]) -> None:
    """Lay out the audit event of what was done to a voucher, under its issuance and its case."""
    about = {"voucher_id": str(row.id), "last4": row.last4, "currency": row.currency}
    stands = {} if action == "voucher.reissued" else {"stands": _stands(row, action, facts, batch.now)}
    batch.note(action, row.issuance_id, row.case_id, reason, {**about, **facts, **stands})


def let_go(
    tx: Connection, batch: Batch, row: Any, others: Sequence[Any]
) -> tuple[Mapping[uuid.UUID, budgets.Pot], list[list[Any]]]:
    """Free what a voucher that ends unspent still holds of its budgets; return the pots, and what was freed of which.

    ``others`` are the vouchers of its issuance. An issuance of which something may still be spent goes on counting
    as promised; one of which something was spent counts as spent, and has nothing here to give back.
    """
    charged, pots = budgets.lock_charged(tx, [row.issuance_id])
    whole = not any(each.status in aftercare.OPEN for each in others if each.id != row.id)
    freed = []
    for each, changes in settling.taken(charged, outstanding_minor(row)):
        moved = settling.counted(each, changes, whole=whole)
        if moved:
            batch.move(pots[each.pot_id], row.issuance_id, row.id, "release", moved)
            freed.append([*each.pot, moved.get("committed_minor", 0), moved.get("committed_count", 0)])
    return pots, freed
