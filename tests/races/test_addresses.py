"""Vouchers of one issuance share its address: who changes it while somebody else does begins again with what is so."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from incentives.deeds import aftercare, readdressing
from incentives.recovery.customers import Contact
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import Shop, budget, named
from tests.flows.till_shop import redeem, reverse, till_catalog
from tests.races.deeds import broken

CAP = budget("cap", "customer", cap_minor=9000)
PHONE = "+442079460018"


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop.opened(database_url, till_catalog(CAP, voucher={"max_redemptions": 3}))
    yield shop
    shop.core.database.dispose()


def _both_change_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Contact:
    """Let the email change for one voucher after somebody else, who changes the phone for another, has read it."""
    desk = Care(shop)
    given = shop.voucher(amount_minor=1000, channels=("email",))
    reverse(shop, redeem(shop, given.code).id, "new_code", by=shop.manager)
    second = shop.one(vouchers, vouchers.c.number == 2).id
    take, waiting = aftercare.take, [given.id]

    def take_late(tx: sa.Connection, actor: Any, voucher_id: UUID) -> Any:
        if waiting:
            desk.reissue(waiting.pop(), customer=named("right@example.com"))
        return take(tx, actor, voucher_id)

    monkeypatch.setattr(aftercare, "take", take_late)
    desk.reissue(second, customer=named(phone=PHONE))
    assert not waiting
    return Contact.from_text(shop.core.contacts.decrypt(shop.one(issuances).contact))


def test_neither_is_lost(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    contact = _both_change_it(shop, monkeypatch)
    assert (contact.email, contact.phone) == ("right@example.com", PHONE)
    shop.deliver()
    assert broken(shop.core) == []


def test_without_looking_again_one_would_be(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readdressing, "check_unchanged", lambda *_: None)
    contact = _both_change_it(shop, monkeypatch)
    assert contact.email != "right@example.com"
