"""Follow up: surveys that are due are sent by the outbox, unless asking now would nag; then the reason is kept."""

import logging
import uuid
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import KeyRetired, StorageUnavailable
from incentives.messages import outbox
from incentives.queries import case_letters
from incentives.recovery import customers, surveys
from incentives.recovery import tables as recovery

log = logging.getLogger("incentives.follow_up")

MORNING, EVENING = time(9), time(20)
"""Between these a customer may be sent an SMS, by the clock of where their trouble was."""

AFTER_A_MISTAKE = timedelta(hours=1)

_SUPPRESSED, _WITHDRAWN = "suppressed", "withdrawn"


def follow_up_due(*, core: Core, limit: int = 100) -> int:
    """Send, suppress or put off until morning up to so many surveys that are due; return how many that were.

    Any number of processes may do it at once. Each survey leaves the plan once, by a conditional update, and the
    message that asks is written with it; two of one customer wait for each other, so that only one of them is sent.
    """
    with core.database.read() as tx:
        ids = surveys.due(tx, core.clock.now(), limit)
    return sum(_follow_up_or_put_off(core, survey_id) for survey_id in ids)


def _follow_up_or_put_off(core: Core, survey_id: uuid.UUID) -> bool:
    """Follow one up; one that stumbles on a mistake of ours holds up none of the others, and is tried again later."""
    try:
        return _follow_up(core, survey_id)
    except StorageUnavailable:
        raise
    except Exception:
        log.exception("survey %s could not be followed up", survey_id)
        with core.database.write() as tx:
            surveys.postpone(tx, survey_id, core.clock.now() + AFTER_A_MISTAKE)
        return False


def _follow_up(core: Core, survey_id: uuid.UUID) -> bool:
    now = core.clock.now()
    with core.database.write() as tx:
        survey = tx.execute(sa.select(recovery.surveys).where(recovery.surveys.c.id == survey_id)).one()
        theirs = _hold(tx, survey.customer_id)
        case = tx.execute(
            sa.select(recovery.recovery_cases).where(recovery.recovery_cases.c.id == survey.case_id)
        ).one()
        verdict = _verdict(tx, core, survey, case, theirs, now)
        if verdict is None:
            awake_at = _awake_at(tx, core, survey, case, now)
            return _send(tx, core, survey, now) if awake_at <= now else surveys.postpone(tx, survey.id, awake_at)
        status, reason = verdict
        left = surveys.give_up(tx, survey.id, status, reason)
        if left:
            _note(tx, core, now, survey, status, reason)
        return left


def _hold(tx: Connection, customer_id: uuid.UUID | None) -> tuple[uuid.UUID, ...]:
    """Lock the customer with everybody who is the same person, and return them all.

    So that two surveys of theirs which are due at once are looked at one after the other.
    """
    if customer_id is None:
        return ()
    theirs = customers.together(tx, [customer_id])
    table = recovery.customers
    tx.execute(sa.select(table.c.id).where(table.c.id.in_(theirs)).order_by(table.c.id).with_for_update(key_share=True))
    return theirs


def _verdict(
    tx: Connection, core: Core, survey: Any, case: Any, theirs: tuple[uuid.UUID, ...], now: datetime
) -> tuple[str, str] | None:
    """Return why the survey is not sent, as its new status and the reason; None to send it."""
    if case.round != survey.round or case.merged_into_id is not None:
        return _WITHDRAWN, "The case went on after this was planned."
    if survey.after == "close" and case.status != "closed":
        return _WITHDRAWN, "The case is open again."
    reason = _unreachable(tx, core, survey, case) or _nags(tx, core, case.id, theirs, now)
    return (_SUPPRESSED, reason) if reason else None


def _unreachable(tx: Connection, core: Core, survey: Any, case: Any) -> str | None:
    try:
        contact = case_letters.reach(tx, core, case)
    except KeyRetired:
        return "The key that would open the customer's address was retired."
    there = contact.email if survey.channel == "email" else contact.phone
    return None if there else "There is no address to ask at any more."


def _nags(tx: Connection, core: Core, case_id: uuid.UUID, theirs: tuple[uuid.UUID, ...], now: datetime) -> str | None:
    """Return why asking now would nag the customer, under whichever of their names they were asked before."""
    days = releases.cached_current(tx, core).catalog.recovery.survey_quiet_days
    asked_at = surveys.asked_since(tx, theirs, now - timedelta(days=days))
    if asked_at is not None:
        return f"The customer was asked on {asked_at.date().isoformat()}, less than {days} days ago."
    return "Another case of the customer is open." if _other_case_is_open(tx, case_id, theirs) else None


def _awake_at(tx: Connection, core: Core, survey: Any, case: Any, now: datetime) -> datetime:
    """Return when it may be sent: an email at once, an SMS in the morning, for a phone that rings at night nags."""
    catalog = releases.cached_current(tx, core).catalog
    place = catalog.locations.get(case.location or "")
    here = now.astimezone(ZoneInfo(place.time_zone if place else catalog.brand.time_zone))
    if survey.channel != "sms" or MORNING <= here.time() < EVENING:
        return now
    day = here.date() + timedelta(days=1 if here.time() >= EVENING else 0)
    return datetime.combine(day, MORNING, here.tzinfo).astimezone(UTC)


def _other_case_is_open(tx: Connection, case_id: uuid.UUID, theirs: tuple[uuid.UUID, ...]) -> bool:
    table = recovery.recovery_cases.c
    query = sa.select(table.id).where(table.customer_id.in_(theirs), table.status == "open", table.id != case_id)
    return tx.execute(query.limit(1)).first() is not None


def _send(tx: Connection, core: Core, survey: Any, now: datetime) -> bool:
    if not surveys.send(tx, survey.id, now):
        return False
    message = outbox.survey(core=core, now=now, case_id=survey.case_id, survey_id=survey.id, channel=survey.channel)
    outbox.enqueue(tx, [message])
    _note(tx, core, now, survey, "sent", None)
    return True


def _note(tx: Connection, core: Core, now: datetime, survey: Any, status: str, reason: str | None) -> None:
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action=f"survey.{status}",
        subject_kind="survey",
        subject_id=survey.id,
        case_id=survey.case_id,
        reason=reason,
        facts={"channel": survey.channel, "after": survey.after, "round": survey.round},
    )
