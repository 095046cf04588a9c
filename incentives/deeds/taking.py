"""Taking: pieces that were understood become rows, and what was known already becomes a newer version of itself.

Not a flow: it opens no transaction. Taking in and replaying write by it.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog.releases import CurrentCatalog
from incentives.deeds.understanding import TakeIn, Understood
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.recovery import customers, feedback, inbox
from incentives.recovery.customers import identities
from incentives.recovery.inbox import Raw

OLDER = "It is older than what was known already, so it changed nothing."
SAME = "It says what was known already."
ELSEWHERE = "It is a newer version of what another location reported, and its sender speaks for its own."

# What a later version may add where the first one said nothing.
_GAPS = (
    "customer_id", "contact", "locale", "segment", "agent", "order_ref", "product", "location", "issue_tag",
    "tagged_by", "severity", "customer_value_minor", "amount_minor", "choices", "consent",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What became of a piece. ``id`` is that of the feedback, None while nobody could understand it.

    ``status`` is settling, acted, ignored or waiting. With ``act_now`` the door calls ``respond_to``. ``reason`` says
    in words why it waits or is ignored.
    """

    id: uuid.UUID | None
    inbox_id: uuid.UUID
    status: str
    act_now: bool = False
    repeated: bool = False
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class Draft:
    """One piece on its way in."""

    source: str
    raw: Raw
    read: Callable[[CurrentCatalog], TakeIn]
    id: uuid.UUID
    inbox_id: uuid.UUID
    received_at: datetime
    location: str | None = None  # of whoever sent it
    sealed: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    command: TakeIn | None = None
    understood: Understood | None = None
    refusal: Refusal | None = None
    reason: str | None = None
    tagged_by: str | None = None
    forgiving: bool = False
    result: TakenIn | None = None


def write(tx: Connection, core: Core, drafts: Sequence[Draft], now: datetime) -> None:
    """Write pieces that were understood, a statement a table; what is known already becomes a newer version."""
    both = [(draft, draft.understood) for draft in drafts if draft.understood is not None]
    named = [(draft, each) for draft, each in both if identities(each.contact)]
    people, _ = (
        customers.settle(tx, core, [(each.contact, each.locale) for _, each in named], now) if named else ([], None)
    )
    whose = {draft.id: found[0] for (draft, _), found in zip(named, people, strict=True)}
    rows = {draft.id: _row(core, draft, each, whose.get(draft.id), now) for draft, each in both}
    new = feedback.insert(tx, list(rows.values()))
    for draft, each in both:
        if draft.id in new:
            row = rows[draft.id]
            draft.result = _taken(draft, draft.id, row["status"], row["act_at"], row["reason"], now)
        else:
            _revise(tx, core, draft, each, rows[draft.id], now)
    feedback.tag(tx, [(draft.id, each.issue_tags) for draft, each in both if draft.id in new])
    feedback.note_unmapped(
        tx, [row for draft, each in both if draft.id in new for row in _unmapped(core, draft, each, now)]
    )


def _row(core: Core, draft: Draft, each: Understood, customer_id: uuid.UUID | None, now: datetime) -> dict[str, Any]:
    command = each.command
    contact, story = each.contact.to_text(), feedback.story_text(command.story)
    status, reason = (
        ("ignored", each.late) if each.late else ("settling", None) if each.needs_response else ("acted", None)
    )
    return {
        "id": draft.id,
        "inbox_id": draft.inbox_id,
        "source": command.source,
        "external_id": command.external_id,
        "kind": command.kind,
        "event": each.event,
        "scale": each.score.scale if each.score else None,
        "score_given": each.score.given if each.score else None,
        "score_bp": each.score.bp if each.score else None,
        "comment": core.contacts.encrypt(command.comment or None),
        "choices": command.choices,
        "consent": command.consent,
        "customer_id": customer_id,
        "contact": core.contacts.encrypt(contact) if contact != "{}" else None,
        "locale": each.locale,
        "segment": each.segment,
        "customer_value_minor": command.customer_value_minor,
        "amount_minor": command.amount_minor,
        "currency": each.currency,
        "agent": command.agent,
        "order_ref": command.order_ref,
        "product": command.product,
        "location": each.location,
        "issue_tag": each.issue_tags[0] if each.issue_tags else None,
        "tagged_by": each.tagged_by,
        "severity": command.severity,
        "story": core.contacts.encrypt(story),
        "open_case": command.open_case,
        "occurred_at": each.occurred_at,
        "received_at": draft.received_at,
        "source_order": command.order,
        "status": status,
        "reason": reason,
        "act_at": now + each.settle,
        "acted_at": now if status == "acted" else None,
        "survey_id": command.survey_id,
        "form_id": command.form_id,
        "voucher_id": command.voucher_id,
    }


