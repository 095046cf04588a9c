"""What a till adds to a redemption is held to what the catalog declares of it, as at issuing."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from incentives.kernel.actors import Actor
from incentives.kernel.errors import IdempotencyKeyReused, InputInvalid
from incentives.vouchers.tables import redemption_attempts, redemptions, reservations
from tests.flows.shop import SHOP, Shop
from tests.flows.till_shop import commit, hold, redeem, tried
from tests.world import api_key

OpenShop = Callable[..., Shop]
FIELDS = (
    {"of": "redemption", "name": "receipt", "type": "text", "required": True},
    {"of": "redemption", "name": "guests", "type": "number"},
    {"of": "issuance", "name": "flight", "type": "text"},
)
GOOD = {"receipt": "A-1", "guests": 4}
WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"receipt": 17}, "metadata.receipt", "This must be text of 1 to 500 characters."),
    ({"receipt": "A-1", "guests": "four"}, "metadata.guests", "This must be a whole number."),
    ({"receipt": "A-1", "flight": "BA 12"}, "metadata.flight", "The catalog does not know this field."),
)
MISSING = ({"guests": 4}, "metadata.receipt", "This is missing.")


@pytest.fixture
def declared(open_shop: OpenShop) -> tuple[Shop, Actor]:
    """A shop that declares what belongs to a redemption, and the program that redeems there."""
    shop = open_shop(orjson.dumps({**orjson.loads(SHOP), "metadata_fields": FIELDS}).decode())
    return shop, api_key(shop.core, "till", location="london")[1]


@pytest.mark.parametrize(("given", "field", "message"), [*WRONG, MISSING, ({}, *MISSING[1:])])
def test_redeeming_refuses_what_is_not_as_declared(
    declared: tuple[Shop, Actor], given: dict[str, Any], field: str, message: str
) -> None:
    shop, till = declared
    code = shop.voucher().code
    refusal = tried(shop, InputInvalid, redeem, code, till, metadata=given)
    assert refusal.facts["errors"] == [{"field": field, "message": message}]
    done = redeem(shop, code, till, metadata=GOOD)
    assert shop.one(redemptions, redemptions.c.id == done.id).metadata == GOOD
    shop.check()


@pytest.mark.parametrize(("given", "field", "message"), [*WRONG, MISSING])
def test_committing_refuses_what_is_not_as_declared(
    declared: tuple[Shop, Actor], given: dict[str, Any], field: str, message: str
) -> None:
    shop, till = declared
    held = hold(shop, shop.voucher().code, till).id  # what is required may still come
    refusal = tried(shop, InputInvalid, commit, held, till, metadata=given)
    assert refusal.facts["errors"] == [{"field": field, "message": message}]
    commit(shop, held, till, metadata=GOOD)
    assert shop.one(redemptions).metadata == GOOD
    shop.check()


def test_what_was_told_with_the_hold_counts_at_committing(declared: tuple[Shop, Actor]) -> None:
    shop, till = declared
    code = shop.voucher().code
    for given, _, _ in WRONG:
        tried(shop, InputInvalid, hold, code, till, metadata=given)
    held = hold(shop, code, till, metadata=GOOD).id
    assert shop.one(reservations).metadata == GOOD
    commit(shop, held, till)
    assert shop.one(redemptions).metadata == GOOD
    assert [each.outcome for each in shop.all(redemption_attempts)][-2:] == ["reserved", "redeemed"]


def test_people_are_not_held_to_it(declared: tuple[Shop, Actor]) -> None:
    """The scan page has no fields for it."""
    shop, _ = declared
    redeem(shop, shop.voucher().code)
    assert shop.one(redemptions).metadata is None


def test_where_nothing_is_declared_anything_may_be_told(shop: Shop) -> None:
    till = api_key(shop.core, "till", location="london")[1]
    redeem(shop, shop.voucher().code, till, metadata={"lane": 4})
    assert shop.one(redemptions).metadata == {"lane": 4}


def test_it_belongs_to_what_a_key_stands_for(declared: tuple[Shop, Actor]) -> None:
    shop, till = declared
    code = shop.voucher().code
    redeem(shop, code, till, metadata=GOOD, idempotency_key="k")
    assert redeem(shop, code, till, metadata=GOOD, idempotency_key="k").replayed
    shop.refused(IdempotencyKeyReused, redeem, shop, code, till, metadata={"receipt": "B-2"}, idempotency_key="k")
