"""docs/catalog.md says what the reader of catalog files does."""

import re
from pathlib import Path

import pytest

from incentives.catalog.difference import warnings_of
from incentives.catalog.document import parse
from incentives.catalog.incentive import FIELDS_OF_KIND, IncentiveKind
from incentives.catalog.reading import ICONS, SCOPES, STEPS
from incentives.catalog.scripts import PLACEHOLDERS

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "catalog.md").read_text(encoding="utf-8")


def test_the_example_is_a_catalog_without_mistakes_or_warnings() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)
    assert warnings_of(parse(example)) == ()


@pytest.mark.parametrize("kind", IncentiveKind)
def test_the_table_names_the_fields_of_each_kind(kind: str) -> None:
    (row,) = re.findall(rf"^\| [^|]*`{kind}`.*$", DOCS, flags=re.MULTILINE)
    _, _, needs, may, *_ = row.split("|")
    every_kind = {"key", "kind", "title", "active", "locations", "offerable_from_date", "offerable_until_date"}
    assert set(re.findall(r"`([a-z_]+)`", needs)) == set(FIELDS_OF_KIND[kind].required) - every_kind
    assert set(re.findall(r"`([a-z_]+)`", may)) == set(FIELDS_OF_KIND[kind].optional) - every_kind


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Icons:", ICONS), ("Steps,", STEPS), ("Placeholders:", PLACEHOLDERS), ("- `scope`:", SCOPES)],
)
def test_each_list_of_words_is_complete(heading: str, words: tuple[str, ...]) -> None:
    listed = DOCS[DOCS.index(heading) :].split(".", 1)[0]
    assert set(re.findall(r"`\{?([a-z_]+)\}?`", listed)) - {"scope"} == set(words)
