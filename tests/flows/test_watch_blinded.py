"""Whoever owns the database cannot keep the watch over the books from seeing by damaging what it reads."""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.books.tables import audit_events, books_checks
from incentives.flows import watch_books
from incentives.flows.seal import seal_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import StorageUnavailable
from incentives.messages.tables import outbox_messages
from incentives.queries.books_verify import Known, verify_books
from incentives.queries.health import readiness
from incentives.safeguards.tables import switches
from tests.flows import guards
from tests.flows.shop import Shop, named
from tests.world import person

ZEROS, ENDS = "0" * 32, "f" * 32
NOT_UTF_8 = "CAST(x'ff' AS TEXT)"
# Each with the seal that it damages, of three.
ON_BOTH = {
    "UPDATE seal_parts SET columns = '5' WHERE seal_number = 2": 2,
    "UPDATE seal_parts SET columns = '{' WHERE seal_number = 3": 3,
    "UPDATE seals SET at = 'infinity' WHERE number = 1": 1,
    "UPDATE seals SET at = 'infinity' WHERE number = 3": 3,
    f"UPDATE seal_parts SET first_id = '{ZEROS}' WHERE seal_number = 3": 3,
    f"UPDATE seal_parts SET last_id = '{ENDS}' WHERE seal_number = 3": 3,
    "UPDATE seals SET hash = '', previous_hash = 'none', signature = 'x' WHERE number = 2": 2,
    "UPDATE seal_parts SET content = SUBSTR(content, 2) WHERE seal_number = 3": 3,
}
ON_SQLITE = {
    "UPDATE seals SET number = 'x' WHERE number = 3": 3,
    "UPDATE seals SET hash = x'00' WHERE number = 2": 2,
    "UPDATE seals SET signature = x'00' WHERE number = 3": 3,
    f"UPDATE seals SET key_id = {NOT_UTF_8} WHERE number = 2": 2,
    "UPDATE seal_parts SET row_count = 'x' WHERE seal_number = 3": 3,
    "UPDATE seal_parts SET first_id = 'x', last_id = 'zz' WHERE seal_number = 3": 3,
    "UPDATE seal_parts SET content = 'x' WHERE seal_number = 3": 3,
    f"UPDATE seal_parts SET columns = {NOT_UTF_8} WHERE seal_number = 3": 3,
    "UPDATE seal_parts SET seal_number = 'x' WHERE seal_number = 3": 3,
}
ON_POSTGRESQL = {
    "UPDATE seals SET at = '4000-01-01 BC' WHERE number = 2": 2,
}
UNREADABLE = (
    "DROP TABLE seal_parts",
    "ALTER TABLE seals RENAME COLUMN at TO since",
    "ALTER TABLE ledger_entries RENAME COLUMN kind TO sort",
)


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """Books with three seals, the first of which was verified; nothing guards them any more."""
    shop = open_shop(INCENTIVES_BOOKS_BREACH_STOPS_ISSUING="yes")
    person(shop.core, "finance")
    for number in range(3):
        shop.issue(customer=named(f"c{number}@example.com"))
        shop.later(seconds=10)
        assert seal_due(core=shop.core)
        assert watch(shop) is (None if number else True)
    guards.take_away(shop.core, "seals", "seal_parts")
    return shop


def watch(shop: Shop) -> bool | None:
    return watch_books.watch_books(core=shop.core)


def damage(shop: Shop, statement: str) -> None:
    with shop.core.database.write() as tx:
        if shop.core.database.sqlite:
            tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            tx.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
            if "SET seal_number" in statement or "SET number" in statement:
                tx.exec_driver_sql("DELETE FROM seal_parts WHERE seal_number = 3")  # or their seal must stay
        tx.exec_driver_sql(statement)


def emails(shop: Shop) -> list[Any]:
    return shop.all(outbox_messages, outbox_messages.c.template == "notice-books")


def books_part(shop: Shop) -> tuple[str, str]:
    (part,) = [each for each in readiness(core=shop.core) if each.name == "books"]
    return part.status, part.detail


