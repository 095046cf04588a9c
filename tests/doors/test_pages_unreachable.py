"""The page of addresses that nothing is sent to, and what the tablet says of one before and after giving."""

from incentives.flows.hear import STOP, OptOut, StatusReport, hear_opt_out, hear_reports
from incentives.flows.people import CreateUser, create_user
from incentives.kernel.actors import SYSTEM
from incentives.queries.suppressed import list_suppressed
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.world import PASSWORD

UNREACHABLE = "/safeguards/unreachable"
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
