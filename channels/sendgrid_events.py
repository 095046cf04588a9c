"""What SendGrid says became of emails after it took them: its Event Webhook, signed, in arrays, again and out of order.

The signature (ECDSA, P-256) is over the timestamp and the very bytes that came, and SendGrid's own verifier checks it;
how old the timestamp is that verifier does not ask, so that is asked here. ``docs/runbook.md`` says what is to be set
up.
"""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, request

from channels.pages import current_core, current_throttle
from channels.provider import provider_message_id
from channels.sendgrid_email import is_signed
from incentives.flows.hear import StatusReport, hear_reports
from incentives.kernel.core import Core
from incentives.kernel.throttle import network_of

PATH = "/providers/sendgrid/events"
SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
AGE_MOST_SECONDS = 300
AT_ONCE = 200
"""So many events are heard in one transaction: what came back costs some statements each."""
_PAUSE_SECONDS = 0.12  # whoever waits for SQLite, which lets one write at a time, looks ten times a second

# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event: what each event means for our message.
# Somebody who reports an email as spam has got it.
EVENTS: Mapping[str, str] = {
    "processed": "sent",
    "deferred": "sent",
    "delivered": "delivered",
    "open": "opened",
    "click": "opened",
    "spamreport": "delivered",
    "bounce": "bounced",
    "dropped": "failed",
}
_SUPPRESSES: Mapping[str, str] = {
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}
# Somebody wants the messages of a group again that they had left. What they said of all messages it does not take back.
_WANTS_AGAIN = "group_resubscribe"
_OF_A_GROUP = ("group_unsubscribe", _WANTS_AGAIN)
# Why SendGrid drops an email before it sends it, where that says something of the address: it is on a list of theirs.
_DROPPED: tuple[tuple[str, str], ...] = (
    ("bounced address", "bounced"),
    ("spam reporting address", "complained"),
    ("unsubscribed address", "unsubscribed"),
    ("invalid", "invalid"),
)
_NOT_THE_ADDRESS = "smtpapi"  # "Invalid SMTPAPI header": that mistake would be ours

_SECONDS = re.compile(r"[0-9]{1,12}")
_WORD = re.compile(r"[a-z_]{1,40}")
_CODE = re.compile(r"[0-9.]{1,20}")
_KEY = re.compile(r"[A-Za-z0-9._=+/-]{1,100}")
_GROUPS_END = 10**12
_ADDRESS_LONGEST = 320


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the address that SendGrid calls; there is none where its key is not known."""
    calls = Blueprint("sendgrid_events", __name__)

    @calls.post(PATH)
    def events() -> Response:
        core = core_provider()
        if not core.settings.sendgrid_webhook_key:
            abort(HTTPStatus.NOT_FOUND)
        body = request.get_data(cache=True)
        signature, timestamp = (request.headers.get(name, "") for name in (SIGNATURE_HEADER, TIMESTAMP_HEADER))
        now = core.clock.now()
        if not is_fresh(timestamp, now) or not is_signed(
            core.settings.sendgrid_webhook_key, body, signature, timestamp
        ):
            current_throttle().hit("link-misses", network_of(request.remote_addr))
            return Response("The signature is not SendGrid's.", HTTPStatus.FORBIDDEN, mimetype="text/plain")
        found = events_in(body)
        if found is None:
            return Response("This is no list of events.", HTTPStatus.BAD_REQUEST, mimetype="text/plain")
        _hear(core, [each for each in (report_in(one, now) for one in found) if each is not None])
        return Response(status=HTTPStatus.NO_CONTENT)

    return calls


def _hear(core: Core, said: Sequence[StatusReport]) -> None:
    """Let reports be heard, some after the other, so that nobody who writes waits for all of them.

    Where some cannot be heard, those before stay: whoever sends all of them again says nothing new by that.
    """
    for start in range(0, len(said), AT_ONCE):
        if start and core.database.sqlite:
            time.sleep(_PAUSE_SECONDS)
        hear_reports(core=core, said=said[start : start + AT_ONCE])


def is_fresh(timestamp: str, now: datetime) -> bool:
    """Return whether a request was signed just now: an old one may have been taken down and sent again."""
    return bool(_SECONDS.fullmatch(timestamp)) and abs(now.timestamp() - int(timestamp)) <= AGE_MOST_SECONDS


def events_in(body: bytes) -> list[Any] | None:
    """Return the events of a body, or None where it is no JSON array."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def report_in(event: Any, now: datetime) -> StatusReport | None:
    """Return what an event reports; None where it is none that we know the shape of."""
    name = _text(event, "event")
    if not _WORD.fullmatch(name):
        return None
    suppresses = _suppresses(event, name)
    return StatusReport(
        provider="sendgrid",
        channel="email",
        event_key=_key(event),
        status=_said(event, name),
        means="suppressed" if name == "dropped" and suppresses else EVENTS.get(name),
        occurred_at=_at(event, now),
        message_id=_message_id(event),
        # What stands behind the first dot names the machine that it went through.
        provider_message_id=provider_message_id(_text(event, "sg_message_id").partition(".")[0]),
        code=_group(event) if name in _OF_A_GROUP else _code(event),
        suppresses=suppresses,
        wants_again=name == _WANTS_AGAIN,
        to=_address(event),
    )


def _text(event: Any, name: str) -> str:
    value = event.get(name) if isinstance(event, dict) else None
    return value if isinstance(value, str) else ""


def _address(event: Mapping[str, Any]) -> str | None:
    address = _text(event, "email")
    return address if "@" in address and address.isprintable() and len(address) <= _ADDRESS_LONGEST else None


def _key(event: Mapping[str, Any]) -> str:
    """Return SendGrid's id of an event, or what tells one without any from others."""
    given = _text(event, "sg_event_id")
    if _KEY.fullmatch(given):
        return given
    try:
        told = json.dumps(event, sort_keys=True)
    except RecursionError:  # What could just be read may be too deep to be written: what lies on top tells it as well.
        flat = {name: value for name, value in event.items() if not isinstance(value, dict | list)}
        told = json.dumps(flat, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _message_id(event: Mapping[str, Any]) -> uuid.UUID | None:
    """Return our own id, which the email went out with (``custom_args``)."""
    try:
        return uuid.UUID(_text(event, "message_id"))
    except ValueError:
        return None


def _said(event: Mapping[str, Any], name: str) -> str:
    kind = _text(event, "type")
    return f"{name}:{kind}" if name == "bounce" and kind in ("bounce", "blocked") else name


def _suppresses(event: Mapping[str, Any], name: str) -> str | None:
    if name == "bounce":
        return "blocked" if _text(event, "type") == "blocked" else "bounced"
    if name != "dropped":
        return _SUPPRESSES.get(name)
    reason = _text(event, "reason").casefold()
    found = (why for start, why in _DROPPED if reason.startswith(start) and _NOT_THE_ADDRESS not in reason)
    return next(found, None)


def _code(event: Mapping[str, Any]) -> str | None:
    code = _text(event, "status")
    return code if _CODE.fullmatch(code) else None


def _group(event: Mapping[str, Any]) -> str:
    """Return which of the account's groups of messages somebody left, or joins again."""
    number = event.get("asm_group_id")
    return f"group {number}" if type(number) is int and 0 <= number < _GROUPS_END else "group"


def _at(event: Mapping[str, Any], now: datetime) -> datetime:
    """Return when it was, as SendGrid says; now where it says nothing that could be."""
    seconds = event.get("timestamp")
    if type(seconds) is not int or not 0 < seconds <= now.timestamp() + AGE_MOST_SECONDS:
        return now
    return datetime.fromtimestamp(seconds, UTC)
