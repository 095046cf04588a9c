"""When a customer is told of what they are given, and what whoever gives it adds in their own words.

Not a flow: it opens no transaction.
"""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Any

from incentives.catalog import eligibility
from incentives.catalog.incentive import Incentive
from incentives.deeds.assessment import Ground
from incentives.deeds.wanting import Draft, IssueVoucher
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid

MESSAGE_LENGTH = 300
_LINK = re.compile(r"://|\bwww\.|\b[a-z0-9-]+\.(?:[a-z]{2,})(?:/|\b(?!\.))", re.IGNORECASE)
_ADDRESS = re.compile(r"\S@\S")
# What has so many digits in a row is a number of a card, an account, a phone or a passport.
_DIGITS = re.compile(r"(?:\d[ .\-/]?){7,}")


def check(command: IssueVoucher, ground: Ground, incentive: Incentive, now: datetime) -> None:
    """Refuse with ``InputInvalid`` a message that may not be sent, and one that would come when all is over."""
    errors = [{"field": "message", "message": wrong} for wrong in [mistake(command.message)] if wrong]
    ends_at = eligibility.expires_at(incentive, ground.time_zone, now)
    if command.deliver_after is not None and ends_at is not None and command.deliver_after >= ends_at:
        errors.append({"field": "deliver_after", "message": "The voucher's time would be over by then."})
    if command.deliver_after is not None and command.deliver_after > now + timedelta(days=366):
        errors.append({"field": "deliver_after", "message": "Choose a day within a year."})
    if errors:
        raise InputInvalid(errors=errors)


def mistake(text: str | None) -> str | None:
    """Return what is wrong with a personal message; None where nothing is."""
    if text is None:
        return None
    found = (
        (not text.strip(), "Write something, or leave it out."),
        (len(text) > MESSAGE_LENGTH, f"Use at most {MESSAGE_LENGTH} characters."),
        (any(_hidden(each) for each in text), "This has characters that cannot stand here."),
        (bool(_LINK.search(text) or _ADDRESS.search(text)), "Leave links and addresses out: nobody trusts them."),
        (bool(_DIGITS.search(text)), "Leave long numbers out: they could be a card, an account or a phone."),
    )  # fmt: skip
    return next((said for so, said in found if so), None)


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") and character not in "\n\u200d\ufe0f"


def undo_until(draft: Draft, actor: Actor, now: datetime) -> datetime | None:
    """Return until when whoever gives it may take it back; only people change their minds."""
    seconds = draft.ground.resolution.protocol.undo_seconds if draft.ground else 0
    return now + timedelta(seconds=seconds) if seconds and actor.kind == "person" else None


def tell_at(draft: Draft, actor: Actor, now: datetime) -> datetime | None:
    """Return before when nothing is sent; None: it is sent at once."""
    return max((each for each in (draft.command.deliver_after, undo_until(draft, actor, now)) if each), default=None)


def not_before(row: Any) -> datetime | None:
    """Return before when nothing of an issuance is sent, by its row; None: at once.

    It holds for what is sent again too: what was given for a day that is to come is told then, whatever became of its
    voucher meanwhile.
    """
    return max((each for each in (row.undo_until_at, row.deliver_after_at) if each), default=None)


def columns(core: Core, draft: Draft, actor: Actor, now: datetime, *, issued: bool) -> dict[str, Any]:
    """Return what an issuance's row keeps of it."""
    text = draft.command.message
    return {
        "message": core.contacts.encrypt(text.strip() if text else None),
        "deliver_after_at": draft.command.deliver_after,
        "undo_until_at": undo_until(draft, actor, now) if issued else None,
    }
