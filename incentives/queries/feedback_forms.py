"""The forms that customers find at tables and counters: their links, and what has come in by each."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import FeedbackFormNotFound
from incentives.queries.paging import Page, page
from incentives.queries.scope import seen_by
from incentives.recovery import links
from incentives.recovery.feedback_tables import feedback, feedback_forms


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackForm:
    """One form. ``url`` is what its QR code says; ``answers`` is how many pieces came in by it."""

    id: uuid.UUID
    label: str
    issue_tag: str | None
    location: str | None
    scale: str
    url: str
    created_at: datetime
    closed_at: datetime | None
    answers: int


def list_forms(*, core: Core, actor: Actor, limit: int = 50, after: str | None = None) -> Page[FeedbackForm]:
    """Return the forms that an actor sees, the newest first. Raises ``InputInvalid`` and ``NotPermitted``."""
    permit(actor, "forms:manage")
    query = _query().where(seen_by(actor, feedback_forms.c.location))
    with core.database.read() as tx:
        return page(tx, query, feedback_forms.c.id, lambda row: _form(core, row), limit=limit, after=after)


def one_form(*, core: Core, actor: Actor, form_id: uuid.UUID) -> FeedbackForm:
    """Return one form. Raises ``FeedbackFormNotFound`` and ``NotPermitted``."""
    permit(actor, "forms:manage")
    query = _query().where(feedback_forms.c.id == form_id, seen_by(actor, feedback_forms.c.location))
    with core.database.read() as tx:
        row = tx.execute(query).one_or_none()
    if row is None:
        raise FeedbackFormNotFound
    return _form(core, row)


def _query() -> sa.Select[Any]:
    answers = sa.select(sa.func.count()).where(feedback.c.form_id == feedback_forms.c.id).scalar_subquery()
    return sa.select(feedback_forms, answers.label("answers"))


def _form(core: Core, row: Any) -> FeedbackForm:
    return FeedbackForm(
        id=row.id,
        label=row.label,
        issue_tag=row.issue_tag,
        location=row.location,
        scale=row.scale,
        url=links.url_of(core.settings.public_url, core.keys.links, links.FORM, row.id),
        created_at=row.created_at,
        closed_at=row.closed_at,
        answers=row.answers,
    )
