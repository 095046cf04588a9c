"""The messages about a case: being asked again, in both languages and within an SMS, and the notices to staff."""

import uuid
from dataclasses import fields, replace
from datetime import UTC, datetime
from string import Formatter
from typing import Any

import html5lib
import pytest

from channels.asking_words import EN, ES, LANGUAGES, AskingWords, asking_words
from channels.rendering import render_email, render_sms
from channels.rendering_cases import _NOTICES
from channels.sms_text import ONE_PART, size_of
from incentives.messages.outbox import NOTICES
from incentives.messages.port import NoticeLetter, SurveyLetter
from incentives.recovery.surveys import CHOICES
from incentives.recovery.tables import surveys
from tests.letters import HOST

URL = f"https://{HOST}/f/cwGaDQAAAAB6xk1nVb3sR9wXy7cD.Xy7cD2fGh4jKl5mNq8rTuv"
EVIL = '<script>alert("x")</script>&amp;"\'{{7*7}}{brand}'

SURVEY = SurveyLetter(
    message_id=uuid.UUID(int=1),
    channel="email",
    template="survey",
    locale="en-US",
    to="ana.ruiz@customer.example",
    customer_name="Ana Ruiz",
    brand="Northwind",
    about="Flight delayed",
    scale="stars_5",
    scores=(1, 2, 3, 4, 5),
    url=URL,
)
NOTICE = NoticeLetter(
    message_id=uuid.UUID(int=2),
    channel="email",
    template="notice-escalated",
    locale="en",
    to="sam@northwind.example",
    staff_name="Sam",
    brand="Northwind",
    about="Flight delayed",
    severity=3,
    location="London Heathrow",
    opened_at=datetime(2027, 3, 31, 11, 0, tzinfo=UTC),
    time_zone="Europe/London",
    url=f"https://{HOST}/cases/1",
)
TEXTS = [field.name for field in fields(AskingWords) if isinstance(getattr(EN, field.name), str)]


def blanks(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text)} - {None}


@pytest.mark.parametrize("name", TEXTS)
def test_no_language_lacks_a_sentence_or_a_blank(name: str) -> None:
    assert sorted(LANGUAGES) == ["en", "es"]
    for words in LANGUAGES.values():
        assert getattr(words, name).strip()
        assert blanks(getattr(words, name)) == blanks(getattr(EN, name))
    assert name == "language" or getattr(ES, name) != getattr(EN, name)


def test_every_scale_has_its_question_in_every_language() -> None:
    scales = set(CHOICES)
    assert scales == {"stars_5", "csat", "nps", "ces_7", "percent"}
    for words in LANGUAGES.values():
        assert set(words.again) == set(words.first) == scales
        assert all(all(text.strip() for text in texts) for texts in (*words.again.values(), *words.first.values()))
        assert len(words.numbers) == len(set(words.numbers)) == 10
    assert surveys.c.scale.type.length == 10  # type: ignore[attr-defined]  # a String has a length


def test_which_language_a_locale_gets() -> None:
    assert asking_words("es-MX") is ES
    assert asking_words("fr") is asking_words(None) is EN


# --- the email -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", sorted(CHOICES))
@pytest.mark.parametrize("locale", ["en-US", "es-MX"])
def test_each_score_is_a_link_to_the_page_with_it_chosen(scale: str, locale: str) -> None:
    letter = replace(SURVEY, scale=scale, scores=CHOICES[scale], locale=locale)
    email = render_email(letter)
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(email.html)
    links = [each.get("href") for each in tree.iter("a")]
    wanted = [f"{URL}?score={score}" for score in CHOICES[scale]]
    assert links == [*wanted, URL]
    assert [line.rpartition(": ")[2] for line in email.text.splitlines() if "?score=" in line] == wanted
    question, worst, best = asking_words(locale).again[scale]
    for said in (question, worst, best):
        assert said in email.html
        assert said in email.text
    assert "Ana Ruiz" in email.text
    assert "Flight delayed" in email.html
    assert (tree.get("lang"), len(email.html.encode()) < 20_000) == (locale, True)
    assert URL not in email.subject


def test_the_email_asks_and_does_not_urge() -> None:
    email = render_email(SURVEY)
    assert email.subject == "Northwind: did we put it right?"
    assert EN.why_this_message.format(brand="Northwind") in email.text
    assert "<script" not in email.html
    assert "<img" not in email.html


@pytest.mark.parametrize("field", ["customer_name", "brand", "about"])
def test_what_is_filled_in_is_only_ever_text(field: str) -> None:
    for letter in (SURVEY, NOTICE):
        if hasattr(letter, field):
            evil: dict[str, Any] = {field: EVIL + "\r\nBcc: all@example.com"}
            email = render_email(replace(letter, **evil))
            assert "<script" not in email.html
            assert "\n" not in email.subject
            assert "49" not in email.subject.replace(URL, "")


# --- the SMS ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", sorted(CHOICES))
@pytest.mark.parametrize("locale", ["en", "es"])
def test_the_sms_is_one_part_and_names_digits_and_link(scale: str, locale: str) -> None:
    letter = replace(SURVEY, channel="sms", scale=scale, scores=CHOICES[scale], locale=locale, brand="Northwind Air")
    sms = render_sms(letter)
    low, high = CHOICES[scale][0], CHOICES[scale][-1]
    assert (sms.encoding, sms.segments) == ("GSM-7", 1), sms.text
    assert f"{low}-{high}" in sms.text
    assert URL in sms.text
    assert "Northwind Air" in sms.text
    assert size_of(sms.text).units <= ONE_PART["GSM-7"]


@pytest.mark.parametrize(
    "brand",
    ["N", "Northwind", "The Most Reliable Northwind Airways and Hotels of the Whole Atlantic Company, Limited",
     "Ångström ✈ Airways", "日本航空", "x" * 300],
)  # fmt: skip
@pytest.mark.parametrize("locale", ["en", "es"])
def test_no_brand_makes_the_sms_longer_than_two_parts(brand: str, locale: str) -> None:
    sms = render_sms(replace(SURVEY, channel="sms", brand=brand, locale=locale))
    assert sms.segments <= 2, sms.text
    assert sms.text.endswith(URL)
    assert "1-5" in sms.text


# --- the notices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", NOTICES)
def test_every_notice_says_what_is_so_and_leads_to_the_case(template: str) -> None:
    email = render_email(replace(NOTICE, template=template))
    html5lib.HTMLParser(strict=True).parse(email.html)
    what, next_step = _NOTICES[template]
    assert email.subject == f"{what}: Flight delayed"
    for text in (email.html, email.text):
        assert what in text
        assert next_step in text
        assert NOTICE.url in text
        assert "London Heathrow" in text
        assert "Mar 31, 2027" in text
        assert "12:00" in text  # in London, where summer time has begun


def test_every_notice_has_its_words() -> None:
    assert set(_NOTICES) == set(NOTICES)


def test_staff_get_emails_only_and_nothing_is_told_by_a_letter_s_name() -> None:
    with pytest.raises(TypeError):
        render_sms(NOTICE)
    assert "sam@" not in repr(NOTICE)
    assert "ana" not in repr(SURVEY)
    assert URL not in repr(SURVEY)
