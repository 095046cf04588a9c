"""The answers of issuing and approving, and how a replay makes them again from the records, codes included.

What a voucher was worth, and until when it was good, may have changed since: of that the audit trail knows how it was.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import audit_events
from incentives.kernel.core import Core
from incentives.kernel.errors import KeyRetired
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances

# It never waited to be sent; what was found out later does not show in a replay.
_SUPPRESSED_AT_ONCE = sa.and_(outbox_messages.c.status == "suppressed", outbox_messages.c.attempts == 0)
_GIVEN = ("voucher.issued", "approval.granted", "apology.given")
_MOVED = ("voucher.extended", "redemption.annulled", "redemption.reversed")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedVoucher:
    """A voucher with its secrets, for its issuer's eyes only; ``code`` is as printed."""

    id: uuid.UUID
    code: str
    last4: str
    token: str
    amount: Money
    expires_at: datetime
    status: str = "issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """A voucher over what a sale left; its secrets only where no message carries them to the customer."""

    id: uuid.UUID
    last4: str
    amount: Money
    expires_at: datetime
    code: str | None = None
    token: str | None = None
    status: str = "issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way; ``reason`` says why it is not."""

    id: uuid.UUID
    channel: str
    status: str = "queued"
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """The incentive was given; ``voucher`` is None where it was an apology by itself."""

    id: uuid.UUID
    case_id: uuid.UUID
    voucher: IssuedVoucher | None
    deliveries: tuple[Delivery, ...]
    status: str = "issued"
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitingApproval:
    """Somebody must agree first; every budget holds the amount meanwhile."""

    id: uuid.UUID
    case_id: uuid.UUID
    approval_id: uuid.UUID
    reasons: tuple[str, ...]
    expires_at: datetime
    status: str = "pending_approval"
    replayed: bool = False


def shown(made: lifecycle.Made) -> IssuedVoucher:
    """Return a fresh voucher as its issuer sees it."""
    row = made.row
    return IssuedVoucher(
        id=row["id"],
        code=made.code,
        last4=row["last4"],
        token=made.token,
        amount=Money(row["amount_minor"], row["currency"]),
        expires_at=row["expires_at"],
    )


def left(voucher: IssuedVoucher, *, told: bool) -> Remainder:
    """Return a voucher over what a sale left as the till sees it: what the customer is told is for their eyes only."""
    return Remainder(
        id=voucher.id,
        last4=voucher.last4,
        amount=voucher.amount,
        expires_at=voucher.expires_at,
        code=None if told else voucher.code,
        token=None if told else voucher.token,
    )


def deliveries(messages: list[dict[str, Any]]) -> tuple[Delivery, ...]:
    """Return fresh messages as deliveries."""
    return tuple(Delivery(id=row["id"], channel=row["channel"]) for row in messages)


def replay(tx: Connection, core: Core, issuance_id: uuid.UUID) -> Issued | AwaitingApproval:
    """Return the answer that the first request got, as it was at that time: what came later does not show."""
    found = tx.execute(
        sa.select(
            issuances.c.id,
            issuances.c.case_id,
            approvals.c.id.label("approval_id"),
            approvals.c.reasons,
            approvals.c.expires_at,
        )
        .outerjoin(approvals, approvals.c.issuance_id == issuances.c.id)
        .where(issuances.c.id == issuance_id),
    ).one()
    if found.approval_id is not None:
        return AwaitingApproval(
            id=found.id,
            case_id=found.case_id,
            approval_id=found.approval_id,
            reasons=tuple(found.reasons),
            expires_at=found.expires_at,
            replayed=True,
        )
    return given(tx, core, found.id, found.case_id, replayed=True)


def given(tx: Connection, core: Core, issuance_id: uuid.UUID, case_id: uuid.UUID, *, replayed: bool) -> Issued:
    """Return what an issuance gave at first, with the code derived again."""
    voucher = lifecycle.numbered(tx, issuance_id, 1)
    events = history(tx, issuance_id)
    deed = next((event for event in events if event.action in _GIVEN), None)
    if voucher and deed:
        voucher |= {"amount_minor": deed.facts["amount_minor"], "expires_at": first_end(voucher, events)}
    table = outbox_messages.c
    messages = tx.execute(
        sa.select(table.id, table.channel, _SUPPRESSED_AT_ONCE.label("suppressed"), table.reason)
        .where(
            table.issuance_id == issuance_id,
            table.voucher_id == (voucher["id"] if voucher else None),
            table.copy == 0,  # what was sent again came later, and so did what went by another channel
            *([table.created_at == deed.at] if deed else []),
        )
        .order_by(table.channel),
    ).all()
    held = bool(deed and deed.facts.get("held_for"))
    return Issued(
        id=issuance_id,
        case_id=case_id,
        voucher=again(core, voucher) if voucher else None,
        deliveries=tuple(_delivery(row, held=held) for row in messages),
        replayed=replayed,
    )


def _delivery(row: Any, *, held: bool) -> Delivery:
    if not row.suppressed:
        return Delivery(id=row.id, channel=row.channel, status="held" if held else "queued")
    return Delivery(id=row.id, channel=row.channel, status="suppressed", reason=row.reason)


def history(tx: Connection, issuance_id: uuid.UUID) -> Sequence[Any]:
    """Return what the audit trail says of an issuance and its vouchers, the oldest first."""
    table = audit_events.c
    query = sa.select(table.id, table.at, table.actor, table.action, table.facts)
    return tx.execute(query.where(table.subject_id == str(issuance_id)).order_by(table.id)).all()


def first_end(row: Mapping[str, Any], events: Iterable[Any]) -> datetime:
    """Return until when a voucher was good when it was made.

    Its end is only ever moved to a later one, and what moves it says where it was, but for undone redemptions that
    were written down before they said so.
    """
    moved = (event.facts for event in events if event.action in _MOVED)
    before = [facts["before"] for facts in moved if facts.get("voucher_id") == str(row["id"]) and "before" in facts]
    ends: list[datetime] = [row["expires_at"], *map(datetime.fromisoformat, before)]
    return min(ends)


def again(core: Core, row: Mapping[str, Any]) -> IssuedVoucher:
    """Return a voucher as its issuer saw it, with its secrets derived again."""
    code, token = lifecycle.secrets_of(core, row["id"], row["code_key_id"])
    return shown(lifecycle.Made(row=row, code=code, token=token))


def left_again(tx: Connection, core: Core, row: Mapping[str, Any]) -> Remainder:
    """Return a voucher over what a sale left as the till saw it at first."""
    table = outbox_messages.c
    # What was sent later, when somebody asked for it, did not keep the code from the till.
    about = (
        table.issuance_id == row["issuance_id"],
        table.voucher_id == row["id"],
        table.created_at == row["issued_at"],
    )
    told = tx.execute(sa.select(table.id).where(*about).limit(1)).first() is not None
    code, token = (None, None) if told else secrets_again(core, row["id"], row["code_key_id"])
    return Remainder(
        id=row["id"],
        last4=row["last4"],
        amount=Money(row["amount_minor"], row["currency"]),
        expires_at=first_end(row, history(tx, row["issuance_id"])),
        code=code,
        token=token,
    )


def secrets_again(core: Core, voucher_id: uuid.UUID, code_key_id: str) -> tuple[str, str] | tuple[None, None]:
    """Return a voucher's code and token where an answer may lack them: nobody can derive those of a retired key."""
    try:
        return lifecycle.secrets_of(core, voucher_id, code_key_id)
    except KeyRetired:
        return None, None
