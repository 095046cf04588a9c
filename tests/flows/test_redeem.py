"""Redeeming: a voucher is spent exactly once, by code, token or link; every try is recorded."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.redeem import Redeemed
from incentives.kernel.errors import (
    AlreadyRedeemed,
    CodeMalformed,
    CurrencyMismatch,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    NotUsableHere,
    OtherLocation,
    Refusal,
    UnknownLocation,
    VoucherExpired,
    VoucherNotFound,
    VoucherReplaced,
    VoucherVoided,
)
from incentives.kernel.idempotency import idempotency_keys
from incentives.kernel.money import Money
from incentives.queries.vouchers import customer_voucher, lookup
from incentives.vouchers import codes
from incentives.vouchers.tables import redemption_attempts, redemptions, vouchers
from tests.flows.shop import Shop, moved
from tests.unit.test_codes import SLOPPY
from tests.world import START, actor, key_setting, make_core

OpenShop = Callable[..., Shop]


def refused_try(shop: Shop, refusal: type[Refusal], *arguments: Any, **more: Any) -> Refusal:
    """Redeem what must be refused: nothing happens but that the try is recorded, with the reason."""
    before = shop.everything()
    with pytest.raises(refusal) as caught:
        shop.redeem(*arguments, **more)
    after = shop.everything()
    (attempt,) = set(after.pop("redemption_attempts")) - set(before.pop("redemption_attempts"))
    assert attempt.outcome == caught.value.slug
    assert after == before
    return caught.value


def test_a_redeemed_voucher_is_spent_on_all_books(shop: Shop) -> None:
    voucher = shop.voucher(amount_minor=1500, location="london")
    shop.later(days=1)
    done = shop.redeem(voucher.code, order_ref="T-1")
    assert (done.voucher_id, done.amount, done.location, done.order_ref) == (
        voucher.id,
        Money(1500, "GBP"),
        "london",
        "T-1",
    )
    assert (done.redeemed_at, done.last4, done.incentive, done.remainder) == (
        START + timedelta(days=1), voucher.last4, "voucher", None,
    )  # fmt: skip
    row = shop.one(redemptions)
    assert (row.id, row.voucher_id, row.amount_minor, row.currency) == (done.id, voucher.id, 1500, "GBP")
    assert (row.actor, row.actor_name, row.location, row.order_ref) == (shop.till.label, "Till", "london", "T-1")
    assert shop.one(vouchers).status == "redeemed"
    attempt = shop.one(redemption_attempts)
    assert (attempt.outcome, attempt.voucher_id, attempt.last4) == ("redeemed", voucher.id, voucher.last4)
    assert shop.pot("all-gbp") == (0, 0, 1500)
    assert shop.pot("all-gbp", "count") == (0, 0, 1)
    assert shop.balances() == {"recovery-expense": 1500, "voucher-liability": 0, "redemption-settlement": -1500}
    event = shop.one(audit_events, audit_events.c.action == "voucher.redeemed")
    assert (event.actor, event.facts["amount_minor"], event.facts["location"]) == (shop.till.label, 1500, "london")
    shop.check()


# --- how a voucher is named --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sloppy", SLOPPY, ids=list(SLOPPY))
def test_the_sloppiest_spellings_of_a_code_are_understood(shop: Shop, sloppy: str) -> None:
    voucher = shop.voucher()
    assert shop.redeem(SLOPPY[sloppy](voucher.code)).voucher_id == voucher.id


@pytest.mark.parametrize(
    ("field", "spelled"),
    [
        ("token", "{token}"),
        ("token", " {token}\r\n"),
        ("token", "https://acme.example/v/{token}"),
        ("token", "https://acme.example/v/{token}/"),
        ("token", "https://acme.example/v/{token}?utm_source=mail"),
        ("code", "https://acme.example/v/{token}"),
        ("code", "http://127.0.0.1:8000/v/{token}\n"),
    ],
)
def test_a_token_and_a_whole_link_are_understood(shop: Shop, field: str, spelled: str) -> None:
    voucher = shop.voucher()
    named_by: dict[str, Any] = {field: spelled.format(token=voucher.token)}
    assert shop.redeem(**named_by).voucher_id == voucher.id


def test_a_mistyped_code_is_refused_without_asking_which(shop: Shop) -> None:
    code = shop.voucher().code
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    for text in (wrong, "", "   ", "ABC", code + "0", code[:-1], "XXXX-XXXX-XXXX-U", "é" * 13, "\0" * 13):
        refused_try(shop, CodeMalformed, text)
    assert {row.voucher_id for row in shop.all(redemption_attempts)} == {None}


def test_a_code_that_nobody_has_is_not_found(shop: Shop) -> None:
    shop.voucher()
    unknown = codes.code_of(shop.core.keys.codes, "t", shop.core.ids.new(START))
    found = refused_try(shop, VoucherNotFound, unknown)
    assert found.facts == {}
    assert shop.one(redemption_attempts).last4 == unknown[-4:]


def test_a_bad_or_foreign_token_is_not_found(open_shop: OpenShop) -> None:
    shop, other = open_shop(), open_shop(INCENTIVES_LINK_KEYS=key_setting("OTHER"))
    token, foreign = shop.voucher().token, other.voucher().token
    for text in (foreign, token[:-1], token + "A", token.swapcase(), "", ".", "a.b", "é", "\0", "x" * 10_000):
        refused_try(shop, VoucherNotFound, token=text)
    shop.redeem(token=token)


def test_codes_and_tokens_outlive_a_new_key_and_end_with_a_retired_one(shop: Shop) -> None:
    first, second = shop.voucher(), shop.voucher()
    url, newer = shop.core.settings.database_url, key_setting("NEWER").replace("t:", "n:")

    def with_keys(name: str, keys: str) -> Shop:
        settings: dict[str, Any] = {f"INCENTIVES_{name}_KEYS": keys}
        return Shop(**{**vars(shop), "core": make_core(url, **settings)})

    both = with_keys("CODE", f"{key_setting('CODE')},{newer}")
    both.redeem(first.code)
    third = both.voucher()
    assert shop.one(vouchers, vouchers.c.id == third.id).code_key_id == "n"
    refused_try(shop, VoucherNotFound, third.code)  # a process that does not know the new key yet
    only = with_keys("CODE", newer)
    refused_try(only, VoucherNotFound, second.code)
    only.redeem(third.code)
    retired = with_keys("LINK", newer)
    refused_try(retired, VoucherNotFound, token=second.token)
    rotated = with_keys("LINK", f"{key_setting('LINK')},{newer}")
    rotated.redeem(token=second.token)
    for each in (both, only, retired, rotated):
        each.core.database.dispose()


@pytest.mark.parametrize("both", [{}, {"code": "A", "token": "B"}])
def test_one_of_code_and_token_is_given(shop: Shop, both: dict[str, str]) -> None:
    found = shop.refused(InputInvalid, shop.redeem, **both)
    assert found.facts["errors"][0]["field"] == "code"


# --- once --------------------------------------------------------------------------------------------------------


def test_the_second_time_says_when_and_where(shop: Shop) -> None:
    voucher = shop.voucher()
    shop.redeem(voucher.code)
    shop.later(minutes=5)
    other = moved(shop.till, id=shop.core.ids.new(START), location="leeds")
    for _ in range(2):
        found = refused_try(shop, AlreadyRedeemed, voucher.code, other)
        assert found.facts == {
            "redeemed_at": START.isoformat(),
            "location": "london",
            "redeemed_by": "Till",
            "last4": voucher.last4,
        }
    refused_try(shop, AlreadyRedeemed, token=voucher.token)
    refused_try(shop, AlreadyRedeemed, voucher.code, order_total=Money(5, "USD"))
    shop.check()


def test_a_voucher_that_was_spent_stays_spent_when_its_time_is_over(shop: Shop) -> None:
    voucher = shop.voucher()
    shop.redeem(voucher.code)
    shop.later(days=400)
    assert shop.expire() == (0, 0)
    refused_try(shop, AlreadyRedeemed, voucher.code)


@pytest.mark.parametrize("incentive", ["voucher", "refund"])
def test_it_is_good_to_its_last_instant(shop: Shop, incentive: str) -> None:
    last, late = shop.voucher(incentive=incentive), shop.voucher(incentive=incentive)
    shop.clock.advance(last.expires_at - START)
    assert lookup(core=shop.core, actor=shop.till, code=last.code).redeemable
    assert customer_voucher(core=shop.core, token=last.token) is not None
    assert shop.expire() == (0, 0)
    shop.redeem(last.code)
    shop.clock.advance(timedelta(microseconds=1))
    found = refused_try(shop, VoucherExpired, late.code)
    assert found.facts == {
        "expires_at": late.expires_at.isoformat(),
        "time_zone": "Europe/London",
        "last4": late.last4,
    }
    assert lookup(core=shop.core, actor=shop.till, code=late.code).status == "expired"
    assert customer_voucher(core=shop.core, token=late.token) is None
    assert shop.expire() == (1, 0)
    refused_try(shop, VoucherExpired, late.code)  # swept or not
    shop.check()


@pytest.mark.parametrize(("status", "refusal"), [("voided", VoucherVoided), ("replaced", VoucherReplaced)])
def test_a_voucher_in_another_state_is_refused_by_name(shop: Shop, status: str, refusal: type[Refusal]) -> None:
    voucher = shop.voucher()
    with shop.core.database.write() as tx:  # how a flow brings it there is no matter here
        tx.execute(vouchers.update().values(status=status))
    assert refused_try(shop, refusal, voucher.code).facts == {"last4": voucher.last4}


# --- where -------------------------------------------------------------------------------------------------------


def test_it_is_usable_where_the_incentive_says(shop: Shop) -> None:
    voucher = shop.voucher(incentive="meal", location="london")
    found = refused_try(shop, NotUsableHere, voucher.code, moved(shop.till, location=None), location="leeds")
    assert found.facts == {"field": "location", "locations": ["london"]}
    refused_try(shop, NotUsableHere, voucher.code, moved(shop.till, location="leeds"))
    refused_try(shop, NotUsableHere, voucher.code, moved(shop.till, location=None))
    assert [row.location for row in shop.all(redemption_attempts)] == ["leeds", "leeds", None]
    assert shop.redeem(voucher.code).location == "london"


def test_an_unknown_place_is_refused(shop: Shop) -> None:
    voucher = shop.voucher()
    for place in ("no-such", "x" * 500, "\0"):
        found = refused_try(shop, UnknownLocation, voucher.code, moved(shop.till, location=None), location=place)
        assert found.facts["field"] == "location"


def test_a_till_acts_for_no_other_place_than_its_own(shop: Shop) -> None:
    voucher = shop.voucher(incentive="meal", location="london")
    here = moved(shop.till, location="leeds")
    found = refused_try(shop, OtherLocation, voucher.code, here, location="london")
    assert found.facts == {"field": "location", "location": "leeds"}


def test_a_till_takes_the_currency_of_its_place_only(shop: Shop) -> None:
    """With the total or without; a thing has no currency."""
    elsewhere = moved(shop.till, location="new-york")
    voucher = shop.voucher()
    assert refused_try(shop, CurrencyMismatch, voucher.code, elsewhere).facts["currency"] == "GBP"
    points = shop.voucher(incentive="points")
    shop.redeem(points.code, elsewhere)


@pytest.mark.parametrize("role", ["auditor", "finance", "integrator"])
def test_who_may_not_redeem_is_refused(shop: Shop, role: str) -> None:
    voucher = shop.voucher()
    shop.refused(NotPermitted, shop.redeem, voucher.code, actor(shop.core, role))


# --- the same key ------------------------------------------------------------------------------------------------


def test_the_same_key_replays_the_redemption(shop: Shop) -> None:
    voucher = shop.voucher(incentive="credit")
    asked: dict[str, Any] = {"order_total": Money(700, "GBP"), "order_ref": "T-1", "idempotency_key": "k"}
    first = shop.redeem(voucher.code, **asked)
    assert first.remainder is not None
    shop.redeem(first.remainder.code)
    before = shop.everything()
    shop.later(days=50)
    again = shop.redeem(voucher.code, **asked)
    assert again.replayed
    assert again == Redeemed(**{**_parts(first), "replayed": True})
    assert shop.everything() == before


def _parts(done: Redeemed) -> dict[str, Any]:
    return {name: getattr(done, name) for name in done.__dataclass_fields__}


@pytest.mark.parametrize("other", [{"order_ref": "T-2"}, {"location": "london"}, {"order_total": Money(1, "GBP")}])
def test_the_same_key_with_another_body_is_refused(shop: Shop, other: dict[str, Any]) -> None:
    voucher = shop.voucher()
    shop.redeem(voucher.code, idempotency_key="k")
    shop.refused(IdempotencyKeyReused, shop.redeem, voucher.code, idempotency_key="k", **other)


def test_a_key_belongs_to_its_till(shop: Shop) -> None:
    first, second = shop.voucher(), shop.voucher()
    shop.redeem(first.code, idempotency_key="k")
    shop.redeem(second.code, moved(shop.till, id=shop.core.ids.new(START)), idempotency_key="k")
    shop.refused(IdempotencyKeyReused, shop.redeem, second.code, idempotency_key="k")


def test_a_key_can_be_used_again_after_a_refusal(shop: Shop) -> None:
    voucher = shop.voucher(incentive="meal", location="london")
    refused_try(shop, OtherLocation, voucher.code, location="leeds", idempotency_key="k")
    refused_try(shop, CodeMalformed, "nonsense", idempotency_key="k")
    assert shop.all(idempotency_keys) == []
    assert not shop.redeem(voucher.code, idempotency_key="k").replayed
    refused_try(shop, AlreadyRedeemed, voucher.code, idempotency_key="other")


def test_no_code_stands_in_the_records(shop: Shop) -> None:
    voucher = shop.voucher(incentive="credit")
    done = shop.redeem(voucher.code, order_total=Money(700, "GBP"), idempotency_key="k")
    refused_try(shop, AlreadyRedeemed, token=voucher.token)
    written = repr(shop.everything())
    assert done.remainder is not None
    assert done.remainder.code is not None
    assert done.remainder.token is not None
    for secret in (voucher.code, voucher.token, done.remainder.code, done.remainder.token):
        assert secret not in written
        assert secret.replace("-", "") not in written
