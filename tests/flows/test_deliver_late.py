"""A worker that stood still between writing a letter and sending it leaves it to whoever has the lease by then."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.flows import deliver
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.messages.tables import outbox_messages
from tests.flows.shop import SHOP, Shop, named
from tests.flows.two_providers import Provider, with_senders


@pytest.fixture
def provider() -> Provider:
    return Provider("first")


@pytest.fixture
def house(open_shop: Callable[..., Shop], provider: Provider) -> Shop:
    return with_senders(open_shop(SHOP), provider)


def stand_still(house: Shop, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let the next one who is about to hand a letter over stand still for an hour."""
    real = deliver._hand_over

    def hand_over(*arguments: Any) -> Any:
        monkeypatch.setattr(deliver, "_hand_over", real)
        house.clock.advance(timedelta(hours=1))
        meanwhile()
        return real(*arguments)

    monkeypatch.setattr(deliver, "_hand_over", hand_over)


def test_what_was_voided_meanwhile_is_not_sent(
    house: Shop, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = house.issue(customer=named("ana@example.com"), channels=("email",))
    assert given.voucher is not None
    command = VoidVoucher(voucher_id=given.voucher.id, reason="A mistake of ours.")
    stand_still(house, monkeypatch, lambda: void_voucher(core=house.core, actor=house.manager, command=command))
    house.deliver()
    assert provider.letters == []
    assert house.one(outbox_messages).status == "withdrawn"


def test_what_another_has_sent_meanwhile_is_sent_once(
    house: Shop, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.issue(customer=named("ana@example.com"), channels=("email",))
    stand_still(house, monkeypatch, house.deliver)
    house.deliver()
    assert len(provider.letters) == 1
    assert house.one(outbox_messages).status == "sent"


def test_what_nobody_took_over_is_written_anew(
    house: Shop, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.issue(customer=named("ana@example.com"), channels=("email",))
    stand_still(house, monkeypatch, lambda: None)
    house.deliver()
    assert len(provider.letters) == 1
    assert house.one(outbox_messages).status == "sent"
