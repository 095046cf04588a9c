"""The safety pages: something is stopped and goes on again, what was held is decided, lists are kept."""

import io

import pytest

from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_voucher
from incentives.flows.listing import ListValue, add_listed
from incentives.flows.people import CreateApiKey, create_api_key, revoke_api_key
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import BlockedBySafeguards
from tests.doors.staff import Staff
from tests.doors.test_pages import check
from tests.world import api_key

BOARD, REVIEWS, LISTS = "/safeguards", "/safeguards/reviews", "/safeguards/lists"


def stop(staff: Staff, role: str = "manager", target: str = "organization", stops: str = "issuing", **more: str) -> str:
    """Stop something by the form; return where that leads."""
    answer = staff.role(role).fill(BOARD, BOARD, target=target, stops=stops, reason="A rule misfires.", **more)
    assert answer.status_code == 303, answer.text
    return answer.location


def hold(staff: Staff) -> None:
    """Let the frontline give something that is held back, for the customer is to be looked at."""
    command = ListValue(list="review", kind="email", value="ana@gmail.com", reason="Too many complaints.")
    add_listed(core=staff.core, actor=staff.person("manager"), command=command)
    answer = staff.give(email="ana@gmail.com")
    assert answer.status_code == 303, answer.text


def test_stopping_shows_what_was_caught_in_flight(staff: Staff) -> None:
    """What waits, and what was given in the minute before, is shown with links; nothing can be given any more."""
    staff.asked()
    staff.give()
    page = staff.role("manager").get(stop(staff))
    check(page)
    assert "It is stopped, everywhere within a second." in page.words
    assert "A rule misfires." in page.words
    links = {each.get("href", "").partition("#")[0] for each in page.all("a")}
    assert "/approvals" in links
    assert any(each.startswith("/vouchers/") for each in links)
    assert "No address was changed just before." in page.words
    board = staff.role("auditor").get(BOARD)
    check(board)
    assert "Giving stopped" in board.words
    assert "Stop it now" not in board.words
    refused = staff.give(incentive="travel-voucher-gbp")
    assert refused.status_code == 409
    assert "A rule misfires." in refused.text
    assert staff.give(incentive="apology-only").status_code == 303  # saying sorry is never stopped


def test_it_goes_on_once_somebody_says_why(staff: Staff) -> None:
    """Lifting needs a reason; after it giving works."""
    where = stop(staff).partition("?")[0]
    lift = f"{where}/lift"
    empty = staff.role("manager").fill(where, lift, reason=" ")
    assert empty.status_code == 422
    assert staff.role("manager").fill(where, lift, reason="It is mended.").status_code == 303
    page = staff.role("manager").get(where)
    check(page)
    assert "It is mended." in page.words
    assert staff.give().status_code == 303
    assert "Goes on" in staff.role("manager").get(BOARD).words


def test_what_is_stopped_already_is_shown(staff: Staff) -> None:
    """Whoever presses second sees the switch that is set."""
    first = stop(staff).partition("?")[0]
    again = stop(staff)
    assert again == f"{first}?known=1"
    assert "This was stopped already" in staff.role("manager").get(again).words


def test_somebody_of_a_place_stops_that_place(staff: Staff) -> None:
    """A supervisor is offered their own place only, and their people by email."""
    page = staff.role("supervisor").get(BOARD)
    targets = [each.get("value", "") for each in page.all("option")]
    assert "location|london" in targets
    assert not [each for each in targets if each.startswith(("incentive", "organization"))]
    stop(staff, "supervisor", "person", subject="frontline@example.com")
    assert staff.give(incentive="travel-voucher-gbp").status_code == 409
    answer = staff.role("supervisor").fill(BOARD, BOARD, target="person", subject="manager@example.com", reason="Why.")
    assert answer.status_code == 403


def test_an_api_key_is_chosen_by_its_name(staff: Staff) -> None:
    """Nobody types an id; whoever belongs to a place is offered the keys of that place, and revoked ones nobody."""
    for place in ("london", "madrid", None):
        api_key(staff.core, "till", location=place)
    gone = create_api_key(core=staff.core, actor=SYSTEM, command=CreateApiKey(name="an old till", role="till"))
    revoke_api_key(core=staff.core, actor=SYSTEM, key_id=gone.id)
    page = staff.role("manager").get(BOARD)
    keys = {each.text or "": each.get("value", "") for each in page.all("option") if "API key" in (each.text or "")}
    assert len(keys) == 3
    (london,) = [each for each in keys if each.startswith("API key: test till, London Heathrow (")]
    assert staff.role("manager").get(stop(staff, target=keys[london])).words.count("API key: test till") == 1
    own = [each.text for each in staff.role("supervisor").get(BOARD).all("option") if "API key" in (each.text or "")]
    assert own == [london]
    assert not [each for each in staff.role("auditor").get(BOARD).all("option") if "API key" in (each.text or "")]


def test_a_mistake_stands_at_its_field(staff: Staff) -> None:
    """What was typed is kept, and the field says what is wrong."""
    answer = staff.role("manager").fill(BOARD, BOARD, target="person", subject="nobody@example.com", reason="Why.")
    assert answer.status_code == 422
    assert "nobody@example.com" in answer.text
    assert 'id="subject-error"' in answer.text


