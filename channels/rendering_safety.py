"""Turns the letter about a flood of unknown codes into an email to one of the staff."""

from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal

from channels.phrasing import speech_for
from channels.rendered import RenderedEmail, one_line, templates
from incentives.messages.port import SafetyLetter

_WHAT = "Many codes are tried that do not exist"


def safety_email(letter: SafetyLetter) -> RenderedEmail:
    """Return the email: how many unknown codes of how many tries, within what time, and where to look."""
    speech = speech_for("en")
    unknown, tries, minutes = (
        format_decimal(each, locale=speech.locale) for each in (letter.unknown, letter.tries, letter.minutes)
    )
    at = letter.opened_at.astimezone(ZoneInfo(letter.time_zone))
    said = {
        "letter": letter,
        "speech": speech,
        "brand": one_line(letter.brand),
        "what": _WHAT,
        "counted": f"{unknown} unknown codes of {tries} tries within {minutes} minutes, at all tills together",
        "at": f"{format_date(at, 'medium', locale=speech.locale)}, {at:%H:%M}",
        "name": one_line(letter.staff_name),
    }
    return RenderedEmail(
        subject=_WHAT,
        text=templates().get_template("safety.txt").render(said),
        html=templates().get_template("safety.html").render(said),
    )
