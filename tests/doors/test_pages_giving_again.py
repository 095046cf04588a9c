"""What the tablet knows before it promises: what is open in the case, and where the last message did not arrive."""

from datetime import timedelta

import pytest

from incentives.flows.deliver import deliver_next
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.kernel.clock import FixedClock
from incentives.messages.port import TryLater, WillNeverWork
from incentives.queries.cases import list_cases
from incentives.queries.suppressed import list_suppressed
from tests.doors.case_pages import error_at
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.world import DEMO_CATALOG, Recording, publish_catalog

GIVE = "/staff/give/flight-delayed"
EMAIL = "ana.ruiz@gmail.com"


def one_of_a_kind(staff: Staff) -> None:
    """Let a case have but one of two incentives open."""
    text = DEMO_CATALOG.read_text(encoding="utf-8")
    for key in ("travel-voucher-gbp", "credit-gbp"):
        text = text.replace(f"  - key: {key}\n", f"  - key: {key}\n    exclusive_group: money\n")
    publish_catalog(staff.core, text)


def newest_case(staff: Staff) -> str:
    return str(list_cases(core=staff.core, actor=staff.person("admin")).items[0].id)


def test_within_a_case_what_it_has_open_is_not_offered_again(staff: Staff) -> None:
    one_of_a_kind(staff)
    assert staff.give(email=EMAIL).status_code == 303
    visitor = staff.role("frontline")
    found = visitor.get(f"{GIVE}?case={newest_case(staff)}")
    check(found)
    assert "This case has one of its kind already." in found.words
    offered = [each.attrib["value"] for each in found.all("input") if each.get("name") == "incentive"]
    assert offered
    assert not {"travel-voucher-gbp", "credit-gbp"} & set(offered)
    looked = Page(visitor.send(f"{GIVE}/offers", found.form(GIVE)))
    assert "This case has one of its kind already." in looked.words
    assert "This case has one of its kind already." not in visitor.get(GIVE).words


def test_an_address_of_somebody_else_is_said_at_its_field_and_the_offers_stay(staff: Staff) -> None:
    assert staff.give(email=EMAIL).status_code == 303
    assert staff.give(email="bob@gmail.com", order_ref="B 2").status_code == 303
    visitor, page = staff.role("frontline"), f"{GIVE}?case={newest_case(staff)}"
    fields = visitor.get(page).form(GIVE) | {"email": EMAIL}
    for path, status in ((f"{GIVE}/offers", 200), (GIVE, 422)):
        found = Page(visitor.send(path, fields))
        check(found)
        assert found.status == status
        assert error_at(found, "email") == "This recovery case is about another customer."
        assert "You can give this" in found.words


def test_a_case_that_is_closed_meanwhile_says_so_and_loses_nothing_typed(staff: Staff) -> None:
    assert staff.give(email=EMAIL).status_code == 303
    visitor = staff.role("frontline")
    fields = visitor.get(f"{GIVE}?case={newest_case(staff)}").form(GIVE)
    gone = fields | {"case": str(staff.core.ids.new(staff.core.clock.now())), "note": "Was in tears.", "seen": "9"}
    for path in (f"{GIVE}/offers", GIVE):
        found = Page(visitor.send(path, gone))
        check(found)
        assert "There is no such recovery case" in found.words
        assert found.form(GIVE)["note"] == "Was in tears."
        assert "You can give this" in found.words


@pytest.fixture
def returning(staff: Staff) -> Staff:
    """A customer was given something by email, and the provider said that it will never arrive."""
    sender = staff.core.senders["email"]
    assert isinstance(sender, Recording)
    sender.outcomes.append(WillNeverWork("There is no such mailbox.", "invalid"))
    assert staff.give(email=EMAIL).status_code == 303
    while deliver_next(core=staff.core):
        pass
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(days=3))
    return staff


def look(staff: Staff, **typed: str) -> Page:
    visitor = staff.role("frontline")
    return Page(visitor.send(f"{GIVE}/offers", visitor.get(GIVE).form(GIVE) | typed))


def test_an_address_that_was_not_reached_last_time_says_so_before_anything_is_given(returning: Staff) -> None:
    returning.signed_in_again("frontline")
    found = look(returning, email="Ana.Ruiz+now@Gmail.com")  # another spelling of the mailbox
    check(found)
    assert "The last email to this address could not be delivered, 3 days ago." in found.words
    assert "Ask for a mobile phone number, or show it on this screen only." in found.words
    assert "The SMS should reach them." in look(returning, email=EMAIL, phone="07400 123456").words
    assert "Nothing is sent there" not in look(returning, email="other@gmail.com").words
    assert "Nothing is sent there" not in look(returning, phone="07400 123456").words


def test_the_first_press_shows_it_and_the_second_gives_all_the_same(returning: Staff) -> None:
    visitor = returning.signed_in_again("frontline")
    fields = visitor.get(GIVE).form(GIVE) | {"email": EMAIL, "seen": "1"}
    first = Page(visitor.send(GIVE, fields))
    assert first.status == 200
    assert "Nothing is sent there" in first.words
    assert "Give it anyway" in first.words
    assert visitor.send(GIVE, first.form(GIVE)).status_code == 303


def test_on_the_screen_alone_nobody_is_held_up_by_it(returning: Staff) -> None:
    visitor = returning.signed_in_again("frontline")
    fields = visitor.get(GIVE).form(GIVE) | {"email": EMAIL, "seen": "1", "screen_only": "yes"}
    assert visitor.send(GIVE, fields).status_code == 303


@pytest.mark.parametrize("lifted", [True, False], ids=["somebody lifted it", "ninety days have passed"])
def test_it_is_not_held_against_an_address_forever(returning: Staff, *, lifted: bool) -> None:
    assert isinstance(returning.core.clock, FixedClock)
    if lifted:
        manager = returning.person("manager")
        (entry,) = list_suppressed(core=returning.core, actor=manager).items
        command = LiftSuppression(id=entry.id, reason="The mailbox works again.")
        lift_suppression(core=returning.core, actor=manager, command=command)
    else:
        returning.core.clock.advance(timedelta(days=90))
    visitor = returning.signed_in_again("frontline")
    found = Page(visitor.send(f"{GIVE}/offers", visitor.get(GIVE).form(GIVE) | {"email": EMAIL}))
    assert "Nothing is sent there" not in found.words


def test_a_provider_that_could_not_be_reached_says_nothing_of_the_address(staff: Staff) -> None:
    sender, clock = staff.core.senders["email"], staff.core.clock
    assert isinstance(sender, Recording)
    assert isinstance(clock, FixedClock)
    sender.outcomes.extend(TryLater("It does not answer.", None) for _ in range(60))
    assert staff.give(email=EMAIL).status_code == 303
    for _ in range(40):
        deliver_next(core=staff.core)
        clock.advance(timedelta(hours=2))
    visitor = staff.signed_in_again("frontline")
    found = Page(visitor.send(f"{GIVE}/offers", visitor.get(GIVE).form(GIVE) | {"email": EMAIL}))
    assert "This customer got 1 recovery" in found.words
    assert "Nothing is sent there" not in found.words
