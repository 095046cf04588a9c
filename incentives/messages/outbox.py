"""The outbox: rows that say what must be told, claimed one at a time with a lease, so that no death loses one."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.database import UtcDateTime, insert_new
from incentives.kernel.many import Into, insert_many
from incentives.messages.tables import CHANNELS, delivery_attempts, outbox_messages

# Longer than any provider call may take, or the lease would end while the message is being sent.
LEASE_MARGIN_SECONDS = 20

UNSURE_MOST = 3
"""So many tries may have been taken without our knowing: a message is sent no more often than that.

A process that died while it had a message in hand is one, too: nobody knows whether it had sent it.
"""

# Seconds before the next try, by number of tries so far; the last one holds from then on.
RETRY_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
JITTER = 0.5  # wide, or what failed in one second would come back within two

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
    "notice-approval",  # a request waits for somebody of their level to decide
    "notice-bad-answer",  # the customer was asked again and is not content
)
BUDGET_NOTICE = "notice-budget"
"""The notice that a budget is used so far, a letter of its own."""
UNKNOWN_CODES_NOTICE = "notice-unknown-codes"
"""The notice that many codes are tried that do not exist, a letter of its own."""
BOOKS_NOTICE = "notice-books"
"""The notice that the books do not hold, a letter of its own."""
PROVIDER_NOTICE = "notice-provider"
"""The notice that a provider refuses our settings, a letter of its own."""


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
    about: str | None = None,
    about_id: uuid.UUID | None = None,
    available_at: datetime | None = None,
    copy: int = 0,
) -> dict[str, Any]:
    """Return the row of one message: about an issuance, or else about a case.

    It is sent at once, or not before ``available_at``; ``copy`` is 1 and more when the same is sent again.
    """
    return {
        "id": core.ids.new(now),
        "issuance_id": issuance_id,
        "voucher_id": voucher_id,
        "case_id": case_id,
        "apology_id": apology_id,
        "survey_id": survey_id,
        "user_id": user_id,
        "about": about,
        "about_id": about_id,
        "channel": channel,
        "template": template,
        "copy": copy,
        "status": "queued",
        "created_at": now,
        "available_at": max(now, available_at) if available_at else now,
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


def notice_about(
    *, core: Core, now: datetime, about: str, about_id: uuid.UUID, user_id: uuid.UUID, template: str
) -> dict[str, Any]:
    """Return the row of an email to one of the staff about something that is no case, such as a budget's alert."""
    if template not in (*NOTICES, BUDGET_NOTICE, UNKNOWN_CODES_NOTICE, BOOKS_NOTICE, PROVIDER_NOTICE):
        raise AssertionError(f"there is no notice “{template}”")
    return message(
        core=core, now=now, channel="email", template=template, user_id=user_id, about=about, about_id=about_id
    )


def told_lately(tx: Connection, now: datetime, templates: Iterable[str]) -> dict[uuid.UUID, int]:
    """Return how many notices of some kinds each of the staff was sent within the last hour."""
    table = outbox_messages.c
    lately = sa.and_(
        table.user_id.is_not(None), table.template.in_(list(templates)), table.created_at > now - timedelta(hours=1)
    )
    query = sa.select(table.user_id, sa.func.count()).where(lately).group_by(table.user_id)
    return {row[0]: row[1] for row in tx.execute(query)}


def enqueue(into: Into, messages: Iterable[dict[str, Any]]) -> None:
    """Write message rows; they commit with the deed that they tell of."""
    insert_many(into, outbox_messages, list(messages))


NOBODY = "none"
"""Whom an attempt names that asked no provider, for there was nothing to send, or not yet."""
HELD = "The voucher is frozen."
UNCERTAIN = (
    "It may have arrived, or not: no answer came when it was sent. Ask whether it is there before it goes again."
)
UNTOLD = "The provider took it and told nothing more within three days."
WAITING = ("queued", "held", "sending")
WITHDRAWABLE = ("queued", "held")  # what is being sent now is looked at again before it is


