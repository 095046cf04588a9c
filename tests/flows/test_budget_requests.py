"""Budget requests: a second person agrees, entries are written, and the cap is never edited."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    RequestDone,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.kernel import errors
from incentives.kernel.actors import Actor
from incentives.kernel.errors import Refusal
from incentives.queries.budget_history import Line, history_of
from incentives.queries.budget_requests import list_requests, one_request
from incentives.queries.budgets import one_pot
from incentives.safeguards.tables import reviews
from incentives.spending.tables import budget_allocations, budget_periods, budget_requests
from tests import dump
from tests.flows.shop import Shop, budget, catalog
from tests.world import actor, publish_catalog

MONTH = "2026-11-01"
NEXT_MONTH = "2026-12-01"
BUDGETS = (
    budget("small", cap_minor=5000, break_glass_percent=20),
    budget("other", cap_minor=8000),
    budget("dollars", cap_minor=8000, currency="USD"),
    budget("number", cap_count=3),
    budget("each", "location", cap_minor=3000, cap_count=9),
)


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop(catalog(*BUDGETS))


@pytest.fixture
def finance(shop: Shop) -> Actor:
    return actor(shop.core, "finance")


def propose(shop: Shop, kind: str = "top_up", by: Actor | None = None, **more: Any) -> RequestDone:
    values: dict[str, Any] = {"reason": "A bad week", "pot": PotName(budget="small"), **more}
    if not {"amount_minor", "amount_count"} & more.keys():
        values["amount_minor"] = 1000
    command = ProposeBudgetChange(kind=kind, **values)
    return propose_budget_change(core=shop.core, actor=by or shop.manager, command=command)


def decide(shop: Shop, request_id: uuid.UUID, by: Actor, decision: str = "approve", **more: Any) -> RequestDone:
    command = DecideBudgetRequest(request_id=request_id, decision=decision, **more)
    return decide_budget_request(core=shop.core, actor=by, command=command)


def available(shop: Shop, budget_id: str = "small", period_key: str | None = None) -> int | None:
    return one_pot(core=shop.core, actor=shop.manager, budget_id=budget_id, period_key=period_key).money.available


def refused(shop: Shop, refusal: type[Refusal], deed: Callable[..., Any], *arguments: Any, **more: Any) -> Refusal:
    """Do what must be refused, and compare the whole database before and after."""
    before = dump.of(shop.core)
    with pytest.raises(refusal) as caught:
        deed(shop, *arguments, **more)
    assert dump.differences(before, dump.of(shop.core)) == {}
    return caught.value


def test_a_top_up_changes_nothing_until_somebody_else_agrees(shop: Shop, finance: Actor) -> None:
    asked = propose(shop)
    assert asked.status == "pending"
    assert available(shop) == 5000
    assert shop.all(budget_allocations) == []
    assert decide(shop, asked.id, finance, comment="Granted").status == "approved"
    assert available(shop) == 6000
    row = shop.one(budget_allocations)
    assert (row.kind, row.amount_minor, row.amount_count, row.reason) == ("top_up", 1000, 0, "A bad week")
    assert (row.actor, row.approved_by, row.source_id) == (shop.manager.label, finance.label, asked.id)
    pot = shop.one(budget_periods, budget_periods.c.budget == "small")
    assert (pot.cap_minor, pot.allotted_minor, pot.period_key) == (5000, 1000, MONTH)
    shown = one_request(core=shop.core, actor=finance, request_id=asked.id)
    assert (shown.status, shown.comment, shown.own) == ("approved", "Granted", False)
    shop.check()


def test_what_was_topped_up_can_be_given_to_the_last_penny(shop: Shop, finance: Actor) -> None:
    decide(shop, propose(shop, amount_minor=700).id, finance)
    shop.issue(amount_minor=5000)
    shop.issue(incentive="fixed")
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=500)
    assert available(shop) == 0


def test_a_declined_and_a_withdrawn_request_change_nothing(shop: Shop, finance: Actor) -> None:
    declined, withdrawn = propose(shop), propose(shop)
    assert decide(shop, declined.id, finance, "decline", comment="No").status == "declined"
    command = WithdrawBudgetRequest(request_id=withdrawn.id)
    assert withdraw_budget_request(core=shop.core, actor=shop.manager, command=command).status == "withdrawn"
    assert available(shop) == 5000
    for request_id in (declined.id, withdrawn.id):
        refused(shop, errors.BudgetRequestAlreadyDecided, decide, request_id, finance)
    found = list_requests(core=shop.core, actor=finance, status="pending").items
    assert list(found) == []
    actions = [row.action for row in shop.all(audit_events) if row.action.startswith("budget.")]
    assert actions == ["budget.requested"] * 2 + ["budget.request_declined", "budget.request_withdrawn"]


def test_nobody_agrees_to_what_they_asked_for_themselves(shop: Shop, finance: Actor) -> None:
    asked = propose(shop, by=finance)
    refused(shop, errors.SelfApproval, decide, asked.id, finance)
    # The database itself says so, too.
    with pytest.raises(sa.exc.IntegrityError), shop.core.database.write() as tx:
        tx.execute(
            budget_requests.update().values(status="approved", decided_by=finance.label, decided_at=shop.clock.now())
        )
    with pytest.raises(sa.exc.IntegrityError), shop.core.database.write() as tx:
        tx.execute(
            budget_allocations.insert().values(
                id=uuid.uuid4(), budget_period_id=shop.core.ids.new(shop.clock.now()), kind="top_up",
                source_id=asked.id, amount_minor=1, reason="x", actor="a", approved_by="a", at=shop.clock.now(),
            )
        )  # fmt: skip


def test_only_whoever_asked_takes_a_request_back(shop: Shop, finance: Actor) -> None:
    asked = propose(shop)
    command = WithdrawBudgetRequest(request_id=asked.id)

    def withdraw(_shop: Shop) -> None:
        withdraw_budget_request(core=shop.core, actor=finance, command=command)

    refused(shop, errors.NotPermitted, withdraw)


def test_a_transfer_takes_from_one_and_gives_to_the_other(shop: Shop, finance: Actor) -> None:
    asked = propose(shop, "transfer", from_pot=PotName(budget="other"), amount_minor=8000)
    decide(shop, asked.id, finance)
    assert (available(shop), available(shop, "other")) == (13000, 0)
    rows = {row.kind: row.amount_minor for row in shop.all(budget_allocations)}
    assert rows == {"transfer_in": 8000, "transfer_out": -8000}
    shop.check()


def test_a_transfer_goes_to_a_period_to_come(shop: Shop, finance: Actor) -> None:
    into = PotName(budget="small", period_key=NEXT_MONTH)
    decide(shop, propose(shop, "transfer", pot=into, from_pot=PotName(budget="small"), amount_minor=2000).id, finance)
    assert (available(shop), available(shop, period_key=NEXT_MONTH)) == (3000, 7000)
    shop.later(days=15)
    assert available(shop) == 7000
    shop.check()


def test_what_is_promised_cannot_be_transferred(shop: Shop, finance: Actor) -> None:
    asked = propose(shop, "transfer", pot=PotName(budget="other"), from_pot=PotName(budget="small"), amount_minor=4500)
    shop.issue()
    refusal = refused(shop, errors.BudgetInUse, decide, asked.id, finance)
    assert refusal.facts == {"budget": "small", "currency": "GBP", "free_minor": 4000}
    refused(
        shop, errors.BudgetInUse, propose, "transfer", pot=PotName(budget="other"), from_pot=PotName(budget="small"),
        amount_minor=4001,
    )  # fmt: skip


def test_an_adjustment_lowers_by_what_is_free_at_most(shop: Shop, finance: Actor) -> None:
    shop.issue()
    assert refused(shop, errors.BudgetInUse, propose, "adjustment", amount_minor=-4001).facts["free_minor"] == 4000
    decide(shop, propose(shop, "adjustment", amount_minor=-4000).id, finance)
    assert available(shop) == 0
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=500)
    decide(shop, propose(shop, "adjustment", amount_minor=500).id, finance)
    shop.issue(amount_minor=500)
    shop.check()


def test_a_number_is_topped_up_like_money(shop: Shop, finance: Actor) -> None:
    for _ in range(3):
        shop.issue(incentive="fixed")
    shop.refused(errors.BudgetExhausted, shop.issue, incentive="fixed")
    decide(shop, propose(shop, pot=PotName(budget="number"), amount_count=1).id, finance)
    shop.issue(incentive="fixed")
    shop.refused(errors.BudgetExhausted, shop.issue, incentive="fixed")


def test_a_pot_for_each_is_named_with_whom_it_is_for(shop: Shop, finance: Actor) -> None:
    asked = propose(shop, pot=PotName(budget="each", subject="leeds"), amount_minor=100, amount_count=2)
    decide(shop, asked.id, finance)
    pot = one_pot(core=shop.core, actor=finance, budget_id="each:leeds")
    assert (pot.money.available, pot.count.available) == (3100, 11)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"pot": PotName(budget="nothing")}, errors.BudgetNotFound),
        ({"pot": PotName(budget="role:frontline:GBP/day")}, errors.BudgetNotFound),
        ({"pot": PotName(budget="small", subject="london")}, errors.BudgetNotFound),
        ({"pot": PotName(budget="each")}, errors.BudgetNotFound),
        ({"pot": PotName(budget="each", subject="paris")}, errors.BudgetNotFound),
        ({"pot": PotName(budget="small", period_key="2026-10-01")}, errors.BudgetPeriodOver),
        ({"pot": PotName(budget="small", period_key="2026-11-02")}, errors.InputInvalid),
        ({"pot": PotName(budget="small", period_key="soon")}, errors.InputInvalid),
        ({"pot": PotName(budget="small", period_key="2030-01-01")}, errors.InputInvalid),
        ({"pot": PotName(budget="small", period_key="9999-12-01")}, errors.InputInvalid),
        ({"pot": PotName(budget="number")}, errors.InputInvalid),  # it limits no money
        ({"amount_minor": 0}, errors.InputInvalid),
        ({"amount_minor": -1}, errors.InputInvalid),
        ({"amount_minor": 2**53}, errors.InputInvalid),
        ({"amount_minor": 2**53 - 1}, errors.InputInvalid),
        ({"reason": "  "}, errors.InputInvalid),
        ({"reason": "x" * 501}, errors.InputInvalid),
        ({"reason": "a\x07b"}, errors.InputInvalid),
        ({"kind": "gift"}, errors.InputInvalid),
        ({"kind": "transfer"}, errors.InputInvalid),
        ({"from_pot": PotName(budget="other")}, errors.InputInvalid),
        ({"kind": "transfer", "from_pot": PotName(budget="small")}, errors.InputInvalid),
        ({"kind": "transfer", "from_pot": PotName(budget="dollars")}, errors.BudgetCurrencyMismatch),
    ],
)
def test_what_makes_no_sense_cannot_be_asked_for(shop: Shop, change: dict[str, Any], refusal: type[Refusal]) -> None:
    refused(shop, refusal, propose, **change)


def test_a_period_that_ended_meanwhile_is_not_changed(shop: Shop, finance: Actor) -> None:
    asked = propose(shop)
    shop.later(days=15)
    refused(shop, errors.BudgetPeriodOver, decide, asked.id, finance)
    assert decide(shop, asked.id, finance, "decline").status == "declined"


def test_a_budget_that_left_the_catalog_is_not_changed(shop: Shop, finance: Actor) -> None:
    asked = propose(shop)
    publish_catalog(shop.core, catalog(*BUDGETS[1:]))
    refused(shop, errors.BudgetNotFound, decide, asked.id, finance)


def test_glass_is_broken_up_to_so_many_percent_and_somebody_looks_at_it(shop: Shop, finance: Actor) -> None:
    assert refused(shop, errors.BreakGlassLimitReached, propose, "break_glass", amount_minor=1001).facts == {
        "budget": "small", "currency": "GBP", "most_minor": 1000, "most_count": 0
    }  # fmt: skip
    first, second = (propose(shop, "break_glass", amount_minor=600) for _ in range(2))
    decide(shop, first.id, finance)
    assert available(shop) == 5600
    review = shop.one(reviews)
    assert (review.kind, review.subject_id, review.status, review.amount_minor) == (
        "break_glass", str(first.id), "open", 600
    )  # fmt: skip
    assert review.due_at - review.opened_at == timedelta(hours=24)
    assert review.actor == shop.manager.label
    assert refused(shop, errors.BreakGlassLimitReached, decide, second.id, finance).facts["most_minor"] == 400
    decide(shop, propose(shop, "break_glass", amount_minor=400).id, finance)
    # A new period has its own glass.
    shop.later(days=15)
    propose(shop, "break_glass", amount_minor=1000)


@pytest.mark.parametrize("by_minor", [-800, 800])
def test_only_what_was_added_in_emergencies_uses_up_their_share(shop: Shop, finance: Actor, by_minor: int) -> None:
    decide(shop, propose(shop, "adjustment", amount_minor=by_minor).id, finance)
    refused(shop, errors.BreakGlassLimitReached, propose, "break_glass", amount_minor=1001)
    decide(shop, propose(shop, "break_glass", amount_minor=1000).id, finance)
    refused(shop, errors.BreakGlassLimitReached, propose, "break_glass", amount_minor=1)


def test_glass_that_the_catalog_does_not_have_is_not_broken(shop: Shop) -> None:
    refused(shop, errors.BreakGlassLimitReached, propose, "break_glass", pot=PotName(budget="other"), amount_minor=1)


def test_a_repetition_is_a_replay(shop: Shop, finance: Actor) -> None:
    asked = propose(shop, idempotency_key="k1")
    before = dump.of(shop.core)
    again = propose(shop, idempotency_key="k1")
    assert (again.id, again.replayed) == (asked.id, True)
    assert dump.differences(before, dump.of(shop.core)) == {}
    refused(shop, errors.IdempotencyKeyReused, propose, idempotency_key="k1", amount_minor=2000)
    decide(shop, asked.id, finance, idempotency_key="k2")
    before = dump.of(shop.core)
    assert decide(shop, asked.id, finance, idempotency_key="k2").replayed
    assert dump.differences(before, dump.of(shop.core)) == {}
    refused(shop, errors.IdempotencyKeyReused, decide, asked.id, finance, "decline", idempotency_key="k2")
    assert available(shop) == 6000


@pytest.mark.parametrize("role", ["frontline", "supervisor", "auditor", "till", "integrator"])
def test_whoever_minds_no_money_asks_for_none(shop: Shop, role: str) -> None:
    refused(shop, errors.NotPermitted, propose, by=actor(shop.core, role))
    asked = propose(shop)
    refused(shop, errors.NotPermitted, decide, asked.id, actor(shop.core, role))
    # A manager asks and does not agree.
    refused(shop, errors.NotPermitted, decide, asked.id, actor(shop.core, "manager"))


def test_a_cap_that_was_lowered_under_what_is_promised_can_be_topped_up(shop: Shop, finance: Actor) -> None:
    shop.issue(amount_minor=4000)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=1000), *BUDGETS[1:]))
    asked = propose(shop, amount_minor=2500)
    decide(shop, asked.id, finance)
    shop.refused(errors.BudgetExhausted, shop.issue, amount_minor=500)
    refused(shop, errors.BudgetInUse, propose, "adjustment", amount_minor=-1)
    decide(shop, propose(shop, amount_minor=1000).id, finance)
    shop.issue(amount_minor=500)
    assert available(shop) == 0
    shop.check()


def test_a_cap_that_was_raised_since_the_last_charge_can_be_taken_from(shop: Shop, finance: Actor) -> None:
    shop.issue(amount_minor=4000)
    publish_catalog(shop.core, catalog(budget("small", cap_minor=10000), *BUDGETS[1:]))
    decide(shop, propose(shop, "adjustment", amount_minor=-6000).id, finance)
    assert available(shop) == 0
    shop.check()


def test_the_history_counts_up_to_the_number_that_is_shown(shop: Shop, finance: Actor) -> None:
    shop.issue()
    decide(shop, propose(shop, amount_minor=700).id, finance)
    held = shop.ask(amount_minor=2500)
    decide(shop, propose(shop, "transfer", pot=PotName(budget="other"), from_pot=PotName(budget="small"),
                         amount_minor=300).id, finance)  # fmt: skip
    shop.decide(held.approval_id, "decline")
    shop.redeem(shop.voucher(incentive="fixed").code)
    found = history_of(core=shop.core, actor=finance, budget_id="small")
    assert found.agrees
    assert [each.kind for each in found.lines] == [
        "spend", "commit", "release", "transfer_out", "hold", "top_up", "commit"
    ]  # fmt: skip
    assert found.lines[0].after == found.sums
    ceiling = found.budget.money.cap or 0
    for line, before in zip(found.lines, [*found.lines[1:], None], strict=True):
        start = before.after if before else dict.fromkeys(line.after, 0)
        assert line.after == {name: start[name] + line.changes[name] for name in line.after}
    assert found.budget.money.available == ceiling + found.sums["allotted_minor"] - sum(
        found.sums[f"{state}_minor"] for state in ("held", "committed", "spent")
    )
    top_up = found.lines[5]
    assert (top_up.reason, top_up.actor, top_up.approved_by) == ("A bad week", shop.manager.label, finance.label)
    # The same in pages of two, and of the allocations alone.
    pages: list[Line] = []
    after = None
    while True:
        page = history_of(core=shop.core, actor=finance, budget_id="small", limit=2, after=after)
        pages += page.lines
        if page.next is None:
            break
        after = page.next
    assert pages == list(found.lines)
    alone = history_of(core=shop.core, actor=finance, budget_id="small", only_allocations=True).lines
    assert list(alone) == [each for each in found.lines if each.reason]


def test_an_empty_budget_has_an_empty_history(shop: Shop, finance: Actor) -> None:
    found = history_of(core=shop.core, actor=finance, budget_id="small")
    assert (list(found.lines), found.agrees, found.next) == ([], True, None)
    with pytest.raises(errors.NotFound):
        history_of(core=shop.core, actor=finance, budget_id="none-such")
    with pytest.raises(errors.InputInvalid):
        history_of(core=shop.core, actor=finance, budget_id="small", after="x")
    with pytest.raises(errors.NotPermitted):
        history_of(core=shop.core, actor=replace(finance, role="frontline"), budget_id="small")


def test_the_audit_trail_knows_each_pot_and_amount(shop: Shop, finance: Actor) -> None:
    asked = propose(shop, "transfer", from_pot=PotName(budget="other"), amount_minor=1)
    decide(shop, asked.id, finance)
    row = shop.one(audit_events, audit_events.c.action == "budget.transfer")
    assert (row.actor, row.subject_id, row.reason) == (finance.label, str(asked.id), "A bad week")
    assert [(each["pot"], each["kind"], each["amount_minor"]) for each in row.facts["allocations"]] == [
        (["small", "organization", MONTH], "transfer_in", 1),
        (["other", "organization", MONTH], "transfer_out", -1),
    ]
