"""What a proposed catalog changes, field by field, and what in it deserves a second look."""

from incentives.catalog.catalog import Catalog
from incentives.catalog.difference import FieldChange, difference, warnings_of
from incentives.catalog.document import parse
from tests.unit.catalog_files import SMALL, added, changed
from tests.unit.test_catalog_document import DEMO


def small(old: str = "", new: str = "") -> Catalog:
    """Return the small catalog, one place changed."""
    return parse(changed(old, new) if old else SMALL)


def test_a_catalog_does_not_differ_from_itself() -> None:
    assert difference(small(), small()) == ()


def test_the_first_catalog_adds_everything() -> None:
    changes = difference(None, small())
    assert {each.action for each in changes} == {"added"}
    assert len(changes) == len(list(small().items()))


def test_a_changed_field_is_named_with_its_path() -> None:
    (change,) = difference(small(), small("{en: Ten off, es: Diez menos}", "{en: Ten off you, es: Diez menos}"))
    assert (change.action, change.item_kind, change.key) == ("changed", "incentive", "off")
    assert change.fields == (FieldChange("title.en", "Ten off", "Ten off you"),)
    assert str(change) == 'changed incentive off\n    title.en: "Ten off" → "Ten off you"'


def test_a_field_that_comes_or_goes_was_or_becomes_none() -> None:
    (change,) = difference(small(), small("    remainder: new_voucher\n", ""))
    assert change.fields == (FieldChange("remainder", "new_voucher", None),)
    (change,) = difference(small(), small("    percent: 10\n", "    percent: 10\n    active: false\n"))
    assert change.fields == (FieldChange("active", None, False),)


def test_writing_out_a_default_changes_nothing() -> None:
    assert difference(small(), small("    percent: 10\n", "    percent: 10\n    expiry: end_of_local_day\n")) == ()


def test_an_item_that_goes_and_one_that_comes_are_told() -> None:
    other = "{key: lounge, name: Lounge}"
    changes = difference(small(), parse(added("teams", other)))
    assert [(each.action, each.key) for each in changes] == [("added", "lounge")]
    changes = difference(parse(added("teams", other)), small())
    assert [(each.action, each.key) for each in changes] == [("removed", "lounge")]


def test_a_new_order_is_a_change_because_the_tablet_shows_it() -> None:
    words = "  - {key: gone, label: {en: Gone, es: Ido}, icon: other, severity: 1, active: false}\n"
    moved = changed("issue_tags:\n", f"issue_tags:\n{words}", changed(words, ""))
    (change,) = difference(small(), parse(moved))
    assert str(change) == "reordered issue tag"
    assert parse(moved).digest != small().digest


def test_moving_the_brands_zone_shows_as_a_change_of_its_budgets() -> None:
    changes = difference(
        small(),
        small("default_language: en\n  time_zone: Europe/London", "default_language: en\n  time_zone: Asia/Tokyo"),
    )
    assert [each.key for each in changes] == ["brand", "all", "each-team"]


def test_a_currency_without_money_is_warned_of() -> None:
    assert any("holds money in USD" in each for each in warnings_of(small()))
    assert not any("holds money in GBP" in each for each in warnings_of(small()))
    counted = small(
        "scope: organization, currency: GBP, period: month, cap_minor: 100000",
        "scope: organization, period: month, cap_count: 9",
    )
    assert any("holds money in GBP" in each for each in warnings_of(counted))


def test_what_nothing_uses_and_what_nothing_covers_is_warned_of() -> None:
    unused = added("incentives", "{key: hug, kind: apology_only, title: {en: Hug, es: Abrazo}}")
    assert any("“hug”" in each for each in warnings_of(parse(unused)))
    uncovered = warnings_of(small('issue_tag: "*"', "issue_tag: very-late"))
    assert [each for each in uncovered if "covers" in each] == [
        "No protocol always covers the issue tag “flight”. Add one, or one for everything."
    ]


def test_a_default_that_is_switched_off_is_warned_of() -> None:
    warnings = warnings_of(small("{key: words, kind: apology_only,", "{key: words, kind: apology_only, active: false,"))
    assert any("default of the protocol “everything” is not active" in each for each in warnings)


def test_a_role_without_a_limit_is_warned_of() -> None:
    warnings = warnings_of(small())
    assert any("supervisor has no approval limit in GBP" in each for each in warnings)
    assert not any("frontline has no approval limit in GBP" in each for each in warnings)


def test_the_demo_catalog_gives_nothing_to_warn_of() -> None:
    assert warnings_of(parse(DEMO.read_bytes())) == ()


def test_a_persons_limit_stands_in_for_the_roles() -> None:
    catalog = small()
    own = catalog.approval_limit(role="frontline", email="ANA@example.com ", currency="GBP")
    assert own is not None
    assert own.unlimited
    other = catalog.approval_limit(role="frontline", email="bo@example.com", currency="GBP")
    assert other is not None
    assert other.per_voucher_minor == 2000
    assert catalog.approval_limit(role="frontline", email=None, currency="EUR") is None
