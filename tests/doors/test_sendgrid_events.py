"""What SendGrid says became of emails: signed over the very bytes and not long ago, or refused and nothing kept."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from channels import sendgrid_events
from channels.sendgrid_email import is_signed
from channels.sendgrid_events import AGE_MOST_SECONDS, EVENTS, PATH, SIGNATURE_HEADER, TIMESTAMP_HEADER, report_in
from channels.twilio_status import PATH as STATUS
from incentives.books.tables import audit_events
from incentives.deeds import hearing
from incentives.flows.hear import hear_reports
from incentives.kernel.errors import SettingsInvalid, StorageUnavailable
from incentives.messages.tables import MEANINGS, delivery_events, suppressions
from tests.doors.callbacks import EMAIL, SETTINGS, Callbacks, event_of, opened, public_key, status_of
from tests.world import START

THEIR_ID = "14c5d75ce93.dfd.64b469"


@pytest.fixture
def on_sqlite(sqlite: Any) -> Iterator[Callbacks]:
    url = sqlite.new()
    with opened(url) as made:
        yield made
    sqlite.drop(url)


def test_an_email_is_followed_to_its_end_by_our_own_id(calls: Callbacks) -> None:
    (message_id,) = calls.sent(THEIR_ID, "email")
    said = [event_of(name, message_id) for name in ("delivered", "processed", "deferred", "open")]
    answer = calls.sendgrid(said)
    assert (answer.status_code, answer.data) == (204, b"")
    assert calls.statuses() == [("email", "delivered")]
    events = calls.rows(delivery_events)
    assert sorted(each.status for each in events) == ["deferred", "delivered", "open", "processed"]
    assert {each.message_id for each in events} == {message_id}
    assert EMAIL not in str(events)
    assert calls.sendgrid(said).status_code == 204
    assert calls.rows(delivery_events) == events


def test_without_our_id_it_is_known_by_what_stands_before_the_first_dot(calls: Callbacks) -> None:
    calls.sent("14c5d75ce93", "email")
    calls.sendgrid([event_of("delivered", None)])
    assert calls.statuses() == [("email", "delivered")]


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, "bounced", "bounced"),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1"}, "bounced", "blocked"),
        ({"event": "dropped", "reason": "Bounced Address"}, "suppressed", "bounced"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "suppressed", "complained"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "suppressed", "unsubscribed"),
        ({"event": "dropped", "reason": "Invalid"}, "suppressed", "invalid"),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, "failed", None),
        ({"event": "dropped", "reason": "Spam Content (if Spam Checker app is enabled)"}, "failed", None),
        ({"event": "spamreport"}, "delivered", "complained"),
        ({"event": "unsubscribe"}, "sent", "unsubscribed"),
        ({"event": "group_unsubscribe"}, "sent", "unsubscribed"),
        ({"event": "group_resubscribe"}, "sent", None),
    ],
)
def test_what_each_event_means(on_sqlite: Callbacks, event: dict[str, str], status: str, reason: str | None) -> None:
    (message_id,) = on_sqlite.sent(THEIR_ID, "email")
    assert on_sqlite.sendgrid([{**event_of("x", message_id), **event}]).status_code == 204
    assert on_sqlite.statuses() == [("email", status)]
    entries = [each for each in on_sqlite.rows(suppressions) if each.lifted_at is None]
    assert [each.reason for each in entries] == ([reason] if reason else [])
    assert all((each.source, each.hint) == ("sendgrid", "a…@gmail.com") for each in entries)


def test_the_table_uses_words_that_there_are() -> None:
    assert set(EVENTS.values()) <= set(MEANINGS)


def test_only_sendgrid_is_heard(on_sqlite: Callbacks) -> None:
    calls = on_sqlite
    (message_id,) = calls.sent(THEIR_ID, "email")
    body = json.dumps([event_of("delivered", message_id)]).encode() + b"\r\n"
    good = calls.signed(body)
    stranger = ec.generate_private_key(ec.SECP256R1())
    wrong: dict[str, tuple[bytes, dict[str, str]]] = {
        "no signature": (body, {**good, SIGNATURE_HEADER: ""}),
        "no headers": (body, {}),
        "no timestamp": (body, {**good, TIMESTAMP_HEADER: ""}),
        "no number": (body, {**good, TIMESTAMP_HEADER: "soon"}),
        "other digits": (body, {**good, TIMESTAMP_HEADER: "\u0661" * 10}),
        "no base64": (body, {**good, SIGNATURE_HEADER: "%%%"}),
        "half a base64": (body, {**good, SIGNATURE_HEADER: good[SIGNATURE_HEADER][:-3]}),
        "no ascii": (body, {**good, SIGNATURE_HEADER: "é"}),
        "no signature in it": (body, {**good, SIGNATURE_HEADER: base64.b64encode(b"hello").decode()}),
        "another's key": (body, calls.signed(body, key=stranger)),
        "one byte changed": (body.replace(b"delivered", b"deliverex", 1), good),
        "written anew": (json.dumps(json.loads(body), separators=(",", ":")).encode(), good),
        "without the end of its line": (body[:-2], good),
        "no text": (b"\xff\xfe" + body, good),
        "too old": (body, calls.signed(body, age_seconds=AGE_MOST_SECONDS + 1)),
        "of the future": (body, calls.signed(body, age_seconds=-AGE_MOST_SECONDS - 1)),
        "another time": (body, {**good, TIMESTAMP_HEADER: str(int(good[TIMESTAMP_HEADER]) + 1)}),
    }
    before = calls.everything()
    for name, (content, headers) in wrong.items():
        sent = {key: value.encode("utf-8").decode("latin-1") for key, value in headers.items()}
        assert calls.client.post(PATH, data=content, headers=sent).status_code == 403, name
    assert calls.everything() == before
    for age_seconds in (AGE_MOST_SECONDS, -AGE_MOST_SECONDS):
        answer = calls.client.post(PATH, data=body, headers=calls.signed(body, age_seconds=age_seconds))
        assert answer.status_code == 204
    assert calls.statuses() == [("email", "delivered")]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b"[" * 100_000, b'"x"', b"null"])
def test_what_is_no_list_of_events_is_not_taken(on_sqlite: Callbacks, body: bytes) -> None:
    before = on_sqlite.everything()
    assert on_sqlite.client.post(PATH, data=body, headers=on_sqlite.signed(body)).status_code == 400
    assert on_sqlite.everything() == before


@pytest.mark.parametrize(
    "event",
    [
        1,
        None,
        [],
        {},
        {"event": 7},
        {"event": "delivered\x00"},
        {"event": "x" * 500},
    ],
)
def test_what_is_no_event_does_not_hold_up_the_others(on_sqlite: Callbacks, event: Any) -> None:
    (message_id,) = on_sqlite.sent(THEIR_ID, "email")
    assert on_sqlite.sendgrid([event, event_of("delivered", message_id), event]).status_code == 204
    assert on_sqlite.statuses() == [("email", "delivered")]
    assert len(on_sqlite.rows(delivery_events)) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"timestamp": 10**30},
        {"timestamp": -1},
        {"timestamp": "yesterday"},
        {"timestamp": True},
        {"message_id": "not a uuid"},
        {"message_id": 5},
        {"sg_event_id": "x" * 5000},
        {"sg_event_id": "\x00"},
        {"sg_event_id": None},
        {"sg_message_id": "é" * 300},
        {"email": "nobody", "event": "bounce"},
        {"email": None, "event": "bounce"},
        {"email": "a@" + "b" * 400, "event": "bounce"},
        {"email": "\x00@example.com", "event": "bounce"},
        {"status": "x" * 400, "event": "bounce"},
    ],
)
def test_an_odd_event_is_kept_as_far_as_it_can_be_read(calls: Callbacks, odd: dict[str, Any]) -> None:
    assert calls.sendgrid([{**event_of("delivered", None), **odd}]).status_code == 204
    (event,) = calls.rows(delivery_events)
    assert event.status == odd.get("event", "delivered")
    assert event.occurred_at == START


def test_an_event_without_an_id_is_known_again_by_what_it_says(on_sqlite: Callbacks) -> None:
    bare = event_of("delivered", None)
    del bare["sg_event_id"]
    on_sqlite.sendgrid([bare, bare])
    on_sqlite.sendgrid([dict(reversed(bare.items()))])
    on_sqlite.sendgrid([{**bare, "timestamp": bare["timestamp"] - 1}])
    assert len(on_sqlite.rows(delivery_events)) == 2


def deep(levels: int, **more: Any) -> dict[str, Any]:
    """Return an event without an id that holds lists in lists, deeper than they can be written as JSON again."""
    lists: list[Any] = []
    for _ in range(levels):
        lists = [lists]
    return {"event": "open", "email": EMAIL, "odd": lists, **more}


def test_an_event_too_deep_to_be_written_does_not_hold_up_the_others(
    on_sqlite: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few levels lie between what Python still reads and what it still writes: they depend on who calls whom."""
    (message_id,) = on_sqlite.sent(THEIR_ID, "email")
    said = [event_of("delivered", message_id), deep(5000), deep(5000), deep(5000, timestamp=int(START.timestamp()) - 1)]
    monkeypatch.setattr(sendgrid_events, "events_in", lambda _: said)
    for _ in range(2):
        assert on_sqlite.sendgrid([]).status_code == 204
        assert on_sqlite.statuses() == [("email", "delivered")]
        assert len(on_sqlite.rows(delivery_events)) == 3


