"""The tablet's job by its pages: what may be given, to whom, once, and what happens then."""

import re
import uuid
from datetime import timedelta

import pytest
import sqlalchemy as sa

from incentives.flows.deliver import deliver_next
from incentives.kernel.clock import FixedClock
from incentives.queries.cases import list_cases
from tests.databases import SqliteDatabases
from tests.doors.staff import Page, Staff, staff_of
from tests.doors.test_pages import check
from tests.run_folder import RunFolder
from tests.schema import all_tables

GIVE = "/staff/give/flight-delayed"


def count(staff: Staff, table: str) -> int:
    with staff.core.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(all_tables().tables[table])).scalar_one())


def test_the_tiles_lead_from_two_levels_to_the_offers(staff: Staff) -> None:
    found = staff.role("frontline").get("/staff")
    check(found)
    links = [each.attrib["href"] for each in found.all("a") if "tile" in each.get("class", "").split()]
    assert "/staff/give/flight-delayed" in links
    assert "/staff/give/flight" in links
    assert [path for path in links if staff.role("frontline").client.get(path).status_code != 200] == []


def test_only_what_can_be_given_here_is_offered_with_what_to_say(staff: Staff) -> None:
    found = staff.role("frontline").get(GIVE)
    check(found)
    offered = [each.attrib["value"] for each in found.all("input") if each.get("name") == "incentive"]
    assert offered[0] == "travel-voucher-gbp"
    assert not [key for key in offered if not key.endswith("gbp") and key != "apology-only"]
    assert "I am sorry about your flight" in found.words
    assert "£25.00 off You can give this" not in found.words
    assert "You can give this £25.00 off" in found.words
    (adjustable,) = {each.attrib["name"] for each in found.all("input") if each.get("inputmode") == "decimal"} - {
        "amount-credit-gbp"
    }
    assert adjustable == "amount-travel-voucher-gbp"


def test_a_dry_budget_says_so_and_is_no_dead_end(staff: Staff) -> None:
    for _ in range(2):
        assert staff.give(tag="long-wait").status_code == 303
    visitor = staff.role("frontline")
    found = visitor.get("/staff/give/long-wait")
    check(found)
    assert "Travel voucher A smaller amount may fit" in found.words
    assert found.form("/staff/give/long-wait")["incentive"] != "travel-voucher-gbp"
    refused = Page(staff.give(tag="long-wait", incentive="travel-voucher-gbp"))
    check(refused)
    assert refused.status == 409
    assert "The budget “Long waits in pounds” has no room for this." in refused.words
    smaller = {"amount-travel-voucher-gbp": "10"}
    assert staff.give(tag="long-wait", incentive="travel-voucher-gbp", **smaller).status_code == 303
    assert "You can give this" in visitor.get("/staff/give/long-wait").words


def test_who_is_nowhere_may_say_where_and_others_may_not(staff: Staff) -> None:
    refused = Page(staff.give("admin", location="atlantis"))
    check(refused)
    assert refused.status == 422
    assert "atlantis" in refused.words
    found = staff.role("admin").get(staff.give("admin", location="london").location)
    assert "London time" in found.words
    assert staff.give("frontline", location="madrid").status_code == 303
    assert "Location" not in staff.role("frontline").get(GIVE).words


def test_giving_shows_the_voucher_to_its_issuer_and_to_nobody_else(staff: Staff) -> None:
    answer = staff.give(email="Ana.Ruiz@gmail.com", phone="07400 123456", name="Ana")
    assert answer.status_code == 303
    found = staff.role("frontline").get(answer.location)
    check(found)
    assert found.title.startswith("Done. Here is the voucher")
    (code,) = re.findall(r'class="handover-code">([^<]+)<', found.html)
    assert re.fullmatch(r"(?:[0-9A-Z]{4}-){3}[0-9A-Z*~$=]", code)
    (picture,) = [each.attrib["src"] for each in found.all("img")]
    assert staff.role("frontline").client.get(picture).mimetype == "image/svg+xml"
    assert "20 November 2027, end of the day (London time)" in found.words
    assert found.html.count("On its way</span>") == 2
    assert "data-poll" in found.html
    for role in ("supervisor", "admin"):
        other = staff.role(role).get(answer.location)
        assert other.status == 404
        assert code not in other.html


