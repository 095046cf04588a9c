"""What was sent to a stranger goes to whom it was meant for, and so does all that is said of the trouble afterwards."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from incentives.deeds import readdressing
from incentives.deeds.readdressing import AddressMoved
from incentives.flows.join_cases import MergeCase, merge_case
from incentives.flows.work_case import Apologize, apologize_to
from incentives.messages.tables import outbox_messages
from incentives.queries.feedback_page import customer_form, form_of_number
from incentives.recovery.customers import Contact
from incentives.recovery.links import SURVEY, token_of
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances
from tests.flows.aftercare import Care
from tests.flows.asked import Asking, asking
from tests.flows.shop import EMAIL, PHONE, Shop, named
from tests.flows.test_hot_statements import heard

OpenShop = Callable[..., Shop]
WRONG, RIGHT, ANOTHER_PHONE = "wrong@example.com", "right@example.com", "+442079460199"


@pytest.fixture
def asks(open_shop: OpenShop) -> Asking:
    return asking(open_shop)


def given(asks: Asking, **more: Any) -> Any:
    """Give a voucher to a stranger, by mistake."""
    return asks.shop.issue(**{"customer": named(WRONG, name="Ana"), "channels": ("email",), **more})


def readdress(asks: Asking, issued: Any, **customer: Any) -> None:
    Care(asks.shop).reissue(issued.voucher.id, customer=named(**(customer or {"email": RIGHT})))


def apologize(asks: Asking, case_id: uuid.UUID, channel: str = "email") -> None:
    command = Apologize(case_id=case_id, channel=channel, words="We are sorry, Ana.")
    apologize_to(core=asks.core, actor=asks.shop.manager, command=command)


def contact(asks: Asking, case_id: uuid.UUID) -> Contact:
    return Contact.from_text(asks.core.contacts.decrypt(asks.case(case_id).contact))


def reached(asks: Asking, channel: str = "email") -> list[tuple[str, str]]:
    """Return what was sent to whom since this was asked before."""
    asks.shop.deliver()
    letters: list[Any] = list(asks.shop.sender(channel).letters)
    asks.shop.sender(channel).letters.clear()
    return [(each.template, each.to) for each in letters]


@pytest.mark.parametrize("by", ["the gift", "staff"])
def test_what_the_case_still_says_goes_to_the_right_one(asks: Asking, by: str) -> None:
    case_id = None if by == "the gift" else asks.opened(customer=named(WRONG, name="Ana"))
    issued = given(asks, case_id=case_id)
    assert reached(asks) == [("voucher", WRONG)]
    before = asks.case(issued.case_id)
    asks.shop.later(minutes=1)
    readdress(asks, issued)
    assert reached(asks) == [("voucher", RIGHT)]
    after = asks.case(issued.case_id)
    assert contact(asks, issued.case_id) == Contact(name="Ana", email=RIGHT)
    assert after.customer_id == asks.shop.one(issuances).customer_id != before.customer_id
    assert after.changed_at == asks.shop.clock.now()
    apologize(asks, issued.case_id)
    asks.close(issued.case_id)
    asks.shop.later(hours=25)
    assert asks.follow_up() == 1
    assert reached(asks) == [("apology", RIGHT), ("survey", RIGHT)]
    survey = asks.survey(issued.case_id)
    assert survey.customer_id == after.customer_id
    token = token_of(asks.core.keys.links, SURVEY, survey.id)
    form = customer_form(core=asks.core, token=token, language="en")
    assert form is not None
    assert form.customer.email == RIGHT
    asks.shop.check()


def test_what_waits_to_be_said_follows(asks: Asking) -> None:
    """An apology that is in the outbox already, and a survey that is planned, are for who has the voucher now."""
    issued = given(asks)
    apologize(asks, issued.case_id)
    asks.close(issued.case_id)
    readdress(asks, issued)
    assert reached(asks) == [("apology", RIGHT), ("voucher", RIGHT)]
    assert asks.survey(issued.case_id).customer_id == asks.case(issued.case_id).customer_id
    asks.shop.later(hours=25)
    asks.follow_up()
    assert reached(asks) == [("survey", RIGHT)]


def test_a_survey_in_the_outbox_is_answered_by_the_number_that_it_goes_to(asks: Asking) -> None:
    issued = given(asks, customer=named(phone=PHONE), channels=("sms",))
    asks.close(issued.case_id)
    asks.shop.later(hours=25)
    assert asks.follow_up() == 1
    readdress(asks, issued, phone=ANOTHER_PHONE)
    assert ("survey", ANOTHER_PHONE) in reached(asks, "sms")
    assert form_of_number(core=asks.core, phone=PHONE) is None
    assert form_of_number(core=asks.core, phone=ANOTHER_PHONE) is not None


def test_one_that_was_asked_is_who_was_asked(asks: Asking) -> None:
    issued = given(asks)
    asks.close(issued.case_id)
    asks.shop.later(hours=25)
    asks.follow_up()
    stranger = asks.survey(issued.case_id).customer_id
    assert reached(asks)[-1] == ("survey", WRONG)
    readdress(asks, issued)
    assert asks.survey(issued.case_id).customer_id == stranger
    assert asks.case(issued.case_id).customer_id != stranger


def test_the_language_goes_along_and_what_nobody_mistook_stays(asks: Asking) -> None:
    """Another spelling of the mailbox is the same mailbox; the number is the customer's all the same."""
    case_id = asks.opened(customer=named("Wrong@example.com", phone=PHONE, name="Ana López", locale="en"))
    issued = given(asks, case_id=case_id, customer=named(WRONG, locale="en"))
    readdress(asks, issued, email=RIGHT, locale="es")
    assert contact(asks, case_id) == Contact(name="Ana López", email=RIGHT, phone=PHONE)
    assert asks.case(case_id).locale == "es"


