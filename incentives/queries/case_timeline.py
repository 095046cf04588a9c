"""Everything that happened in a case, in one list: a statement a table, however much there is."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import audit_events
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries.letters import actor_names
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_apologies, case_files, case_notes, case_steps, case_tasks, surveys
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, redemptions, vouchers

# What the audit trail says of these, the item of their own says better.
_SAID_ELSEWHERE = (
    "case.step-", "case.apologized", "case.noted", "case.task-added", "case.task-done", "case.file-added",
    "voucher.issued", "voucher.redeemed", "apology.given", "approval.", "message.", "survey.",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineItem:
    """One thing that happened. ``text`` is what somebody wrote or said; ``facts`` are by ``kind``.

    Kinds: feedback, apology, message, notice, step, note, voucher, approval, redemption, task, file, survey,
    assignment, deed. ``title`` is a key, not words: a source, a step, a template, an incentive, an action.
    """

    at: datetime
    kind: str
    title: str
    actor: str | None = None
    actor_name: str | None = None
    text: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    case_id: uuid.UUID
    id: uuid.UUID


@dataclass(slots=True, kw_only=True)
class _Reader:
    """What all parts of a timeline need."""

    tx: Connection
    core: Core
    ids: Sequence[uuid.UUID]
    now: datetime
    given: Mapping[uuid.UUID, Any] = field(default_factory=dict)  # issuances by id
    made: Mapping[uuid.UUID, Any] = field(default_factory=dict)  # vouchers by id

    def rows(self, table: sa.Table, *leave_out: str) -> Sequence[Any]:
        """Return the rows of a table that are about the cases."""
        columns = [column for column in table.c if column.name not in leave_out]
        return self.tx.execute(sa.select(*columns).where(table.c.case_id.in_(self.ids))).all()

    def opened(self, kept: str | None) -> str | None:
        return self.core.contacts.decrypt(kept)


def timeline(tx: Connection, core: Core, ids: Sequence[uuid.UUID], now: datetime) -> tuple[TimelineItem, ...]:
    """Return all that happened in some cases, the oldest first."""
    reader = _Reader(tx=tx, core=core, ids=ids, now=now)
    reader.given = {row.id: row for row in reader.rows(issuances)}
    query = sa.select(vouchers).where(vouchers.c.issuance_id.in_(list(reader.given))).order_by(vouchers.c.number)
    reader.made = {row.id: row for row in tx.execute(query)}
    parts = (_feedback, _messages, _apologies, _steps, _notes, _tasks, _files, _surveys, _vouchers, _approvals)
    found = [item for part in (*parts, _redemptions, _audit) for item in part(reader)]
    return tuple(sorted(_named(tx, found), key=lambda item: (item.at, item.id)))


def _named(tx: Connection, items: Sequence[TimelineItem]) -> Iterator[TimelineItem]:
    """Put in the names of who did it, and of who was given the case."""
    owners = {item.facts["owner"] for item in items if item.kind == "assignment" and item.facts.get("owner")}
    labels = owners | {item.actor for item in items if item.actor and not item.actor_name}
    names = actor_names(tx, labels)
    for item in items:
        facts = item.facts
        if item.kind == "assignment":
            owner = facts.get("owner")
            facts = {**facts, "owner_name": names.get(owner, owner) if owner else None}
        name = item.actor_name or (names.get(item.actor, item.actor) if item.actor else None)
        values = {each: getattr(item, each) for each in TimelineItem.__dataclass_fields__}
        yield TimelineItem(**{**values, "actor_name": name, "facts": facts})


def _feedback(reader: _Reader) -> Iterator[TimelineItem]:
    same = ("kind", "event", "scale", "score_given", "score_bp", "choices", "agent", "revision", "survey_id")
    for row in reader.rows(feedback):
        yield TimelineItem(
            id=row.id,
            at=row.occurred_at,
            kind="feedback",
            title=row.source,
            text=reader.opened(row.comment),
            facts={name: getattr(row, name) for name in same},
            case_id=row.case_id,
        )


def _messages(reader: _Reader) -> Iterator[TimelineItem]:
    table = outbox_messages.c
    about = sa.or_(table.case_id.in_(reader.ids), table.issuance_id.in_(list(reader.given)))
    same = ("channel", "status", "provider", "attempts", "reason", "ended_at", "apology_id", "survey_id", "issuance_id")
    for row in reader.tx.execute(sa.select(outbox_messages).where(about)):
        yield TimelineItem(
            id=row.id,
            at=row.created_at,
            kind="message" if row.user_id is None else "notice",
            title=row.template,
            actor=f"person:{row.user_id}" if row.user_id else None,
            facts={name: getattr(row, name) for name in same},
            case_id=row.case_id or reader.given[row.issuance_id].case_id,
        )


def _apologies(reader: _Reader) -> Iterator[TimelineItem]:
    for row in reader.rows(case_apologies):
        yield TimelineItem(
            id=row.id,
            at=row.at,
            kind="apology",
            title=row.script or "own-words",
            actor=row.actor,
            text=reader.opened(row.words),
            facts={name: getattr(row, name) for name in ("channel", "spoken", "language", "script")},
            case_id=row.case_id,
        )


def _steps(reader: _Reader) -> Iterator[TimelineItem]:
    for row in reader.rows(case_steps):
        yield TimelineItem(
            id=row.id,
            at=row.at,
            kind="step",
            title=row.step,
            actor=row.actor,
            actor_name=row.actor_name,
            text=reader.opened(row.note),
            facts={"status": row.status, "channel": row.channel, "round": row.round},
            case_id=row.case_id,
        )


def _notes(reader: _Reader) -> Iterator[TimelineItem]:
    for row in reader.rows(case_notes):
        yield TimelineItem(
            id=row.id,
            at=row.at,
            kind="note",
            title="note",
            actor=row.actor,
            actor_name=row.actor_name,
            text=reader.opened(row.body),
            case_id=row.case_id,
        )


def _tasks(reader: _Reader) -> Iterator[TimelineItem]:
    for row in reader.rows(case_tasks):
        facts = {"kind": row.kind, "due_at": row.due_at, "done_at": row.done_at}
        title = reader.opened(row.title)
        yield TimelineItem(
            id=row.id,
            at=row.created_at,
            kind="task",
            title="added",
            actor=row.created_by,
            text=title,
            facts=facts,
            case_id=row.case_id,
        )
        if row.done_at:
            result = {**facts, "result": reader.opened(row.result)}
            yield TimelineItem(
                id=row.id,
                at=row.done_at,
                kind="task",
                title="done",
                actor=row.done_by,
                text=title,
                facts=result,
                case_id=row.case_id,
            )


def _files(reader: _Reader) -> Iterator[TimelineItem]:
    for row in reader.rows(case_files, "content"):
        yield TimelineItem(
            id=row.id,
            at=row.at,
            kind="file",
            title=row.media_type,
            actor=row.actor,
            text=reader.opened(row.name),
            facts={"size_bytes": row.size_bytes, "removed_at": row.removed_at},
            case_id=row.case_id,
        )


def _surveys(reader: _Reader) -> Iterator[TimelineItem]:
    same = ("status", "reason", "after", "channel", "scale", "round", "due_at", "sent_at", "answered_at")
    for row in reader.rows(surveys):
        yield TimelineItem(
            id=row.id,
            at=row.created_at,
            kind="survey",
            title=row.status,
            facts={name: getattr(row, name) for name in (*same, "first_score_bp", "answer_score_bp")},
            case_id=row.case_id,
        )


def _vouchers(reader: _Reader) -> Iterator[TimelineItem]:
    latest = {row.issuance_id: row for row in reader.made.values()}
    for row in reader.given.values():
        yield TimelineItem(
            id=row.id,
            at=row.requested_at,
            kind="voucher",
            title=row.incentive,
            actor=row.actor,
            text=reader.opened(row.note),
            facts={
                "status": row.status,
                "amount": Money(row.amount_minor, row.currency),
                "channels": row.channels,
                "issued_at": row.issued_at,
                **_voucher(latest.get(row.id), reader.now),
            },
            case_id=row.case_id,
        )


def _voucher(row: Any, now: datetime) -> dict[str, Any]:
    """Return what a voucher is now; nothing for an apology by itself, or what waits for an approval."""
    if row is None:
        return {}
    status = lifecycle.status_now(row, now)
    return {"voucher_id": row.id, "last4": row.last4, "voucher_status": status, "expires_at": row.expires_at}


def _approvals(reader: _Reader) -> Iterator[TimelineItem]:
    query = sa.select(approvals).where(approvals.c.issuance_id.in_(list(reader.given)))
    for row in reader.tx.execute(query):
        given = reader.given[row.issuance_id]
        yield TimelineItem(
            id=row.id,
            at=row.decided_at or row.requested_at,
            kind="approval",
            title=row.status,
            actor=row.decided_by or row.requested_by,
            text=row.comment,
            facts={
                "reasons": row.reasons,
                "incentive": given.incentive,
                "amount": Money(row.requested_amount_minor, given.currency),
                "expires_at": row.expires_at,
            },
            case_id=given.case_id,
        )


def _redemptions(reader: _Reader) -> Iterator[TimelineItem]:
    query = sa.select(redemptions).where(redemptions.c.voucher_id.in_(list(reader.made)))
    for row in reader.tx.execute(query):
        voucher = reader.made[row.voucher_id]
        yield TimelineItem(
            id=row.id,
            at=row.redeemed_at,
            kind="redemption",
            title="reversed" if row.reversed_at else "redeemed",
            actor=row.actor,
            actor_name=row.actor_name,
            facts={
                "amount": Money(row.amount_minor, row.currency),
                "location": row.location,
                "order_ref": row.order_ref,
                "last4": voucher.last4,
            },
            case_id=reader.given[voucher.issuance_id].case_id,
        )


def _audit(reader: _Reader) -> Iterator[TimelineItem]:
    """Yield what only the audit trail knows, such as who was given the case."""
    subjects = [str(each) for each in (*reader.given, *reader.made)]
    table = audit_events.c
    about = sa.or_(table.case_id.in_(reader.ids), table.subject_id.in_(subjects))
    for row in reader.tx.execute(sa.select(audit_events).where(about)):
        if not row.action.startswith(_SAID_ELSEWHERE):
            yield TimelineItem(
                id=row.id,
                at=row.at,
                kind="assignment" if row.action == "case.assigned" else "deed",
                title=row.action,
                actor=row.actor,
                actor_name=row.actor_name,
                text=row.reason,
                facts=row.facts,
                case_id=row.case_id or reader.ids[0],
            )
