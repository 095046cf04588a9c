"""The same customer is recognized behind any spelling, and what they were given before counts."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from incentives.flows.issue import Issued
from incentives.kernel.errors import (
    BudgetExhausted,
    CaseClosed,
    CaseOfAnotherCustomer,
    CustomerCapReached,
    OtherLocation,
)
from incentives.recovery.customers import Contact, CustomerGiven
from incentives.recovery.tables import customer_identities, customers, recovery_cases
from incentives.spending.tables import budget_periods
from incentives.vouchers.tables import issuances
from tests.flows.shop import EMAIL, PHONE, Shop, budget, catalog, named, wish
from tests.world import key_setting, make_core

OpenShop = Callable[..., Shop]

SPELLINGS = (
    "ana.lopez@example.com",
    "ANA.LOPEZ@EXAMPLE.COM",
    "Ana.Lopez@Example.com",
    "analopez@example.com",
    "a.n.a.l.o.p.e.z@example.com",
    "ana.lopez+hotel@example.com",
    "analopez+1+2@example.com",
    "  ana.lopez@example.com ",
)
NUMBERS = (
    "+442079460018",
    "+44 20 7946 0018",
    "+44 (0)20 7946 0018",
    "+44-20-7946-0018",
    "+44.20.7946.0018",
    "0044 20 7946 0018",
    "020 7946 0018",
    "(020) 7946 0018",
    "02079460018",
    "\uff0b44 20 7946 0018",
    "020 7946 0018 ext. 4",
)


@pytest.fixture
def once(open_shop: OpenShop) -> Shop:
    """A shop in which a customer is given something once."""
    return open_shop(catalog(budget("once", "customer", period="none", cap_count=1)))


def test_one_mailbox_behind_every_spelling(once: Shop) -> None:
    once.issue(customer=named(EMAIL))
    for spelling in SPELLINGS:
        once.refused(CustomerCapReached, once.issue, customer=named(spelling))
    for other in ("ana.lopez@example.org", "ana.lopes@example.com", "ana.lopez@mail.example.com"):
        once.issue(customer=named(other))


def test_the_pot_of_somebody_new_is_there_once_something_is_charged_to_it(open_shop: OpenShop) -> None:
    """Nobody else can know of it, so it is made when it is charged; whoever comes after finds it and fills it up."""
    few = budget("few", "customer", period="none", cap_count=2)
    shop = open_shop(catalog(few, budget("all", cap_count=5), budget("each-month", "customer", cap_minor=100_000)))
    wishes = [wish(customer=named(each)) for each in ("ana@example.com", "bo@example.com", "Ana@Example.com")]
    assert [type(each) for each in shop.issue_many(*wishes)] == [Issued, Issued, Issued]
    shop.refused(CustomerCapReached, shop.issue, customer=named("ana@example.com"))
    shop.issue(customer=named("bo@example.com"))
    given, refused = shop.issue_many(*(wish(customer=named(each)) for each in ("cy@example.com", "di@example.com")))
    assert (type(given), type(refused)) == (Issued, BudgetExhausted)
    theirs = [row for row in shop.all(budget_periods) if row.budget in ("few", "each-month")]
    assert sorted((row.budget, row.committed_count) for row in theirs) == [
        ("each-month", 1), ("each-month", 2), ("each-month", 2), ("few", 1), ("few", 2), ("few", 2),
    ]  # fmt: skip
    shop.check()


def test_one_number_behind_every_spelling(once: Shop) -> None:
    once.issue(customer=named(phone=PHONE), location="london")
    for spelling in NUMBERS:
        once.refused(CustomerCapReached, once.issue, customer=named(phone=spelling), location="london")
    once.issue(customer=named(phone="+44 20 7946 0019"), location="london")


def test_one_reference_behind_spaces(once: Shop) -> None:
    once.issue(customer=named(external_ref="C-7"))
    once.refused(CustomerCapReached, once.issue, customer=named(external_ref=" C-7 "))
    once.issue(customer=named(external_ref="C-8"))
    once.issue(customer=named(external_ref="  "))  # nobody
    once.issue(customer=named(external_ref="  "))


def test_an_email_is_never_taken_for_a_reference(once: Shop) -> None:
    once.issue(customer=named(external_ref=EMAIL))
    once.issue(customer=named(EMAIL))
    assert len(once.all(customers)) == 2


def test_letters_go_to_the_address_as_it_was_given_this_time(shop: Shop) -> None:
    shop.issue(customer=named("Ana.Lopez+one@Example.com", name=" Ana "), channels=("email",))
    shop.issue(customer=named("analopez+two@example.com"), channels=("email",))
    assert len(shop.all(customers)) == 1
    contacts = [Contact.from_text(shop.core.contacts.decrypt(row.contact)) for row in shop.all(issuances)]
    assert contacts == [
        Contact(name="Ana", email="Ana.Lopez+one@example.com"),
        Contact(email="analopez+two@example.com"),
    ]
    shop.deliver()
    assert [letter.to for letter in shop.sender().letters] == ["Ana.Lopez+one@example.com", "analopez+two@example.com"]


def test_a_new_address_joins_the_customer_whom_another_address_names(once: Shop) -> None:
    once.issue(customer=named(EMAIL, phone=PHONE))
    once.refused(CustomerCapReached, once.issue, customer=named(phone=PHONE))
    once.refused(CustomerCapReached, once.issue, customer=named("new@example.com", phone=PHONE))
    # What was refused told nothing: the new address is still nobody's.
    once.issue(customer=named("new@example.com"))
    assert len(once.all(customers)) == 2
    assert len(once.all(customer_identities)) == 3


def test_two_that_turn_out_to_be_one_are_both_charged(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("twice", "customer", period="none", cap_count=2)))
    shop.issue(customer=named(EMAIL))
    shop.issue(customer=named(phone=PHONE))
    both = shop.issue(customer=named(EMAIL, phone=PHONE))
    first, second = (str(row.id) for row in shop.all(customers))
    assert shop.pots("count")["twice", first] == shop.pots("count")["twice", second] == (0, 2, 0)
    assert str(shop.one(issuances, issuances.c.id == both.id).customer_id) == first  # the one who is known longer
    shop.refused(CustomerCapReached, shop.issue, customer=named(EMAIL))
    shop.refused(CustomerCapReached, shop.issue, customer=named(phone=PHONE))
    shop.check()


def test_a_customer_is_found_again_after_the_key_was_rotated(once: Shop) -> None:
    once.issue(customer=named(EMAIL))
    keys = f"{key_setting('CONTACT')},n:{key_setting('NEWER')[2:]}"
    rotated = Shop(**{**vars(once), "core": make_core(once.core.settings.database_url, INCENTIVES_CONTACT_KEYS=keys)})
    rotated.refused(CustomerCapReached, rotated.issue, customer=named(EMAIL))
    rotated.issue(customer=named(EMAIL, phone=PHONE), incentive="sorry")
    assert len(rotated.all(customers)) == 1
    # From now on the newer key alone finds them.
    only = make_core(once.core.settings.database_url, INCENTIVES_CONTACT_KEYS=keys.partition(",")[2])
    newest = Shop(**{**vars(once), "core": only})
    newest.refused(CustomerCapReached, newest.issue, customer=named(EMAIL))
    rotated.core.database.dispose()
    only.database.dispose()


def test_earlier_recoveries_are_shown_at_decision_time(shop: Shop) -> None:
    old = shop.issue(customer=named(EMAIL))
    shop.later(days=60)
    first = shop.issue(customer=named(EMAIL), location="london", amount_minor=1500)
    asked = shop.ask(customer=named(phone=PHONE), amount_minor=3000)
    declined = shop.ask(customer=named(EMAIL), amount_minor=3500)
    shop.decide(declined.approval_id, "decline")
    shop.issue(customer=named("somebody@example.com"))
    shop.later(days=1)

    def seen(customer: CustomerGiven) -> list[object]:
        return [each.issuance_id for each in shop.offer(customer=customer).earlier_recoveries]

    assert seen(named(EMAIL)) == [first.id, old.id]
    assert seen(named("ANALOPEZ+x@example.com", phone=PHONE)) == [asked.id, first.id, old.id]
    assert seen(named("nobody@example.com")) == []
    assert seen(named()) == []
    shop.clock.advance(timedelta(days=29))
    assert seen(named(EMAIL)) == [first.id]  # ninety days
    (earlier,) = shop.offer(customer=named(EMAIL)).earlier_recoveries
    assert (earlier.issue_tag, earlier.incentive, earlier.status, earlier.location) == (
        "long-wait", "voucher", "issued", "london",
    )  # fmt: skip
    assert earlier.amount.amount_minor == 1500


def test_two_customers_who_turn_out_to_be_one_share_their_caps_from_then_on(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("each-customer", scope="customer", cap_count=3)))
    by_email, by_phone = named(EMAIL), named(None, phone=PHONE)
    shop.issue(customer=by_email)
    shop.issue(customer=by_phone)
    shop.issue(customer=named(EMAIL, phone=PHONE))
    # Each had one of their own and the one together; whichever way they come, one is left.
    shop.issue(customer=by_phone)
    shop.refused(CustomerCapReached, shop.issue, customer=by_email)
    shop.refused(CustomerCapReached, shop.issue, customer=by_phone)
    assert len(shop.offer(customer=by_phone).earlier_recoveries) == 4


def test_a_case_brings_its_customer_along(open_shop: OpenShop) -> None:
    shop = open_shop(catalog(budget("each-customer", scope="customer", cap_count=2)))
    case_id = shop.issue(customer=named(EMAIL)).case_id
    shop.issue(customer=named(), case_id=case_id)
    shop.refused(CustomerCapReached, shop.issue, customer=named(), case_id=case_id)
    shop.refused(CaseOfAnotherCustomer, shop.issue, customer=named("somebody.else@example.com"), case_id=case_id)


def test_nothing_is_given_in_a_closed_case(shop: Shop) -> None:
    case_id = shop.issue().case_id
    with shop.core.database.write() as tx:
        tx.execute(recovery_cases.update().values(status="closed", outcome="no_action", closed_at=shop.clock.now()))
    assert shop.refused(CaseClosed, shop.issue, case_id=case_id).facts == {"field": "case_id"}


def test_who_belongs_to_one_place_gives_in_no_others_name(shop: Shop) -> None:
    found = shop.refused(OtherLocation, shop.issue, shop.agent, location="leeds")
    assert found.facts == {"field": "location", "location": "london"}
    shop.refused(OtherLocation, shop.offer, shop.agent, location="leeds")
    shop.issue(shop.manager, location="leeds")
