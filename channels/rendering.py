"""Turns a letter into what the customer reads: an email in text and HTML, or an SMS of at most two parts."""

import re
from collections.abc import Callable
from typing import Any

from channels.phrasing import Speech, date_text, expiry_text, speech_for, value_text, where_text
from channels.rendered import RenderedEmail, RenderedSms, one_line, templates
from channels.rendering_books import books_email
from channels.rendering_budgets import budget_email
from channels.rendering_cases import notice_email, survey_email, survey_sms
from channels.rendering_provider import provider_email
from channels.rendering_safety import safety_email
from channels.sms_text import plain_typography, shorten, size_of
from incentives.messages.port import (
    AnyLetter,
    BooksLetter,
    BudgetLetter,
    Letter,
    NoticeLetter,
    ProviderLetter,
    SafetyLetter,
    SurveyLetter,
)

__all__ = ["RenderedEmail", "RenderedSms", "one_line", "paragraphs", "render_email", "render_sms", "spelled"]

SEGMENTS_MAX = 2
_SUBJECT_LENGTH_MAX = 150
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+")
_BRAND_LENGTH_SHORT = 16
_VALUE_LENGTH_SHORT = 32
_CHARACTERS_MAX = 2 * 153  # what two parts hold at most


def render_email(letter: AnyLetter) -> RenderedEmail:
    """Return the email of a letter in the reader's language. The subject holds neither code nor link."""
    if isinstance(letter, Letter):
        return _letter_email(letter)
    return _EMAILS[type(letter)](letter)


_EMAILS: dict[type, Callable[[Any], RenderedEmail]] = {
    SurveyLetter: survey_email,
    NoticeLetter: notice_email,
    BudgetLetter: budget_email,
    SafetyLetter: safety_email,
    BooksLetter: books_email,
    ProviderLetter: provider_email,
}


def render_sms(letter: AnyLetter) -> RenderedSms:
    """Return the SMS of a letter: one part wherever that can be, never more than two. Staff get emails only."""
    if isinstance(letter, NoticeLetter | BudgetLetter | SafetyLetter | BooksLetter | ProviderLetter):
        raise TypeError("a notice to staff has no SMS")
    return survey_sms(letter) if isinstance(letter, SurveyLetter) else _letter_sms(letter)


def _letter_email(letter: Letter) -> RenderedEmail:
    speech = speech_for(letter.locale)
    value = one_line(value_text(letter, speech))
    subject = speech.words.subject_voucher if letter.code and value else speech.words.subject_apology
    said = {
        "letter": letter,
        "speech": speech,
        "words": speech.words,
        "brand": one_line(letter.brand),
        "value": value,
        "greeting": _greeting(letter, speech),
        "apology": paragraphs(letter.apology),
        "note": paragraphs(letter.personal_note or ""),
        "expiry": _expiry(letter, speech),
        "where": [one_line(place) for place in where_text(letter.where_to_use, letter.brand, speech)],
        "terms": paragraphs(letter.terms),
    }
    return RenderedEmail(
        subject=shorten(one_line(subject.format(brand=letter.brand, value=value)), _SUBJECT_LENGTH_MAX),
        text=templates().get_template("email.txt").render(said),
        html=templates().get_template("email.html").render(said),
    )


def _letter_sms(letter: Letter) -> RenderedSms:
    """Say it in as few parts as can be.

    The fullest wording that costs least is taken. When even the leanest is too long, the brand is shortened
    and then left out; the code and the link never are.
    """
    speech = speech_for(letter.locale).for_sms()
    wordings = _voucher_wordings(letter, speech) if letter.code or letter.url else _apology_wordings(letter)
    named, nameless = wordings
    text = _with_note(letter, named) or _cheapest(named) or _first_that_fits(nameless)
    size = size_of(text)
    return RenderedSms(text, size.segments, size.encoding)


def _with_note(letter: Letter, wordings: list[str]) -> str | None:
    """Return the fullest wording with what was written to this very customer, where it fits; the page has it too."""
    note = plain_typography(one_line(letter.personal_note or ""))
    texts = [_joined(note, text) for text in wordings if note]
    return next((text for text in texts if size_of(text).segments <= SEGMENTS_MAX), None)