def test_the_page_stops_asking_once_the_messages_have_gone(staff: Staff) -> None:
    answer = staff.give(email="ana.ruiz@gmail.com")
    while deliver_next(core=staff.core):
        pass
    found = staff.role("frontline").get(answer.location)
    assert "Captured here" in found.words
    assert "data-poll" not in found.html


def test_an_apology_by_itself_is_recorded_without_a_voucher(staff: Staff) -> None:
    answer = staff.give(incentive="apology-only")
    found = staff.role("frontline").get(answer.location)
    check(found)
    assert "mean it" in found.words
    assert "handover-code" not in found.html


def test_on_the_screen_only_nothing_is_sent_though_the_customer_is_known(staff: Staff) -> None:
    answer = staff.give(screen_only="yes", email="ana.ruiz@gmail.com")
    found = staff.role("frontline").get(answer.location)
    assert "Nothing is sent" in found.words
    assert count(staff, "outbox_messages") == 0
    assert count(staff, "customers") == 1


@pytest.mark.parametrize(
    ("fields", "status", "field", "words"),
    [
        ({"email": ""}, 422, "email", "Add an email or a phone number"),
        ({"email": "ana@"}, 422, "email", "after the @-sign"),
        ({"phone": "123"}, 422, "phone", "phone number cannot be reached"),
        ({"amount-travel-voucher-gbp": "many"}, 422, "amount-travel-voucher-gbp", "Write the amount in figures"),
        ({"amount-travel-voucher-gbp": "9.99"}, 422, "amount-travel-voucher-gbp", "£10.00 to £150.00"),
        ({"amount-travel-voucher-gbp": "150.01"}, 422, "amount-travel-voucher-gbp", "£10.00 to £150.00"),
        ({"amount-travel-voucher-gbp": "-25"}, 422, "amount-travel-voucher-gbp", "Write the amount in figures"),
        ({"amount-travel-voucher-gbp": "25.001"}, 422, "amount-travel-voucher-gbp", "£10.00 to £150.00"),
        ({"amount-travel-voucher-gbp": "99999999999999999999"}, 422, "amount-travel-voucher-gbp", "Write the amount"),
        ({"incentive": "travel-voucher-usd"}, 422, "offers", ""),
        ({"incentive": "no-such-thing"}, 422, "offers", ""),
        ({"incentive": ""}, 422, "offers", "Choose what to give."),
    ],
)
def test_a_mistake_is_named_at_its_field_and_what_was_typed_stays(
    staff: Staff, fields: dict[str, str], status: int, field: str, words: str
) -> None:
    answer = staff.give(**({"email": "ana.ruiz@gmail.com", "name": "Ana <b>", "order_ref": "MA 12"} | fields))
    found = Page(answer)
    check(found)
    assert found.status == status
    summary = next(each for each in found.tree.iter() if each.get("id") == "refused")
    assert [each.attrib["href"] for each in summary.iter("a")] == [f"#{field}"]
    assert words in " ".join(summary.itertext())
    again = found.form(GIVE)
    for name, value in {"name": "Ana <b>", "order_ref": "MA 12", **fields}.items():
        if name in again and name != "incentive":
            assert again[name] == value
    assert count(staff, "issuances") == count(staff, "recovery_cases") == count(staff, "idempotency_keys") == 0


def test_a_second_recovery_is_shown_before_it_is_given(staff: Staff) -> None:
    staff.give(email="ana.ruiz@gmail.com")
    later(staff, minutes=5)
    visitor = staff.role("frontline")
    fields = visitor.get(GIVE).form(GIVE) | {"email": "ANA.RUIZ+x@googlemail.com"}
    found = Page(visitor.send(GIVE, fields))
    check(found)
    assert found.status == 200
    assert "This customer got 1 recovery in 30 days" in found.words
    assert "£25.00 Travel voucher, Flight delayed, 20 Nov 2026, 12:00" in found.words
    assert "Give it anyway" in found.words
    assert count(staff, "issuances") == 1
    assert visitor.send(GIVE, found.form(GIVE)).status_code == 303
    assert count(staff, "issuances") == 2


