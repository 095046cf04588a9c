"""Budgets: what each may hold, what is held, committed, spent and left, its history, and who should know of it."""

from collections.abc import Callable
from operator import attrgetter, methodcaller
from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, Query, QueryTruth, Text
from api.paging import PageQuery, page_by_key, page_of
from api.smorest import Blueprint
from incentives.kernel.errors import NoCatalog, NotFound
from incentives.queries import budget_alerts, budget_history, budget_holds
from incentives.queries.budgets import BASES, WHOLE, Budget, Counters, one_pot
from incentives.queries.budgets import list_budgets as found_budgets

blueprint = Blueprint("budgets", "Pots with a scope, a period and a cap, as they stand in their present period.")

_NUMBERS = ("cap", "allotted", "held", "committed", "spent", "used", "available")


class SumSchema(Answer):
    """Money and a number; null where the budget does not limit it."""

    amount_minor = fields.Integer(allow_none=True)
    currency = fields.String(allow_none=True)
    count = fields.Integer(allow_none=True)


class MatchesSchema(Answer):
    """What is charged to the budget: issuances of one subject, such as one location or one agent."""

    scope = fields.String(
        metadata={"description": "organization, location, team, agent, issue_tag, incentive or customer"}
    )
    subject = fields.String(
        allow_none=True, metadata={"description": "Null: the whole organization, or nobody was charged yet."}
    )
    issue_tags = fields.List(
        fields.String(), metadata={"description": "Only what is given for these, with all below; empty: for any."}
    )


class PeriodSchema(Answer):
    """A half-open stretch of time; without bounds where the kind is `none`."""

    kind = fields.String(metadata={"description": "none, day, week, month, quarter or year"})
    key = fields.String(metadata={"description": "Its first day; empty where the kind is `none`."})
    start_at = fields.AwareDateTime(allow_none=True)
    end_at = fields.AwareDateTime(allow_none=True)
    time_zone = fields.String()


class BasesSchema(Answer):
    """What counts as used by each basis of charge, had it been the budget's all along."""

    face = fields.Nested(SumSchema)
    expected = fields.Nested(SumSchema)
    redemption = fields.Nested(SumSchema)


class RateSchema(Answer):
    """What was used in a day, of the last 28 days at most: minor units, and a number of vouchers."""

    amount_minor = fields.Integer()
    count = fields.Float()


class BudgetSchema(Answer):
    """A budget in a period. `available` = `cap` + `allotted` - `used`, never below zero.

    `used` is by the budget's `basis`: with `face` it is `held` + `committed` + `spent`, with `redemption` only `spent`,
    with `expected` what is spent and `expected_percent` of what is held and committed.
    """

    id = fields.String(metadata={"description": "Its key; where it has a pot for each subject, key:subject."})
    key = fields.String()
    name = fields.String()
    matches = fields.Nested(MatchesSchema)
    period = fields.Nested(PeriodSchema)
    on_expiry = fields.String(metadata={"description": "What becomes of expired vouchers: release or keep"})
    basis = fields.String(metadata={"description": "face, expected or redemption"})
    expected_percent = fields.Integer()
    rollover = fields.String(metadata={"description": "carry_over: what a period leaves goes to the next; or none"})
    break_glass_percent = fields.Integer(
        metadata={"description": "How much of the cap may be added in an emergency, in a period."}
    )
    cap = fields.Nested(SumSchema)
    allotted = fields.Nested(
        SumSchema, metadata={"description": "On top of the cap: top-ups, transfers, what was carried over …"}
    )
    held = fields.Nested(SumSchema)
    committed = fields.Nested(SumSchema)
    spent = fields.Nested(SumSchema)
    used = fields.Nested(SumSchema)
    available = fields.Nested(SumSchema)
    used_by_basis = fields.Nested(BasesSchema)
    a_day = fields.Nested(RateSchema)
    run_dry_at = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "When nothing is left at this rate; null where the period ends first."},
    )


class BudgetHoldSchema(Answer):
    """What is held for one request that waits, or for one bulk job."""

    kind = fields.String(metadata={"description": "approval or job"})
    owner = fields.String()
    owner_name = fields.String()
    amount_minor = fields.Integer()
    count = fields.Integer()
    since_at = fields.AwareDateTime()
    until_at = fields.AwareDateTime(allow_none=True)
    approval_id = fields.UUID(allow_none=True, metadata={"description": "For whoever may see approvals."})
    case_id = fields.UUID(allow_none=True, metadata={"description": "For whoever may see cases."})
    job_id = fields.UUID(allow_none=True)


class BudgetWithHoldsSchema(BudgetSchema):
    """A budget, with what is held of it."""

    holds = fields.List(fields.Nested(BudgetHoldSchema), metadata={"description": "The oldest first, at most 200."})


class PeriodQuery(Query):
    """Which period."""

    period = Text(10, metadata={"description": "Its first day, as 2026-11-01; left out: the present one."})


