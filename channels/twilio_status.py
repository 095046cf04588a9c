"""What Twilio says became of an SMS after it took it: statuses come late, twice and out of order.

Each SMS goes out with the address to call for it, our own id in it, so that what Twilio says before we have written
down Twilio's id is matched all the same. ``docs/runbook.md`` says what is to be set up.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, request

from channels.pages import current_core
from channels.provider import is_loopback, provider_message_id
from channels.twilio_numbers import SUPPRESSES
from channels.twilio_signature import REFUSED, is_set_up, signed_by
from incentives.flows.hear import StatusReport, hear_reports
from incentives.kernel.core import Core

PATH = "/providers/twilio/status"

# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values: what each means for our message.
# Whatever Twilio says of one, it has taken it.
STATUSES: Mapping[str, str] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "bounced",
    "failed": "failed",
    "canceled": "failed",
    "read": "opened",
}

_WORD = re.compile(r"[a-z_]{1,40}")
_CODE = re.compile(r"[0-9]{1,9}", re.ASCII)
_SID = re.compile(r"[A-Za-z0-9]{2,50}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


def callback_url(public_url: str) -> str | None:
    """Return the address that Twilio is told to call, without the message's id; None where it cannot reach us."""
    return None if is_loopback(urlsplit(public_url).hostname or "") else f"{public_url}{PATH}"


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the addresses that Twilio calls; there are none where Twilio is not set up."""
    calls = Blueprint("twilio_status", __name__)

    @calls.post(PATH)
    @calls.post(f"{PATH}/<uuid:message_id>")
    def status(message_id: uuid.UUID | None = None) -> Response:
        core = core_provider()
        if not is_set_up(core):
            abort(HTTPStatus.NOT_FOUND)
        account = signed_by(core)
        if account is None:
            return Response(REFUSED, HTTPStatus.FORBIDDEN, mimetype="text/plain")
        report = report_in(request.form, message_id, core.clock.now(), account)
        if report is not None:
            hear_reports(core=core, said=[report])
        return Response(status=HTTPStatus.NO_CONTENT)

    return calls


def report_in(
    form: Mapping[str, str], message_id: uuid.UUID | None, now: datetime, account: str
) -> StatusReport | None:
    """Return what a call of one of Twilio's accounts reports; None where it names no message or no status.

    Twilio does not say when it was: it is held to have been now.
    """
    sid = form.get("MessageSid") or form.get("SmsSid") or ""
    status = (form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
    if not _SID.fullmatch(sid) or not _WORD.fullmatch(status):
        return None
    code, to = form.get("ErrorCode", ""), form.get("To", "")
    means = STATUSES.get(status)
    bad = means in ("failed", "bounced")
    return StatusReport(
        provider=account,
        channel="sms",
        event_key=f"{sid}:{status}",
        status=status,
        means=means,
        occurred_at=now,
        message_id=message_id,
        provider_message_id=provider_message_id(sid),
        code=code if _CODE.fullmatch(code) and code != "0" else None,
        suppresses=SUPPRESSES.get(int(code)) if bad and _CODE.fullmatch(code) else None,
        to=to if _NUMBER.fullmatch(to) else None,
    )
