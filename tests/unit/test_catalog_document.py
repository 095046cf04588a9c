"""A good catalog file is understood; a broken one gets every mistake at once, each with its line."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from incentives.catalog.catalog import catalog_of, type_of_kind
from incentives.catalog.document import parse
from incentives.catalog.incentive import FIELDS_OF_KIND, IncentiveKind
from incentives.kernel.errors import CatalogInvalid
from tests.unit.catalog_files import SMALL, added, changed, line_of, mistakes
from tests.unit.catalog_mistakes import BROKEN

DEMO = Path(__file__).resolve().parents[2] / "demo" / "catalog.yaml"


def test_a_good_file_is_understood() -> None:
    catalog = parse(SMALL)
    assert catalog.brand.support_email == "care@example.com"
    assert catalog.locations["new-york"].time_zone == "America/New_York"
    assert catalog.issue_tags["very-late"].severity == 4
    assert catalog.incentives["off"].amount_bounds == (500, 5000)
    assert catalog.incentives["meal"].offerable_from_date == date(2026, 11, 1)
    assert catalog.protocols["late"].most_minor == {"GBP": 4000}
    assert catalog.budgets["all"].time_zone == "Europe/London"
    assert catalog.budgets["each-team"].week_start_number == 6
    assert list(catalog.approval_limits) == ["role:frontline:GBP", "person:ana@example.com:GBP"]


def test_every_item_comes_back_from_its_json_form() -> None:
    catalog = parse(DEMO.read_bytes())
    items = [type_of_kind[each.item_kind].from_definition(each.definition()) for each in catalog.items()]
    assert catalog_of(items) == catalog
    assert catalog_of(items).digest == catalog.digest


def test_the_demo_catalog_has_what_a_brand_needs() -> None:
    catalog = parse(DEMO.read_bytes())
    assert {each.kind for each in catalog.incentives.values()} == set(IncentiveKind)
    assert len(catalog.incentives) >= 15
    assert len(catalog.issue_tags) >= 12
    assert len({each.time_zone for each in catalog.locations.values()}) == 3
    scopes = {"organization", "location", "team", "agent", "issue_tag", "incentive", "customer"}
    assert {each.scope for each in catalog.budgets.values()} == scopes
    assert {each.period for each in catalog.budgets.values()} == {"none", "day", "week", "month", "quarter", "year"}


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_is_told_with_its_line_and_path(case: str) -> None:
    old, new, path, message, place = BROKEN[case]
    text = changed(old, new)
    told = mistakes(text)
    line = next(number for number, each in enumerate(text.splitlines(keepends=True), 1) if place in each)
    matching = [each for each in told if each["path"] == path and message in each["message"]]
    assert [each["line"] for each in matching] == [line], told


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_is_not_followed_by_a_crowd_of_others(case: str) -> None:
    old, new, *_ = BROKEN[case]
    assert len(mistakes(changed(old, new))) <= 3


@pytest.mark.parametrize("kind", [each for each in IncentiveKind if each != IncentiveKind.APOLOGY_ONLY])
def test_a_kind_needs_each_of_its_fields(kind: str) -> None:
    told = mistakes(added("incentives", f"{{key: bare, kind: {kind}, title: {{en: x, es: y}}}}"))
    missing = {each["path"].removeprefix("incentives[bare].") for each in told}
    assert missing == set(FIELDS_OF_KIND[kind].required) - {"key", "kind", "title"}


def test_all_mistakes_are_told_at_once_from_top_to_bottom() -> None:
    text = SMALL
    for case in ("country", "icon", "unknown placeholder", "float amount", "unknown script", "budget without a cap"):
        text = changed(*BROKEN[case][:2], text)
    told = mistakes(text)
    assert len(told) == 6
    assert [each["line"] for each in told] == sorted(each["line"] for each in told)


@pytest.mark.parametrize(
    ("section", "item", "what"),
    [
        ("locations", "{key: london, name: Other, time_zone: Europe/Paris, currency: EUR, country: FR}", "location"),
        ("issue_tags", "{key: late, label: {en: L, es: T}, icon: clock, severity: 1}", "issue tag"),
        ("incentives", "{key: words, kind: apology_only, title: {en: Sorry, es: Perdón}}", "incentive"),
        ("budgets", "{key: all, name: Other, scope: team, period: day, cap_count: 1}", "budget"),
        ("approval_limits", "{role: frontline, currency: GBP, unlimited: true}", "approval limit"),
    ],
)
def test_a_key_stands_once(section: str, item: str, what: str) -> None:
    text = added(section, item)
    (told,) = mistakes(text)
    assert f"The {what} “" in told["message"]
    assert f"stands in line {line_of(text, item)} already" in told["message"]


def test_tags_that_are_their_own_ancestors_are_refused() -> None:
    text = changed("{key: flight, label:", "{key: flight, parent: very-late, label:")
    told = mistakes(text)
    assert [each["path"] for each in told] == [f"issue_tags[{key}].parent" for key in ("flight", "late", "very-late")]
    assert "flight → very-late → late → flight" in told[0]["message"]


def test_a_tag_is_not_its_own_parent() -> None:
    (told,) = mistakes(changed("parent: flight", "parent: late"))
    assert "late → late" in told["message"]


def test_two_protocols_for_the_same_are_a_conflict() -> None:
    finer = (
        "issue_tag: late, severity: 3, location: london, script: sorry, steps: [fix], incentives: [off], default: off"
    )
    text = added("protocols", f"{{key: second, {finer}}}", added("protocols", f"{{key: first, {finer}}}"))
    (told,) = mistakes(text)
    assert told["line"] == line_of(text, "key: first")
    assert "“first” and “second”" in told["message"]
    assert f"line {line_of(text, 'key: second')}" in told["message"]


def test_protocols_that_differ_in_one_key_are_no_conflict() -> None:
    rest = "script: sorry, steps: [fix], incentives: [off], default: off"
    text = SMALL
    for number, keys in enumerate(("severity: 3", "severity: 4", "location: london", "segment: gold")):
        text = added("protocols", f"{{key: p{number}, issue_tag: late, {keys}, {rest}}}", text)
    assert len(parse(text).protocols) == 6


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("brand: [1\nteams: x", 2, "This is not YAML"),
        ("a: b: c", 1, "This is not YAML"),
        ("brand:\n\tname: x", 2, "This is not YAML"),
        ("brand: {}\n--- \nbrand: {}", 2, "This is not YAML"),
        ("brand:\n  name: \x00", 2, "This is not YAML"),
        ("a: *nowhere", 1, "This is not YAML"),
        (b"brand:\n  name: \xff", 2, "not UTF-8"),
        ("[" * 600, 1, "nested too deeply"),
        ("x" * 1_000_001, 1, "characters"),
        ("", 1, "There must be fields here"),
        ("- one\n- two", 1, "There must be fields here"),
    ],
)
def test_what_is_no_catalog_at_all_is_told_so(text: str | bytes, line: int, message: str) -> None:
    (told,) = mistakes(text)
    assert told["line"] == line
    assert message in told["message"]


def test_a_file_may_begin_with_a_byte_order_mark() -> None:
    assert parse(b"\xef\xbb\xbf" + SMALL.encode()) == parse(SMALL)


def test_the_same_catalog_in_json_is_the_same_catalog() -> None:
    plain = YAML(typ="safe", pure=True).load(SMALL)
    assert parse(json.dumps(plain, default=str)) == parse(SMALL)


def test_titles_are_one_line_however_they_are_folded() -> None:
    text = changed("{en: Ten off, es: Diez menos}", '{en: "Ten\\n\\n off", es: Diez menos}')
    assert parse(text).incentives["off"].title["en"] == "Ten off"


@given(st.text(max_size=60))
def test_any_text_is_a_catalog_or_is_refused(text: str) -> None:
    with pytest.raises(CatalogInvalid):
        parse(text)


@given(
    place=st.integers(0, len(SMALL)), size=st.integers(0, 30), noise=st.text("{}[]:,-*&!|>'\"\n\t 10.e~xé", max_size=12)
)
def test_a_file_with_a_torn_place_is_a_catalog_or_is_refused(place: int, size: int, noise: str) -> None:
    told = None
    try:
        parse(SMALL[:place] + noise + SMALL[place + size :])
    except CatalogInvalid as refused:
        told = refused.facts["errors"]
    assert told is None or told[0]["message"]
