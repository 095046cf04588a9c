"""Survey tools as their vendors publish them, through the mapped connector; and what waits, tried again."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.deeds.taking import OLDER
from incentives.flows.mend import ignore, name_trouble
from incentives.flows.take_in import Mending, Raw, TakenIn, replay, take_in, take_in_raw
from incentives.flows.try_out import TryOut, try_out
from incentives.kernel.errors import (
    FeedbackNotFound,
    FeedbackNotUnderstood,
    FeedbackNotWaiting,
    InputInvalid,
    NotPermitted,
    UnknownIssueTag,
    UnknownSource,
)
from incentives.queries.feedback import list_waiting, one_waiting
from incentives.recovery.feedback_tables import feedback, feedback_inbox, feedback_revisions, feedback_unmapped
from tests.flows.feedback_shop import ASKNICELY, STELLA, asknicely, catalog, piece, raw, stella
from tests.flows.shop import Shop, moved
from tests.world import publish_catalog


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop that two survey tools report to."""
    return open_shop(catalog())


def push(shop: Shop, document: Any, source: str = "asknicely") -> TakenIn:
    """Let a tool report."""
    return take_in_raw(core=shop.core, actor=shop.manager, source=source, raw=raw(document))


def test_asknicely_as_it_comes(shop: Shop) -> None:
    responded = int(shop.clock.now().timestamp()) - 600
    assert push(shop, asknicely(responded=responded)).act_now
    row = shop.one(feedback)
    assert (row.source, row.external_id, row.source_order) == ("asknicely", "q-4711", 1)
    assert (row.score_given, row.scale, row.score_bp, row.segment) == ("3", "nps", 3000, "gold")
    assert (row.issue_tag, row.tagged_by) == ("long-wait", "source")
    assert row.occurred_at == shop.clock.now() - timedelta(minutes=10)
    assert row.customer_id is not None


def test_stella_connect_as_it_comes(shop: Shop) -> None:
    assert push(shop, stella(at=shop.clock.now()), "stella-connect").act_now
    row = shop.one(feedback)
    assert (row.score_given, row.scale, row.location, row.agent) == ("1", "stars_5", "london", "e-9")
    assert (row.issue_tag, row.order_ref, row.source_order) == ("long-wait", "MA 482", 880_000_000_001)
    assert [(each.field, each.value) for each in shop.all(feedback_unmapped)] == [("issue_tags", "vip lounge")]


def test_a_list_of_options_is_read_as_well(shop: Shop) -> None:
    answers = {"agent_star_rating": {"selected_options": [{"integer_value": 4}]}}
    push(shop, stella(answers=answers), "stella-connect")
    assert shop.one(feedback).score_given == "4"


@pytest.mark.parametrize(("source", "document"), [("asknicely", asknicely()), ("stella-connect", stella())])
def test_replayed_twice_it_is_taken_once(shop: Shop, source: str, document: Any) -> None:
    first = push(shop, document, source)
    before = shop.everything()
    for _ in range(2):
        again = push(shop, document, source)
        assert (again.id, again.repeated) == (first.id, True)
    assert shop.everything() == before


def test_out_of_order_the_count_decides(shop: Shop) -> None:
    push(shop, asknicely(count=2, score=9, comment="Fine after all"))
    shop.later(minutes=1)
    late = push(shop, asknicely(count=1, score=2))
    assert (late.reason, late.act_now) == (OLDER, False)
    row = shop.one(feedback)
    assert (row.score_given, row.source_order, row.revision) == ("9", 2, 1)
    shop.later(minutes=1)
    push(shop, asknicely(count=3, score=1))
    assert [each.score_given for each in shop.all(feedback_revisions)] == ["9", "1"]
    assert len(shop.all(feedback_inbox)) == 3


def test_a_day_late_it_is_kept_and_nothing_acts_on_it(shop: Shop) -> None:
    late = push(shop, asknicely(responded=int(shop.clock.now().timestamp()) - 25 * 3600))
    assert (late.status, late.act_now) == ("ignored", False)
    assert late.reason == "It came more than 24 hours after it happened, so no criterion acts on it."
    assert push(shop, stella(at=shop.clock.now() - timedelta(hours=25)), "stella-connect").status == "settling"


@pytest.mark.parametrize(
    ("field", "source", "document"),
    [
        ("external_id", "asknicely", {"count": 1, "question": {"score": 1}}),
        ("score", "asknicely", asknicely(score=11)),
        ("score", "stella-connect", stella(stars=0)),
        ("occurred_at", "asknicely", asknicely(responded="last week")),
        ("occurred_at", "asknicely", asknicely(responded=4_000_000_000)),
        ("occurred_at", "asknicely", asknicely(responded="0001-01-01T00:00:00Z")),
        ("occurred_at", "asknicely", asknicely(responded=-62_135_596_800)),  # the same, counted from 1970
        ("comment", "asknicely", asknicely(comment="a\x00b")),
    ],
)
def test_what_nobody_understands_waits_with_the_reason(shop: Shop, field: str, source: str, document: Any) -> None:
    taken = push(shop, document, source)
    assert (taken.id, taken.status) == (None, "waiting")
    assert (shop.one(feedback_inbox).reason or "").startswith(f"{field}: ")
    assert push(shop, document, source).inbox_id == taken.inbox_id


