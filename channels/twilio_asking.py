"""What Twilio answers when it is asked: whether it has taken a letter, and what became of a message.

It is asked where nobody told us: after a line broke, and where a status callback never came.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from channels.provider import provider_message_id
from channels.sms_text import plain_typography
from channels.twilio_status import report_in
from incentives.messages.port import AnyLetter, StatusReport

_LOOKED_AT = 50
_CLOCKS_DIFFER = timedelta(minutes=5)


def looked_for(client: Any, letter: AnyLetter, text: str, since: datetime) -> list[str] | None:
    """Return the messages to the letter's number that say the same, of the latest; ``text`` is the letter's.

    A link is as good as the whole text: it is this voucher's only. None where one of them may say it, but was blacked
    out or has no id. Raises what the client raises.
    """
    found, unread = [], False
    for message in client.messages.list(to=letter.to, page_size=_LOOKED_AT, limit=_LOOKED_AT):
        if _made_at(message) < since - _CLOCKS_DIFFER:
            continue
        sid = provider_message_id(message.sid)
        if sid is None or not message.body:
            unread = True
        elif _says(message.body, text, getattr(letter, "url", None)):
            found.append(sid)
    return None if unread and not found else found


def _made_at(message: Any) -> datetime:
    made_at = message.date_created
    return made_at if isinstance(made_at, datetime) else datetime.now(UTC)


def _says(body: str, text: str, url: str | None) -> bool:
    """Return whether a message says a text; Twilio may have put plain characters in the place of others."""
    return body == text or plain_typography(body) == plain_typography(text) or bool(url and url in body)


def told_of(client: Any, sid: str, provider: str, now: datetime) -> StatusReport | None:
    """Return what became of a message, as a callback would have reported it then. Raises what the client raises."""
    message = client.messages(sid).fetch()
    said: Mapping[str, str] = {
        "MessageSid": sid,
        "MessageStatus": str(message.status or ""),
        "ErrorCode": str(message.error_code or ""),
        "To": message.to or "",
    }
    return report_in(said, None, min(_became_so_at(message) or now, now), provider)


def _became_so_at(message: Any) -> datetime | None:
    """Return since when a message stands where it does: what came after that is not undone by it."""
    dates = (message.date_updated, message.date_sent, message.date_created)
    return next((each for each in dates if isinstance(each, datetime)), None)
