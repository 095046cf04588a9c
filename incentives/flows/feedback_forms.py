"""Feedback forms: one is opened for a table, a counter, a trouble or a place, and closed when nobody should use it."""

import uuid
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import assessment
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import FeedbackFormNotFound, InputInvalid, Refusal
from incentives.kernel.idempotency import Claim
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import SCALES, feedback_forms

__all__ = ["SCALES", "CreateForm", "FormMade", "close_form", "create_form"]

LABEL_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateForm:
    """A form for a place (None: anywhere) and a trouble (None: the customer says which)."""

    label: str
    issue_tag: str | None = None
    location: str | None = None
    scale: str = "stars_5"
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormMade:
    """The form; ``replayed`` says that an earlier request with the same key made it."""

    id: uuid.UUID
    replayed: bool = False


def create_form(*, core: Core, actor: Actor, command: CreateForm) -> FormMade:
    """Open a form. Whoever belongs to a location opens forms there.

    Raises ``InputInvalid``, ``UnknownIssueTag``, ``UnknownLocation``, ``OtherLocation``, ``NoCatalog``,
    ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight`` and ``NotPermitted``.
    """
    permit(actor, "forms:manage")
    now = core.clock.now()
    label = _label(command.label)
    if command.scale not in SCALES:
        raise InputInvalid(errors=[{"field": "scale", "message": f"A scale is one of {', '.join(SCALES)}."}])
    assessment.at_home(actor, command.location)
    with core.database.write() as tx:
        form_id = core.ids.new(now)
        before = _claim(tx, core, actor, command, form_id, now)
        if before is not None:
            return FormMade(id=before, replayed=True)
        catalog = releases.cached_current(tx, core).catalog
        location = command.location or (actor.location if actor.location in catalog.locations else None)
        if command.issue_tag is not None:
            catalog.issue_tag(command.issue_tag)
        if location is not None:
            catalog.location(location)
        row = {
            "id": form_id,
            "label": label,
            "issue_tag": command.issue_tag,
            "location": location,
            "scale": command.scale,
            "created_at": now,
            "created_by": actor.label,
        }
        tx.execute(feedback_forms.insert(), [row])
        _note(tx, core, actor, now, form_id, "opened", {"issue_tag": command.issue_tag, "location": location})
    return FormMade(id=form_id)


def close_form(*, core: Core, actor: Actor, form_id: uuid.UUID) -> bool:
    """Close a form for good; False when it was closed already. Raises ``FeedbackFormNotFound`` and ``NotPermitted``."""
    permit(actor, "forms:manage")
    now = core.clock.now()
    table = feedback_forms.c
    mine = sa.and_(table.id == form_id, seen_by(actor, table.location))
    with core.database.write() as tx:
        closed = tx.execute(feedback_forms.update().where(mine, table.closed_at.is_(None)).values(closed_at=now))
        if closed.rowcount == 1:
            _note(tx, core, actor, now, form_id, "closed", {})
            return True
        if tx.execute(sa.select(table.id).where(mine)).first() is None:
            raise FeedbackFormNotFound
    return False


def _label(text: str) -> str:
    label = " ".join(text.split())
    if not label or len(label) > LABEL_LENGTH_MAX or not label.isprintable():
        message = f"Say in 1 to {LABEL_LENGTH_MAX} characters where the form is: Table 12, Counter."
        raise InputInvalid(errors=[{"field": "label", "message": message}])
    return label


def _claim(
    tx: Connection, core: Core, actor: Actor, command: CreateForm, form_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    if command.idempotency_key is None:
        return None
    request = {name: getattr(command, name) for name in ("label", "issue_tag", "location", "scale")}
    claim = Claim(f"{actor.label}:feedback-forms", command.idempotency_key, request, form_id)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    return found


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    form_id: uuid.UUID,
    deed: str,
    facts: dict[str, str | None],
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"feedback-form.{deed}",
        subject_kind="feedback_form",
        subject_id=form_id,
        facts=facts,
    )