@pytest.mark.parametrize("missing", ["score", "comment", "responded", "theme"])
def test_with_a_field_missing_the_rest_counts(shop: Shop, missing: str) -> None:
    document = asknicely()
    del document["question"][missing]
    assert push(shop, document).id is not None


def test_an_address_that_is_none_does_not_hold_up_the_rest(shop: Shop) -> None:
    document = asknicely()
    document["person"]["email"] = "unknown@"
    push(shop, document)
    row = shop.one(feedback)
    assert row.customer_id is not None
    assert [(each.field, each.value) for each in shop.all(feedback_unmapped)] == [("customer.email", "cannot be used")]


def test_a_source_that_the_catalog_does_not_have_is_refused(shop: Shop) -> None:
    shop.refused(UnknownSource, push, shop, {}, "zonka")


def test_once_the_mapping_is_mended_it_is_understood(shop: Shop) -> None:
    document = asknicely()
    document["question"]["key"] = document["question"].pop("id")
    waits = push(shop, document)
    assert waits.status == "waiting"
    mended = {**ASKNICELY, "fields": {**ASKNICELY["fields"], "external_id": ["/question/id", "/question/key"]}}
    publish_catalog(shop.core, catalog(sources=(mended, STELLA)))
    shop.later(minutes=5)
    taken = replay(core=shop.core, actor=shop.supervisor, inbox_id=waits.inbox_id)
    assert (taken.status, taken.act_now) == ("settling", True)
    row, kept = shop.one(feedback), shop.one(feedback_inbox)
    assert (row.id, row.external_id, kept.status, kept.feedback_id) == (taken.id, "q-4711", "understood", taken.id)
    assert row.location is None  # Whoever looks at it says nothing about where it happened.
    (event,) = shop.all(audit_events, audit_events.c.action == "feedback.replayed")
    assert event.facts == {
        "inbox_id": str(kept.id), "source": "asknicely", "status": "settling", "mended": False,
    }  # fmt: skip
    shop.refused(FeedbackNotWaiting, replay, core=shop.core, actor=shop.supervisor, inbox_id=kept.id)


def test_a_tool_that_sends_it_again_after_the_mending_is_understood_by_itself(shop: Shop) -> None:
    document = asknicely(score="nine")
    waits = push(shop, document)
    mended = {**ASKNICELY, "values": {"score": {"nine": "9"}}}
    publish_catalog(shop.core, catalog(sources=(mended, STELLA)))
    again = push(shop, document)
    assert (again.inbox_id, again.status) == (waits.inbox_id, "acted")
    assert shop.one(feedback_inbox).status == "understood"


def test_what_a_person_says_makes_it_understood(shop: Shop) -> None:
    document = asknicely(score=11, comment="a\x00b", responded=4_000_000_000)
    document["person"]["email"] = "nobody"
    del document["question"]["id"]
    waits = push(shop, document)
    mending = Mending(issue_tags=("odd",), score="2", scale="stars_5", accept=True)
    taken = replay(core=shop.core, actor=shop.supervisor, inbox_id=waits.inbox_id, mending=mending)
    row = shop.one(feedback)
    assert (row.id, row.issue_tag, row.tagged_by) == (taken.id, "odd", "person")
    assert (row.score_given, row.scale, row.external_id) == ("2", "stars_5", f"inbox-{waits.inbox_id.hex}")
    assert shop.core.contacts.decrypt(row.comment) == "ab"
    assert row.occurred_at == shop.clock.now()


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"score": {"a": 1}, "occurred_at": "soon"}'])
def test_even_what_is_nothing_at_all_can_be_taken_in_by_a_person(shop: Shop, body: bytes) -> None:
    waits = take_in_raw(core=shop.core, actor=shop.manager, source="asknicely", raw=Raw(body=body))
    taken = replay(core=shop.core, actor=shop.manager, inbox_id=waits.inbox_id, mending=Mending(accept=True))
    assert taken.id is not None
    assert shop.one(feedback).score_given is None


def test_what_the_api_refused_is_read_again_as_it_was_sent(shop: Shop) -> None:
    (refused,) = take_in(core=shop.core, actor=shop.agent, commands=[piece(score=9, order_ref="MA 1", open_case=True)])
    assert isinstance(refused, FeedbackNotUnderstood)
    waiting = shop.one(feedback_inbox)
    again = replay(core=shop.core, actor=shop.manager, inbox_id=waiting.id)
    assert (again.status, again.reason) == ("waiting", "score: On the scale stars_5 a score is 1 to 5.")
    replay(core=shop.core, actor=shop.manager, inbox_id=waiting.id, mending=Mending(score="3"))
    row = shop.one(feedback)
    assert (row.score_given, row.order_ref, row.open_case, row.location) == ("3", "MA 1", True, "london")
    assert shop.one(feedback_inbox).tries == 2


