"""What a customer filled in on the page behind ``/f/<token>``: read, cleaned, checked, and whether to doubt it.

Nobody is locked out for looking like a program: who does is asked one simple question in words.
"""

import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from channels.asking_words import AskingWords
from incentives.kernel.core import Core
from incentives.kernel.keys import sign, unsign
from incentives.queries.feedback_page import FORM, SURVEY, CustomerForm, contact_fits

COMMENT_LONGEST = 4000
NAME_LONGEST = 200
CONTACT_LONGEST = 320
PAGE_LIFETIME = timedelta(days=7)
FILLED_IN_LEAST = timedelta(seconds=2)
TRAP = "website"
"""A field that no person sees, and programs fill in."""

_ADDRESS = re.compile(r"[:/\\@<>]|\w{2,}\.\w{2,}")
_SALT = "feedback-page"
_ID_LENGTH = 16
_SHOWN_AGAIN = 2 * COMMENT_LONGEST
_EACH_UP_TO = 9


@dataclass(frozen=True, slots=True)
class Page:
    """One loading of the page: what is sent from it counts once, however often the button is pressed."""

    id: uuid.UUID
    opened_at: datetime

    @property
    def puzzle(self) -> tuple[int, int]:
        """Return two numbers to add, the same for as long as the page is the same."""
        return self.id.int % _EACH_UP_TO + 1, self.id.int // _EACH_UP_TO % _EACH_UP_TO + 1

    @property
    def sum(self) -> str:
        """Return what the two come to."""
        return str(sum(self.puzzle))


def new_page(core: Core) -> Page:
    """Return a fresh page; nothing is written down about it."""
    now = core.clock.now()
    return Page(core.ids.new(now), now)


def token_of(core: Core, form: CustomerForm, page: Page) -> str:
    """Return the field that a page carries: ours, and for this very form."""
    return sign(core.keys.links, _SALT, page.id.bytes + form.subject_id.bytes, short=True)


def page_of(core: Core, form: CustomerForm, token: str) -> Page | None:
    """Return the page that was sent, or None for one that is not ours, of another form, or too old."""
    value = unsign(core.keys.links, _SALT, token, short=True) if token.isascii() else None
    if value is None or value[_ID_LENGTH:] != form.subject_id.bytes:
        return None
    page_id = uuid.UUID(bytes=value[:_ID_LENGTH])
    opened_at = datetime.fromtimestamp((page_id.int >> 80) / 1000, UTC)  # RFC 9562: it begins with milliseconds
    return Page(page_id, opened_at) if opened_at > core.clock.now() - PAGE_LIFETIME else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was typed and chosen, fit to be shown again and to be sent on."""

    score: str = ""
    comment: str = ""
    name: str = ""
    contact: str = ""
    choices: tuple[str, ...] = ()
    consent: bool = False
    puzzle: str = ""
    asked: bool = False
    trapped: bool = False
    page: str = ""

    @property
    def greeted_as(self) -> str | None:
        """Return the name as letters may say it; one that is, or holds, an address is left out of them.

        Nobody knows who typed it, and for whose address: in our letters a stranger would be told to go there.
        """
        return None if not self.name or _ADDRESS.search(self.name) else self.name

    @classmethod
    def from_fields(cls, fields: Mapping[str, str], choices: Sequence[str]) -> "Filled":
        """Return a form's fields, without what no keyboard types; texts in any writing keep their marks."""
        return cls(
            score=_line(fields.get("score", ""))[:20],
            comment=_text(fields.get("comment", ""))[:_SHOWN_AGAIN],
            name=_line(fields.get("name", ""))[:_SHOWN_AGAIN],
            contact=_line(fields.get("contact", ""))[:_SHOWN_AGAIN],
            choices=tuple(_line(each) for each in choices[:50]),
            consent=fields.get("consent") == "yes",
            puzzle=_line(fields.get("puzzle", ""))[:20],
            asked="puzzle" in fields,
            trapped=bool(fields.get(TRAP)),
            page=fields.get("page", "")[:200],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is wrong with a form, by field; ``puzzle`` says whether to ask the simple question."""

    mistakes: Mapping[str, str] = field(default_factory=dict)
    puzzle: bool = False


def check(
    core: Core, form: CustomerForm, words: AskingWords, filled: Filled, page: Page | None, *, crowded: bool
) -> Checked:
    """Return what keeps a form from being sent; nothing does where ``mistakes`` is empty."""
    doubted = filled.asked or _doubted(core, form, filled, page, crowded=crowded)
    found = {
        "score": "" if filled.score in map(str, form.scores) else words.score_missing,
        "comment": _too_long(words, filled.comment, COMMENT_LONGEST),
        "name": _too_long(words, filled.name, NAME_LONGEST),
        "contact": _contact(core, form, words, filled),
        "consent": words.consent_missing if form.kind == FORM and filled.contact and not filled.consent else "",
        "page": "" if page else words.page_lost,
    }
    if doubted and page is not None and filled.puzzle != page.sum:
        found["puzzle"] = words.puzzle_wrong if filled.puzzle else words.puzzle_hint
    return Checked(mistakes={name: wrong for name, wrong in found.items() if wrong}, puzzle=doubted)


def _doubted(core: Core, form: CustomerForm, filled: Filled, page: Page | None, *, crowded: bool) -> bool:
    """Return whether a program may have sent it. A re-survey is one answer however often it comes: none does."""
    if form.kind == SURVEY:
        return False
    hurried = page is not None and core.clock.now() - page.opened_at < FILLED_IN_LEAST
    return filled.trapped or hurried or crowded


def _contact(core: Core, form: CustomerForm, words: AskingWords, filled: Filled) -> str:
    if form.kind != FORM or not filled.contact:
        return ""
    too_long = _too_long(words, filled.contact, CONTACT_LONGEST)
    if too_long or contact_fits(core=core, text=filled.contact, location=form.location):
        return too_long
    return words.contact_wrong


def _too_long(words: AskingWords, text: str, most: int) -> str:
    return words.too_long.format(most=most) if len(text) > most else ""


def _line(text: str) -> str:
    return " ".join(_text(text).split())


def _text(text: str) -> str:
    """Return a text without control characters: nobody typed them, and no database holds a NUL."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(each for each in lines if each == "\n" or unicodedata.category(each) not in ("Cc", "Cs")).strip()