def bounces(number: int) -> list[dict[str, Any]]:
    return [event_of("bounce", None, email=f"b{each}@example.com", sg_event_id=f"b{each}") for each in range(number)]


def test_many_are_heard_in_parts_and_others_write_between_them(
    calls: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sendgrid_events, "AT_ONCE", 2)
    seen: list[int] = []
    pauses: list[float] = []
    monkeypatch.setattr(sendgrid_events, "time", SimpleNamespace(sleep=pauses.append))
    sa.event.listen(calls.core.database.engine, "begin", lambda _: seen.append(len(calls.rows(delivery_events))))
    assert calls.sendgrid(bounces(5)).status_code == 204
    assert seen == [0, 2, 4]
    assert len(pauses) == (2 if calls.core.database.sqlite else 0)
    assert len(calls.rows(suppressions)) == len(calls.rows(delivery_events)) == 5


def test_whoever_waits_to_write_does_not_wait_for_all_of_them(
    on_sqlite: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite lets one write at a time, and hands on to nobody: who waits finds a gap, or waits on."""
    monkeypatch.setattr(sendgrid_events, "AT_ONCE", 20)
    under_way, found = threading.Event(), []

    def write() -> None:
        under_way.wait()
        with on_sqlite.core.database.write():
            found.append(len(on_sqlite.rows(delivery_events)))

    other = threading.Thread(target=write)
    other.start()
    hear = hearing.hear

    def heard(*arguments: Any) -> int:
        under_way.set()
        time.sleep(0.2)  # whoever waits has waited for long by now, and looks seldom
        return hear(*arguments)

    monkeypatch.setattr(hearing, "hear", heard)
    assert on_sqlite.sendgrid(bounces(100)).status_code == 204
    other.join()
    assert found
    assert found[0] < 100


def test_what_was_heard_before_it_broke_is_heard_once(calls: Callbacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sendgrid_events, "AT_ONCE", 2)
    parts: list[int] = []

    def breaks(**said: Any) -> int:
        parts.append(len(said["said"]))
        if len(parts) == 2:
            raise StorageUnavailable(retry_after_seconds=2)
        return hear_reports(**said)

    monkeypatch.setattr(sendgrid_events, "hear_reports", breaks)
    assert calls.sendgrid(bounces(5)).status_code == 503
    assert len(calls.rows(delivery_events)) == 2
    assert calls.sendgrid(bounces(5)).status_code == 204
    after = calls.everything()
    assert parts == [2, 2, 2, 2, 1]
    assert len(calls.rows(delivery_events)) == len(calls.rows(suppressions)) == 5
    assert [each.action for each in calls.rows(audit_events)].count("suppression.added") == 5
    assert calls.sendgrid(bounces(5)).status_code == 204
    assert calls.everything() == after


def test_a_thousand_callbacks_three_times_over_at_once_change_nothing_more(calls: Callbacks) -> None:
    """They come as they were taken down, on many lines at once; what they say was heard before."""
    taken: list[tuple[str, Any]] = []
    for number in range(1, 51):
        email, sms = calls.sent(f"SM{number:032x}", "email", "sms", number=number)
        names = ("processed", "deferred", "delivered", "open", "click", "bounce", "dropped", "spamreport")
        for start in range(0, 16, 8):
            batch = [
                event_of(name, email, sg_event_id=f"{number}-{start}-{name}", email=f"c{number}@gmail.com")
                for name in names
            ]
            taken.append(("sendgrid", batch))
        statuses = ("queued", "sent", "delivered", "undelivered")
        taken += [("twilio", (status_of(f"SM{number:032x}", each), f"{STATUS}/{sms}")) for each in statuses]
    assert sum(len(said) if name == "sendgrid" else 1 for name, said in taken) == 1000

    def tell(each: tuple[str, Any]) -> int:
        name, said = each
        client = calls.app.test_client()
        if name == "sendgrid":
            return calls.sendgrid(said, client=client).status_code
        fields, path = said
        return calls.twilio(fields, path, client).status_code

    assert {tell(each) for each in taken} == {204}
    before = calls.everything()
    assert len(calls.rows(delivery_events)) == 1000
    with ThreadPoolExecutor(6) as people:
        assert set(people.map(tell, taken * 3)) == {204}
    assert calls.everything() == before
    ends = [each.action for each in calls.rows(audit_events) if each.action.startswith("message.")]
    assert set(calls.statuses()) == {("email", "delivered"), ("sms", "bounced")}
    assert ends.count("message.bounced") == 50


def test_whoever_joins_a_group_again_that_they_had_left_is_written_to_again(calls: Callbacks) -> None:
    start = int(START.timestamp())
    left = event_of("group_unsubscribe", None, asm_group_id=7, timestamp=start - 60, sg_event_id="left")
    back = event_of("group_resubscribe", None, asm_group_id=7, timestamp=start - 30, sg_event_id="back")
    assert calls.sendgrid([back]).status_code == 204  # the later one comes first
    assert calls.sendgrid([left]).status_code == 204
    assert [each.lifted_at is None for each in calls.rows(suppressions)] == [False]
    again = left | {"timestamp": start - 10, "sg_event_id": "left again"}
    assert calls.sendgrid([again]).status_code == 204
    (entry,) = [each for each in calls.rows(suppressions) if each.lifted_at is None]
    assert (entry.reason, entry.code, entry.source) == ("unsubscribed", "group 7", "sendgrid")
    other = back | {"timestamp": start - 5, "asm_group_id": 8, "sg_event_id": "another group"}
    assert calls.sendgrid([other]).status_code == 204
    assert calls.rows(suppressions)[-1].lifted_at is not None
    assert [each.code for each in calls.rows(suppressions) if each.lifted_at is None] == ["group 7"]


@pytest.mark.parametrize("strange", [{}, {"asm_group_id": "7"}, {"asm_group_id": -1}, {"asm_group_id": 10**40}])
def test_a_group_that_is_none_is_no_other_s(strange: dict[str, Any]) -> None:
    report = report_in(event_of("group_resubscribe", None, **strange), START)
    assert report is not None
    assert (report.code, report.wants_again, report.suppresses, report.means) == ("group", True, None, None)


def test_how_fresh_and_how_signed_are_both_asked(on_sqlite: Callbacks, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps([event_of("delivered", None)]).encode()
    old = on_sqlite.signed(body, age_seconds=10_000)
    assert is_signed(public_key(), body, old[SIGNATURE_HEADER], old[TIMESTAMP_HEADER])
    assert not sendgrid_events.is_fresh(old[TIMESTAMP_HEADER], START)
    monkeypatch.setattr(sendgrid_events, "is_fresh", lambda *_: True)
    assert on_sqlite.client.post(PATH, data=body, headers=old).status_code == 204


def test_without_its_key_there_is_no_such_address(sqlite: Any) -> None:
    url = sqlite.new()
    with opened(url, INCENTIVES_SENDGRID_WEBHOOK_KEY="") as calls:
        assert calls.sendgrid([event_of("delivered", None)]).status_code == 404
        assert calls.client.get(PATH).status_code == 405
    sqlite.drop(url)


def test_a_key_that_is_none_stops_the_start(database_url: str) -> None:
    for wrong in ("hello", "aGVsbG8=", f"-----BEGIN PUBLIC KEY-----{SETTINGS['INCENTIVES_SENDGRID_WEBHOOK_KEY']}"):
        with (
            pytest.raises(SettingsInvalid, match="INCENTIVES_SENDGRID_WEBHOOK_KEY"),
            opened(database_url, INCENTIVES_SENDGRID_WEBHOOK_KEY=wrong),
        ):
            pass


def test_a_report_shows_no_address() -> None:
    report = report_in(event_of("bounce", None, type="bounce"), START)
    assert report is not None
    assert report.to == EMAIL
    assert EMAIL not in repr(report)
