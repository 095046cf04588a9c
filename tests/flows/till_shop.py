"""A shop with everything that a till meets: uses, minima, products, groups, conditions; and what tills do all day."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.redeem import Item, Redeemed, RedeemVoucher, redeem_voucher
from incentives.flows.reserve import (
    Extended,
    ExtendReservation,
    Released,
    ReleaseReservation,
    Reserved,
    ReserveVoucher,
    extend_reservation,
    release_reservation,
    reserve_voucher,
)
from incentives.flows.reverse import AnnulRedemption, ReverseRedemption, Undone, annul_redemption, reverse_redemption
from incentives.kernel.actors import Actor
from incentives.kernel.errors import Refusal
from incentives.kernel.money import Money
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import vouchers
from tests.flows.shop import INCENTIVES, Shop, catalog, moved


def till_catalog(*budgets: Any, **changes: Any) -> str:
    """Return the shop's catalog with some incentives changed by name: ``voucher={"max_redemptions": 3}``."""
    changed = [{**each, **changes.get(each["key"], {})} for each in INCENTIVES]
    return catalog(*budgets, incentives=changed)


def secret_of(shop: Shop, voucher_id: uuid.UUID) -> str:
    """Return the code of a voucher, as its customer knows it."""
    with shop.core.database.read() as tx:
        return lifecycle.secrets_of(shop.core, voucher_id, lifecycle.state(tx, voucher_id).code_key_id)[0]


def pounds(amount_minor: int) -> Money:
    return Money(amount_minor, "GBP")


def item(product: str, amount_minor: int, **more: Any) -> Item:
    return Item(product=product, amount_minor=amount_minor, **more)


def hold(shop: Shop, code: str | None = None, by: Actor | None = None, **more: Any) -> Reserved:
    """Hold a voucher at the till."""
    return reserve_voucher(core=shop.core, actor=by or shop.till, command=ReserveVoucher(code=code, **more))


def extend(shop: Shop, held: uuid.UUID, minutes: int, by: Actor | None = None) -> Extended:
    command = ExtendReservation(reservation_id=held, minutes=minutes)
    return extend_reservation(core=shop.core, actor=by or shop.till, command=command)


def commit(shop: Shop, held: uuid.UUID, by: Actor | None = None, **more: Any) -> Redeemed:
    command = CommitReservation(reservation_id=held, **more)
    return commit_reservation(core=shop.core, actor=by or shop.till, command=command)


def release(shop: Shop, held: uuid.UUID, by: Actor | None = None, reason: str | None = None) -> Released:
    command = ReleaseReservation(reservation_id=held, reason=reason)
    return release_reservation(core=shop.core, actor=by or shop.till, command=command)


def annul(shop: Shop, redemption: uuid.UUID, by: Actor | None = None, reason: str = "Twice.", **more: Any) -> Undone:
    command = AnnulRedemption(redemption_id=redemption, reason=reason, **more)
    return annul_redemption(core=shop.core, actor=by or shop.till, command=command)


def reverse(
    shop: Shop, redemption: uuid.UUID, restore: str = "same_code", by: Actor | None = None, **more: Any
) -> Undone:
    command = ReverseRedemption(redemption_id=redemption, restore=restore, **{"reason": "Refunded.", **more})
    return reverse_redemption(core=shop.core, actor=by or shop.supervisor, command=command)


def other_till(shop: Shop, **values: Any) -> Actor:
    return moved(shop.till, id=shop.core.ids.new(shop.clock.now()), name="Other till", **values)


def freeze(shop: Shop) -> None:
    with shop.core.database.write() as tx:
        tx.execute(vouchers.update().values(frozen_at=shop.clock.now()))


def tried(shop: Shop, refusal: type[Refusal], deed: Callable[..., Any], *arguments: Any, **more: Any) -> Refusal:
    """Do at a till what must be refused: nothing happens but that the try is recorded, with the reason."""
    before = shop.everything()
    with pytest.raises(refusal) as caught:
        deed(shop, *arguments, **more)
    assert type(caught.value) is refusal
    after = shop.everything()
    (attempt,) = set(after.pop("redemption_attempts")) - set(before.pop("redemption_attempts"))
    assert attempt.outcome == caught.value.slug
    assert after == before
    return caught.value


def redeem(shop: Shop, code: str | None = None, by: Actor | None = None, **more: Any) -> Redeemed:
    return redeem_voucher(core=shop.core, actor=by or shop.till, command=RedeemVoucher(code=code, **more))
