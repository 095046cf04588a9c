"""The worker proves the books by itself, tells of a breach once, and stops issuing where it should."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events, books_checks, seal_parts, seals
from incentives.flows import watch_books
from incentives.flows.seal import seal_due
from incentives.flows.watch_books import WHOLE_EVERY
from incentives.kernel.actors import Actor
from incentives.kernel.errors import IssuingStopped
from incentives.messages.port import BooksLetter
from incentives.messages.tables import outbox_messages
from incentives.queries.books_seals import list_checks
from incentives.queries.health import readiness
from incentives.safeguards.tables import switches
from incentives.vouchers.tables import vouchers
from tests.flows.shop import Shop
from tests.world import person


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    shop = open_shop()
    shop.issue()
    shop.later(seconds=10)
    assert seal_due(core=shop.core)
    return shop


def watch(shop: Shop) -> bool | None:
    return watch_books.watch_books(core=shop.core)


def next_hour(shop: Shop) -> None:
    shop.issue()
    shop.later(hours=1)
    while seal_due(core=shop.core):
        pass


def break_a_voucher(shop: Shop, amount_minor: int) -> None:
    with shop.core.database.write() as tx:
        tx.execute(vouchers.update().values(amount_minor=amount_minor))


def alter_the_trail(shop: Shop) -> str:
    """Change the first audit event, as somebody who may drop triggers would; return its id."""
    with shop.core.database.write() as tx:
        if shop.core.database.sqlite:
            tx.exec_driver_sql("DROP TRIGGER audit_events_no_update")
        else:
            tx.exec_driver_sql("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
        first = tx.execute(sa.select(audit_events.c.id).order_by(audit_events.c.id).limit(1)).scalar_one()
        tx.execute(audit_events.update().where(audit_events.c.id == first).values(actor_name="Nobody"))
    return str(first)


def emails(shop: Shop) -> list[Any]:
    return shop.all(outbox_messages, outbox_messages.c.template == "notice-books")


def books_part(shop: Shop) -> tuple[str, str]:
    (part,) = [each for each in readiness(core=shop.core) if each.name == "books"]
    return part.status, part.detail.partition(" when")[0]


def test_books_that_hold_are_proved_once_an_hour_and_whole_once_a_day(shop: Shop) -> None:
    assert books_part(shop) == ("ok", "were not proved yet")
    assert watch(shop) is True
    assert watch(shop) is None, "not due"
    assert books_part(shop) == ("ok", "held")
    next_hour(shop)
    assert watch(shop) is True
    first, second = shop.all(books_checks)
    assert (first.whole, second.whole) == (True, False)
    assert (first.seal_number, second.seal_number) == (1, 2)
    shop.later(seconds=WHOLE_EVERY.total_seconds())
    assert watch(shop) is True
    third = shop.all(books_checks)[-1]
    assert (third.whole, third.seal_number) == (True, 2)
    assert emails(shop) == []


def test_a_check_of_what_is_new_looks_at_no_more(shop: Shop) -> None:
    assert watch(shop) is True
    next_hour(shop)
    altered = alter_the_trail(shop)
    assert watch(shop) is True, "it was sealed before, and verified"
    shop.later(seconds=WHOLE_EVERY.total_seconds())
    assert watch(shop) is False
    (line,) = list_checks(core=shop.core, actor=shop_auditor(shop))[0].broken
    assert line == f"audit_events {altered}, seal 1: is not as it was sealed"


def shop_auditor(shop: Shop) -> Actor:
    return person(shop.core, "auditor")


def test_a_seal_that_was_verified_and_is_gone_is_told(shop: Shop) -> None:
    next_hour(shop)
    assert watch(shop) is True
    with shop.core.database.write() as tx:
        for table in (seal_parts, seals):
            if shop.core.database.sqlite:
                tx.exec_driver_sql(f"DROP TRIGGER {table.name}_no_delete")
            else:
                tx.exec_driver_sql(f"ALTER TABLE {table.name} DISABLE TRIGGER {table.name}_append_only")
        tx.execute(seal_parts.delete().where(seal_parts.c.seal_number == 2))
        tx.execute(seals.delete().where(seals.c.number == 2))
    shop.later(hours=1)
    assert watch(shop) is False
    assert "seal 2: is gone or is another one" in shop.all(books_checks)[-1].broken[0]


def test_a_breach_is_told_once_to_whoever_minds_the_money_until_the_books_held_again(shop: Shop) -> None:
    finance = person(shop.core, "finance")
    person(shop.core, "frontline", email="fay@example.com")
    assert watch(shop) is True
    amount = shop.one(vouchers).amount_minor
    break_a_voucher(shop, amount + 1)
    shop.later(hours=1)
    assert watch(shop) is False
    assert books_part(shop) == ("degraded", "did not hold")
    assert [row.user_id for row in emails(shop)] == [finance.id]
    assert shop.one(audit_events, audit_events.c.action == "books.broken").facts["broken"]
    shop.later(hours=1)
    assert watch(shop) is False
    assert len(emails(shop)) == 1, "it stays told"
    assert shop.all(books_checks)[-1].whole, "after a breach each is whole"
    break_a_voucher(shop, amount)
    shop.later(hours=1)
    assert watch(shop) is True
    break_a_voucher(shop, amount + 1)
    shop.later(hours=1)
    assert watch(shop) is False
    assert len(emails(shop)) == 2
    shop.deliver()
    sent: list[Any] = [*shop.sender("email").letters]
    letters: list[Any] = [each for each in sent if isinstance(each, BooksLetter)]
    assert len(letters) == 2
    assert letters[0].to == finance.email
    assert any("is worth" in line or "are worth" in line for line in letters[0].broken)
    assert shop.all(switches) == []


def test_a_breach_stops_issuing_where_the_settings_say_so(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(INCENTIVES_BOOKS_BREACH_STOPS_ISSUING="yes")
    shop.issue()
    break_a_voucher(shop, 1)
    assert watch(shop) is False
    with pytest.raises(IssuingStopped, match="The books do not hold"):
        shop.issue()
    shop.later(hours=1)
    assert watch(shop) is False
    assert len(shop.all(switches)) == 1
