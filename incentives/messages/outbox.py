"""The outbox: rows that say what must be told, claimed one at a time with a lease, so that no death loses one."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.messages.tables import delivery_attempts, outbox_messages

# Longer than any provider call may take, or the lease would end while the message is being sent.
LEASE_MARGIN_SECONDS = 20

# Seconds before the next try, by number of tries so far; the last one holds from then on.
RETRY_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
JITTER = 0.2

# What staff are told of by email. Each is a sentence in the door that renders it, and a link to the case.
MOST_NOTICES = 30
"""So many notices of one kind somebody is sent in an hour; what is more stands on the pages all the same.

A whole day's trouble, a thousand customers of one outage or a survey tool that breaks would bury what can be mended.
"""

NOTICES = (
    "notice-new",  # a rule found trouble that somebody of the role should know of
    "notice-assigned",  # the case is theirs now
    "notice-unowned",  # nobody has taken it
    "notice-escalated",  # a clock has run out
    "notice-task-due",  # something is to be done about it now
    "notice-shared",  # another team shares it with theirs
    "notice-reopened",  # it was closed, and is open again
    "notice-bad-answer",  # the customer was asked again and is not content
)


def message(
    *,
    core: Core,
    now: datetime,
    channel: str,
    template: str,
    issuance_id: uuid.UUID | None = None,
    voucher_id: uuid.UUID | None = None,
    case_id: uuid.UUID | None = None,
    apology_id: uuid.UUID | None = None,
    survey_id: uuid.UUID | None = None,
    user_id: uuid.UUID | None = None,
) -> dict[str, Any]:
    """Return the row of one message to be sent at once: about an issuance, or else about a case."""
    return {
        "id": core.ids.new(now),
        "issuance_id": issuance_id,
        "voucher_id": voucher_id,
        "case_id": case_id,
        "apology_id": apology_id,
        "survey_id": survey_id,
        "user_id": user_id,
        "channel": channel,
        "template": template,
        "status": "queued",
        "created_at": now,
        "available_at": now,
    }


def apology(*, core: Core, now: datetime, case_id: uuid.UUID, apology_id: uuid.UUID, channel: str) -> dict[str, Any]:
    """Return the row of a message that says a recorded apology (``case_apologies``) to the customer, by itself."""
    return message(core=core, now=now, channel=channel, template="apology", case_id=case_id, apology_id=apology_id)


def survey(*, core: Core, now: datetime, case_id: uuid.UUID, survey_id: uuid.UUID, channel: str) -> dict[str, Any]:
    """Return the row of a message that asks a customer again."""
    return message(core=core, now=now, channel=channel, template="survey", case_id=case_id, survey_id=survey_id)


def notice(*, core: Core, now: datetime, case_id: uuid.UUID, user_id: uuid.UUID, template: str) -> dict[str, Any]:
    """Return the row of an email to one of the staff about a case; ``template`` is one of ``NOTICES``."""
    if template not in NOTICES:
        raise AssertionError(f"there is no notice “{template}”")
    return message(core=core, now=now, channel="email", template=template, case_id=case_id, user_id=user_id)


def told_lately(tx: Connection, now: datetime, templates: Iterable[str]) -> dict[uuid.UUID, int]:
    """Return how many notices of some kinds each of the staff was sent within the last hour."""
    table = outbox_messages.c
    lately = sa.and_(
        table.user_id.is_not(None), table.template.in_(list(templates)), table.created_at > now - timedelta(hours=1)
    )
    query = sa.select(table.user_id, sa.func.count()).where(lately).group_by(table.user_id)
    return {row[0]: row[1] for row in tx.execute(query)}


def enqueue(tx: Connection, messages: Iterable[dict[str, Any]]) -> None:
    """Write message rows; they commit with the deed that they tell of."""
    rows = list(messages)
    if rows:
        tx.execute(outbox_messages.insert(), rows)


def claim_next(
    tx: Connection, *, lease_id: uuid.UUID, now: datetime, lease_seconds: float, channel: str | None = None
) -> Any:
    """Lease the message of a channel (None: of any) that has waited longest; its row, or None when nothing is due.

    A message whose lease has ended was being sent by a process that died: it is due again.
    """
    table = outbox_messages.c
    due = sa.or_(
        sa.and_(table.status == "queued", table.available_at <= now),
        sa.and_(table.status == "sending", table.lease_until_at <= now),
    )
    if channel is not None:
        due = sa.and_(table.channel == channel, due)
    # SQLAlchemy leaves the lock clause out on SQLite, where writers queue anyway.
    first = (
        sa.select(table.id).where(due).order_by(table.available_at, table.id).limit(1).with_for_update(skip_locked=True)
    )
    return tx.execute(
        outbox_messages.update()
        .where(table.id == first.scalar_subquery())
        .values(
            status="sending",
            lease_id=lease_id,
            lease_until_at=now + timedelta(seconds=lease_seconds),
            attempts=table.attempts + 1,
        )
        .returning(*outbox_messages.c),
    ).one_or_none()


def end(tx: Connection, *, message_id: uuid.UUID, lease_id: uuid.UUID, **values: Any) -> bool:
    """Write what became of a leased message; False when the lease has passed to another process meanwhile."""
    table = outbox_messages.c
    return (
        tx.execute(
            outbox_messages.update()
            .where(table.id == message_id, table.lease_id == lease_id, table.status == "sending")
            .values(lease_id=None, lease_until_at=None, **values),
        ).rowcount
        == 1
    )


def attempt(tx: Connection, **row: Any) -> None:
    """Write one delivery attempt."""
    tx.execute(delivery_attempts.insert(), [row])


def retry_at(now: datetime, attempts: int, asked_seconds: float | None, spread: float, last_at: datetime) -> datetime:
    """Return when to try again: after the schedule's pause, spread a little, and no later than the last try.

    Never sooner than the provider asked, whatever the schedule says. ``spread`` is between 0 and 1; it keeps messages
    that failed together from coming back together.
    """
    pause = RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1] * (1 + JITTER * (2 * spread - 1))
    return max(min(now + timedelta(seconds=pause), last_at), now + timedelta(seconds=asked_seconds or 0))