def _unmapped(core: Core, draft: Draft, each: Understood, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "id": core.ids.new(now),
            "feedback_id": draft.id,
            "source": draft.source,
            "field": name,
            "value": value,
            "at": now,
        }
        for name, value in each.unmapped
    ]


def _revise(tx: Connection, core: Core, draft: Draft, each: Understood, row: dict[str, Any], now: datetime) -> None:
    """Put a newer version in the place of the one that is known, unless it is an older one or says the same.

    A rule may act on it again, for a score may have become worse; what was given for the first one stays given.
    """
    known = feedback.locked(tx, draft.source, each.command.external_id)
    if draft.location is not None and known.location not in (None, draft.location):
        inbox.change(tx, draft.inbox_id, now, status="waiting", feedback_id=None, reason=ELSEWHERE)
        draft.result = TakenIn(id=None, inbox_id=draft.inbox_id, status="waiting", reason=ELSEWHERE)
        return
    if _is_older(known, draft, each):
        inbox.change(tx, draft.inbox_id, now, feedback_id=known.id, reason=OLDER)
        draft.result = _taken(draft, known.id, known.status, known.act_at, OLDER, now)
        return
    values = _changes(core, known, row)
    if values:
        values |= _next_status(known, each, row, now)
        inbox.change(tx, draft.inbox_id, now, feedback_id=known.id, reason=None)
    else:
        inbox.change(tx, draft.inbox_id, now, feedback_id=known.id, reason=SAME)
    newest = {"source_order": row["source_order"] or known.source_order, "occurred_at": row["occurred_at"]}
    feedback.revise(tx, known, {**newest, **values}, inbox_id=draft.inbox_id, now=now, is_new=bool(values))
    if known.issue_tag is None and each.issue_tags:
        feedback.tag_again(tx, known.id, each.issue_tags)
    after = {"status": known.status, "act_at": known.act_at, **values}
    draft.result = _taken(draft, known.id, after["status"], after["act_at"], None if values else SAME, now)


def _is_older(known: Any, draft: Draft, each: Understood) -> bool:
    if each.command.order is not None and known.source_order is not None:
        return each.command.order < int(known.source_order)
    return bool(each.occurred_at < known.occurred_at or draft.received_at < known.newest_received_at)


def _changes(core: Core, known: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return what a version changes: its score and its words, and what nobody had said before."""
    before = known._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    changed = {name: row[name] for name in ("scale", "score_given", "score_bp") if row[name] != before[name]}
    if row["score_given"] is None:
        changed = {}  # Who says nothing of the score takes none back.
    if row["comment"] and core.contacts.decrypt(row["comment"]) != core.contacts.decrypt(before["comment"]):
        changed["comment"] = row["comment"]
    return changed | {name: row[name] for name in _GAPS if before[name] is None and row[name] is not None}


def _next_status(known: Any, each: Understood, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return what a newer version is waiting for: its settle window begins anew, where anything could follow."""
    if each.late:
        return {}
    if each.needs_response or known.case_id is not None:
        return {"status": "settling", "act_at": row["act_at"], "acted_at": None, "reason": None}
    return {"status": "acted", "acted_at": known.acted_at or now, "reason": None}


def _taken(
    draft: Draft, feedback_id: uuid.UUID, status: str, act_at: datetime, reason: str | None, now: datetime
) -> TakenIn:
    return TakenIn(
        id=feedback_id,
        inbox_id=draft.inbox_id,
        status=status,
        act_now=status == "settling" and act_at <= now,
        repeated=reason == SAME,
        reason=reason,
    )
