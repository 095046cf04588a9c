"""The model beside the books shares nothing with them, is small, and sees when one cent is elsewhere."""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from tests.databases import SqliteDatabases
from tests.machines import recount
from tests.machines.agreement import balances_of, disagreements, pots_of
from tests.machines.lives import Life, one_by_dice, opened
from tests.machines.lives_catalog import lives_catalog
from tests.machines.recount import Recount

LINES_MOST = 200
DEEDS, DEEDS_MOST = 400, 2000

# The amount in each event of money, without which a model could not recount it.
AMOUNTS = {
    "voucher.issued": "amount_minor",
    "approval.requested": "amount_minor",
    "approval.granted": "amount_minor",
    "approval.declined": "amount_minor",
    "approval.withdrawn": "amount_minor",
    "approval.expired": "amount_minor",
    "voucher.redeemed": "spent_minor",
    "redemption.reversed": "owed_again_minor",
    "voucher.expired": "amount_minor",
    "voucher.voided": "amount_minor",
    "voucher.adjusted": "delta_minor",
}


def test_it_is_small_and_knows_nothing_but_the_standard_library() -> None:
    text = Path(recount.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES_MOST
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert imported <= sys.stdlib_module_names
    assert not {"importlib", "subprocess", "sqlite3", "runpy"} & imported


@pytest.fixture(scope="module")
def lived(sqlite: SqliteDatabases) -> Iterator[Life]:
    """A shop in which all kinds of things have happened."""
    url = sqlite.new()
    life = opened(url, count_one_in=50, dump_one_in=400)
    life.dice = Random(2026)
    while AMOUNTS.keys() - {each["action"] for each in _events(life)}:  # which it takes depends on what is refused
        assert sum(life.done.values()) < DEEDS_MOST, "something never happens"
        for _ in range(DEEDS):
            one_by_dice(life)
    life.issue()
    yield life
    life.core.database.dispose()
    sqlite.drop(url)


def _events(life: Life) -> list[dict[str, Any]]:
    with life.core.database.read() as tx:
        rows = tx.execute(sa.select(audit_events).order_by(audit_events.c.id)).mappings()
        return [{str(name): value for name, value in row.items()} for row in rows]


def _wrong(life: Life, events: Sequence[dict[str, Any]]) -> list[str]:
    model = Recount(lives_catalog())
    model.tell(events)
    return disagreements(model, pots_of(life.core), balances_of(life.core))


def _more(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {**event, "facts": {**event["facts"], name: event["facts"][name] + 1}}


def test_it_agrees_with_the_books(lived: Life) -> None:
    assert _wrong(lived, _events(lived)) == []


@pytest.mark.parametrize("action", AMOUNTS)
def test_it_sees_a_cent_that_an_event_has_too_much(lived: Life, action: str) -> None:
    events = _events(lived)
    places = [place for place, each in enumerate(events) if each["action"] == action]
    assert places, "nothing of the kind has happened"
    # A request that was decided since holds nothing any more, whatever it was for.
    assert any(
        _wrong(lived, [*events[:place], _more(events[place], AMOUNTS[action]), *events[place + 1 :]])
        for place in reversed(places)
    )


@pytest.mark.parametrize("action", AMOUNTS)
def test_it_sees_an_event_that_is_missing(lived: Life, action: str) -> None:
    events = _events(lived)
    place = max(place for place, each in enumerate(events) if each["action"] == action)
    try:
        wrong = _wrong(lived, [*events[:place], *events[place + 1 :]])
    except KeyError:
        return  # What was undone later was never done: it sees that at once.
    assert wrong


def test_it_sees_a_pot_and_an_account_that_it_does_not_know() -> None:
    model = Recount(lives_catalog())
    assert disagreements(model, {}, {}) == []
    assert disagreements(model, {("all", "organization", "2026-01-01"): {"held_minor": 1}}, {})
    assert disagreements(model, {}, {("breakage", "GBP"): -1})
