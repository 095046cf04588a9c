"""The page of addresses that nothing is sent to, and what the tablet says of one before and after giving."""

from dataclasses import replace
from datetime import timedelta

import pytest

from admin import handing, words
from admin.suppressions import STRANDED
from incentives.flows.hear import STOP, OptOut, StatusReport, hear_opt_out, hear_reports
from incentives.flows.issue import Issued, IssueVoucher, issue_voucher
from incentives.flows.people import CreateUser, create_user
from incentives.flows.salvage import LATE, TOO_LATE, salvage_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import FixedClock
from incentives.messages.outbox import UNCERTAIN, UNTOLD
from incentives.messages.tables import STATUSES, outbox_messages
from incentives.queries.suppressed import list_suppressed
from incentives.recovery.customers import CustomerGiven
from incentives.vouchers.tables import issuances
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.world import PASSWORD

UNREACHABLE = "/safeguards/unreachable"
ANA = "ana@customer.example"
PHONE = "+447400123456"


def stop(staff: Staff) -> None:
    """Let a customer write that they want no more messages at their number."""
    told = OptOut(provider="twilio", channel="sms", word=STOP, event_key="SM1:STOP", address=PHONE)
    assert hear_opt_out(core=staff.core, opt_out=told)


def test_who_cannot_be_reached_is_listed_by_hints_and_sent_to_again_for_a_reason(staff: Staff) -> None:
    page = staff.role("manager").get(UNREACHABLE)
    check(page)
    assert "Everybody can be reached" in page.words
    stop(staff)
    page = staff.role("manager").get(UNREACHABLE)
    check(page)
    assert "…3456" in page.words
    assert PHONE not in page.html
    assert "Asked for no more messages" in page.words
    assert "until somebody lifts it" in page.words
    assert "…3456" not in staff.role("manager").get(f"{UNREACHABLE}?channel=email").words
    (entry,) = list_suppressed(core=staff.core, actor=staff.person("manager")).items
    lift = f"{UNREACHABLE}/{entry.id}/lift"
    form = page.form(lift)
    empty = staff.role("manager").fill(UNREACHABLE, lift, reason=" ")
    assert empty.status_code == 422
    assert '<details class="more" open>' in empty.text  # what is wrong is said where it is to be mended
    assert f'href="#reason-{entry.id}"' in empty.text
    assert f'id="reason-{entry.id}"' in empty.text
    done = staff.role("manager").fill(UNREACHABLE, lift, reason="They asked for it on the phone.")
    assert done.status_code == 303
    page = staff.role("manager").get(done.location)
    assert "From now on it is sent to again." in page.words
    assert "Everybody can be reached" in page.words
    over = staff.role("manager").send(lift, form | {"reason": "Once more."})
    assert over.status_code == 404


def test_an_address_of_staff_is_named_as_theirs(staff: Staff) -> None:
    """Notices do not come there; nobody would look for that among customers."""
    root = CreateUser(email="Jo.Root@brand.example", name="Jo Root", role="admin", password=PASSWORD)
    create_user(core=staff.core, actor=SYSTEM, command=root)
    for number, email in enumerate((root.email, "ana@example.com")):
        bounce = StatusReport(
            provider="sendgrid", channel="email", event_key=f"e{number}", status="bounce", means="bounced",
            occurred_at=staff.core.clock.now(), suppresses="bounced", to=email,
        )  # fmt: skip
        assert hear_reports(core=staff.core, said=[bounce])
    page = staff.role("manager").get(UNREACHABLE)
    check(page)
    assert page.words.count("of the staff") == 1
    assert "The address is Jo Root’s, of the staff." in page.words


def test_messages_that_were_missing_are_listed_with_what_became_of_them(staff: Staff) -> None:
    assert "Messages that were missing" not in staff.role("manager").get(UNREACHABLE).words
    given = issue_voucher(
        core=staff.core,
        actor=staff.person("manager"),
        command=IssueVoucher(issue_tag="flight-delayed", customer=CustomerGiven(email=ANA), channels=("email",)),
    )
    assert isinstance(given, Issued)
    assert given.voucher is not None
    with staff.core.database.write() as tx:
        tx.execute(outbox_messages.delete())
    later = replace(staff.core, clock=FixedClock(staff.core.clock.now() + LATE + timedelta(hours=1)), cache={})
    salvage_due(core=later)
    page = staff.role("manager").get(UNREACHABLE)
    check(page)
    assert "Messages that were missing It was missing, and does not go out by itself" in page.words
    assert TOO_LATE in page.words
    assert f"/vouchers/{given.voucher.id}" in {each.get("href") for each in page.all("a")}
    assert ANA not in page.html
    assert staff.role("manager").get(f"/vouchers/{given.voucher.id}").status == 200


