"""The simulator counts what is stored and prices it as issuing would; the list says what each rule did in a week."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.flows.respond import respond_due
from incentives.kernel.errors import InputInvalid, NotFound, NotPermitted
from incentives.kernel.money import Money
from incentives.queries import criteria
from incentives.queries.criteria import Supposed
from incentives.queries.criteria_history import Question, Simulation, simulate
from incentives.recovery.customers import Contact
from incentives.vouchers.tables import issuances
from tests.flows.reported import Open, answer, change, criterion, giving, report, text_with
from tests.flows.shop import Shop, moved

STARS = {1: 0, 2: 2500, 3: 5000, 4: 7500, 5: 10000}


@pytest.fixture
def shop(open_shop: Open) -> Shop:
    """A shop in which ten pieces are stored: one of each score in London and in New York."""
    shop = open_shop(text_with(giving("quiet", mode="shadow")))
    for number, (stars, score_bp) in enumerate(STARS.items()):
        for place in ("london", "new-york"):
            report(shop, number, external_id=f"{place}-{stars}", location=place, score_bp=score_bp)
    return shop


def ask(shop: Shop, **question: Any) -> Simulation:
    return simulate(core=shop.core, actor=shop.manager, question=Question(**{"at_most": 2, **question}))


def counted(found: Simulation) -> dict[int, int]:
    return {each.at_most: each.cases for each in found.thresholds}


def test_thresholds_stand_side_by_side_with_cases_and_cost_in_each_currency(shop: Shop) -> None:
    found = ask(shop)
    assert counted(found) == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}
    assert [each.at_most for each in found.thresholds if each.chosen] == [2]
    assert found.thresholds[1].costs == (Money(2000, "GBP"), Money(2000, "USD"))
    assert found.scored == 10


def test_it_costs_what_a_rule_in_shadow_says_it_would(shop: Shop) -> None:
    respond_due(core=shop.core)
    (row,) = criteria.list_criteria(core=shop.core, actor=shop.manager)
    # One customer wrote it all: the rule would pay once a month for one trouble, the threshold counts each piece.
    assert row.week.would_cost == (Money(1000, "GBP"),)
    assert row.week.outcomes == {"would_have": 4}


@pytest.mark.parametrize(
    ("question", "cases"),
    [
        ({"scale": "nps", "at_most": 2}, 2),
        ({"scale": "nps", "at_most": 3}, 4),
        ({"scale": "percent", "at_most": 33}, 4),
        ({"scale": "ces_7", "at_most": 4}, 6),
        ({"at_most": 5, "locations": ("london",)}, 5),
        ({"at_most": 5, "issue_tags": ("service",)}, 10),
        ({"at_most": 5, "issue_tags": ("odd",)}, 0),
        ({"at_most": 5, "sources": ("nobody",)}, 0),
        ({"at_most": 5, "sources": ("survey-tool",)}, 10),
    ],
)
def test_what_is_asked_for_is_counted(shop: Shop, question: dict[str, Any], cases: int) -> None:
    found = ask(shop, **question)
    assert [each.cases for each in found.thresholds if each.chosen] == [cases]


def test_what_is_older_and_what_is_an_answer_after_a_recovery_is_left_out(shop: Shop) -> None:
    report(shop, 90, source="resurvey")
    shop.later(days=10)
    report(shop, 91)
    assert counted(ask(shop, days=9))[5] == 1
    assert counted(ask(shop, days=11))[5] == 11
    assert counted(ask(shop, days=11, sources=("resurvey",)))[5] == 1


def test_what_has_no_price_is_a_case_all_the_same(shop: Shop) -> None:
    report(shop, 90, tags=("odd",))
    report(shop, 91, tags=())
    first = ask(shop).thresholds[0]
    assert (first.cases, first.unpriced) == (4, 2)
    assert first.costs == (Money(1000, "GBP"), Money(1000, "USD"))


def test_a_trouble_that_was_named_second_counts_as_criteria_count_it(shop: Shop) -> None:
    report(shop, 90, tags=("odd", "long-wait"))
    assert counted(ask(shop, issue_tags=("long-wait",)))[5] == 11
    assert counted(ask(shop, issue_tags=("odd",)))[5] == 1


def test_a_place_sees_its_own(shop: Shop) -> None:
    here = moved(shop.manager, location="london")
    assert counted(simulate(core=shop.core, actor=here, question=Question(at_most=5)))[5] == 5


@pytest.mark.parametrize(
    ("question", "field"),
    [({"scale": "moons"}, "scale"), ({"at_most": 0}, "at_most"), ({"at_most": 6}, "at_most"), ({"days": 0}, "days")],
)
def test_what_cannot_be_asked_is_refused(shop: Shop, question: dict[str, Any], field: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        ask(shop, **question)
    assert caught.value.facts["errors"][0]["field"] == field


def test_the_frontline_does_not_see_what_triggers_a_voucher(shop: Shop) -> None:
    for deed in (
        lambda: simulate(core=shop.core, actor=shop.agent, question=Question(at_most=2)),
        lambda: criteria.list_criteria(core=shop.core, actor=shop.agent),
        lambda: criteria.list_firings(core=shop.core, actor=shop.agent, key="quiet"),
    ):
        with pytest.raises(NotPermitted):
            deed()


# --- the list ---------------------------------------------------------------------------------------------


def test_the_list_says_what_each_rule_did_in_a_week(open_shop: Open) -> None:
    shop = open_shop(text_with(giving(breaker={"count_per_hour": 2}), criterion("last", priority=1)))
    for number in range(3):
        answer(shop, number, contact=Contact(email=f"p{number}@example.com"))
    first, last = criteria.list_criteria(core=shop.core, actor=shop.manager)
    assert (first.key, first.version, first.week.outcomes) == ("bad", 1, {"acted": 2, "tripped": 1})
    assert first.week.costs == (Money(2000, "GBP"),)
    assert [each.source for each in first.tripped] == ["unknown-sources"]
    assert (last.key, last.week.times, last.tripped) == ("last", 3, ())
    shop.later(hours=1)
    assert criteria.list_criteria(core=shop.core, actor=shop.manager)[0].tripped == ()
    shop.later(days=7)
    assert criteria.list_criteria(core=shop.core, actor=shop.manager)[0].week.times == 0


def test_a_firing_names_its_version_and_a_rule_that_is_gone_keeps_its_history(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    answer(shop, 1)
    change(shop, giving(name="Another name"))
    answer(shop, 2, contact=Contact(email="p@example.com"))
    row, versions = criteria.one_criterion(core=shop.core, actor=shop.manager, key="bad")
    assert (row.name, row.version) == ("Another name", 2)
    assert [(each.version, each.in_force, each.approved_by_name is not None) for each in versions] == [
        (2, True, True),
        (1, False, True),
    ]
    found = criteria.list_firings(core=shop.core, actor=shop.manager, key="bad")
    assert [each.version for each in found.items] == [2, 1]
    assert found.items[0].issuance_id == shop.all(issuances)[-1].id
    change(shop)
    row, versions = criteria.one_criterion(core=shop.core, actor=shop.manager, key="bad")
    assert (row.mode, [each.in_force for each in versions]) == ("off", [False, False])
    assert len(criteria.list_firings(core=shop.core, actor=shop.manager, key="bad").items) == 2


def test_firings_are_seen_where_they_happened(open_shop: Open) -> None:
    shop = open_shop(text_with(criterion()))
    answer(shop, 1)
    answer(shop, 2, location="new-york", contact=Contact(email="p@example.com"))
    here = moved(shop.manager, location="new-york")
    assert len(criteria.list_firings(core=shop.core, actor=here, key="bad").items) == 1
    assert criteria.list_criteria(core=shop.core, actor=here)[0].week.times == 1


@pytest.mark.parametrize("key", ["nobody", "a\x00b"])
def test_a_rule_that_never_was_is_not_found(shop: Shop, key: str) -> None:
    with pytest.raises(NotFound):
        criteria.one_criterion(core=shop.core, actor=shop.manager, key=key)
    with pytest.raises(NotFound):
        criteria.list_firings(core=shop.core, actor=shop.manager, key=key)


# --- what if ----------------------------------------------------------------------------------------------


def test_a_piece_that_nobody_reported_says_which_rules_would_hold(open_shop: Open) -> None:
    night = criterion("night", when={"from_time": "22:00", "until_time": "06:00"}, priority=1)
    shop = open_shop(text_with(giving(), night))
    before = shop.everything()

    def would(**more: Any) -> list[tuple[str, Any, Any]]:
        piece = Supposed(source="kiosk", occurred_at=shop.clock.now(), issue_tags=("long-wait",), **more)
        found = criteria.would_fire(core=shop.core, actor=shop.manager, piece=piece)
        return [(each.key, each.price.amount if each.price else None, each.refused) for each in found]

    assert would(score_bp=2500, scale="stars_5", location="london") == [("bad", Money(1000, "GBP"), None)]
    assert would(score_bp=2500, location="new-york") == [("bad", Money(1000, "USD"), None)]
    assert would(score_bp=5000) == []
    shop.later(hours=11)
    assert would() == [("night", None, None)]
    assert shop.everything() == before


def test_what_would_be_given_without_a_protocol_says_why_not(open_shop: Open) -> None:
    shop = open_shop(text_with(giving()))
    piece = Supposed(source="kiosk", occurred_at=shop.clock.now() + timedelta(0), issue_tags=("odd",), score_bp=0)
    (found,) = criteria.would_fire(core=shop.core, actor=shop.manager, piece=piece)
    assert (found.price, found.refused) == (None, "no-protocol")
