"""What did not arrive last time is known when something is offered, by the address and behind any spelling of it."""

from collections.abc import Callable
from typing import Any

import pytest

from incentives.messages.port import Accepted, WillNeverWork
from incentives.messages.tables import outbox_messages
from incentives.recovery.customers import CustomerGiven
from tests.flows.aftercare import Care
from tests.flows.shop import EMAIL, PHONE, Shop, named

OpenShop = Callable[..., Shop]
NO_MAILBOX = WillNeverWork("There is no such mailbox.")


def known(shop: Shop, email: str | None = EMAIL, phone: str | None = None) -> list[tuple[str, str]]:
    """Return which addresses an offer says were not reached, and what became of the message."""
    customer = CustomerGiven(email=email, phone=phone)
    return [(each.channel, each.status) for each in shop.offer(customer=customer, location="london").came_back]


def bounced(shop: Shop, channel: str = "email", **more: Any) -> None:
    """Give something whose message does not arrive."""
    shop.sender(channel).outcomes.append(NO_MAILBOX)
    shop.issue(channels=(channel,), location="london", **more)
    assert shop.deliver() == ["failed"]


def test_it_is_told_of_that_address_and_channel_alone(shop: Shop) -> None:
    assert known(shop) == []
    bounced(shop, customer=named(EMAIL, phone=PHONE))
    assert known(shop) == [("email", "failed")]
    assert known(shop, email="Ana.Lopez+hotel@Example.com") == [("email", "failed")]
    assert known(shop, email=None, phone=PHONE) == []
    assert known(shop, email="somebody.else@example.com") == []
    shop.issue(customer=named("new@example.com", phone=PHONE), channels=())  # the same person by their number
    assert known(shop, email="new@example.com") == []


def test_the_last_message_counts_and_not_for_ever(shop: Shop) -> None:
    bounced(shop)
    shop.later(days=89)
    assert known(shop) == [("email", "failed")]
    shop.later(days=2)
    assert known(shop) == []
    bounced(shop)
    shop.sender().outcomes.append(Accepted("m-2"))
    shop.later(days=1)
    shop.issue(channels=("email",), location="london")
    assert known(shop) == [("email", "failed")]  # the newer one is on its way yet
    assert shop.deliver() == ["sent"]
    assert known(shop) == []


@pytest.mark.parametrize("status", ["bounced", "suppressed"])
def test_what_a_provider_tells_afterwards_counts_as_well(shop: Shop, status: str) -> None:
    shop.issue(channels=("email",), location="london")
    shop.deliver()
    with shop.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(status=status))
    assert known(shop) == [("email", status)]


def test_a_new_address_does_not_inherit_what_the_old_one_was(shop: Shop) -> None:
    care = Care(shop)
    shop.sender().outcomes.append(NO_MAILBOX)
    voucher = shop.voucher(channels=("email",))
    assert shop.deliver() == ["failed"]
    care.reissue(voucher.id, customer=CustomerGiven(email="new@example.com"))
    assert known(shop, email="new@example.com") == []
