"""Which protocol covers a trouble: the nearer tag first, then severity, location, segment; and why."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.catalog.catalog import Catalog
from incentives.catalog.document import parse
from incentives.catalog.protocols import FARTHER_TAG, LESS_SPECIFIC, Loser, resolve
from incentives.kernel.errors import NoProtocol, UnknownIssueTag, UnknownLocation
from tests.unit.catalog_files import SMALL, added, changed

Covers = tuple[str, int | None, str | None, str | None]

_REST = "script: sorry, steps: [fix], incentives: [off], default: off"
_COVERS = [
    (tag, severity, location, segment)
    for tag in ("*", "flight", "late", "very-late")
    for severity in (None, 4)
    for location in (None, "london")
    for segment in (None, "gold")
]


def catalog_with(covers: list[Covers]) -> Catalog:
    """Return a catalog whose protocols, named p0, p1 …, cover just what is given."""
    text = changed(SMALL[SMALL.index("protocols:\n") + 11 : SMALL.index("budgets:")], "")
    for number, (tag, severity, location, segment) in reversed(list(enumerate(covers))):
        keys = {"severity": severity, "location": location, "segment": segment}
        named = "".join(f"{name}: {value}, " for name, value in keys.items() if value is not None)
        text = added("protocols", f'{{key: p{number}, issue_tag: "{tag}", {named}{_REST}}}', text)
    return parse(text)


def test_the_protocol_of_the_tag_itself_is_found() -> None:
    found = resolve(parse(SMALL), issue_tag="late", severity=None, location=None, segment=None)
    assert found.protocol.key == "late"
    assert found.severity == 3
    assert found.matched == {"issue_tag": "late"}
    assert found.losers == (Loser("everything", FARTHER_TAG),)


def test_a_finer_tag_inherits_from_its_parent() -> None:
    assert resolve(parse(SMALL), issue_tag="very-late", severity=1, location=None, segment=None).protocol.key == "late"


def test_what_no_protocol_names_is_covered_by_the_one_for_everything() -> None:
    found = resolve(parse(SMALL), issue_tag="flight", severity=None, location=None, segment=None)
    assert found.protocol.key == "everything"
    assert found.matched == {"issue_tag": "*"}


def test_a_nearer_tag_wins_over_a_farther_one_that_names_everything_else() -> None:
    catalog = catalog_with([("flight", 4, "london", "gold"), ("late", None, None, None)])
    found = resolve(catalog, issue_tag="very-late", severity=4, location="london", segment="gold")
    assert found.protocol.key == "p1"
    assert found.losers == (Loser("p0", FARTHER_TAG),)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (("late", 4, None, None), ("late", None, "london", "gold")),
        (("late", None, "london", None), ("late", None, None, "gold")),
        (("late", 4, "london", None), ("late", 4, None, "gold")),
        (("late", None, None, "gold"), ("late", None, None, None)),
    ],
)
def test_severity_counts_before_location_and_location_before_segment(better: Covers, worse: Covers) -> None:
    found = resolve(catalog_with([worse, better]), issue_tag="late", severity=4, location="london", segment="gold")
    assert found.protocol.key == "p1"
    assert found.losers == (Loser("p0", LESS_SPECIFIC),)


def test_the_severity_of_the_tag_counts_where_nobody_says_another() -> None:
    catalog = catalog_with([("*", None, None, None), ("late", 4, None, None)])
    assert resolve(catalog, issue_tag="very-late", severity=None, location=None, segment=None).protocol.key == "p1"
    assert resolve(catalog, issue_tag="late", severity=None, location=None, segment=None).protocol.key == "p0"


def test_a_trouble_that_nothing_covers_is_refused() -> None:
    catalog = catalog_with([("late", 4, None, None)])
    with pytest.raises(NoProtocol) as refused:
        resolve(catalog, issue_tag="late", severity=2, location=None, segment=None)
    assert refused.value.facts == {"field": "issue_tag", "issue_tag": "late", "severity": 2}


@pytest.mark.parametrize("tag", ["nothing", "gone", "*", ""])
def test_an_unknown_or_retired_tag_is_refused(tag: str) -> None:
    with pytest.raises(UnknownIssueTag) as refused:
        resolve(parse(SMALL), issue_tag=tag, severity=None, location=None, segment=None)
    assert refused.value.facts["field"] == "issue_tag"


def test_an_unknown_location_is_refused() -> None:
    with pytest.raises(UnknownLocation):
        resolve(parse(SMALL), issue_tag="late", severity=None, location="paris", segment=None)


@given(
    covers=st.lists(st.sampled_from(_COVERS), unique=True, min_size=1, max_size=8),
    severity=st.sampled_from([1, 4]),
    location=st.sampled_from([None, "london", "new-york"]),
    segment=st.sampled_from([None, "gold"]),
)
def test_the_order_of_the_file_never_decides(
    covers: list[Covers],
    severity: int,
    location: str | None,
    segment: str | None,
) -> None:
    found: set[Covers | None] = set()
    for order in itertools.islice(itertools.permutations(covers), 0, 720, 400):
        try:
            one = resolve(
                catalog_with(list(order)), issue_tag="very-late", severity=severity, location=location, segment=segment
            )
        except NoProtocol:
            found.add(None)
        else:
            protocol = one.protocol
            found.add((protocol.issue_tag, protocol.severity, protocol.location, protocol.segment))
            assert protocol.severity in (None, severity)
            assert protocol.location in (None, location)
            assert protocol.segment in (None, segment)
    assert len(found) == 1