def withdraw(tx: Connection, about: Collection[tuple[uuid.UUID, uuid.UUID]], now: datetime, why: str) -> int:
    """Withdraw what waits to be told of some vouchers; return how many messages that were.

    Vouchers are given as pairs of their issuance and their own id: messages are found by the issuance, by its index.
    """
    table = outbox_messages.c
    waits = (
        table.issuance_id.in_([issuance_id for issuance_id, _ in about]),
        table.voucher_id.in_([voucher_id for _, voucher_id in about]),
        table.status.in_(WITHDRAWABLE),
    )
    values = {"status": "withdrawn", "ended_at": now, "reason": why}
    return tx.execute(outbox_messages.update().where(*waits).values(**values)).rowcount


def withdraw_apology(tx: Connection, issuance_id: uuid.UUID, now: datetime, why: str) -> int:
    """Withdraw what waits to be told of an issuance that gave no voucher; return how many messages that were."""
    table = outbox_messages.c
    waits = (table.issuance_id == issuance_id, table.voucher_id.is_(None), table.status.in_(WITHDRAWABLE))
    values = {"status": "withdrawn", "ended_at": now, "reason": why}
    return tx.execute(outbox_messages.update().where(*waits).values(**values)).rowcount


def release_held(tx: Connection, issuance_id: uuid.UUID, voucher_id: uuid.UUID, now: datetime) -> int:
    """Let messages about a voucher be sent that were held because of it; return how many."""
    table = outbox_messages.c
    about = (table.issuance_id == issuance_id, table.voucher_id == voucher_id)
    held = (table.status == "held") | ((table.status == "queued") & (table.reason == HELD))
    # What was to be told later is told then; what waited for an end of the freezing is told now.
    later = (table.status == "held") & (table.available_at > now)
    values = {"status": "queued", "available_at": sa.case((later, table.available_at), else_=now), "reason": None}
    return tx.execute(outbox_messages.update().where(*about, held).values(**values)).rowcount


def about_voucher(tx: Connection, issuance_id: uuid.UUID, voucher_id: uuid.UUID) -> Sequence[Any]:
    """Return channel, template, copy and status of every message about a voucher."""
    table = outbox_messages.c
    names = (table.channel, table.template, table.copy, table.status)
    return tx.execute(sa.select(*names).where(table.issuance_id == issuance_id, table.voucher_id == voucher_id)).all()


def first_tried_at(tx: Connection, message_id: uuid.UUID) -> datetime | None:
    """Return when a message was first tried to be sent; None before that. To find that it has to wait is no try."""
    table = delivery_attempts.c
    tried = (table.message_id == message_id, table.provider != NOBODY)
    found: datetime | None = tx.execute(
        sa.select(table.started_at).where(*tried).order_by(table.number).limit(1)
    ).scalar_one_or_none()
    return found


def others(tx: Connection, message_id: uuid.UUID, provider_message_ids: Collection[str]) -> set[str]:
    """Return which of some ids of a provider's are those of other messages than this one."""
    table = outbox_messages.c
    known = (table.provider_message_id.in_(sorted(provider_message_ids)), table.id != message_id)
    return {str(each) for each in tx.execute(sa.select(table.provider_message_id).where(*known)).scalars()}


