"""SMS: how many parts a text takes, and which words are given up first when there is no room."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.rendering import SEGMENTS_MAX, render_sms
from channels.sms_text import GSM_BASIC, GSM_EXTENSION, fold, plain_typography, shorten, size_of
from incentives.kernel.money import Money
from tests.letters import CODE, HOST, KINDS, TOKEN, URL, letter_of_kind, sms

WORTH = [kind for kind in KINDS if kind != "apology_only"]


def test_the_seven_bit_alphabet_is_whole() -> None:
    assert len(set(GSM_BASIC)) == 127  # the 128th place is the escape
    assert len(set(GSM_EXTENSION)) == 10
    assert not set(GSM_BASIC) & set(GSM_EXTENSION)


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        # 76 fit into a part of 153 septets: the escape and its character stay together, one septet is wasted.
        ("€" * 152, "GSM-7", 304, 2),
        ("€" * 153, "GSM-7", 306, 3),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),
        ("ç", "UCS-2", 1, 1),
        ("é" * 160, "GSM-7", 160, 1),
        ("ó" * 70, "UCS-2", 70, 1),
        ("ó" * 71, "UCS-2", 71, 2),
        ("ó" * 134, "UCS-2", 134, 2),
        ("ó" * 135, "UCS-2", 135, 3),
        ("😀" * 35, "UCS-2", 70, 1),
        ("😀" * 36, "UCS-2", 72, 2),
        # 33 fit into a part of 67 units: half a surrogate pair is nothing.
        ("😀" * 66, "UCS-2", 132, 2),
        ("😀" * 67, "UCS-2", 134, 3),
    ],
)
def test_how_a_text_is_counted(text: str, encoding: str, units: int, segments: int) -> None:
    size = size_of(text)
    assert (size.encoding, size.units, size.segments) == (encoding, units, segments)


def test_folding_keeps_what_the_alphabet_has() -> None:
    assert fold("Código: válido, mañana, ¿qué? ¡Ü!") == "Codigo: valido, mañana, ¿qué? ¡Ü!"
    assert fold("“Envío” – gratis…") == '"Envio" - gratis...'
    assert fold("李") == "李"


def test_plain_typography_changes_no_letter() -> None:
    assert plain_typography("Zoë O’Brien – José\u00a0Łódź") == "Zoë O'Brien - José Łódź"


@pytest.mark.parametrize(
    ("text", "characters", "short"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two..."),
        ("one two, three", 11, "one two..."),
        ("onetwothree", 8, "onetw..."),
        ("one two", 3, ""),
    ],
)
def test_shortening_ends_at_a_word(text: str, characters: int, short: str) -> None:
    assert shorten(text, characters) == short


def test_the_default_message_is_one_sms_with_a_host_of_thirty_characters() -> None:
    assert len(HOST) == 30
    assert len(TOKEN) == 45
    rendered = render_sms(sms())
    assert rendered.text == f"Northwind: sorry! $25.00 off until Mar 31, 2027. Code {CODE} {URL}"
    assert (rendered.encoding, rendered.segments) == ("GSM-7", 1)
    assert len(rendered.text) <= 160


@pytest.mark.parametrize("locale", ["en", "en-GB", "es", "es-ES", "es-MX", "fr"])
@pytest.mark.parametrize("kind", WORTH)
def test_every_kind_is_one_sms_in_every_language(kind: str, locale: str) -> None:
    rendered = render_sms(letter_of_kind(kind, channel="sms", locale=locale))
    assert (rendered.encoding, rendered.segments) == ("GSM-7", 1)
    assert rendered.text.startswith("Northwind:")
    assert rendered.text.endswith(f"{CODE} {URL}")


def test_a_short_host_leaves_room_for_the_fuller_wording() -> None:
    url = f"https://v.example/v/{TOKEN}"
    rendered = render_sms(sms(url=url))
    assert rendered.text == f"Northwind: we are sorry. $25.00 off until Mar 31, 2027. Code {CODE} {url}"
    assert rendered.segments == 1


def test_spanish_stays_in_the_seven_bit_alphabet() -> None:
    rendered = render_sms(sms(locale="es"))
    assert rendered.text == f"Northwind: perdon. 25 US$ dto. hasta 31 mar 2027. Codigo {CODE} {URL}"
    assert rendered.encoding == "GSM-7"


def test_a_currency_sign_outside_the_alphabet_becomes_its_code() -> None:
    rendered = render_sms(sms(amount=Money(50_000, "INR")))
    assert "INR 500 off" in rendered.text
    assert (rendered.encoding, rendered.segments) == ("GSM-7", 1)


def test_a_name_is_never_mangled_even_if_it_costs_a_second_sms() -> None:
    rendered = render_sms(sms(brand="Café Łódź"))
    assert "Café Łódź" in rendered.text
    assert (rendered.encoding, rendered.segments) == ("UCS-2", 2)
    item = render_sms(letter_of_kind("free_item", channel="sms", item="Menú infantil", title="Menú"))
    assert "Menú" in item.text
    assert item.segments == 2


def test_a_thing_that_is_long_to_describe_goes_by_its_title() -> None:
    upgrade = {"title": "Free upgrade", "item": "Next cabin or room class up, when there is room on the day"}
    rendered = render_sms(letter_of_kind("free_upgrade", channel="sms", **upgrade))
    assert rendered.text == f"Northwind: sorry! Free upgrade until Mar 31, 2027. Code {CODE} {URL}"
    assert rendered.segments == 1


def test_a_long_brand_is_shortened_before_anything_that_matters() -> None:
    rendered = render_sms(sms(brand="Łódzka Kolej Aglomeracyjna i Przyjaciele", url=f"https://{HOST}/v/{TOKEN}"))
    assert rendered.segments == 2
    assert rendered.text.startswith("Łódzka")
    assert rendered.text.endswith(f"{CODE} {URL}")


def test_an_apology_alone_is_told_whole() -> None:
    rendered = render_sms(letter_of_kind("apology_only", channel="sms"))
    assert rendered.text == "Northwind: Your flight left four hours late. We are sorry."


def test_a_long_apology_ends_after_a_sentence() -> None:
    apology = "We are truly sorry about what happened to you on that day. " * 9
    rendered = render_sms(letter_of_kind("apology_only", channel="sms", apology=apology))
    assert rendered.segments == 2
    assert rendered.text.endswith("on that day.")


def test_one_endless_sentence_ends_after_a_word() -> None:
    rendered = render_sms(letter_of_kind("apology_only", channel="sms", apology="sorry " * 2000))
    assert rendered.segments == 2
    assert rendered.text.endswith("sorry...")


def test_control_characters_and_line_breaks_go() -> None:
    rendered = render_sms(sms(brand="North\r\nwind\x1b[31m\u202e", item="x"))
    assert rendered.text.isprintable()


TEXT = st.text(max_size=120)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    locale=st.sampled_from(["en", "es", "es-MX", "zz", ""]),
    brand=st.text(min_size=1, max_size=80),
    title=TEXT,
    item=TEXT,
    apology=st.text(max_size=700),
    host=st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,100}[a-z0-9])", fullmatch=True),
    amount_minor=st.integers(0, 2**53 - 1),
    currency=st.sampled_from(["USD", "EUR", "GBP", "JPY", "INR", "KWD", "PLN", "RSD"]),
)
def test_never_more_than_two_parts_and_never_without_code_and_link(
    *,
    kind: str,
    locale: str,
    brand: str,
    title: str,
    item: str,
    apology: str,
    host: str,
    amount_minor: int,
    currency: str,
) -> None:
    given_away = kind != "apology_only"
    url = f"https://{host}/v/{TOKEN}" if given_away else None
    amount = Money(amount_minor, currency) if given_away else None
    rendered = render_sms(
        letter_of_kind(
            kind,
            channel="sms",
            locale=locale,
            brand=brand,
            title=title,
            item=item,
            apology=apology,
            url=url,
            amount=amount,
        )
    )
    assert rendered.segments == size_of(rendered.text).segments <= SEGMENTS_MAX
    assert rendered.encoding == size_of(rendered.text).encoding
    if url:
        assert rendered.text.endswith(f"{CODE} {url}")
        assert re.search(rf"(^|\s){re.escape(url)}$", rendered.text)