def _cheapest(wordings: list[str]) -> str | None:
    """Return the first of the wordings that need the fewest parts; None if each needs too many."""
    fewest = min(size_of(text).segments for text in wordings)
    return next(text for text in wordings if size_of(text).segments == fewest) if fewest <= SEGMENTS_MAX else None


def _first_that_fits(wordings: list[str]) -> str:
    """Return the first wording that fits, or the last, leanest one."""
    return next((text for text in wordings if size_of(text).segments <= SEGMENTS_MAX), wordings[-1])


def _voucher_wordings(letter: Letter, speech: Speech) -> tuple[list[str], list[str]]:
    """Return the ways to say it, the fullest first: those that name the brand, then those that may not."""
    words, code, url = speech.words, letter.code or "", letter.url or ""
    labelled = words.sms_code.format(code=code) if code else ""
    value = value_text(letter, speech, short=True)
    until = _until(letter, speech)
    full, short = _sentence(value_text(letter, speech), until), _sentence(value, until)
    # A thing may be long to describe; its title is what its makers call it for short. Money has no shorter name.
    titled = _sentence(letter.title, until) if letter.item else short
    lean = _sentence(shorten(one_line(letter.title if letter.item else value), _VALUE_LENGTH_SHORT), "")
    brand = one_line(plain_typography(letter.brand))
    sorry, sorry_short = words.sms_sorry.format(brand=brand), words.sms_sorry_short.format(brand=brand)
    named = [
        (sorry, full, labelled, url),
        (sorry_short, full, labelled, url),
        (sorry_short, short, labelled, url),
        (sorry_short, short, code, url),
        (sorry_short, titled, labelled, url),
        (sorry_short, titled, code, url),
        (sorry_short, lean, code, url),
        (f"{brand}:", lean, code, url),
    ]
    nameless = [
        (f"{shorten(brand, _BRAND_LENGTH_SHORT)}:", lean, code, url),
        (titled, labelled, url),
        (lean, code, url),
        (code, url),
    ]
    return [_joined(*parts) for parts in named], [_joined(*parts) for parts in nameless]


def _until(letter: Letter, speech: Speech) -> str:
    if letter.expires_at is None:
        return ""
    return speech.words.sms_until.format(date=date_text(letter.expires_at, letter.time_zone, speech))


def _apology_wordings(letter: Letter) -> tuple[list[str], list[str]]:
    brand, apology = one_line(plain_typography(letter.brand)), one_line(plain_typography(letter.apology))
    whole = f"{brand}: {apology}"
    sentences = _SENTENCE_END.split(whole)
    by_sentence = [" ".join(sentences[:count]) for count in range(len(sentences) - 1, 0, -1)]
    by_word = [shorten(whole, length) for length in range(_CHARACTERS_MAX, len("a..."), -1)]
    return [whole], [*by_sentence, *by_word]


def _sentence(value: str, until: str) -> str:
    text = plain_typography(one_line(f"{value} {until}"))
    return f"{text}." if text and not text.endswith(".") else text


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _greeting(letter: Letter, speech: Speech) -> str:
    """Return the salutation; none when the apology calls the customer by name, or by part of it, already."""
    name = one_line(letter.customer_name or "")
    called = set(_WORD.findall(name)) & set(_WORD.findall(letter.apology))
    return "" if not name or called else speech.words.greeting.format(name=name)


def _expiry(letter: Letter, speech: Speech) -> str:
    return expiry_text(letter.expires_at, letter.time_zone, speech) if letter.expires_at else ""


def paragraphs(text: str) -> list[list[str]]:
    """Return the text as paragraphs of lines, each cleaned by ``one_line``."""
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    cleaned = ([one_line(line) for line in block.split("\n") if line.strip()] for block in blocks)
    return [block for block in cleaned if block]


def spelled(code: str) -> str:
    """Return a printed code for a screen reader, one character at a time: ``7KQ4-9M2X`` is ``7 K Q 4, 9 M 2 X``."""
    return ", ".join(" ".join(group) for group in code.split("-"))
