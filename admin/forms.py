"""What a form sent, read field by field: nothing longer, stranger or larger than its field goes on into the house.

What a page shows again comes from ``shown``; what is acted upon comes from the readers that refuse.
"""

import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from incentives.kernel.errors import InputInvalid

NAME_LONGEST = 200
NOTE_LONGEST = 500
TEXT_LONGEST = 4000
ORDER_REF_LONGEST = 200
AMOUNT_LONGEST = 40

_MADE_BY_TIME = 7
_CLOCKS_DIFFER = timedelta(days=1)


class Form:
    """The fields of a form, or of the part of an address behind its question mark."""

    def __init__(self, sent: Mapping[str, str]) -> None:
        """Keep what was sent, unread."""
        self._sent = sent

    def shown(self, name: str) -> str:
        """Return a field fit to stand on a page again: trimmed, and without what no page can hold."""
        return "".join(each for each in self._trimmed(name) if _can_stand(each))

    def text(self, name: str, longest: int) -> str:
        """Return a field, trimmed. Raises ``InputInvalid`` for more characters, and for ones nobody can type."""
        typed = self._trimmed(name)
        if len(typed) > longest:
            raise wrong(name, f"Write at most {longest} characters.")
        # PostgreSQL cannot store NUL, and the rest of them only hides what a text says.
        if not all(map(_can_stand, typed)):
            raise wrong(name, "This has characters that cannot stand here. Type it again.")
        return typed

    def lines(self, name: str, longest: int) -> str:
        """Return a text of several lines, trimmed, as ``text`` does with one line. Raises ``InputInvalid``."""
        typed = self._of_lines(name)
        if len(typed) > longest:
            raise wrong(name, f"Write at most {longest} characters.")
        if not all(each == "\n" or _can_stand(each) for each in typed):
            raise wrong(name, "This has characters that cannot stand here. Type it again.")
        return typed

    def shown_lines(self, name: str) -> str:
        """Return a text of several lines fit to stand on a page again."""
        return "".join(each for each in self._of_lines(name) if each == "\n" or _can_stand(each))

    def number(self, name: str, most: int) -> int:
        """Return a whole number from 0 to ``most``; an empty field is 0. Raises ``InputInvalid``."""
        typed = self._trimmed(name) or "0"
        # The length is looked at first: Python refuses to read thousands of digits.
        if not re.fullmatch(r"[0-9]{1,9}", typed) or int(typed) > most:
            raise wrong(name, "The page could not be read. Look at it and send it again.")
        return int(typed)

    def key(self, name: str, now: datetime) -> str:
        """Return the key that a page of ours was made with, so that it does its deed once. Raises ``InputInvalid``."""
        key = _uuid(self._sent.get(name, ""))
        if key is None or key.version != _MADE_BY_TIME or not _made_before(key, now + _CLOCKS_DIFFER):
            raise wrong(name, "This page was not whole. It is now: look at it and send it again.")
        return str(key)

    def cursor(self, name: str) -> uuid.UUID | None:
        """Return where a list goes on, None for its beginning. Raises ``InputInvalid``."""
        typed = self._trimmed(name)
        if not typed:
            return None
        found = _uuid(typed)
        if found is None:
            raise wrong(name, "Begin with the first page of the list.")
        return found

    def _of_lines(self, name: str) -> str:
        # Browsers end the lines of a form with both characters, whatever was typed.
        return self._trimmed(name).replace("\r\n", "\n")

    def _trimmed(self, name: str) -> str:
        return self._sent.get(name, "").strip()


def wrong(field: str, message: str) -> InputInvalid:
    """Return the refusal of one field."""
    return InputInvalid(message, errors=[{"field": field, "message": message}])


def mistakes(*readers: Callable[[], object]) -> dict[str, str]:
    """Return what all of the readers refuse, by field, so that a page names it all at once."""
    found: dict[str, str] = {}
    for read in readers:
        try:
            read()
        except InputInvalid as refusal:
            found |= {each["field"]: each["message"] for each in refusal.facts["errors"]}
    return found


def made_at(key: str) -> datetime:
    """Return when a key was made: its first 48 bits are milliseconds (RFC 9562)."""
    return datetime.fromtimestamp((uuid.UUID(key).int >> 80) / 1000, UTC)


def _made_before(key: uuid.UUID, latest: datetime) -> bool:
    # Compared as a number: 48 bits reach beyond the last year that a datetime has.
    return key.int >> 80 <= latest.timestamp() * 1000


def _can_stand(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs")


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
