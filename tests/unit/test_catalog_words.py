"""Scripts are filled once and read well with facts missing; words fall back from region to language to default."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.catalog.document import parse
from incentives.catalog.scripts import PLACEHOLDERS, fill, mistakes_in
from tests.unit.catalog_files import SMALL
from tests.unit.test_catalog_document import DEMO


def test_a_script_is_filled_with_what_is_known() -> None:
    text = "Dear {customer_name}, {agent_name} of {brand} in {location} is sorry about {order_ref}: {incentive}."
    filled = fill(
        text,
        brand="Meridian",
        incentive="a meal",
        customer_name="Ada",
        location="London",
        agent_name="Bo",
        order_ref="M-7",
    )
    assert filled == "Dear Ada, Bo of Meridian in London is sorry about M-7: a meal."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{customer_name}, we are sorry.", "We are sorry."),
        ("Dear {customer_name}, we are sorry.", "Dear, we are sorry."),
        ("Your flight {order_ref} was late.", "Your flight was late."),
        ("All at {location} are sorry. {agent_name}", "All at Meridian are sorry. Meridian"),
        ("... we are sorry.", "... we are sorry."),
    ],
)
def test_a_script_reads_well_when_facts_are_missing(text: str, expected: str) -> None:
    assert fill(text, brand="Meridian", incentive="a meal") == expected


def test_what_a_customer_is_called_is_never_read_as_a_placeholder() -> None:
    filled = fill("Dear {customer_name}.", brand="Meridian", incentive="x", customer_name="{brand} {0.__class__} \\1")
    assert filled == "Dear {brand} {0.__class__} \\1."


def test_the_scripts_of_the_demo_leave_no_placeholder_behind() -> None:
    for script in parse(DEMO.read_bytes()).scripts.values():
        for text in script.text.values():
            filled = fill(text, brand="Meridian", incentive="a meal")
            assert not set("{}") & set(filled)
            assert "  " not in filled
            assert filled[0].isupper()


@given(st.text(max_size=30))
def test_a_text_without_braces_has_no_mistakes_and_stays_as_it_is(text: str) -> None:
    plain = text.replace("{", "").replace("}", "")
    assert list(mistakes_in(plain)) == []
    assert fill(plain, brand="Meridian", incentive="x") == plain


def test_every_known_placeholder_is_allowed() -> None:
    assert list(mistakes_in(" ".join(f"{{{name}}}" for name in PLACEHOLDERS))) == []


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("es", "Vuelo"),
        ("es-MX", "Vuelo"),
        ("es_MX", "Vuelo"),
        ("ES", "Vuelo"),
        ("en-GB", "Flight"),
        ("fr", "Flight"),
        (None, "Flight"),
        ("", "Flight"),
    ],
)
def test_words_fall_back_to_the_language_and_then_to_the_brands(locale: str | None, expected: str) -> None:
    catalog = parse(SMALL)
    assert catalog.words(catalog.issue_tags["flight"].label, locale) == expected


def test_a_region_that_has_its_own_words_gets_them() -> None:
    texts = {"en": "Flight", "es": "Vuelo", "es-MX": "Vuelito"}
    catalog = parse(SMALL)
    assert catalog.words(texts, "es-MX") == "Vuelito"
    assert catalog.words(texts, "es-AR") == "Vuelo"