@pytest.mark.parametrize("status", ["queued", "failed", "withdrawn", "freed"])
def test_each_thing_that_may_become_of_one_has_words(status: str) -> None:
    assert STRANDED[status]


def test_only_whoever_manages_it_sees_it(staff: Staff) -> None:
    assert staff.role("manager").get("/safeguards").status == 200
    links = {each.get("href") for each in staff.role("manager").get("/safeguards").all("a")}
    assert UNREACHABLE in links
    assert staff.role("supervisor").get(UNREACHABLE).status == 403
    links = {each.get("href") for each in staff.role("supervisor").get("/safeguards").all("a")}
    assert UNREACHABLE not in links


def test_the_tablet_warns_first_and_says_afterwards_that_it_was_not_sent(staff: Staff) -> None:
    stop(staff)
    warned = staff.give(phone=PHONE)
    assert warned.status_code == 200, warned.text
    assert "was not wanted" in warned.text
    tablet = staff.role("frontline")
    answer = tablet.send("/staff/give/flight-delayed", Page(warned).form("/staff/give/flight-delayed"))
    assert answer.status_code == 303, answer.text
    given = tablet.get(answer.location)
    check(given)
    assert "It could not be sent. Turn the screen to the customer" in given.words
    assert "Not sent: the customer asked for no more messages at this address." in given.words


ON_ITS_WAY = "It is on its way."
PHOTO = "a photo of it is enough"


@pytest.mark.parametrize(
    ("became", "said", "to_be_shown"),
    [
        ({"status": "queued"}, ON_ITS_WAY, False),
        ({"status": "sending"}, ON_ITS_WAY, False),
        ({"status": "captured"}, "It was captured on this machine, where nobody gets it.", True),
        ({"status": "sent"}, "It was sent.", False),
        ({"status": "sent", "reason": UNTOLD}, "It was sent.", False),
        ({"status": "delivered"}, "It has arrived.", False),
        ({"status": "failed", "reason": UNCERTAIN}, "It may have arrived, or not: ask the customer.", True),
        ({"status": "held"}, "It is held for now", False),
        ({"status": "bounced"}, "It came back, and was not delivered.", True),
        ({"status": "failed", "reason": "Refused."}, "It was not delivered.", True),
        ({"status": "suppressed"}, "It could not be sent.", True),
        ({"status": "withdrawn"}, "It is not sent any more.", True),
    ],
)
def test_after_giving_the_page_says_of_each_status_what_is_true(
    staff: Staff, became: dict[str, str], said: str, to_be_shown: bool
) -> None:
    given = staff.give(email=ANA).location
    assert ON_ITS_WAY in staff.role("frontline").get(given).words
    with staff.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(**became))
    page = staff.role("frontline").get(given)
    check(page)
    (line,) = [each for each in page.all("p") if each.get("data-live") == "headline"]
    told = "".join(line.itertext())
    assert told.startswith(said)
    assert (PHOTO in told) is to_be_shown
    assert (ON_ITS_WAY in page.words) is (said == ON_ITS_WAY)


def test_of_two_messages_the_line_tells_of_the_one_that_came_farthest(staff: Staff) -> None:
    given = staff.give(email=ANA, phone=PHONE).location
    for email, sms, said in (("bounced", "queued", ON_ITS_WAY), ("bounced", "delivered", "It has arrived."),
                             ("failed", "suppressed", "It was not delivered.")):  # fmt: skip
        with staff.core.database.write() as tx:
            for channel, status in (("email", email), ("sms", sms)):
                tx.execute(outbox_messages.update().where(outbox_messages.c.channel == channel).values(status=status))
        assert said in staff.role("frontline").get(given).words


def test_there_are_words_for_every_status() -> None:
    assert set(handing._SENDING) == {*STATUSES, words.IN_DOUBT}
    assert set(words.DELIVERIES) == set(STATUSES)


def test_nobody_is_asked_to_take_a_photo_of_a_code_that_is_not_shown(staff: Staff) -> None:
    given = staff.give(email=ANA).location
    with staff.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(status="bounced"))
        tx.execute(issuances.update().values(issued_at=staff.core.clock.now() - timedelta(days=2)))
    page = staff.role("frontline").get(given)
    assert "There is no code to hand over any more." in page.words
    assert "It came back, and was not delivered." in page.words
    assert "photo" not in page.words
