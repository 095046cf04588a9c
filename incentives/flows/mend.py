"""Mend: a person deals with feedback that no rule could: sets a kept request aside, or says what a piece is about."""

import uuid
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import assessment
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import FeedbackNotFound, FeedbackNotWaiting, InputInvalid
from incentives.recovery import inbox
from incentives.recovery.feedback import tag_again
from incentives.recovery.feedback_tables import feedback

WHY_IGNORED = {
    "duplicate": "Somebody said that it came twice.",
    "spam": "Somebody said that it is spam.",
    "test": "Somebody said that it was only a test.",
    "not-ours": "Somebody said that it is not about us.",
    "unusable": "Somebody said that nothing can be done with it.",
}
"""Why a piece may be set aside, in fixed words: a reason is not encrypted, so nobody can write a customer into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A piece that has its tag now. With ``act_now`` the door calls ``respond_to``."""

    id: uuid.UUID
    act_now: bool


def ignore(*, core: Core, actor: Actor, inbox_id: uuid.UUID, reason: str) -> None:
    """Set a kept request aside that waits; it stays kept. ``reason`` is one of ``WHY_IGNORED``.

    Raises ``FeedbackNotWaiting``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, "feedback:repair")
    if reason not in WHY_IGNORED:
        message = f"A reason is one of {', '.join(WHY_IGNORED)}."
        raise InputInvalid(message, errors=[{"field": "reason", "message": message}])
    now = core.clock.now()
    with core.database.write() as tx:
        # Opened only where that matters: one whose key was retired can be set aside all the same.
        piece = inbox.locked(tx, core, inbox_id) if actor.location is not None else None
        if piece is not None and not inbox.is_seen_by(actor, piece):
            raise FeedbackNotWaiting
        if not inbox.end_waiting(tx, inbox_id, now, status="ignored", reason=WHY_IGNORED[reason]):
            raise FeedbackNotWaiting
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="feedback.ignored",
            subject_kind="feedback",
            subject_id=inbox_id,
            facts={"reason": reason},
        )


def name_trouble(*, core: Core, actor: Actor, feedback_id: uuid.UUID, issue_tag: str) -> Tagged:
    """Say what a piece is about that has no issue tag, or that no rule could act on; the criteria look at it again.

    Raises ``FeedbackNotFound``, ``FeedbackNotWaiting`` (it has a tag and waits for nobody, or is in a case),
    ``UnknownIssueTag``, ``OtherLocation`` and ``NotPermitted``.
    """
    permit(actor, "feedback:repair")
    now = core.clock.now()
    with core.database.write() as tx:
        key = releases.cached_current(tx, core).catalog.issue_tag(issue_tag).key
        table = feedback.c
        known = tx.execute(sa.select(feedback).where(table.id == feedback_id).with_for_update()).one_or_none()
        if known is None:
            raise FeedbackNotFound
        assessment.at_home(actor, known.location)
        changed = tx.execute(
            feedback.update()
            .where(table.id == feedback_id, table.case_id.is_(None))
            .where(sa.or_(table.issue_tag.is_(None), table.status == "waiting"))
            .values(issue_tag=key, tagged_by="person", **_again(known.status, known.revision, now)),
        )
        if changed.rowcount != 1:
            raise FeedbackNotWaiting
        tag_again(tx, feedback_id, [key])
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="feedback.tagged",
            subject_kind="feedback",
            subject_id=feedback_id,
            facts={"issue_tag": key},
        )
    return Tagged(id=feedback_id, act_now=known.status != "ignored")


def _again(status: str, revision: int, now: datetime) -> dict[str, object]:
    """Return what lets the criteria look at a piece again; what came too late stays without consequences.

    What is known of it has grown, so it is a new version: criteria that acted on the one before do not act twice.
    """
    if status == "ignored":
        return {}
    return {"status": "settling", "act_at": now, "acted_at": None, "reason": None, "revision": revision + 1}
