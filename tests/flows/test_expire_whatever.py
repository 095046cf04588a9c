"""What is past its time is good for nothing, swept or not; and of several uses what is left lapses."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.kernel.core import Core
from incentives.kernel.errors import VoucherExpired
from incentives.vouchers.tables import vouchers
from tests import dump
from tests.flows.aftercare import Care
from tests.flows.shop import INCENTIVES, Shop, budget, catalog, incentive, named

OpenShop = Callable[..., Shop]
COFFEE = incentive("coffee", "amount_off", amount_minor=301, max_redemptions=3)
POTS = (
    budget("money", cap_minor=9000),
    budget("kept", cap_minor=9000, on_expiry="keep"),
    budget("counted", cap_count=9),
)


def with_coffee(*pots: dict[str, Any], zone: str = "Europe/London") -> str:
    found: dict[str, Any] = orjson.loads(catalog(*pots, incentives=[*INCENTIVES, COFFEE]))
    found["protocols"][0]["incentives"].append("coffee")
    found["locations"][0]["time_zone"] = zone
    return orjson.dumps(found).decode()


@pytest.mark.parametrize(
    "zone", ["Europe/London", "America/Nuuk", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
def test_a_dead_sweeper_lets_nobody_use_it(open_shop: OpenShop, zone: str) -> None:
    shop = open_shop(with_coffee(zone=zone))
    desk = Care(shop)
    good, late = (shop.voucher(location="london", customer=named(f"{name}@example.com")) for name in "ab")
    shop.clock.advance(good.expires_at - shop.clock.now())
    assert shop.redeem(good.code).voucher_id == good.id
    shop.later(microseconds=1)
    before = dump.of(shop.core, without=dump.TRIED)
    for deed in (
        lambda: shop.redeem(late.code),
        lambda: reserve_voucher(core=shop.core, actor=shop.till, command=ReserveVoucher(code=late.code)),
        lambda: desk.reissue(late.id),
        lambda: desk.extend(late.id),
        lambda: desk.adjust(late.id, 1100),
        lambda: desk.freeze(late.id),
        lambda: desk.void(late.id),
    ):
        with pytest.raises(VoucherExpired):
            deed()
    assert dump.differences(before, dump.of(shop.core, without=dump.TRIED)) == {}
    assert shop.expire() == (1, 0)
    shop.check()


def test_what_is_left_of_several_uses_lapses(open_shop: OpenShop) -> None:
    shop = open_shop(with_coffee(*POTS))
    voucher = shop.voucher(incentive="coffee")
    shop.redeem(voucher.code)
    shop.later(days=31)
    assert shop.expire() == (1, 0)
    assert shop.pot("money") == (0, 0, 301)
    assert shop.pot("kept") == (0, 0, 903)
    assert shop.pot("counted", "count") == shop.pot("money", "count") == (0, 0, 1)
    assert shop.balances()["breakage"] == -602
    assert shop.balances()["voucher-liability"] == 0
    shop.check()


def test_what_is_left_of_several_uses_is_voided_and_reissued(open_shop: OpenShop) -> None:
    shop = open_shop(with_coffee(*POTS))
    desk = Care(shop)
    voucher = shop.voucher(incentive="coffee")
    shop.redeem(voucher.code)
    new = desk.reissue(voucher.id).voucher
    assert new.amount.amount_minor == 602
    assert shop.one(vouchers, vouchers.c.id == new.id).max_redemptions == 2
    shop.redeem(new.code)
    shop.check()
    assert desk.void(new.id).status == "voided"
    assert shop.pot("money") == shop.pot("kept") == (0, 0, 602)
    assert shop.balances()["voucher-liability"] == 0
    shop.check()


@pytest.mark.parametrize(
    "verb", ["void", "reissue", "address", "resend", "extend", "adjust up", "adjust down", "freeze", "unfreeze"]
)
def test_a_verb_takes_so_many_statements(open_shop: OpenShop, verb: str, record_property: Any) -> None:
    shop = open_shop(with_coffee(*POTS))
    desk = Care(shop)
    voucher = shop.voucher(channels=("email",))
    shop.deliver()
    if verb == "unfreeze":
        desk.freeze(voucher.id)
    deeds: dict[str, Callable[[], Any]] = {
        "void": lambda: desk.void(voucher.id),
        "reissue": lambda: desk.reissue(voucher.id),
        "address": lambda: desk.reissue(voucher.id, customer=named("new@example.com")),
        "resend": lambda: desk.resend(voucher.id),
        "extend": lambda: desk.extend(voucher.id),
        "adjust up": lambda: desk.adjust(voucher.id, 1500),
        "adjust down": lambda: desk.adjust(voucher.id, 500),
        "freeze": lambda: desk.freeze(voucher.id, shop.clock.now() + timedelta(days=1)),
        "unfreeze": lambda: desk.unfreeze(voucher.id),
    }
    number = counted(shop.core, deeds[verb])
    record_property("statements", number)
    assert number == STATEMENTS[verb][0 if shop.core.database.sqlite else 1]


# As many as there are, on SQLite and on PostgreSQL, which takes the rows of several tables at once: whoever adds one
# should know that they do.
STATEMENTS = {
    "void": (11, 7),
    "reissue": (12, 9),
    "address": (27, 24),
    "resend": (6, 4),
    "extend": (4, 4),
    "adjust up": (21, 17),
    "adjust down": (12, 8),
    "freeze": (4, 4),
    "unfreeze": (6, 6),
}


def counted(core: Core, deed: Callable[[], Any]) -> int:
    """Return how many statements a deed sends, but for the beginning and the end of its transaction."""
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments[2])

    engine = core.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        deed()
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return len([each for each in seen if not each.startswith(("BEGIN", "COMMIT"))])
