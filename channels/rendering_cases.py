"""Turns the letters about a case into messages: being asked again, and the notices that staff get."""

from zoneinfo import ZoneInfo

from babel.dates import format_date

from channels.asking_words import AskingWords, asking_words
from channels.phrasing import speech_for
from channels.rendered import RenderedEmail, RenderedSms, one_line, templates
from channels.sms_text import fold, plain_typography, shorten, size_of
from incentives.messages.port import NoticeLetter, SurveyLetter

_SUBJECT_LENGTH_MAX = 150
_BRAND_LENGTHS_SHORT = (24, 16, 11)

# What is said, and what to do: in English, as the staff's pages are.
_NOTICES: dict[str, tuple[str, str]] = {
    "notice-new": ("New trouble that you should know of", "Look at it, and take it if nobody has."),
    "notice-assigned": ("A case is yours now", "Begin with the first step that is open."),
    "notice-unowned": ("Nobody has taken this case", "Take it, or give it to somebody."),
    "notice-escalated": ("A case has run out of time", "See which clock ran out, and what keeps it from going on."),
    "notice-task-due": ("Something is to be done now", "Do it and write down the result, or give it a new date."),
    "notice-shared": ("A case is shared with your team", "Look whether you can help."),
    "notice-reopened": ("A case is open again", "Read why, then begin its steps anew."),
    "notice-approval": ("A request waits for your decision", "Grant it, lower it or decline it: the money is kept."),
    "notice-bad-answer": ("A customer is not content", "Read the answer, and get in touch before they have to."),
}


def survey_email(letter: SurveyLetter) -> RenderedEmail:
    """Return the email that asks again: a number to tap on for each score, each of them a link to the page."""
    words, speech = asking_words(letter.locale), speech_for(letter.locale)
    name = one_line(letter.customer_name or "")
    question, worst, best = words.again[letter.scale]
    said = {
        "letter": letter,
        "speech": speech,
        "words": words,
        "brand": one_line(letter.brand),
        "greeting": speech.words.greeting.format(name=name) if name else "",
        "intro": words.intro.format(about=one_line(letter.about), brand=one_line(letter.brand)),
        "question": question,
        "worst": worst,
        "best": best,
        "links": [(score, f"{letter.url}?score={score}") for score in letter.scores],
    }
    return RenderedEmail(
        subject=shorten(one_line(words.subject.format(brand=letter.brand)), _SUBJECT_LENGTH_MAX),
        text=templates().get_template("survey.txt").render(said),
        html=templates().get_template("survey.html").render(said),
    )


def survey_sms(letter: SurveyLetter) -> RenderedSms:
    """Return the SMS that asks again: one part wherever that can be; a digit in reply is an answer.

    When even the leanest wording needs a second part, the brand is shortened; the digits and the link never are.
    """
    words = asking_words(letter.locale)
    brand = one_line(plain_typography(letter.brand))
    brands = [brand, *(shorten(brand, length) for length in _BRAND_LENGTHS_SHORT)]
    wordings = [_sms(words, each, letter) for each in brands]
    texts = [full for full, _ in wordings[:1]] + [lean for _, lean in wordings]
    fewest = min(size_of(text).segments for text in texts)
    text = next(text for text in texts if size_of(text).segments == fewest)
    return RenderedSms(text, size_of(text).segments, size_of(text).encoding)


def _sms(words: AskingWords, brand: str, letter: SurveyLetter) -> tuple[str, str]:
    """Return the full and the lean wording, our own words in the seven-bit alphabet."""
    said = {"brand": brand, "low": letter.scores[0], "high": letter.scores[-1], "url": letter.url}
    return fold(words.sms).format(**said), fold(words.sms_lean).format(**said)


def notice_email(letter: NoticeLetter) -> RenderedEmail:
    """Return the email to one of the staff: what is so, where to look, and nothing about the customer."""
    what, next_step = _NOTICES[letter.template]
    speech = speech_for("en")
    opened_at = letter.opened_at.astimezone(ZoneInfo(letter.time_zone))
    opened = f"{format_date(opened_at, 'medium', locale=speech.locale)}, {opened_at:%H:%M}"
    said = {
        "letter": letter,
        "speech": speech,
        "brand": one_line(letter.brand),
        "what": what,
        "next_step": next_step,
        "about": one_line(letter.about),
        "location": one_line(letter.location or ""),
        "opened": opened,
        "name": one_line(letter.staff_name),
    }
    return RenderedEmail(
        subject=shorten(f"{what}: {one_line(letter.about)}", _SUBJECT_LENGTH_MAX),
        text=templates().get_template("notice.txt").render(said),
        html=templates().get_template("notice.html").render(said),
    )