def test_a_piece_that_waited_is_older_than_what_came_since(shop: Shop) -> None:
    now = shop.clock.now()
    take_in(core=shop.core, actor=shop.manager, commands=[piece(score=9, occurred_at=now)])
    shop.later(minutes=5)
    take_in(core=shop.core, actor=shop.manager, commands=[piece(score=5, occurred_at=now)])
    (waiting,) = shop.all(feedback_inbox, feedback_inbox.c.status == "waiting")
    taken = replay(core=shop.core, actor=shop.manager, inbox_id=waiting.id, mending=Mending(score="1"))
    assert taken.reason == OLDER
    assert shop.one(feedback).score_given == "5"


def test_a_piece_is_set_aside_with_a_reason_once(shop: Shop) -> None:
    waits = push(shop, {})
    shop.refused(InputInvalid, ignore, core=shop.core, actor=shop.supervisor, inbox_id=waits.inbox_id, reason="because")
    shop.refused(NotPermitted, ignore, core=shop.core, actor=shop.agent, inbox_id=waits.inbox_id, reason="test")
    ignore(core=shop.core, actor=shop.supervisor, inbox_id=waits.inbox_id, reason="test")
    kept = shop.one(feedback_inbox)
    assert (kept.status, kept.reason) == ("ignored", "Somebody said that it was only a test.")
    again = {"core": shop.core, "actor": shop.supervisor, "inbox_id": waits.inbox_id}
    shop.refused(FeedbackNotWaiting, ignore, **again, reason="test")
    shop.refused(FeedbackNotWaiting, replay, **again)
    shop.refused(NotPermitted, replay, core=shop.core, actor=shop.agent, inbox_id=waits.inbox_id)


def test_a_person_names_the_trouble_once(shop: Shop) -> None:
    (taken,) = take_in(core=shop.core, actor=shop.manager, commands=[piece(score=5)])
    assert isinstance(taken, TakenIn)
    assert taken.id
    who: dict[str, Any] = {"core": shop.core, "actor": shop.supervisor}
    shop.refused(UnknownIssueTag, name_trouble, **who, feedback_id=taken.id, issue_tag="rude")
    shop.refused(FeedbackNotFound, name_trouble, **who, feedback_id=taken.inbox_id, issue_tag="odd")
    assert name_trouble(**who, feedback_id=taken.id, issue_tag="odd").act_now
    row = shop.one(feedback)
    assert (row.issue_tag, row.tagged_by, row.status) == ("odd", "person", "settling")
    shop.refused(FeedbackNotWaiting, name_trouble, **who, feedback_id=taken.id, issue_tag="odd")


def test_trying_out_says_what_taking_in_would_understand_and_writes_nothing(shop: Shop) -> None:
    before = shop.everything()
    text = raw(asknicely(theme="Parking")).body.decode()
    tried = try_out(core=shop.core, actor=shop.manager, command=TryOut(source="asknicely", payload=text))
    assert (tried.issue_tags, tried.tagged_by, tried.protocol) == (("long-wait",), "words", "service")
    assert (tried.score_bp, tried.segment, tried.unmapped) == (3000, "gold", (("issue_tags", "Parking"),))
    bad = try_out(core=shop.core, actor=shop.manager, command=TryOut(source="asknicely", payload="{}"))
    assert (bad.field, bad.problem) == (
        "external_id",
        "The mapping looks for it at /question/id, and there is nothing.",
    )
    assert shop.everything() == before


@pytest.mark.parametrize("half", ["\ud83d", "\ude00 late"])
def test_half_an_emoji_where_a_tool_cut_a_text_off_keeps_nothing_from_being_understood(shop: Shop, half: str) -> None:
    document = asknicely(id=f"q{half}", comment=f"We waited {half}", theme=half)
    document["person"] |= {"name": half, "id": half}
    body = json.dumps(document).encode()
    taken = take_in_raw(core=shop.core, actor=shop.manager, source="asknicely", raw=Raw(body=body))
    assert taken.status == "settling"
    assert "?" in shop.one(feedback).external_id
    assert shop.core.contacts.open(shop.one(feedback_inbox).body) == body


def test_what_waits_of_one_location_is_not_for_another_to_see_or_set_aside(shop: Shop) -> None:
    core, there = shop.core, moved(shop.manager, location="leeds")
    (answer,) = take_in(core=core, actor=moved(shop.manager, location="london"), commands=[piece(score=9)])
    assert isinstance(answer, FeedbackNotUnderstood)
    inbox_id = uuid.UUID(answer.facts["inbox_id"])
    assert list_waiting(core=core, actor=there).items == []
    shop.refused(FeedbackNotWaiting, one_waiting, core=core, actor=there, inbox_id=inbox_id)
    shop.refused(FeedbackNotWaiting, ignore, core=core, actor=there, inbox_id=inbox_id, reason="spam")
    shop.refused(FeedbackNotWaiting, replay, core=core, actor=there, inbox_id=inbox_id)
    assert [each.id for each in list_waiting(core=core, actor=shop.supervisor).items] == [inbox_id]
    ignore(core=core, actor=shop.supervisor, inbox_id=inbox_id, reason="spam")
