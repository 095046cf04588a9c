"""Cases are merged with both histories kept, split, linked, and shared with teams and by links that end."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.flows.join_cases import LinkCases, MergeCase, SplitCase, link_cases, merge_case, split_case
from incentives.flows.share_case import EndShare, ShareByLink, ShareWithTeam, end_share, share_by_link, share_with_team
from incentives.kernel.errors import (
    CaseClosed,
    CaseNotDocumented,
    CaseNotFound,
    CaseOfAnotherCustomer,
    IdempotencyKeyReused,
    InputInvalid,
    NotPermitted,
    ShareNotFound,
    UnknownIssueTag,
)
from incentives.queries.cases import CaseFilters, list_cases
from incentives.queries.shared_case import shared_case
from incentives.recovery import shared_links
from incentives.recovery.tables import case_links, case_tasks
from tests.flows.cases_shop import CASES, Desk, OpenShop
from tests.flows.shop import moved, named
from tests.world import START


@pytest.fixture
def desk(open_shop: OpenShop) -> Desk:
    return Desk(open_shop(CASES))


def merge(desk: Desk, case_id: Any, into_id: Any, **more: Any) -> None:
    """Merge; the supervisor does."""
    command = MergeCase(case_id=case_id, into_id=into_id, reason=more.pop("reason", "She wrote twice."))
    merge_case(core=desk.core, actor=more.pop("by", desk.shop.supervisor), command=command)


def test_a_merged_case_ends_and_both_histories_stay(desk: Desk) -> None:
    kept = desk.open(customer=named())
    gone = desk.open(issue_tag="odd", severity=4, order_ref="BA1")
    desk.step(gone, "gather")
    desk.shop.issue(case_id=gone)
    task = desk.task(gone, kind="customer", title="Call her", due_at=START + timedelta(days=1)).id
    merge(desk, gone, kept)
    ended, stays = desk.row(gone), desk.row(kept)
    assert (ended.status, ended.outcome, ended.merged_into_id) == ("closed", "merged", kept)
    assert (stays.status, stays.severity, stays.order_ref) == ("open", 4, "BA1")
    assert stays.customer_id == ended.customer_id
    assert {row.case_id for row in desk.shop.all(case_tasks, case_tasks.c.id == task)} == {kept}
    screen = desk.screen(kept)
    assert screen.tags == ("long-wait", "odd")
    assert {("step", gone), ("voucher", gone)} <= {(item.kind, item.case_id) for item in screen.timeline}
    assert [(each.id, each.kind, each.outcome) for each in screen.linked] == [(gone, "merged", "merged")]
    assert desk.screen(gone).case.state == "merged"
    assert screen.earlier.count == 0
    desk.shop.refused(CaseClosed, desk.shop.issue, case_id=gone)
    desk.shop.refused(CaseClosed, desk.reopen, gone)


def test_what_was_merged_before_goes_along(desk: Desk) -> None:
    first, second, third = desk.open(), desk.open(), desk.open()
    desk.step(first, "apologize")
    merge(desk, first, second)
    merge(desk, second, third)
    assert desk.row(first).merged_into_id == third
    assert ("step", first) in {(item.kind, item.case_id) for item in desk.screen(third).timeline}


def test_cases_of_two_customers_are_not_one(desk: Desk) -> None:
    one, other = desk.open(), desk.open(customer=named("someone@example.com"))
    refusal = desk.shop.refused(CaseOfAnotherCustomer, merge, desk, one, other)
    assert refusal.facts["field"] == "into_id"
    desk.shop.refused(InputInvalid, merge, desk, one, one)
    desk.shop.refused(NotPermitted, merge, desk, one, other, by=desk.shop.agent)
    desk.shop.refused(CaseNotFound, merge, desk, one, desk.core.ids.new(START))


def test_customers_who_turn_out_to_be_one_have_cases_that_are_one(desk: Desk) -> None:
    by_mail, by_phone = desk.open(), desk.open(customer=named(phone="+442079460018"))
    desk.shop.refused(CaseOfAnotherCustomer, merge, desk, by_mail, by_phone)
    desk.open(customer=named("ana.lopez@example.com", phone="+442079460018"))
    assert desk.screen(by_mail).earlier.count == 2
    merge(desk, by_mail, by_phone)
    assert desk.row(by_mail).merged_into_id == by_phone


def test_a_part_becomes_a_case_of_its_own(desk: Desk) -> None:
    case_id = desk.open(order_ref="BA1")
    command = SplitCase(
        case_id=case_id, issue_tag="odd", reason="Another matter.", story={"what": "A bag."}, idempotency_key="s1"
    )
    desk.shop.refused(NotPermitted, split_case, core=desk.core, actor=desk.shop.agent, command=command)
    part = split_case(core=desk.core, actor=desk.shop.supervisor, command=command)
    again = split_case(core=desk.core, actor=desk.shop.supervisor, command=command)
    assert (again.id, again.replayed) == (part.id, True)
    row, whole = desk.row(part.id), desk.row(case_id)
    assert (row.issue_tag, row.split_from_id, row.customer_id) == ("odd", case_id, whole.customer_id)
    assert (row.order_ref, row.owner, row.location) == ("BA1", whole.owner, "london")
    screen = desk.screen(part.id)
    assert (screen.story, screen.next_step) == ({"what": "A bag."}, "gather")
    assert [(each.id, each.kind) for each in screen.linked] == [(case_id, "split")]
    bad = SplitCase(case_id=case_id, issue_tag="none", reason="No.")
    desk.shop.refused(UnknownIssueTag, split_case, core=desk.core, actor=desk.shop.supervisor, command=bad)


def test_links_are_made_once_and_say_more_when_merged(desk: Desk) -> None:
    one, other = desk.open(), desk.open()
    for pair in ((one, other), (other, one)):
        link_cases(core=desk.core, actor=desk.shop.agent, command=LinkCases(case_id=pair[0], other_id=pair[1]))
    assert desk.shop.one(case_links).kind == "related"
    merge(desk, one, other)
    assert desk.shop.one(case_links).kind == "merged"
    itself = LinkCases(case_id=one, other_id=one)
    desk.shop.refused(InputInvalid, link_cases, core=desk.core, actor=desk.shop.agent, command=itself)


def test_a_team_elsewhere_sees_and_edits_as_it_is_let(desk: Desk) -> None:
    case_id = desk.open()
    afar = moved(desk.shop.agent, location="leeds", team="desk")
    with pytest.raises(CaseNotFound):
        desk.screen(case_id, afar)
    share = share_with_team(core=desk.core, actor=desk.shop.agent, command=ShareWithTeam(case_id=case_id, team="desk"))
    assert desk.screen(case_id, afar).may_edit is False
    found = list_cases(core=desk.core, actor=afar, wanted=CaseFilters(q=str(case_id)))
    assert [each.id for each in found.items] == [case_id]
    desk.shop.refused(NotPermitted, desk.step, case_id, "apologize", afar)
    again = ShareWithTeam(case_id=case_id, team="desk", may_edit=True)
    assert share_with_team(core=desk.core, actor=desk.shop.agent, command=again).id == share.id
    assert desk.step(case_id, "apologize", afar).state == "apologized"
    end_share(core=desk.core, actor=desk.shop.agent, command=EndShare(case_id=case_id, share_id=share.id))
    with pytest.raises(CaseNotFound):
        desk.screen(case_id, afar)
    ended = EndShare(case_id=case_id, share_id=share.id)
    desk.shop.refused(ShareNotFound, end_share, core=desk.core, actor=desk.shop.agent, command=ended)
    nobody = ShareWithTeam(case_id=case_id, team="nobody")
    desk.shop.refused(InputInvalid, share_with_team, core=desk.core, actor=desk.shop.agent, command=nobody)


def link(desk: Desk, case_id: Any, days: int = 7) -> tuple[Any, str]:
    """Make a link; return the share and its token."""
    command = ShareByLink(case_id=case_id, days=days)
    share = share_by_link(core=desk.core, actor=desk.shop.supervisor, command=command)
    assert share.url is not None
    return share, share.url.rpartition("/")[2]


def test_a_link_shows_the_case_without_codes_addresses_or_notes(desk: Desk) -> None:
    case_id = desk.open(customer=named("ana.lopez@example.com", name="Ana López"))
    given = desk.shop.issue(case_id=case_id, channels=("email",))
    desk.apologize(case_id)
    desk.step(case_id, "review", note="Tom slept.")
    _, token = link(desk, case_id)
    before = desk.shop.everything()
    shown = shared_case(core=desk.core, token=token)
    assert desk.shop.everything() == before
    assert shown is not None
    assert (shown.customer_name, shown.case.customer_name, shown.case.owner_name) == ("Ana", "Ana", None)
    assert given.voucher is not None
    assert {item.kind for item in shown.timeline} == {"apology", "step", "voucher"}
    for secret in ("López", "example.com", "Tom slept", given.voucher.last4, given.voucher.code, str(given.voucher.id)):
        assert secret not in str(shown), secret


def test_a_link_ends_and_can_be_taken_back_and_not_be_forged(desk: Desk) -> None:
    case_id = desk.open()
    share, token = link(desk, case_id, days=1)
    assert shared_case(core=desk.core, token=token) is not None
    assert shared_case(core=desk.core, token=token[:-2] + "AA") is None
    assert shared_case(core=desk.core, token=str(share.id)) is None
    # A token of a team's share, were one signed, opens nothing either.
    team = share_with_team(core=desk.core, actor=desk.shop.agent, command=ShareWithTeam(case_id=case_id, team="desk"))
    assert shared_case(core=desk.core, token=shared_links.token_of(desk.core.keys.links, team.id)) is None
    second, other_token = link(desk, case_id, days=30)
    desk.shop.later(days=1)
    assert shared_case(core=desk.core, token=token) is None
    assert shared_case(core=desk.core, token=other_token) is not None
    end_share(core=desk.core, actor=desk.shop.supervisor, command=EndShare(case_id=case_id, share_id=second.id))
    assert shared_case(core=desk.core, token=other_token) is None


def test_links_are_for_leaders_and_for_a_month_at_most(desk: Desk) -> None:
    case_id = desk.open()
    for days in (0, 31):
        command = ShareByLink(case_id=case_id, days=days)
        desk.shop.refused(InputInvalid, share_by_link, core=desk.core, actor=desk.shop.supervisor, command=command)
    command = ShareByLink(case_id=case_id)
    desk.shop.refused(NotPermitted, share_by_link, core=desk.core, actor=desk.shop.agent, command=command)
    link(desk, case_id)
    assert [share.url is not None for share in desk.screen(case_id).shares] == [True]
    assert [share.url for share in desk.screen(case_id, desk.shop.agent).shares] == [None]


def test_a_link_is_ended_by_those_who_may_make_one(desk: Desk) -> None:
    case_id = desk.open()
    share, token = link(desk, case_id)
    command = EndShare(case_id=case_id, share_id=share.id)
    desk.shop.refused(NotPermitted, end_share, core=desk.core, actor=desk.shop.agent, command=command)
    assert shared_case(core=desk.core, token=token) is not None


def test_what_the_customer_wrote_shows_no_address_either(desk: Desk) -> None:
    case_id = desk.open(customer=named("ana.lopez@example.com", name="Ana López", phone="+447400123456"))
    desk.apologize(case_id, words="Sorry! We write to Ana.Lopez@example.com and call +447400123456, ana lópez.")
    _, token = link(desk, case_id)
    shown = shared_case(core=desk.core, token=token)
    assert shown is not None
    assert [item.text for item in shown.timeline if item.text] == ["Sorry! We write to … and call …, Ana."]
    assert shown.case.opened_by_name == ""


def test_one_press_makes_one_link_and_one_share(desk: Desk) -> None:
    case_id = desk.open()
    command = ShareByLink(case_id=case_id, idempotency_key="k")
    first = share_by_link(core=desk.core, actor=desk.shop.supervisor, command=command)
    again = share_by_link(core=desk.core, actor=desk.shop.supervisor, command=command)
    assert (again.id, again.url, again.expires_at, again.replayed) == (first.id, first.url, first.expires_at, True)
    other = ShareByLink(case_id=case_id, days=30, idempotency_key="k")
    desk.shop.refused(IdempotencyKeyReused, share_by_link, core=desk.core, actor=desk.shop.supervisor, command=other)
    team = ShareWithTeam(case_id=case_id, team="desk", idempotency_key="t")
    shared = share_with_team(core=desk.core, actor=desk.shop.agent, command=team)
    assert share_with_team(core=desk.core, actor=desk.shop.agent, command=team).id == shared.id
    # One that stands already is what a second key gets, and again.
    later = ShareWithTeam(case_id=case_id, team="desk", idempotency_key="u")
    for _ in range(2):
        assert share_with_team(core=desk.core, actor=desk.shop.agent, command=later).id == shared.id


def test_what_is_to_be_decided_in_a_merged_case_is_to_be_decided_before_the_other_is_closed(desk: Desk) -> None:
    kept, gone = desk.open(), desk.open()
    asked = desk.shop.ask(case_id=gone, amount_minor=2500)
    desk.work_through(kept)
    merge(desk, gone, kept)
    refusal = desk.shop.refused(CaseNotDocumented, desk.close, kept)
    assert [each["field"] for each in refusal.facts["errors"]] == ["approvals"]
    desk.shop.decide(asked.approval_id, "decline")
    assert desk.close(kept).outcome == "recovered"
