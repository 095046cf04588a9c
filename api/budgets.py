"""Budgets: what each may hold, and what is held, committed, spent and left in its present period."""

from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer
from api.paging import PageQuery, page_by_key, page_of
from api.smorest import Blueprint
from incentives.kernel.errors import NoCatalog, NotFound
from incentives.queries.budgets import Budget, Counters, one_budget
from incentives.queries.budgets import list_budgets as found_budgets

blueprint = Blueprint("budgets", "Pots with a scope, a period and a cap, as they stand in their present period.")

_SUBJECT_MARK = ":"
_WHOLE = "organization"


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


class PeriodSchema(Answer):
    """A half-open stretch of time; without bounds where the kind is `none`."""

    kind = fields.String(metadata={"description": "none, day, week, month, quarter or year"})
    start_at = fields.AwareDateTime(allow_none=True)
    end_at = fields.AwareDateTime(allow_none=True)
    time_zone = fields.String()


class BudgetSchema(Answer):
    """A budget in its present period. `available` = `cap` - `held` - `committed` - `spent`, never below zero."""

    id = fields.String(metadata={"description": "Its key; where it has a pot for each subject, key:subject."})
    key = fields.String()
    name = fields.String()
    matches = fields.Nested(MatchesSchema)
    period = fields.Nested(PeriodSchema)
    on_expiry = fields.String(metadata={"description": "What becomes of expired vouchers: release or keep"})
    cap = fields.Nested(SumSchema)
    held = fields.Nested(SumSchema)
    committed = fields.Nested(SumSchema)
    spent = fields.Nested(SumSchema)
    available = fields.Nested(SumSchema)


@blueprint.get("/budgets")
@blueprint.asks("budgets:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(BudgetSchema)})
def list_budgets(query: dict[str, Any]) -> dict[str, Any]:
    """List the budgets; one that has a pot for each subject stands there once for each in use."""
    found = found_budgets(core=current_core(), actor=current_actor())
    page = page_by_key(found, _id, **query)
    return {**page, "items": [_answer(each) for each in page["items"]]}


@blueprint.get("/budgets/<budget_id>")
@blueprint.asks("budgets:read")
@blueprint.refuses(NoCatalog, NotFound)
@blueprint.answers({200: BudgetSchema()})
def get_budget(budget_id: str) -> dict[str, Any]:
    """Show one budget, by its key or its id."""
    pots = one_budget(core=current_core(), actor=current_actor(), key=budget_id.partition(_SUBJECT_MARK)[0])
    found = [pot for pot in pots if _id(pot) == budget_id]
    if not found:
        raise NotFound("This budget has a pot for each subject, and none for this one. GET /api/v1/budgets lists them.")
    return _answer(found[0])


def _id(budget: Budget) -> str:
    """Return the key, and the subject where the budget has a pot for each."""
    for_each = budget.of is None and budget.scope != _WHOLE and budget.subject is not None
    return f"{budget.key}{_SUBJECT_MARK}{budget.subject}" if for_each else budget.key


def _answer(budget: Budget) -> dict[str, Any]:
    sums = {name: _sum(budget, name) for name in ("cap", "held", "committed", "spent", "available")}
    return {
        "id": _id(budget),
        "key": budget.key,
        "name": budget.name,
        "matches": {"scope": budget.scope, "subject": None if budget.scope == _WHOLE else budget.subject},
        "period": {
            "kind": budget.period,
            "start_at": budget.start_at,
            "end_at": budget.end_at,
            "time_zone": budget.time_zone,
        },
        "on_expiry": budget.on_expiry,
        **sums,
    }


def _sum(budget: Budget, name: str) -> dict[str, Any]:
    def of(counters: Counters) -> int | None:
        value: int | None = getattr(counters, name)
        return value

    return {"amount_minor": of(budget.money), "currency": budget.currency, "count": of(budget.count)}
