"""docs/catalog.md says what the reader of catalog files does."""

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from incentives.catalog.conditions import FACTS, OFFER, REDEEM
from incentives.catalog.definitions import (
    CLOCKS,
    EVENTS,
    FEEDBACK_KINDS,
    OUR_SOURCES,
    QUESTIONS,
    SCALES,
    TASK_KINDS,
    RecoveryPolicy,
)
from incentives.catalog.difference import warnings_of
from incentives.catalog.document import parse
from incentives.catalog.incentive import FIELDS_OF_KIND, IncentiveKind
from incentives.catalog.reading import ICONS, SCOPES, STEPS
from incentives.catalog.reading_criteria import MODES, THEN, WHEN
from incentives.catalog.reading_recovery import RECOVERY_FIELDS, RESURVEY_AFTER
from incentives.catalog.reading_safeguards import SIGNALS
from incentives.catalog.reading_sources import OUR_FIELDS
from incentives.catalog.scripts import PLACEHOLDERS
from incentives.safeguards import signals

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "catalog.md").read_text(encoding="utf-8")


def test_the_examples_are_catalogs_without_mistakes_or_warnings() -> None:
    small, recovery = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
    assert warnings_of(parse(small)) == ()
    assert warnings_of(parse(small + recovery)) == ()


def test_the_example_of_hours_is_understood() -> None:
    small, *_ = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
    (hours,) = re.findall(r"```\n(hours:\n.*?)```", DOCS, flags=re.DOTALL)
    brand = f"brand:\n{''.join(f'  {line}' for line in hours.splitlines(keepends=True))}"
    catalog = parse(small.replace("brand:\n", brand, 1))
    assert catalog.brand.hours == {"monday": ("08:00", "18:30"), "saturday": ("10:00", "24:00")}


@pytest.mark.parametrize("kind", IncentiveKind)
def test_the_table_names_the_fields_of_each_kind(kind: str) -> None:
    (row,) = re.findall(rf"^\| [^|]*`{kind}`.*$", DOCS, flags=re.MULTILINE)
    _, _, needs, may, *_ = row.split("|")
    shared = table("field of every kind")
    shared |= table("field of what is redeemed") if kind != IncentiveKind.APOLOGY_ONLY else set()
    in_no_sale = (IncentiveKind.APOLOGY_ONLY, IncentiveKind.REFUND_REQUEST)
    shared |= table("field of what is used in a sale") if kind not in in_no_sale else set()
    assert set(re.findall(r"`([a-z_]+)`", needs)) | {"key", "kind", "title"} == set(FIELDS_OF_KIND[kind].required)
    assert set(re.findall(r"`([a-z_]+)`", may)) | shared == set(FIELDS_OF_KIND[kind].optional)


def table(heading: str) -> set[str]:
    """Return the fields that a table names in its first column."""
    rows = DOCS[DOCS.index(f"| {heading} |") :].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `([a-z_.…]+)` \|", rows, flags=re.MULTILINE))


def test_the_table_of_facts_is_complete_and_right() -> None:
    rows = DOCS[DOCS.index("| fact | type |") :].split("\n\n", 1)[0]
    told = {
        name: (kind, tuple(when.split(", ")))
        for name, kind, when in re.findall(r"^\| `([a-z_.]+)` \| (\w+) \| ([a-z, ]+) \|$", rows, flags=re.MULTILINE)
    }
    words = {OFFER: "offering", REDEEM: "redeeming"}
    assert told == {name: (fact.type, tuple(words[each] for each in fact.stages)) for name, fact in FACTS.items()}


def test_the_examples_of_conditions_and_policies_are_understood() -> None:
    small, *_ = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
    (when,) = re.findall(r"```\n(offer_when:\n.*?)```", DOCS, flags=re.DOTALL)
    (policies,) = re.findall(r"```\n(approval_policies:\n.*?)```", DOCS, flags=re.DOTALL)
    inside = "".join(f"    {line}" for line in when.splitlines(keepends=True))
    text = small.replace("    valid_days: 90\n", f"    valid_days: 90\n{inside}", 1)
    text += "segments: [gold]\nmetadata_fields:\n  - {of: customer, name: lifetime_value, type: number}\n" + policies
    catalog = parse(text)
    assert list(catalog.incentives["ten-off"].offer_when) == ["all"]
    assert len(catalog.approval_policies["large"].levels) == 2


def test_the_signals_are_named_as_the_safeguards_name_them() -> None:
    named = DOCS[DOCS.index("Signals:") :].split(".", 1)[0]
    assert set(re.findall(r"`([a-z_]+)`", named)) == set(SIGNALS) == set(signals.NAMES)


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Icons:", ICONS),
        ("Steps,", STEPS),
        ("Placeholders:", PLACEHOLDERS),
        ("- `scope`:", SCOPES),
        ("Kinds:", FEEDBACK_KINDS),
        ("Scales:", SCALES),
        ("Events:", EVENTS),
    ],
)
def test_each_list_of_words_is_complete(heading: str, words: tuple[str, ...]) -> None:
    listed = DOCS[DOCS.index(heading) :].split(".", 1)[0]
    assert set(re.findall(r"`\{?([a-z_0-9]+)\}?`", listed)) - {"scope"} == set(words)


@pytest.mark.parametrize(
    ("after", "names"),
    [
        ("What happens in the case", RECOVERY_FIELDS),
        ("## recovery", [each.name for each in fields(RecoveryPolicy)]),
        ("`fields` says where", OUR_FIELDS),
        ("## criteria", WHEN),
        ("`then` has at least one deed", THEN),
    ],
)
def test_each_table_has_a_row_for_each_field(after: str, names: Iterable[str]) -> None:
    table = re.search(r"(?:^\|.*\n)+", DOCS[DOCS.index(after) :], flags=re.MULTILINE)
    assert table is not None
    assert sorted(re.findall(r"^\| `([a-z_.]+)` \|", table[0], flags=re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("questions", QUESTIONS),
        ("clocks", CLOCKS),
        ("tasks", (*TASK_KINDS, "kind", "title", "due_hours")),
        ("resurvey_after", RESURVEY_AFTER),
        ("resurvey_scale", SCALES),
    ],
)
def test_the_words_of_a_field_are_complete(field: str, words: tuple[str, ...]) -> None:
    (row,) = re.findall(rf"^\| `{field}` \|(.*)$", DOCS, flags=re.MULTILINE)
    assert set(re.findall(r"`([a-z_0-9]+)`", row)) == set(words)


def test_the_defaults_of_the_policy_are_right() -> None:
    table = DOCS[DOCS.index("## recovery") : DOCS.index("## sources")]
    told = dict(re.findall(r"^\| `([a-z_]+)` \|.*\| (\d+|true) \|$", table, flags=re.MULTILINE))
    defaults = {each.name: getattr(RecoveryPolicy(), each.name) for each in fields(RecoveryPolicy)}
    plain = {name: value for name, value in defaults.items() if isinstance(value, int)}
    assert told == {name: "true" if value is True else str(value) for name, value in plain.items()}


def test_our_own_sources_and_the_modes_are_named() -> None:
    for name in (*OUR_SOURCES, *MODES):
        assert f"`{name}`" in DOCS
