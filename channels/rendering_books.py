"""Turns the letter about books that do not hold into an email to one of the staff."""

from zoneinfo import ZoneInfo

from babel.dates import format_date

from channels.phrasing import speech_for
from channels.rendered import RenderedEmail, one_line, templates
from incentives.messages.port import BooksLetter

_WHAT = "The books do not hold"
_MOST_SHOWN = 10


def books_email(letter: BooksLetter) -> RenderedEmail:
    """Return the email: what is broken, when that was found, and where to look."""
    speech = speech_for("en")
    at = letter.ended_at.astimezone(ZoneInfo(letter.time_zone))
    said = {
        "letter": letter,
        "speech": speech,
        "brand": one_line(letter.brand),
        "what": _WHAT,
        "broken": [one_line(line) for line in letter.broken[:_MOST_SHOWN]],
        "more": max(len(letter.broken) - _MOST_SHOWN, 0),
        "at": f"{format_date(at, 'medium', locale=speech.locale)}, {at:%H:%M}",
        "name": one_line(letter.staff_name),
    }
    return RenderedEmail(
        subject=_WHAT,
        text=templates().get_template("books.txt").render(said),
        html=templates().get_template("books.html").render(said),
    )
