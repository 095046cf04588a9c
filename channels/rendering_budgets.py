"""Turns the letter about a budget into an email to one of the staff."""

from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_decimal

from channels.phrasing import Speech, money_text, speech_for
from channels.rendered import RenderedEmail, one_line, templates
from channels.sms_text import shorten
from incentives.messages.port import BudgetLetter

_SUBJECT_LENGTH_MAX = 150
_ALL = 100

_NEXT_STEPS = {
    100: "Nothing more is given from it. Ask for a top-up or a transfer if it should last.",
    95: "Little is left. Ask for a top-up or a transfer before it runs dry.",
    80: "See when it will run dry at the present rate.",
    50: "Nothing needs to be done. You will be told again at 80 percent.",
}


def budget_email(letter: BudgetLetter) -> RenderedEmail:
    """Return the email: how far which budget is used, of how much, until when, and where to look."""
    speech = speech_for("en")
    name = one_line(letter.budget)
    percent = letter.threshold_percent
    what = "A budget is used up" if percent >= _ALL else f"A budget is {percent} percent used"
    said = {
        "letter": letter,
        "speech": speech,
        "brand": one_line(letter.brand),
        "what": what,
        "next_step": _NEXT_STEPS.get(percent, _NEXT_STEPS[50]),
        "about": f"{name}, {one_line(letter.subject)}" if letter.subject else name,
        "used": _used(letter, speech),
        "until": _until(letter, speech),
        "name": one_line(letter.staff_name),
    }
    return RenderedEmail(
        subject=shorten(f"{what}: {name}", _SUBJECT_LENGTH_MAX),
        text=templates().get_template("budget.txt").render(said),
        html=templates().get_template("budget.html").render(said),
    )


def _used(letter: BudgetLetter, speech: Speech) -> str:
    parts = []
    if letter.used is not None and letter.ceiling is not None:
        parts.append(f"{money_text(letter.used, speech)} of {money_text(letter.ceiling, speech)}")
    if letter.ceiling_count is not None:
        used, ceiling = (
            format_decimal(each, locale=speech.locale) for each in (letter.used_count, letter.ceiling_count)
        )
        parts.append(f"{used} of {ceiling} vouchers")
    return ", ".join(parts)


def _until(letter: BudgetLetter, speech: Speech) -> str:
    if letter.ends_at is None:
        return ""
    ends_at = letter.ends_at.astimezone(ZoneInfo(letter.time_zone))
    return f"{format_date(ends_at, 'medium', locale=speech.locale)}, {ends_at:%H:%M}"
