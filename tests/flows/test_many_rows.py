"""Many rows at once mean what each by itself would, whatever they have in common and however many there are."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.database import JsonColumn, UtcDateTime
from incentives.kernel.many import insert_absent, insert_many, update_many
from tests.flows.shop import Shop

AT = datetime(2026, 3, 1, 12, 30, 15, 250, tzinfo=UTC)

things = sa.Table(
    "many_things",
    sa.MetaData(),
    sa.Column("number", sa.Integer(), primary_key=True),
    sa.Column("text", sa.Text()),
    sa.Column("so", sa.Boolean()),
    sa.Column("facts", JsonColumn),
    sa.Column("at", UtcDateTime()),
    sa.Column("count", sa.Integer(), nullable=False, server_default="7"),
)


@pytest.fixture
def tx(shop: Shop) -> Iterator[Connection]:
    """A transaction in which there is a table for all kinds of values; nothing of it stays."""
    with shop.core.database.engine.connect() as connection, connection.begin() as begun:
        things.create(connection)
        yield connection
        begun.rollback()


def all_of(tx: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(sa.select(things).order_by(things.c.number)).mappings()]


@pytest.mark.parametrize("rows", [1, 49, 50, 300])
@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"text": None},
        {"text": "a \"quoted\" 'one', {and} ünd \\ more"},
        {"so": None},
        {"facts": {"a": True}},
        {"facts": {"a": 1.0}},
        {"at": None},
    ],
)
def test_rows_that_have_much_in_common_are_what_each_of_them_says(
    tx: Connection, rows: int, odd: dict[str, Any]
) -> None:
    """One row in the middle differs in one column from what all the others have in common."""
    alike = {"text": "100%", "so": True, "facts": {"a": 1}, "at": AT}
    made = [{"number": number, **alike, **(odd if number == rows // 2 else {})} for number in range(rows)]
    insert_many(tx, things, made)
    assert repr(all_of(tx)) == repr([{**row, "count": 7} for row in made])


def test_of_rows_that_are_there_only_the_others_are_inserted(tx: Connection) -> None:
    insert_many(tx, things, [{"number": number, "text": "before"} for number in range(0, 100, 2)])
    new = insert_absent(tx, things, ("number",), [{"number": number, "text": "after"} for number in range(100)])
    assert new == {(number,) for number in range(1, 100, 2)}
    assert [row["text"] for row in all_of(tx)] == ["before", "after"] * 50


@pytest.mark.parametrize("rows", [3, 80])
def test_rows_are_changed_alike_and_each_by_itself(tx: Connection, rows: int) -> None:
    insert_many(tx, things, [{"number": number, "text": "before"} for number in range(rows)])
    changes = [{"number": number, "text": "after", "so": None, "count": number} for number in range(1, rows)]
    update_many(tx, things, changes, by=("number",), to=("text", "so"), add=("count",))
    assert [(row["text"], row["so"], row["count"]) for row in all_of(tx)] == [
        ("before", None, 7),
        *(("after", None, 7 + number) for number in range(1, rows)),
    ]


def test_an_instant_without_a_zone_is_a_bug_wherever_it_stands(tx: Connection) -> None:
    made = [{"number": number, "at": AT if number != 60 else AT.replace(tzinfo=None)} for number in range(100)]
    with pytest.raises((TypeError, sa.exc.StatementError), match="naive"):
        insert_many(tx, things, made)