def claim_next(
    tx: Connection,
    *,
    lease_id: uuid.UUID,
    now: datetime,
    lease_seconds: float,
    asking_seconds: float,
    carriers: Mapping[str, str | None],
) -> Any:
    """Lease the message of some channels that has waited longest; its row, or None when nothing is due.

    ``carriers`` says which provider will carry each channel's messages. A message whose lease has ended was being sent
    by a process that died: it is due again, and whoever was asked then may have taken it. What somebody may have is
    leased for ``asking_seconds`` longer, for they are asked first.
    """
    table = outbox_messages.c
    due = sa.or_(
        sa.and_(table.status == "queued", table.available_at <= now),
        sa.and_(table.status == "sending", table.lease_until_at <= now),
    )
    if set(carriers) != set(CHANNELS):
        due = sa.and_(table.channel.in_(sorted(carriers)), due)
    # SQLAlchemy leaves the lock clause out on SQLite, where writers queue anyway.
    first = (
        sa.select(table.id).where(due).order_by(table.available_at, table.id).limit(1).with_for_update(skip_locked=True)
    )
    given_up_by_the_dead = table.status == "sending"
    in_doubt = sa.or_(given_up_by_the_dead, table.unsure_of.is_not(None))
    ends_at, later_at = (
        sa.literal(now + timedelta(seconds=each), UtcDateTime())
        for each in (lease_seconds, lease_seconds + asking_seconds)
    )
    return tx.execute(
        outbox_messages.update()
        .where(table.id == first.scalar_subquery())
        .values(
            status="sending",
            lease_id=lease_id,
            lease_until_at=sa.case((in_doubt, later_at), else_=ends_at),
            attempts=table.attempts + 1,
            provider=sa.case(carriers, value=table.channel) if any(carriers.values()) else table.provider,
            unsure_of=sa.case((given_up_by_the_dead, table.provider), else_=table.unsure_of),
            unsure_since_at=sa.case((given_up_by_the_dead, table.lease_until_at), else_=table.unsure_since_at),
            unsure_tries=table.unsure_tries + sa.case((given_up_by_the_dead, 1), else_=0),
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


def claim_untold(
    tx: Connection, *, providers: Collection[str], now: datetime, since: timedelta, until: timedelta, every: timedelta
) -> Any:
    """Return the newest message of some providers that nobody told anything of since it was sent, to be asked about.

    It was sent ``since`` so long but less than ``until``, and not asked about for ``every``; None where there is none.
    It is asked about now: no other process asks at the same time. The newest comes first, for the older ones cease to
    be waited for by themselves: however many there are, those of today have their turn.
    """
    table = outbox_messages.c
    untold = (table.status == "sent", table.settled_at.is_(None))
    waited_for = (table.ended_at <= now - since, table.ended_at > now - until)
    known = (table.provider.in_(sorted(providers)), table.provider_message_id.is_not(None))
    not_asked = sa.or_(table.asked_at.is_(None), table.asked_at <= now - every)
    first = (
        sa.select(table.id)
        .where(*untold, *waited_for, *known, not_asked)
        .order_by(table.ended_at.desc())
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    asked = outbox_messages.update().where(table.id == first.scalar_subquery()).values(asked_at=now)
    return tx.execute(asked.returning(*outbox_messages.c)).one_or_none()


def lay_out(tx: Connection, messages: Sequence[dict[str, Any]]) -> set[uuid.UUID]:
    """Write messages about vouchers, but for those that are there by now; return the ids of the new ones."""
    return insert_new(tx, outbox_messages, ("issuance_id", "voucher_id", "channel", "template", "copy"), messages)


def free_stuck(tx: Connection, *, now: datetime, longest: timedelta, most: int) -> Sequence[Mapping[Any, Any]]:
    """End the leases that would never end, for no lease is so long, or there is none; return the messages' rows.

    Whoever had one may have sent the message: it is claimed as from anybody who died.
    """
    table = outbox_messages.c
    stuck = (table.status == "sending", sa.or_(table.lease_until_at.is_(None), table.lease_until_at > now + longest))
    some = sa.select(table.id).where(*stuck).limit(most).with_for_update(skip_locked=True)
    freed = outbox_messages.update().where(table.id.in_(some)).values(lease_until_at=now)
    return tx.execute(freed.returning(*table)).mappings().all()


def settle(tx: Connection, *, now: datetime, after: timedelta, most: int) -> int:
    """Cease to wait for word of messages that were sent long ago; return how many those were."""
    table = outbox_messages.c
    old = (table.status == "sent", table.settled_at.is_(None), table.ended_at <= now - after)
    some = sa.select(table.id).where(*old).order_by(table.ended_at).limit(most).with_for_update(skip_locked=True)
    settled = outbox_messages.update().where(table.id.in_(some)).values(settled_at=now, reason=UNTOLD)
    return tx.execute(settled).rowcount


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