def later(staff: Staff, **step: int) -> None:
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(**step))


def test_the_look_up_shows_recoveries_and_mistakes_and_changes_nothing(staff: Staff) -> None:
    staff.give(email="ana.ruiz@gmail.com")
    later(staff, minutes=5)
    visitor = staff.role("frontline")
    fields = visitor.get(GIVE).form(GIVE)
    found = Page(visitor.send(f"{GIVE}/offers", fields | {"email": "ana.ruiz@gmail.com", "severity": "3"}))
    check(found)
    assert found.status == 200
    assert "This customer got 1 recovery in 30 days" in found.words
    assert "anyway" not in found.words
    assert found.form(GIVE)["severity"] == "3"
    found = Page(visitor.send(f"{GIVE}/offers", fields | {"email": "ana@"}))
    assert found.status == 200
    assert "after the @-sign" in found.words
    assert "You can give this" in found.words
    assert count(staff, "issuances") == 1


def test_the_same_page_sent_again_gives_once(staff: Staff) -> None:
    visitor = staff.role("frontline")
    fields = visitor.get(GIVE).form(GIVE) | {"email": "ana.ruiz@gmail.com"}
    places = set()
    for _ in range(3):
        later(staff, seconds=2)
        places.add(visitor.send(GIVE, fields).location)
    assert len(places) == 1
    assert count(staff, "issuances") == count(staff, "outbox_messages") == 1


def test_the_same_page_with_something_else_in_it_is_refused(staff: Staff) -> None:
    visitor = staff.role("frontline")
    fields = visitor.get(GIVE).form(GIVE) | {"screen_only": "yes"}
    assert visitor.send(GIVE, fields).status_code == 303
    found = Page(visitor.send(GIVE, fields | {"name": "Another"}))
    assert found.status == 422
    assert "This form was sent already" in found.words
    assert count(staff, "issuances") == 1


@pytest.mark.parametrize("key", ["", "x" * 3000, str(uuid.UUID(int=5, version=4))])
def test_a_made_up_key_gives_nothing_and_the_page_comes_with_one_of_its_own(staff: Staff, key: str) -> None:
    refused = Page(staff.give(idempotency_key=key, name="Ana"))
    check(refused)
    assert refused.status == 422
    assert "This page was not whole" in refused.words
    assert count(staff, "issuances") == 0
    again = refused.form(GIVE) | {"screen_only": "yes"}
    assert again["name"] == "Ana"
    assert staff.role("frontline").send(GIVE, again).status_code == 303


def test_two_pages_give_twice(staff: Staff) -> None:
    assert staff.give().location != staff.give().location


def test_above_the_limit_a_supervisor_is_asked_and_the_page_says_what_happens(staff: Staff) -> None:
    place = staff.asked()
    found = staff.role("frontline").get(place)
    check(found)
    assert "Waiting for approval" in found.words
    assert "It is above your limit for one voucher." in found.words
    assert "Travel voucher, £120.00" in found.words
    assert "23 Nov 2026, 12:00 (in 3 days)" in found.words
    assert "handover-code" not in found.html
    assert "data-poll" in found.html


def test_names_and_notes_are_text_wherever_they_are_shown(staff: Staff) -> None:
    sly = "<script>alert(1)</script>\"'"
    answer = staff.give(email="ana.ruiz@gmail.com", name=sly, order_ref=sly, note=sly)
    assert answer.status_code == 303
    (case,) = list_cases(core=staff.core, actor=staff.person("frontline")).items
    for path in (answer.location, "/cases", f"/cases/{case.id}"):
        found = staff.role("frontline").get(path)
        check(found)
        assert "<script>alert" not in found.html


def test_without_a_catalog_the_page_says_who_helps(sqlite: SqliteDatabases, run: RunFolder) -> None:
    with staff_of(sqlite, run, catalog=False) as staff:
        found = staff.role("frontline").get("/staff")
        check(found)
        assert "No catalog has been approved" in found.words
        assert staff.role("frontline").get(GIVE).status == 409
        for path in ("/catalog", "/finance", "/cases", "/approvals", "/scan"):
            found = staff.role("admin").get(path)
            check(found)
            assert found.status == 200
