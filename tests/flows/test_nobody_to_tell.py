"""An address that is gone by the time its message is due: nothing is handed over, and nothing seems to be sent."""

import uuid
from typing import Any

import pytest

from incentives.flows.work_case import Apologize, apologize_to
from incentives.messages.tables import delivery_attempts, outbox_messages
from incentives.queries.inbox import captured_letters
from incentives.recovery.customers import Contact
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances
from tests.flows.asked import asking
from tests.flows.shop import EMAIL, PHONE, Shop, named

NOWHERE = Contact()


def forget(shop: Shop, left: Contact = NOWHERE) -> None:
    """Let all that is known of where customers are be gone, but for what is left."""
    kept = shop.core.contacts.encrypt(left.to_text())
    with shop.core.database.write() as tx:
        tx.execute(issuances.update().values(contact=kept))
        tx.execute(recovery_cases.update().values(contact=kept, customer_id=None))


def became(shop: Shop) -> list[tuple[str, str]]:
    return [(row.status, row.channel) for row in shop.all(outbox_messages)]


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_a_voucher_is_told_of_to_nobody(shop: Shop, channel: str) -> None:
    shop.issue(customer=named(EMAIL, phone=PHONE), channels=(channel,))
    forget(shop)
    assert shop.deliver() == ["withdrawn"]
    assert became(shop) == [("withdrawn", channel)]
    assert shop.sender(channel).letters == []
    (attempt,) = shop.all(delivery_attempts)
    assert (attempt.outcome, attempt.provider) == ("withdrawn", "none")
    shop.check()


def test_what_has_another_address_goes_there(shop: Shop) -> None:
    shop.issue(customer=named(EMAIL, phone=PHONE), channels=("email", "sms"))
    forget(shop, Contact(email=EMAIL))
    assert sorted(shop.deliver()) == ["captured", "withdrawn"]
    assert sorted(became(shop)) == [("captured", "email"), ("withdrawn", "sms")]


def test_neither_an_apology_nor_a_survey_goes_to_nobody(open_shop: Any) -> None:
    asks = asking(open_shop)
    case_id: uuid.UUID = asks.opened()
    command = Apologize(case_id=case_id, channel="email", words="We are sorry.")
    apologize_to(core=asks.core, actor=asks.shop.manager, command=command)
    asks.close(case_id)
    asks.shop.later(hours=25)
    assert asks.follow_up() == 1
    forget(asks.shop)
    assert asks.shop.deliver() == ["withdrawn", "withdrawn"]
    assert asks.shop.sender().letters == []


def test_what_was_sent_can_be_looked_at_when_its_address_is_gone(shop: Shop) -> None:
    shop.issue(channels=("email",))
    assert shop.deliver() == ["captured"]
    forget(shop)
    (seen,) = captured_letters(core=shop.core)
    assert seen.letter.to == ""
