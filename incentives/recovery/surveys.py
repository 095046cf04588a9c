"""Re-surveys: planned once a round of a case, sent when they are due, paired with the answer that comes back.

Each change of state is one conditional update, whose row count says whether it happened.
"""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.recovery.tables import surveys

CHANGE_WINDOW = timedelta(hours=24)
"""How long after answering the customer may still change the answer."""

ANSWER_WINDOW = timedelta(days=30)
"""How long after asking an answer still belongs to the question."""

CHOICES: Mapping[str, tuple[int, ...]] = {
    "stars_5": (1, 2, 3, 4, 5),
    "csat": (1, 2, 3, 4, 5),
    "nps": tuple(range(11)),
    "ces_7": (1, 2, 3, 4, 5, 6, 7),
    "percent": tuple(range(0, 101, 10)),
}
"""What a customer may tap on, by scale, the worst first; by SMS and through a program any percent may come."""


def plan(tx: Connection, core: Core, row: Mapping[str, Any], now: datetime) -> uuid.UUID | None:
    """Write a survey down; None when its round of the case has one already."""
    made = {"id": core.ids.new(now), "created_at": now, **row}
    return made["id"] if insert_unless_there(tx, surveys, ("case_id", "round"), made) else None


def standing(tx: Connection, case_id: uuid.UUID, round_number: int) -> uuid.UUID | None:
    """Return the survey by which a round of a case is, or was, asked about; None where nobody is asked."""
    mine = (surveys.c.case_id == case_id) & (surveys.c.round == round_number)
    asked = surveys.c.status.in_(("planned", "sent", "answered"))
    return tx.execute(sa.select(surveys.c.id).where(mine, asked)).scalar_one_or_none()


def withdraw(tx: Connection, case_id: uuid.UUID, reason: str) -> int:
    """Take back what a case still wants to ask, or has just put into the outbox; return how many that were.

    Who reopens, merges or deletes a case calls it. A survey that was sent and is answered all the same is not lost:
    the answer is feedback like any other.
    """
    return tx.execute(
        surveys.update()
        .where(surveys.c.case_id == case_id, surveys.c.status.in_(("planned", "sent")))
        .values(status="withdrawn", reason=reason),
    ).rowcount


def due(tx: Connection, now: datetime, limit: int) -> list[uuid.UUID]:
    """Return the ids of the surveys that are due, those that have waited longest first."""
    table = surveys.c
    query = sa.select(table.id).where(table.status == "planned", table.due_at <= now)
    return list(tx.execute(query.order_by(table.due_at, table.id).limit(limit)).scalars())


def send(tx: Connection, survey_id: uuid.UUID, now: datetime) -> bool:
    """Turn a planned survey into a sent one; False when somebody else did, or took it back."""
    return _leave_plan(tx, survey_id, status="sent", sent_at=now)


def give_up(tx: Connection, survey_id: uuid.UUID, status: str, reason: str) -> bool:
    """Suppress or withdraw a planned survey, with the reason; False when it was planned no more."""
    return _leave_plan(tx, survey_id, status=status, reason=reason)


def postpone(tx: Connection, survey_id: uuid.UUID, due_at: datetime) -> bool:
    """Let a planned survey wait until later; False when it was planned no more."""
    return _leave_plan(tx, survey_id, due_at=due_at)


def _leave_plan(tx: Connection, survey_id: uuid.UUID, **values: Any) -> bool:
    planned = (surveys.c.id == survey_id) & (surveys.c.status == "planned")
    return tx.execute(surveys.update().where(planned).values(**values)).rowcount == 1


def case_of(tx: Connection, survey_id: uuid.UUID) -> uuid.UUID:
    """Return the case that a survey is about."""
    case_id: uuid.UUID = tx.execute(sa.select(surveys.c.case_id).where(surveys.c.id == survey_id)).scalar_one()
    return case_id


def asked_since(tx: Connection, customer_ids: Collection[uuid.UUID], since: datetime) -> datetime | None:
    """Return when one of the customers was last asked after an instant, or None."""
    if not customer_ids:
        return None
    query = sa.select(sa.func.max(surveys.c.sent_at)).where(
        surveys.c.customer_id.in_(customer_ids), surveys.c.sent_at > since
    )
    at = tx.execute(query).scalar()
    return at if isinstance(at, datetime) else None


def answer(tx: Connection, survey_id: uuid.UUID, score_bp: int, now: datetime) -> Any:
    """Pair a score with its survey; its row, or None when it has this very answer or takes none any more.

    A customer may change the answer for so long as the window lasts.
    """
    table = surveys.c
    open_still = sa.or_(table.answered_at.is_(None), table.answered_at > now - CHANGE_WINDOW)
    news = sa.or_(table.answer_score_bp.is_(None), table.answer_score_bp != score_bp)
    return tx.execute(
        surveys.update()
        .where(table.id == survey_id, table.sent_at.is_not(None), open_still, news)
        .values(
            # One that was taken back after it went out keeps saying so: its case has moved on.
            status=sa.case((table.status == "withdrawn", "withdrawn"), else_="answered"),
            answer_score_bp=score_bp,
            answered_at=sa.func.coalesce(table.answered_at, sa.bindparam("answered_now", now, table.answered_at.type)),
        )
        .returning(*surveys.c),
    ).one_or_none()