def test_what_was_held_is_released_or_taken_back(staff: Staff) -> None:
    """The queue says what showed, what is held in money, and who caused it; the decision is made there."""
    hold(staff)
    page = staff.role("supervisor").get(REVIEWS)
    check(page)
    assert "Held back" in page.words
    assert "on the review list" in page.words
    (action,) = [each.get("action", "") for each in page.all("form") if "decision" in each.get("action", "")]
    missing = staff.role("supervisor").fill(REVIEWS, action, decision="block")
    assert missing.status_code == 422
    assert "Say why" in missing.text
    done = staff.role("supervisor").fill(REVIEWS, action, decision="block", note="The same family.")
    assert done.status_code == 303, done.text
    after = staff.role("supervisor").get(done.location)
    check(after)
    assert "Nothing waits for a look" in after.words
    assert "The same family." in after.words
    again = staff.role("manager").send(action, {**page.form(action), "decision": "release"})
    assert again.status_code in (403, 409)  # the form was the supervisor's


def test_nobody_is_offered_to_decide_what_they_caused(staff: Staff) -> None:
    """Whoever caused a review sees it, without buttons."""
    actor = staff.person("manager")
    command = IssueVoucher(issue_tag="flight-delayed", location="london", customer=CustomerGiven(email=actor.email))
    with pytest.raises(BlockedBySafeguards):
        issue_voucher(core=staff.core, actor=actor, command=command)
    page = staff.role("manager").get(REVIEWS)
    assert "You caused this yourself" in page.words
    assert not [each for each in page.all("form") if "decision" in each.get("action", "")]
    assert "It was abuse" in staff.role("finance").get(REVIEWS).words


def test_lists_are_kept_by_hand_and_by_file(staff: Staff) -> None:
    """An entry is added, shown by its hint and taken off; a file with a mistake adds nothing and says where it is."""
    visitor = staff.role("manager")
    added = visitor.fill(LISTS, LISTS, list="deny", kind="email", value="bad@example.net", reason="Leaked codes.")
    assert added.status_code == 303, added.text
    page = visitor.get(LISTS)
    check(page)
    assert "b…@example.net" in page.words
    assert "bad@example.net" not in page.html
    wrong = visitor.fill(LISTS, LISTS, list="deny", kind="email", value="bad", reason="Leaked.")
    assert wrong.status_code == 422
    files = {"file": (io.BytesIO(b"kind,value,reason\nphone,12,Why\n"), "list.csv")}
    token = page.form(f"{LISTS}/import")
    broken = visitor.client.post(f"{LISTS}/import", data={**token, **files})
    assert broken.status_code == 422
    assert "Line 2" in broken.text
    files = {"file": (io.BytesIO(b"kind,value,reason\nemail_domain,example.org,Why\n"), "list.csv")}
    good = visitor.client.post(f"{LISTS}/import", data={**token, **files})
    assert good.status_code == 303, good.text
    assert "1 entry was added." in visitor.get(good.location).words
    (action, *_) = [
        each.get("action", "")
        for each in visitor.get(f"{LISTS}?list=deny").all("form")
        if "/remove" in each.get("action", "")
    ]
    assert visitor.fill(LISTS, action, reason="Another person.").status_code == 303


@pytest.mark.parametrize("ends", ["9999-12-31", "9999-01-01", "0001-01-01", "1899-12-31"])
def test_an_entry_ends_within_the_calendar(staff: Staff, ends: str) -> None:
    entry = {"list": "deny", "kind": "email", "value": "bad@example.net", "reason": "Leaked codes."}
    refused = staff.role("manager").fill(LISTS, LISTS, **entry, expires_at=ends)
    assert refused.status_code == 422
    assert "Outside of the calendar" in refused.text
    assert staff.role("manager").get(LISTS).status == 200


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("frontline", BOARD, 403),
        ("till", REVIEWS, 403),
        ("supervisor", LISTS, 403),
        ("auditor", BOARD, 200),
        ("auditor", REVIEWS, 200),
        ("finance", LISTS, 200),
    ],
)
def test_who_sees_what(staff: Staff, role: str, path: str, status: int) -> None:
    """Deny by default."""
    page = staff.role(role).get(path)
    check(page)
    assert page.status == status


def test_an_empty_house_has_pages_too(staff: Staff) -> None:
    """Without switches, reviews and entries the pages say so."""
    for path, words in ((BOARD, "Nothing is stopped"), (REVIEWS, "Nothing waits"), (LISTS, "Nobody stands here")):
        page = staff.role("admin").get(path)
        check(page)
        assert words in page.words


def test_whoever_leads_gives_above_a_customers_cap_with_a_reason(staff: Staff) -> None:
    """The frontline cannot choose it; a supervisor may, and says why at its field."""
    form, email = "/staff/give/flight-delayed", "ana@gmail.com"
    given = {"email": email, "seen": "99", "incentive": "travel-voucher-gbp", "location": "london"}
    answers = [staff.give("manager", **given) for _ in range(7)]
    assert [each.status_code for each in answers] == [303] * 6 + [409]
    assert "Above this customer" in answers[-1].text
    again = {"email": email, "seen": "99", "incentive": "travel-voucher-gbp"}
    clerk = staff.role("frontline").fill(form, form, **again, override="Please.")
    assert clerk.status_code == 403
    lead = staff.role("supervisor").fill(form, form, **again)
    assert lead.status_code == 409
    assert "Why this customer may get more" in lead.text
    assert "Say why this customer may get more." in lead.text
    assert "ask a supervisor" not in lead.text
    done = staff.role("supervisor").fill(form, form, **again, override="Two guests with one address.")
    assert done.status_code == 303, done.text


def test_what_is_stopped_and_caught_is_called_by_its_name(staff: Staff) -> None:
    """Nobody has to know the keys of the catalog to see what a switch did."""
    staff.asked()
    page = staff.role("manager").get(stop(staff, target="location|london"))
    assert "Location: London Heathrow" in page.words
    assert "Travel voucher London Heathrow, just now £120.00" in page.words
    assert "travel-voucher-gbp" not in page.words
