"""Turns the letter about a provider that refuses our settings into an email to an administrator."""

from zoneinfo import ZoneInfo

from babel.dates import format_date

from channels.phrasing import speech_for
from channels.rendered import RenderedEmail, one_line, templates
from incentives.messages.port import ProviderLetter

_CHANNELS = {"email": "emails", "sms": "SMS"}


def provider_email(letter: ProviderLetter) -> RenderedEmail:
    """Return the email: what it said, since when, and what to do."""
    speech = speech_for("en")
    at = letter.since_at.astimezone(ZoneInfo(letter.time_zone))
    what = f"{one_line(letter.provider)} does not take our {_CHANNELS[letter.carries]}"
    said = {
        "letter": letter,
        "speech": speech,
        "brand": one_line(letter.brand),
        "what": what,
        "reason": one_line(letter.reason),
        "at": f"{format_date(at, 'medium', locale=speech.locale)}, {at:%H:%M}",
        "name": one_line(letter.staff_name),
    }
    return RenderedEmail(
        subject=what,
        text=templates().get_template("provider.txt").render(said),
        html=templates().get_template("provider.html").render(said),
    )
