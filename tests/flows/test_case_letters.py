"""Messages about a case itself: an apology that goes out alone, and notices to staff."""

from typing import Any

import pytest

from incentives.access.tables import users
from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.deeds import asking
from incentives.flows.deliver import GIVE_UP_AFTER
from incentives.flows.follow_up import follow_up_due
from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.work_case import Apologize, apologize_to
from incentives.kernel.keys import ContactCipher, KeyRing
from incentives.messages import outbox
from incentives.messages.port import Letter, NoticeLetter, WillNeverWork
from incentives.messages.tables import delivery_attempts, outbox_messages
from incentives.queries.inbox import captured_letter, captured_letters
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import surveys
from tests.flows.shop import EMAIL, PHONE, Shop
from tests.world import person

ANA = CustomerGiven(email=EMAIL, phone=PHONE, name="Ana López", locale="es")
WORDS = "We left you in the rain.\n\nThat must not happen, and we are sorry."


def opened(shop: Shop, **more: Any) -> Any:
    command = OpenCase(**{"issue_tag": "long-wait", "customer": ANA, "location": "london", **more})
    return open_case(core=shop.core, actor=shop.manager, command=command).id


def apologize(shop: Shop, case_id: Any, channel: str = "email", **more: Any) -> Any:
    return apologize_to(
        core=shop.core, actor=shop.manager, command=Apologize(case_id=case_id, channel=channel, **more)
    ).message_id


def notify(shop: Shop, case_id: Any, user_id: Any, template: str = "notice-escalated") -> None:
    with shop.core.database.write() as tx:
        row = outbox.notice(core=shop.core, now=shop.clock.now(), case_id=case_id, user_id=user_id, template=template)
        outbox.enqueue(tx, [row])


def test_an_apology_goes_out_alone_in_the_words_that_were_recorded(shop: Shop) -> None:
    case_id = opened(shop)
    apologize(shop, case_id, words=WORDS, language="en")
    assert shop.deliver() == ["captured"]
    letter: Any = shop.sender().letters[0]
    assert type(letter) is Letter
    assert (letter.apology, letter.to, letter.locale, letter.kind) == (WORDS, EMAIL, "en", "apology_only")
    assert (letter.code, letter.url, letter.amount, letter.customer_name) == (None, None, None, "Ana López")
    told = shop.one(audit_events, audit_events.c.action == "message.captured")
    assert (told.subject_kind, told.subject_id, told.case_id) == ("case", str(case_id), case_id)


def test_an_apology_by_the_script_speaks_the_customer_s_language(shop: Shop) -> None:
    apologize(shop, opened(shop), "sms")
    shop.deliver()
    letter: Any = shop.sender("sms").letters[0]
    assert (letter.to, letter.locale) == (PHONE, "es")
    assert "Acme lo siente" in letter.apology


def test_no_text_of_a_message_is_stored_in_the_outbox(shop: Shop) -> None:
    apologize(shop, opened(shop), words=WORDS)
    shop.deliver()
    for table in (outbox_messages, delivery_attempts, audit_events):
        assert "rain" not in repr(shop.all(table))


def test_what_was_captured_can_be_looked_at_again(shop: Shop) -> None:
    case_id = opened(shop)
    message_id = apologize(shop, case_id, words=WORDS)
    sam = person(shop.core, "supervisor", email="sam@example.com", location="london")
    notify(shop, case_id, sam.id)
    shop.deliver()
    found = [each.letter for each in captured_letters(core=shop.core)]
    assert {type(each) for each in found} == {Letter, NoticeLetter}
    again = captured_letter(core=shop.core, message_id=message_id)
    assert again is not None
    assert isinstance(again.letter, Letter)
    assert again.letter.apology == WORDS


def test_a_message_about_a_case_that_fails_is_recorded_at_the_case(shop: Shop) -> None:
    case_id = opened(shop)
    apologize(shop, case_id, words=WORDS)
    shop.sender().outcomes = [WillNeverWork("The address is refused.")]
    assert shop.deliver() == ["failed"]
    told = shop.one(audit_events, audit_events.c.action == "message.failed")
    assert (told.case_id, told.reason) == (case_id, "The address is refused.")


def test_a_notice_tells_staff_where_to_look_and_nothing_of_the_customer(shop: Shop) -> None:
    sam = person(shop.core, "supervisor", email="sam@example.com", location="london")
    case_id = opened(shop, severity=4)
    notify(shop, case_id, sam.id)
    assert shop.deliver() == ["captured"]
    letter: Any = shop.sender().letters[-1]
    assert type(letter) is NoticeLetter
    assert (letter.to, letter.staff_name, letter.severity, letter.location) == (
        "sam@example.com", sam.name, 4, "London",
    )  # fmt: skip
    assert letter.url == f"http://127.0.0.1:8000/cases/{case_id}"
    told = {name: getattr(letter, name) for name in letter.__dataclass_fields__}
    assert not [name for name, value in told.items() if EMAIL in str(value) or "Ana" in str(value)]


def test_who_may_not_sign_in_any_more_is_told_nothing(shop: Shop) -> None:
    sam = person(shop.core, "supervisor", email="sam@example.com", location="london")
    notify(shop, opened(shop), sam.id)
    with shop.core.database.write() as tx:
        tx.execute(users.update().where(users.c.id == sam.id).values(disabled_at=shop.clock.now()))
    assert shop.deliver() == ["withdrawn"]
    (message,) = shop.all(outbox_messages)
    assert "may not sign in any more" in message.reason
    shop.later(seconds=GIVE_UP_AFTER.total_seconds())
    assert shop.deliver() == []


def test_there_is_no_notice_that_nobody_has_words_for(shop: Shop) -> None:
    with pytest.raises(AssertionError):
        outbox.notice(
            core=shop.core, now=shop.clock.now(), case_id=shop.manager.id, user_id=shop.manager.id, template="hello"
        )


def test_an_address_that_cannot_be_read_any_more_suppresses_the_survey(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = opened(shop)
    with shop.core.database.write() as tx:
        catalog = releases.cached_current(tx, shop.core).catalog
        asking.plan(tx, shop.core, shop.clock.now(), catalog, case_id, "issue", hours=0)
    retired = ContactCipher(KeyRing((("new", b"x" * 32),)))
    monkeypatch.setattr(type(shop.core), "contacts", retired)
    shop.core.__dict__.pop("contacts", None)
    assert follow_up_due(core=shop.core) == 1
    assert "retired" in shop.one(surveys).reason
