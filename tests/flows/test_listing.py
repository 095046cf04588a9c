"""Lists keep digests of whom signals pass by, whom somebody looks at, and who is refused."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.listing import Imported, ListValue, add_listed, import_listed, remove_listed
from incentives.kernel.errors import (
    AlreadyListed,
    EmailInvalid,
    InputInvalid,
    ListedValueNotFound,
    NotPermitted,
    OtherLocation,
    PhoneInvalid,
)
from incentives.queries.listed import list_listed
from incentives.safeguards.tables import listed_values
from tests.flows.shop import Shop, moved


def put(shop: Shop, kind: str = "email", value: str = "ana.lopez@example.com", **more: Any) -> Any:
    by = more.pop("by", shop.manager)
    command = ListValue(**{"list": "deny", "kind": kind, "value": value, "reason": "As agreed.", **more})
    return add_listed(core=shop.core, actor=by, command=command)


def load(shop: Shop, text: str, list_name: str = "deny") -> Imported:
    return import_listed(core=shop.core, actor=shop.manager, list_name=list_name, text=text)


def test_keeps_no_value_in_clear(shop: Shop) -> None:
    """Neither the entry nor the trail holds an address; people know it again by a hint."""
    found = put(shop)
    assert found.hint == "a…@example.com"
    everything = repr(shop.everything()["listed_values"]) + repr(shop.everything()["audit_events"])
    assert "lopez" not in everything
    assert shop.all(audit_events)[-1].facts == {"list": "deny", "kind": "email"}


@pytest.mark.parametrize(
    ("kind", "one", "another"),
    [
        ("email", "ana.lopez@example.com", "AnaLopez+x@EXAMPLE.com"),
        ("email_domain", "example.com", "@Example.com"),
        ("phone", "+44 20 7946 0018", "+442079460018"),
        ("ip_block", "203.0.113.9", "203.0.113.0/24"),
        ("ip_block", "2001:db8:1::1", "2001:db8:1:ffff::2"),
    ],
)
def test_any_spelling_is_the_same_value(shop: Shop, kind: str, one: str, another: str) -> None:
    """The second spelling is on the list already."""
    first = put(shop, kind, one)
    refusal = shop.refused(AlreadyListed, put, shop, kind, another)
    assert refusal.facts["listed_id"] == str(first.id)
    put(shop, kind, another, list="allow")


def test_may_stand_again_after_it_was_removed_or_ended(shop: Shop) -> None:
    """What was taken off, and what has ended by itself, can be listed again."""
    first = put(shop)
    remove_listed(core=shop.core, actor=shop.manager, listed_id=first.id, reason="Another person.")
    put(shop, expires_at=shop.clock.now() + timedelta(days=1))
    shop.refused(AlreadyListed, put, shop)
    shop.later(days=2)
    put(shop)
    assert len(shop.all(listed_values)) == 3


def test_is_removed_once(shop: Shop) -> None:
    """A second time there is no such entry."""
    first = put(shop)
    again: dict[str, Any] = {"core": shop.core, "actor": shop.manager, "listed_id": first.id, "reason": "Done."}
    remove_listed(**again)
    shop.refused(ListedValueNotFound, remove_listed, **again)


@pytest.mark.parametrize(
    ("refusal", "wrong"),
    [
        (EmailInvalid, {"kind": "email", "value": "nobody"}),
        (PhoneInvalid, {"kind": "phone", "value": "020 7946 0018"}),
        (InputInvalid, {"kind": "email_domain", "value": "no host"}),
        (InputInvalid, {"kind": "ip_block", "value": "300.1.1.1"}),
        (InputInvalid, {"kind": "actor", "value": "Ana"}),
        (InputInvalid, {"kind": "external_ref", "value": ""}),
        (InputInvalid, {"kind": "shoe_size", "value": "42"}),
        (InputInvalid, {"list": "grey"}),
        (InputInvalid, {"reason": " "}),
    ],
)
def test_refuses_what_is_no_such_value(shop: Shop, refusal: Any, wrong: dict[str, Any]) -> None:
    """Each kind has its form."""
    shop.refused(refusal, put, shop, **wrong)


def test_refuses_an_end_that_has_passed(shop: Shop) -> None:
    """An entry ends in time to come."""
    shop.refused(InputInvalid, put, shop, expires_at=shop.clock.now())


def test_is_for_those_who_manage_lists_everywhere(shop: Shop) -> None:
    """Neither frontline staff, nor somebody of a single place."""
    shop.refused(NotPermitted, put, shop, by=shop.supervisor)
    shop.refused(OtherLocation, put, shop, by=moved(shop.manager, location="london"))


def test_a_file_is_taken_whole(shop: Shop) -> None:
    """Known values and those that stand twice are passed over; an end is kept."""
    put(shop)
    text = (
        "\ufeffkind,value,reason,expires_at\r\n"
        "email,ana.lopez@example.com,Known.,\r\n"
        "email,ben@example.com,New.,2099-01-31T23:59:59Z\r\n"
        "email,BEN+y@example.com,New.,\r\n"
        "email_domain,example.net,New.,\r\n"
    )
    found = load(shop, text)
    assert (found.added, found.known, found.mistakes) == (2, 2, ())
    page = list_listed(core=shop.core, actor=shop.manager, list_name="deny")
    assert {each.hint for each in page.items} == {"a…@example.com", "b…@example.com", "example.net"}


def test_a_file_with_a_mistake_adds_nothing(shop: Shop) -> None:
    """Every mistake is named by its line."""
    before = shop.everything()
    found = load(shop, "kind,value,reason\nemail,ben@example.com,New.\nphone,12,New.\nemail,nobody,\n")
    assert [each["line"] for each in found.mistakes] == [3, 4]
    assert shop.everything() == before


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "kind,value\nemail,x@example.com\n"])
def test_refuses_what_is_no_such_file(shop: Shop, text: str) -> None:
    """The first line names the columns."""
    shop.refused(InputInvalid, load, shop, text)
