"""What the tablet says of an address to which the last message did not arrive, before anything is promised to it."""

from collections.abc import Sequence
from datetime import datetime

from admin import words
from incentives.flows.offer import CameBack

_OTHERWISE = {"email": "a mobile phone number", "sms": "an email address"}
_WHAT = {"email": "The last email to this address", "sms": "The last SMS to this number"}
_BECAME = {"bounced": "came back", "failed": "could not be delivered", "suppressed": "was not wanted"}


def notes(found: Sequence[CameBack], now: datetime, channels: Sequence[str]) -> list[str]:
    """Return a sentence for each address, and what to do instead; ``channels`` are those that the form has."""
    bad = {each.channel for each in found}
    return [_note(each, now, reachable=[one for one in channels if one not in bad]) for each in found]


def _note(each: CameBack, now: datetime, *, reachable: Sequence[str]) -> str:
    said = f"{_WHAT[each.channel]} {_BECAME[each.status]}, {words.ago(each.at, now)}."
    if reachable:
        return f"{said} The {words.CHANNELS[reachable[0]][1]} should reach them."
    return f"{said} Ask for {_OTHERWISE[each.channel]}, or show it on this screen only."


def key_of(found: Sequence[CameBack]) -> str:
    """Return what a form carries along once it has shown this."""
    return "+".join(sorted(each.channel for each in found))