def assert_told(shop: Shop) -> None:
    latest = shop.all(books_checks)[-1]
    assert latest.ended_at is not None
    assert latest.holds is False
    assert latest.broken
    assert books_part(shop)[0] == "degraded"
    assert len(emails(shop)) == 1
    assert len(shop.all(switches)) == 1
    assert shop.one(audit_events, audit_events.c.action == "books.broken").facts["broken"] == latest.broken


@pytest.mark.parametrize(
    ("backend", "statement", "number"),
    [
        *((backend, *each) for backend in ("sqlite", "postgresql") for each in ON_BOTH.items()),
        *(("sqlite", *each) for each in ON_SQLITE.items()),
        *(("postgresql", *each) for each in ON_POSTGRESQL.items()),
    ],
)
def test_a_damaged_seal_is_named_and_told(shop: Shop, statement: str, number: int) -> None:
    (known,) = [Known(row.seal_number, row.seal_hash) for row in shop.all(books_checks)]
    damage(shop, statement)
    whole = verify_books(core=shop.core, actor=SYSTEM)
    assert number in {fault.seal_number for fault in whole.faults}, whole.faults
    if number > known.number:
        new = verify_books(core=shop.core, actor=SYSTEM, known=known, only_new=True)
        assert number in {fault.seal_number for fault in new.faults}, new.faults
    shop.later(hours=1 if number > known.number else 24)
    assert watch(shop) is False
    assert_told(shop)


@pytest.mark.parametrize("statement", UNREADABLE)
def test_books_that_cannot_be_read_are_told(shop: Shop, statement: str) -> None:
    damage(shop, statement)
    shop.later(hours=24)
    assert watch(shop) is False
    assert_told(shop)


def test_one_proof_that_never_ends_is_begun_again_and_two_are_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_given: Any) -> None:
        raise StorageUnavailable

    def fails() -> None:
        shop.later(hours=1)
        with monkeypatch.context() as patch:
            patch.setattr(watch_books, "check_books", away)
            with pytest.raises(StorageUnavailable):
                watch(shop)

    fails()
    shop.later(hours=1)
    assert watch(shop) is True, "the worker may have been stopped"
    fails()
    fails()
    assert emails(shop) == []
    fails()
    assert len(emails(shop)) == 1
    assert len(shop.all(switches)) == 1
    assert books_part(shop)[0] == "degraded"
    fails()
    assert len(emails(shop)) == 1, "it stays told"
    shop.later(hours=1)
    assert watch(shop) is True
    assert books_part(shop)[0] == "ok"


def test_a_proof_of_the_time_to_come_keeps_none_from_being_made(shop: Shop) -> None:
    shop.later(hours=1)
    now = shop.clock.now()
    with shop.core.database.write() as tx:
        forged = {"id": shop.core.ids.new(now), "due_at": now.replace(year=9000), "started_at": now, "whole": True}
        tx.execute(books_checks.insert(), forged)
    damage(shop, "UPDATE seals SET hash = 'x' WHERE number = 3")
    assert watch(shop) is False


def test_an_old_proof_says_nothing_of_today(shop: Shop) -> None:
    shop.later(hours=2)
    assert books_part(shop)[0] == "ok"
    shop.later(hours=1)
    status, detail = books_part(shop)
    assert (status, detail.startswith("held when"), detail.endswith("were not since")) == ("degraded", True, True)
    assert watch(shop) is True
    assert books_part(shop)[0] == "ok"


def test_sealed_books_that_are_never_proved_are_told(shop: Shop) -> None:
    with shop.core.database.write() as tx:
        tx.execute(books_checks.delete())
    assert books_part(shop) == ("ok", "were not proved yet")
    shop.later(hours=3)
    assert books_part(shop) == ("degraded", "were not proved yet")


def test_what_cannot_be_read_of_the_proofs_is_told(shop: Shop) -> None:
    with shop.core.database.write() as tx:
        tx.exec_driver_sql("UPDATE books_checks SET started_at = 'infinity'")
    status, detail = books_part(shop)
    assert (status, detail.startswith("cannot be told of")) == ("degraded", True)