@blueprint.get("/budgets")
@blueprint.asks("budgets:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(BudgetSchema)})
def list_budgets(query: dict[str, Any]) -> dict[str, Any]:
    """List the budgets; one that has a pot for each subject stands there once for each in use."""
    found = found_budgets(core=current_core(), actor=current_actor())
    page = page_by_key(found, lambda each: each.id, **query)
    return {**page, "items": [_answer(each) for each in page["items"]]}


class AlertsQuery(PageQuery):
    """Which alerts."""

    standing = QueryTruth(
        load_default=False,
        metadata={"description": "Only those of periods that last, of budgets that nobody has raised since."},
    )


class BudgetAlertSchema(Answer):
    """A budget that has passed a threshold. `used_minor` and `used_count` are what was used when it was noticed."""

    id = fields.UUID()
    budget_id = fields.String()
    name = fields.String()
    scope = fields.String()
    subject = fields.String()
    period_key = fields.String()
    threshold_percent = fields.Integer(metadata={"description": "50, 80, 95 or 100"})
    used_minor = fields.Integer()
    used_count = fields.Integer()
    currency = fields.String(allow_none=True)
    at = fields.AwareDateTime()
    standing = fields.Boolean()


@blueprint.get("/budgets/alerts")
@blueprint.asks("budgets:read")
@blueprint.arguments(AlertsQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(BudgetAlertSchema)})
def list_budget_alerts(query: dict[str, Any]) -> Any:
    """List which budgets have passed 50, 80, 95 and 100 percent, the newest first; once a period, again once raised."""
    return budget_alerts.list_alerts(core=current_core(), actor=current_actor(), **query)


@blueprint.get("/budgets/<budget_id>")
@blueprint.asks("budgets:read")
@blueprint.arguments(PeriodQuery(), location="query")
@blueprint.refuses(NoCatalog, NotFound)
@blueprint.answers({200: BudgetWithHoldsSchema()})
def get_budget(query: dict[str, Any], budget_id: str) -> dict[str, Any]:
    """Show one budget, by its key or its id, with what is held of it."""
    core, actor, period = current_core(), current_actor(), query.get("period")
    budget = one_pot(core=core, actor=actor, budget_id=budget_id, period_key=period)
    holds = budget_holds.holds_of(core=core, actor=actor, budget_id=budget_id, period_key=period)
    return {**_answer(budget), "holds": holds}


class HistoryQuery(PageQuery):
    """Which entries of which period."""

    period = Text(10, metadata={"description": "Its first day, as 2026-11-01; left out: the present one."})
    only_allocations = QueryTruth(
        load_default=False, metadata={"description": "Only what changed how much it may hold."}
    )


class NumbersSchema(Answer):
    """A budget's numbers: what was allotted on top of the cap, and what is held, committed and spent."""

    allotted_minor = fields.Integer()
    allotted_count = fields.Integer()
    held_minor = fields.Integer()
    held_count = fields.Integer()
    committed_minor = fields.Integer()
    committed_count = fields.Integer()
    spent_minor = fields.Integer()
    spent_count = fields.Integer()


class HistoryLineSchema(Answer):
    """One entry: how it changed the budget's numbers, and what stood after it."""

    id = fields.UUID()
    kind = fields.String()
    at = fields.AwareDateTime()
    actor = fields.String()
    actor_name = fields.String()
    approved_by = fields.String(allow_none=True)
    approved_by_name = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    source_id = fields.UUID(metadata={"description": "The request, approval, redemption or voucher it follows from."})
    issuance_id = fields.UUID(allow_none=True)
    job_id = fields.UUID(allow_none=True)
    changes = fields.Nested(NumbersSchema)
    after = fields.Nested(NumbersSchema)


class HistorySchema(Answer):
    """One page of a budget's entries, the newest first. All of them sum up to `sums`."""

    budget = fields.Nested(BudgetSchema)
    items = fields.List(fields.Nested(HistoryLineSchema))
    sums = fields.Nested(NumbersSchema)
    agrees = fields.Boolean(metadata={"description": "Whether the sums are what the budget shows."})
    next = fields.String(allow_none=True, metadata={"description": "The cursor of the next page; null at the end."})


@blueprint.get("/budgets/<budget_id>/history")
@blueprint.asks("budgets:read")
@blueprint.arguments(HistoryQuery(), location="query")
@blueprint.refuses(NoCatalog, NotFound)
@blueprint.answers({200: HistorySchema()})
def get_budget_history(query: dict[str, Any], budget_id: str) -> dict[str, Any]:
    """List every entry that changed a budget, from the cap of the release in force to the numbers that it shows."""
    which = {"period_key": query.pop("period", None), **query}
    found = budget_history.history_of(core=current_core(), actor=current_actor(), budget_id=budget_id, **which)
    same = {name: getattr(found, name) for name in ("sums", "agrees", "next")}
    return {"budget": _answer(found.budget), "items": found.lines, **same}


def _answer(budget: Budget) -> dict[str, Any]:
    same = ("id", "key", "name", "on_expiry", "basis", "expected_percent", "rollover", "break_glass_percent")
    subject = None if budget.scope == WHOLE else budget.subject
    return {
        **{name: getattr(budget, name) for name in same},
        "matches": {"scope": budget.scope, "subject": subject, "issue_tags": budget.issue_tags},
        "period": {
            "kind": budget.period,
            "key": budget.period_key,
            "start_at": budget.start_at,
            "end_at": budget.end_at,
            "time_zone": budget.time_zone,
        },
        **{name: _sum(budget, attrgetter(name)) for name in _NUMBERS},
        "used_by_basis": {basis: _sum(budget, methodcaller("used_under", basis)) for basis in BASES},
        "a_day": {"amount_minor": budget.rates.a_day_minor, "count": budget.rates.a_day_count},
        "run_dry_at": budget.run_dry_at,
    }


def _sum(budget: Budget, of: Callable[[Counters], int | None]) -> dict[str, Any]:
    return {"amount_minor": of(budget.money), "currency": budget.currency, "count": of(budget.count)}
