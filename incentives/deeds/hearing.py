"""Hearing: what providers report of messages is kept, and messages go on to where that says they stand.

Not a flow: it opens no transaction. Callbacks are heard so, what a provider answers when it is asked, and what it
reported before we had written down that it took the message.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import suppressing
from incentives.deeds.suppressing import Unwanted
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import reports, suppression
from incentives.messages.port import StatusReport
from incentives.messages.reports import Standing

_SAYS = {
    "failed": "The provider could not deliver it.",
    "bounced": "It came back: the provider could not deliver it to this address.",
    "suppressed": "The provider sends nothing to this address any more.",
}


def hear(tx: Connection, core: Core, said: Sequence[StatusReport], now: datetime) -> int:
    """Keep reports and do what follows from those that are new; return how many are.

    Whatever was heard before changes nothing, and neither does the order: a message goes on to where all that was ever
    reported of it says that it stands. Whoever calls tells the list to be read anew (``came_back.forget``).
    """
    messages = reports.lock(tx, said)
    new = reports.keep(tx, core, said, now)
    if new:
        go_on(tx, core, messages, now)
        suppressing.suppress(
            tx, core, [_said(each, each.suppresses) for each in new if each.suppresses and each.to], now
        )
        again = [_said(each, suppression.UNSUBSCRIBED) for each in new if each.wants_again and each.to]
        suppressing.want_again(tx, core, again, now)
    return len(new)


def go_on(tx: Connection, core: Core, messages: Sequence[Any], now: datetime) -> int:
    """Let locked messages go on to where the reports of them say that they stand; return how many do."""
    found = reports.standings(tx, messages)
    moved = [(each, found[each.id]) for each in messages if each.id in found and reports.moves(each, found[each.id])]
    for message, to in moved:
        reason = _reason(to)
        reports.write(tx, message, to, reason)
        note(tx, core, message, to.status, reason, {"provider": to.provider, "code": to.code}, now)
    return len(moved)


def note(
    tx: Connection, core: Core, message: Any, status: str, reason: str | None, facts: dict[str, Any], now: datetime
) -> None:
    """Tell the audit trail that a message goes on."""
    kind, subject_id = subject_of(message)
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action=f"message.{status}",
        subject_kind=kind,
        subject_id=subject_id,
        case_id=message.case_id,
        reason=reason,
        facts={"channel": message.channel, "message_id": str(message.id), "attempts": message.attempts, **facts},
    )


def subject_of(message: Any) -> tuple[str, uuid.UUID]:
    """Return what a message tells of: an issuance, a case, or what a notice to staff is about."""
    if message.issuance_id is not None:
        return "issuance", message.issuance_id
    return ("case", message.case_id) if message.case_id is not None else (message.about, message.about_id)


def _reason(to: Standing) -> str | None:
    said = _SAYS.get(to.status)
    return f"{said} ({to.provider} {to.code})" if said and to.code else said


def _said(report: StatusReport, reason: str) -> Unwanted:
    """Return what a report says of its address, or takes back of what was said of it."""
    assert report.to is not None  # noqa: S101 - its caller looked
    return Unwanted(
        channel=report.channel,
        address=report.to,
        reason=reason,
        source=report.provider,
        at=report.occurred_at,
        code=report.code,
        message_id=report.message_id,
    )
