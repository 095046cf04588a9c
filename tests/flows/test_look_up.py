"""Looking a voucher up changes nothing; a code that nobody was given is counted with those that were redeemed."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.flows.look_up import look_up
from incentives.flows.watch_codes import watch_codes
from incentives.kernel.actors import Actor
from incentives.kernel.errors import CodeMalformed, InputInvalid, Refusal, VoucherNotFound
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import redemption_attempts
from tests.flows.guarded import suspicious
from tests.flows.shop import Shop, moved

UNKNOWN = "0000-0000-0000-0"
ALARM = {"count": 3, "minutes": 15, "action": "allow"}


def miss(shop: Shop, by: Actor | None = None, refusal: type[Refusal] = VoucherNotFound, **sought: Any) -> None:
    with pytest.raises(refusal):
        look_up(core=shop.core, actor=by or shop.till, **(sought or {"code": UNKNOWN}))


def test_a_miss_is_written_down_and_nothing_else(shop: Shop) -> None:
    before = shop.everything()
    miss(shop)
    miss(shop, refusal=CodeMalformed, code="nonsense")
    miss(shop, moved(shop.manager, location=None), token="hello")
    miss(shop, refusal=InputInvalid, code="a", token="b")
    after = shop.everything()
    after.pop("redemption_attempts")
    assert after == {name: rows for name, rows in before.items() if name != "redemption_attempts"}
    rows = shop.all(redemption_attempts)
    assert [(each.outcome, each.last4, each.location, each.actor) for each in rows] == [
        ("looked-up-unknown", "0000", "london", shop.till.label),
        ("looked-up-unknown", None, "london", shop.till.label),
        ("looked-up-unknown", None, None, shop.manager.label),
    ]


def test_what_is_found_costs_no_statement_more_and_leaves_nothing(shop: Shop) -> None:
    code = shop.voucher().code
    look_up(core=shop.core, actor=shop.till, code=code)
    before, asked = shop.everything(), []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement)

    engines = (shop.core.database.engine, shop.core.database._reader)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    look_up(core=shop.core, actor=shop.till, code=code)
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", note)
    assert [each for each in asked if "redemption_attempts" in each or each.startswith(("INSERT", "UPDATE"))] == []
    assert shop.everything() == before


def test_look_ups_ring_the_alarm_together_with_redemptions(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(unknown_codes=ALARM))
    miss(shop)
    miss(shop, shop.supervisor)
    with pytest.raises(VoucherNotFound):
        shop.redeem(UNKNOWN)
    assert not watch_codes(core=shop.core)
    miss(shop)
    assert watch_codes(core=shop.core)
    (signal,) = shop.one(reviews).signals
    assert (signal["count"], signal["tries"]) == (4, 4)


def test_a_flood_of_misses_does_not_fill_the_records(open_shop: Callable[..., Shop]) -> None:
    """Once the alarm has enough nothing more is written, and in the next window no more than that."""
    shop = open_shop(suspicious(unknown_codes=ALARM))
    for _ in range(20):
        miss(shop)
    assert len(shop.all(redemption_attempts)) == 4
    shop.later(minutes=16)
    for _ in range(20):
        miss(shop)
    assert len(shop.all(redemption_attempts)) == 8


def test_where_many_redeem_it_takes_as_many_misses_as_are_no_mistakes(open_shop: Callable[..., Shop]) -> None:
    """The alarm asks for a fifth of all tries: until then misses are counted, beyond its number too."""
    shop = open_shop(suspicious(unknown_codes={**ALARM, "count": 1}))
    for _ in range(12):
        shop.redeem(shop.voucher().code)
    for _ in range(9):
        miss(shop)
    assert len(shop.all(redemption_attempts, redemption_attempts.c.outcome == "looked-up-unknown")) == 3
    assert watch_codes(core=shop.core)


def test_where_nobody_is_told_nothing_is_counted(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(suspicious(unknown_codes={"count": 0}))
    miss(shop)
    assert shop.all(redemption_attempts) == []
