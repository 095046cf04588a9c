"""Feedback forms: opened and closed by whoever leads, for their own place."""

from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.flows.feedback_forms import CreateForm, FormMade, close_form, create_form
from incentives.kernel.errors import (
    FeedbackFormNotFound,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    OtherLocation,
    Refusal,
    UnknownIssueTag,
    UnknownLocation,
)
from incentives.queries.feedback_forms import list_forms, one_form
from incentives.recovery.feedback_tables import feedback_forms
from tests.flows.shop import Shop, moved


def opened(shop: Shop, by: Any = None, **command: Any) -> FormMade:
    wanted = CreateForm(**{"label": "Table 12", **command})
    return create_form(core=shop.core, actor=by or shop.manager, command=wanted)


def test_a_form_is_opened_and_has_an_address_of_its_own(shop: Shop) -> None:
    made = opened(shop, label="  Table\t 12 ", issue_tag="service", location="london", scale="nps")
    form = one_form(core=shop.core, actor=shop.manager, form_id=made.id)
    assert (form.label, form.issue_tag, form.location, form.scale, form.answers, form.closed_at) == (
        "Table 12", "service", "london", "nps", 0, None,
    )  # fmt: skip
    assert form.url.startswith("http://127.0.0.1:8000/f/")
    assert form.url != one_form(core=shop.core, actor=shop.manager, form_id=opened(shop).id).url
    told = shop.all(audit_events, audit_events.c.action == "feedback-form.opened")
    assert [row.facts for row in told] == [
        {"issue_tag": "service", "location": "london"},
        {"issue_tag": None, "location": None},
    ]


def test_who_belongs_to_a_place_opens_and_sees_forms_there(shop: Shop) -> None:
    mine = opened(shop, by=shop.supervisor)
    assert shop.one(feedback_forms).location == "london"
    anywhere, theirs = opened(shop), opened(shop, location="leeds")
    seen = [form.id for form in list_forms(core=shop.core, actor=shop.supervisor).items]
    assert seen == [anywhere.id, mine.id]
    assert len(list_forms(core=shop.core, actor=shop.manager).items) == 3
    shop.refused(OtherLocation, opened, shop, by=shop.supervisor, location="leeds")
    for deed in (one_form, close_form):
        with pytest.raises(FeedbackFormNotFound):
            deed(core=shop.core, actor=shop.supervisor, form_id=theirs.id)


def test_the_same_key_opens_one_form(shop: Shop) -> None:
    first = opened(shop, idempotency_key="a")
    assert opened(shop, idempotency_key="a") == FormMade(id=first.id, replayed=True)
    shop.refused(IdempotencyKeyReused, opened, shop, idempotency_key="a", label="Table 13")
    assert len(shop.all(feedback_forms)) == 1


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ({"label": "  "}, InputInvalid),
        ({"label": "x" * 101}, InputInvalid),
        ({"label": "a\x00b"}, InputInvalid),
        ({"scale": "smileys"}, InputInvalid),
        ({"issue_tag": "nonsense"}, UnknownIssueTag),
        ({"issue_tag": "rude"}, UnknownIssueTag),  # no longer used
        ({"location": "paris"}, UnknownLocation),
    ],
)
def test_what_cannot_be_a_form(shop: Shop, command: dict[str, str], refusal: type[Refusal]) -> None:
    shop.refused(refusal, opened, shop, **command)


def test_closing_is_for_good_and_harmless_twice(shop: Shop) -> None:
    made = opened(shop)
    assert close_form(core=shop.core, actor=shop.manager, form_id=made.id) is True
    before = shop.everything()
    assert close_form(core=shop.core, actor=shop.manager, form_id=made.id) is False
    assert shop.everything() == before
    assert one_form(core=shop.core, actor=shop.manager, form_id=made.id).closed_at == shop.core.clock.now()


def test_only_who_leads_manages_forms(shop: Shop) -> None:
    for who in (shop.agent, shop.till, moved(shop.manager, role="finance")):
        shop.refused(NotPermitted, opened, shop, by=who)
        with pytest.raises(NotPermitted):
            list_forms(core=shop.core, actor=who)
