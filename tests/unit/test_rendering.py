"""Emails, and the words for values, amounts and dates in them."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from html import escape

import html5lib
import pytest

from channels.phrasing import date_text, expiry_text, money_text, speech_for, value_text
from channels.qr import qr_svg
from channels.rendering import one_line, paragraphs, render_email, spelled
from incentives.kernel.money import Money
from tests.letters import CODE, KINDS, TOKEN, URL, letter, letter_of_kind

EVIL = '<script>alert("x")</script>&amp;"\'{{7*7}}{brand}'


def said(text: str) -> str:
    """Return a text with ordinary spaces: locales put unbreakable ones between a number and its unit."""
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("kind", "english", "spanish"),
    [
        ("amount_off", "$25.00 off", "USD 25.00 de descuento"),
        ("percent_off", "15% off, up to $60.00", "15% de descuento, hasta USD 60.00"),
        ("store_credit", "$25.00 store credit", "USD 25.00 de crédito en tienda"),
        ("refund_request", "$25.00 refund", "Reembolso de USD 25.00"),
        (
            "replacement",
            "Replacement: A suitcase of the same size",
            "Reposición: A suitcase of the same size",
        ),
        ("free_item", "Free: A main dish and a drink", "Gratis: A main dish and a drink"),
        ("free_upgrade", "Free upgrade: Next cabin class up", "Mejora gratis: Next cabin class up"),
        ("free_shipping", "Free shipping", "Envío gratis"),
        ("points", "5,000 points", "5,000 puntos"),
        ("apology_only", "", ""),
    ],
)
def test_what_each_kind_is_worth(kind: str, english: str, spanish: str) -> None:
    offer = letter_of_kind(kind)
    assert said(value_text(offer, speech_for("en-US"))) == english
    assert said(value_text(offer, speech_for("es-MX"))) == spanish


@pytest.mark.parametrize("kind", ["replacement", "free_item", "free_upgrade", "free_shipping", "points"])
@pytest.mark.parametrize("locale", ["en", "es"])
def test_what_a_thing_costs_us_is_not_told(kind: str, locale: str) -> None:
    email = render_email(letter_of_kind(kind, locale=locale, amount=Money(12_345, "USD")))
    assert "123" not in email.subject + email.text
    assert "123.45" not in email.html
    assert "123,45" not in email.html


def test_one_point_is_not_points() -> None:
    assert value_text(letter_of_kind("points", points=1), speech_for("en")) == "1 point"
    assert value_text(letter_of_kind("points", points=1), speech_for("es")) == "1 punto"


@pytest.mark.parametrize(
    ("amount_minor", "currency", "locale", "text"),
    [
        (2500, "USD", "en-US", "$25.00"),
        (2500, "USD", "en-GB", "US$25.00"),
        (2500, "EUR", "es-ES", "25,00 €"),
        (2500, "USD", "es-MX", "USD 25.00"),
        (123_456_789, "USD", "en", "$1,234,567.89"),
        (123_456_789, "EUR", "es", "1.234.567,89 €"),
        (2500, "JPY", "en", "¥2,500"),
        (2500, "KWD", "en", "KWD 2.500"),
        (2550, "RSD", "en", "RSD 25.50"),  # CLDR shows none of its cents
        (12_345, "CLF", "en", "CLF 1.2345"),
        (0, "USD", "en", "$0.00"),
        (5, "USD", "en", "$0.05"),
    ],
)
def test_money_is_written_as_the_country_does(amount_minor: int, currency: str, locale: str, text: str) -> None:
    assert said(money_text(Money(amount_minor, currency), speech_for(locale))) == text


@pytest.mark.parametrize(("amount_minor", "text"), [(2500, "$25"), (2550, "$25.50"), (5, "$0.05")])
def test_short_money_leaves_off_no_cent(amount_minor: int, text: str) -> None:
    assert money_text(Money(amount_minor, "USD"), speech_for("en"), short=True) == text


@pytest.mark.parametrize(
    ("expires_at", "zone", "locale", "text"),
    [
        # The first instant of 1 April and the last of 31 March are both the end of 31 March.
        (
            "2027-04-01T04:00:00+00:00",
            "America/New_York",
            "en-US",
            "until the end of March 31, 2027 (New York time)",
        ),
        (
            "2027-04-01T03:59:59+00:00",
            "America/New_York",
            "en-US",
            "until the end of March 31, 2027 (New York time)",
        ),
        (
            "2027-03-31T22:00:00+00:00",
            "Europe/Madrid",
            "es",
            "hasta el final del 31 de marzo de 2027 (hora de Madrid)",
        ),
        # The night in which the clocks go forward: midnight is still midnight.
        (
            "2027-03-28T22:00:00+00:00",
            "Europe/Madrid",
            "en-GB",
            "until the end of 28 March 2027 (Madrid time)",
        ),
        (
            "2027-03-27T23:00:00+00:00",
            "Europe/Madrid",
            "en-GB",
            "until the end of 27 March 2027 (Madrid time)",
        ),
        ("2027-04-01T12:30:00+00:00", "Asia/Tokyo", "en-US", "until 9:30 PM on April 1, 2027 (Tokyo time)"),
        (
            "2027-04-01T12:30:00+00:00",
            "Asia/Tokyo",
            "es",
            "hasta las 21:30 del 1 de abril de 2027 (hora de Tokio)",
        ),
        ("2027-04-01T00:00:00+00:00", "UTC", "en", "until the end of March 31, 2027 (UTC time)"),
    ],
)
def test_until_when_with_the_zone(expires_at: str, zone: str, locale: str, text: str) -> None:
    assert said(expiry_text(datetime.fromisoformat(expires_at), zone, speech_for(locale))) == text


def test_the_short_date_is_the_last_day() -> None:
    at = datetime(2027, 4, 1, 4, 0, tzinfo=UTC)
    assert date_text(at, "America/New_York", speech_for("en")) == "Mar 31, 2027"
    assert date_text(at, "Asia/Tokyo", speech_for("es")) == "1 abr 2027"


def test_the_email_says_it_all_in_both_parts() -> None:
    email = render_email(letter(where_to_use=("Harbor Hotel", "JFK")))
    assert email.subject == "Northwind: our apology – $25.00 off"
    for part in (email.text, email.html):
        for fact in (
            "Dear Ana Ruiz,",
            "Your flight left four hours late.",
            "We are sorry.",
            "$25.00 off",
            CODE,
            URL,
            "until the end of March 31, 2027 (New York time)",
            "Harbor Hotel",
            "JFK",
            "One voucher per booking.",
        ):
            assert fact in part


def test_the_apology_comes_first() -> None:
    email = render_email(letter())
    for part in (email.text, email.html):
        body = part.partition("<body")[2] or part
        assert body.index("We are sorry.") < body.index("$25.00 off") < body.index(CODE)


def test_the_email_in_spanish() -> None:
    email = render_email(letter(locale="es-MX"))
    assert said(email.subject) == "Northwind: nuestras disculpas – USD 25.00 de descuento"
    assert '<html lang="es-MX">' in email.html
    for part in (email.text, email.html):
        assert "Hola, Ana Ruiz:" in part
        assert "Su código" in part
        assert "hasta el final del 31 de marzo de 2027 (hora de Nueva York)" in part
        assert "En todos los establecimientos de Northwind" in part


def test_an_apology_alone_promises_nothing() -> None:
    email = render_email(letter_of_kind("apology_only"))
    assert email.subject == "Northwind: our apology"
    for part in (email.text, email.html):
        assert "We are sorry." in part
        for promise in ("please accept", "code", "voucher", "http", "Terms"):
            assert promise not in part.partition("<body")[2] or part


@pytest.mark.parametrize(
    ("apology", "greeted"),
    [
        ("We are sorry.", True),
        ("Ana Ruiz, we are sorry.", False),
        ("Dear Ana, we are sorry.", False),
        ("We are sorry, Mrs Ruiz.", False),
        ("We are sorry. Anagrams are fun.", True),
    ],
)
def test_nobody_is_greeted_twice(apology: str, greeted: bool) -> None:
    assert ("Dear Ana Ruiz," in render_email(letter(apology=apology)).text) is greeted


def test_without_a_name_there_is_no_greeting() -> None:
    assert "Dear" not in render_email(letter(customer_name=None)).text


@pytest.mark.parametrize("locale", ["en", "es"])
def test_everything_is_escaped_in_html(locale: str) -> None:
    email = render_email(
        letter(
            locale=locale,
            customer_name=EVIL,
            brand=EVIL,
            apology="We are sorry.\n" + EVIL,
            title=EVIL,
            terms=EVIL,
            where_to_use=(EVIL,),
            kind="free_item",
            item=EVIL,
            url=URL + '"><b>',
        )
    )
    assert "<script>" not in email.html
    assert "<b>" not in email.html
    assert escape(EVIL, quote=False).split("{{")[0].split('"')[0] in email.html
    assert "{{7*7}}{brand}" in email.html
    assert EVIL in email.text


def test_a_name_cannot_begin_a_line_or_a_header() -> None:
    email = render_email(letter(customer_name="Ana\r\nBcc: all@evil.example", brand="North\nwind", item="\x00\x1b"))
    assert "\n" not in email.subject
    assert "\r" not in email.subject + email.text
    assert "\nBcc:" not in email.text
    assert "Dear Ana Bcc: all@evil.example," in email.text


def test_a_subject_has_an_end() -> None:
    assert len(render_email(letter(brand="N" * 4000)).subject) <= 150


def test_the_subject_holds_neither_code_nor_link() -> None:
    for kind in KINDS:
        subject = render_email(letter_of_kind(kind)).subject
        assert CODE not in subject
        assert TOKEN not in subject


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", ["en", "es"])
def test_the_html_is_valid_and_loads_nothing(kind: str, locale: str) -> None:
    html = render_email(letter_of_kind(kind, locale=locale)).html
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    names = {element.tag for element in tree.iter() if isinstance(element.tag, str)}
    assert not names & {"img", "script", "link", "table", "iframe", "form", "object"}
    assert "url(" not in html
    assert {anchor.get("href") for anchor in tree.iter("a")} <= {URL}
    assert len(html) < 10_000


def test_paragraphs_and_lines() -> None:
    assert paragraphs("a\r\nb\n\n \n c  d \n") == [["a", "b"], ["c d"]]
    assert paragraphs(" \n ") == []
    assert one_line(" a\t\n b\x00\u202e ") == "a b"


def test_a_code_is_spelled_for_the_ear() -> None:
    assert spelled("7KQ4-9M2X-ABCD-E") == "7 K Q 4, 9 M 2 X, A B C D, E"


def test_the_qr_code_is_well_formed_named_and_keeps_its_quiet_zone() -> None:
    svg = ET.fromstring(str(qr_svg(URL, 'A "title" & <more>')))  # noqa: S314 - our own text
    namespace = "{http://www.w3.org/2000/svg}"
    assert svg.get("role") == "img"
    title = svg.find(f"{namespace}title")
    assert title is not None
    assert title.text == 'A "title" & <more>'
    assert svg.get("aria-labelledby") == title.get("id")
    size = int((svg.get("viewBox") or "").split()[2])
    light, dark = svg.findall(f"{namespace}path")
    assert (light.get("fill"), dark.get("fill")) == ("#fff", "#000")
    corners = [part.split("h")[0].split() for part in (dark.get("d") or "").split("M")[1:]]
    assert min(int(x) for x, _ in corners) == min(int(y) for _, y in corners) == 4
    assert max(int(y) for _, y in corners) == size - 5
    assert len(str(qr_svg(URL, ""))) < 8_000