def test_a_case_that_reaches_its_customer_elsewhere_keeps_that(asks: Asking) -> None:
    asks.shop.issue(customer=named(EMAIL, phone=PHONE))  # one person from here on
    case_id = asks.opened(customer=named(EMAIL))
    before = asks.case(case_id)
    issued = given(asks, case_id=case_id, customer=named(phone=PHONE), channels=("sms",))
    asks.shop.later(minutes=1)
    readdress(asks, issued, phone=ANOTHER_PHONE)
    after = asks.case(case_id)
    assert (after.contact, after.customer_id) == (before.contact, before.customer_id)
    assert contact(asks, case_id) == Contact(email=EMAIL)


def test_a_case_without_an_address_follows_by_its_customer(asks: Asking) -> None:
    """What it says goes to the address that was given last, and to the customer's own where there is none."""
    issued = given(asks)
    with asks.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(contact=None))
    readdress(asks, issued)
    case = asks.case(issued.case_id)
    assert (case.contact, case.customer_id) == (None, asks.shop.one(issuances).customer_id)
    with asks.core.database.write() as tx:
        tx.execute(issuances.update().values(contact=asks.core.contacts.encrypt("{}")))
        tx.execute(outbox_messages.delete())
    apologize(asks, issued.case_id)
    assert reached(asks) == [("apology", RIGHT)]


def test_a_case_that_it_was_merged_into_follows(asks: Asking) -> None:
    kept = asks.opened(customer=named(WRONG))
    issued = given(asks)
    command = MergeCase(case_id=issued.case_id, into_id=kept, reason="She wrote twice.")
    merge_case(core=asks.core, actor=asks.shop.manager, command=command)
    readdress(asks, issued)
    assert contact(asks, kept).email == contact(asks, issued.case_id).email == RIGHT
    assert asks.case(kept).customer_id == asks.case(issued.case_id).customer_id == asks.shop.one(issuances).customer_id


def test_whom_it_was_meant_for_can_be_given_more_in_the_case(asks: Asking) -> None:
    issued = given(asks)
    readdress(asks, issued)
    again = given(asks, case_id=issued.case_id, customer=named(RIGHT))
    assert again.case_id == issued.case_id


def test_of_two_gifts_to_a_stranger_the_case_follows_the_first_that_is_put_right(asks: Asking) -> None:
    first = given(asks)
    second = given(asks, case_id=first.case_id)
    readdress(asks, first)
    readdress(asks, second, email="third@example.com")
    assert contact(asks, first.case_id).email == RIGHT


@pytest.mark.parametrize("backend", ["postgresql"])
def test_the_voucher_is_locked_then_its_case_and_customers_are_met_last(asks: Asking) -> None:
    """Who redeems has the voucher when they come to cases; who gives in a case has that when they meet customers."""
    issued = given(asks)
    with heard(asks.shop) as found:
        readdress(asks, issued)
    order = ["SELECT vouchers FOR UPDATE", "SELECT recovery_cases FOR UPDATE", "INSERT customer_identities"]
    assert [found.index(each) for each in order] == sorted(found.index(each) for each in order)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_case_that_is_merged_at_this_moment_is_met_anew(asks: Asking) -> None:
    case_id, into_id = (asks.opened(customer=named(WRONG)) for _ in range(2))
    met: list[Any] = []

    def meet() -> None:
        try:
            with asks.core.database.write() as tx:
                met.append({each.id for each in readdressing.hold_cases(tx, case_id)})
        except AddressMoved:
            met.append("anew")

    with asks.core.database.write() as tx:
        merged = recovery_cases.c.id == case_id
        tx.execute(recovery_cases.update().where(merged).values(merged_into_id=into_id))
        other = threading.Thread(target=meet)
        other.start()
        other.join(0.5)
        assert met == []
    other.join()
    meet()
    assert met == ["anew", {case_id, into_id}]
