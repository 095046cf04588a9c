"""Reports: funnel, times, trends, costs, effects, returns, alerts, as JSON or, with ``?format=csv``, as a sheet."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import make_response
from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Key, Query
from api.report_answers import (
    AlertsSchema,
    CostsSchema,
    EffectivenessSchema,
    FunnelSchema,
    ReturnsSchema,
    TimesSchema,
    TrendsSchema,
)
from api.smorest import Blueprint
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog
from incentives.kernel.sheet import csv_text
from incentives.queries.reports import alerts as alert_queries
from incentives.queries.reports import costs as cost_queries
from incentives.queries.reports import effectiveness as effect_queries
from incentives.queries.reports import funnel as funnel_queries
from incentives.queries.reports import returns as return_queries
from incentives.queries.reports import times as time_queries
from incentives.queries.reports import trends as trend_queries
from incentives.queries.reports.asked import DIMENSIONS, Asked
from incentives.queries.reports.costs import Costs
from incentives.queries.reports.effectiveness import Effectiveness
from incentives.queries.reports.funnel import Funnel
from incentives.queries.reports.returns import Return
from incentives.queries.reports.times import Times
from incentives.queries.reports.trends import Trends

blueprint = Blueprint(
    "reports", "What the records show when they are looked at together; every figure is counted anew."
)

READ = "reports:read"


class FormatQuery(Query):
    """How the answer is written."""

    format = fields.String(
        load_default="json", validate=validate.OneOf(("json", "csv")), metadata={"description": "json or csv"}
    )


class ReportQuery(FormatQuery):
    """From when until when, and of what."""

    from_date = fields.Date(metadata={"description": "The first day, in the brand's zone; usually 89 days before."})
    until_date = fields.Date(metadata={"description": "The last day, included; usually today."})
    issue_tag = Key(metadata={"description": "This tag and all below it."})
    location = Key()
    team = Key()
    source = Key()
    product = Key()
    incentive = Key()
    severity = fields.String(validate=validate.OneOf(("1", "2", "3", "4")))
    segment = Key()
    channel = Key(metadata={"description": "email, sms or screen: how the incentive reached the customer."})


def _by(of: Sequence[str], usual: str) -> fields.String:
    return fields.String(load_default=usual, validate=validate.OneOf(of), metadata={"description": ", ".join(of)})


class FunnelQuery(ReportQuery):
    """Also: split by what."""

    by = _by(DIMENSIONS, "issue_tag")


class TimesQuery(ReportQuery):
    """Also: split by what."""

    by = _by(DIMENSIONS, "team")


class TrendsQuery(ReportQuery):
    """Also: of what."""

    by = _by(trend_queries.BY, "issue_tag")


class CostsQuery(ReportQuery):
    """Also: of what."""

    by = _by(cost_queries.BY, "issue_tag")


Rows = tuple[Sequence[str], list[Sequence[object]]]
_CSV = "text/csv"


@blueprint.get("/reports/funnel")
@blueprint.asks(READ)
@blueprint.arguments(FunnelQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: FunnelSchema()}, or_file=_CSV)
def get_funnel(query: dict[str, Any]) -> Any:
    """Show how far everybody who was let down in a period came."""
    return _answer("funnel", query, funnel_queries.funnel, _funnel_rows)


@blueprint.get("/reports/times")
@blueprint.asks(READ)
@blueprint.arguments(TimesQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: TimesSchema()}, or_file=_CSV)
def get_times(query: dict[str, Any]) -> Any:
    """Show how long each step took since the opening."""
    return _answer("times", query, time_queries.times, _times_rows)


@blueprint.get("/reports/trends")
@blueprint.asks(READ)
@blueprint.arguments(TrendsQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: TrendsSchema()}, or_file=_CSV)
def get_trends(query: dict[str, Any]) -> Any:
    """Show what keeps going wrong, in whole weeks."""
    return _answer("trends", query, trend_queries.trends, _trend_rows)


@blueprint.get("/reports/costs")
@blueprint.asks(READ)
@blueprint.arguments(CostsQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: CostsSchema()}, or_file=_CSV)
def get_costs(query: dict[str, Any]) -> Any:
    """Show what trouble costs, the dearest first."""
    return _answer("costs", query, cost_queries.costs, _cost_rows)


@blueprint.get("/reports/effectiveness")
@blueprint.asks(READ)
@blueprint.arguments(ReportQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: EffectivenessSchema()}, or_file=_CSV)
def get_effectiveness(query: dict[str, Any]) -> Any:
    """Show what each incentive achieves, and what holdouts say of it."""
    return _answer("effectiveness", query, effect_queries.effectiveness, _effect_rows)


@blueprint.get("/reports/return")
@blueprint.asks(READ)
@blueprint.arguments(ReportQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: ReturnsSchema()}, or_file=_CSV)
def get_return(query: dict[str, Any]) -> Any:
    """Show the return on the money, as a range, and whether the recovered are loyal."""

    def both(*, core: Core, actor: Actor, asked: Asked) -> dict[str, Any]:
        found = return_queries.returns(core=core, actor=actor, asked=asked)
        loyalty = return_queries.paradox(core=core, actor=actor)
        return {"window": found.window, "rows": found.rows, "holdouts": found.holdouts, "paradox": loyalty}

    return _answer("return", query, both, _return_rows)


@blueprint.get("/reports/alerts")
@blueprint.asks(READ)
@blueprint.arguments(FormatQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: AlertsSchema()}, or_file=_CSV)
def get_alerts(query: dict[str, Any]) -> Any:
    """Show what has spiked within the last seven days."""
    found = alert_queries.alerts(core=current_core(), actor=current_actor())
    return _written("alerts", query["format"], {"alerts": found}, lambda answer: _plain(answer["alerts"], _ALERT))


def _answer(name: str, query: dict[str, Any], ask: Callable[..., Any], rows: Callable[[Any], Rows]) -> Any:
    """Return a report for what a query asks, in the format it wants."""
    form = query.pop("format")
    split = {"by": query.pop("by")} if "by" in query else {}
    found = ask(core=current_core(), actor=current_actor(), asked=Asked(**query), **split)
    return _written(name, form, found, rows)


def _written(name: str, form: str, found: Any, rows: Callable[[Any], Rows]) -> Any:
    if form == "json":
        return found
    answer = make_response(csv_text(*rows(found)))
    answer.headers["Content-Type"] = f"{_CSV}; charset=utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _plain(found: Sequence[Any], names: Sequence[str]) -> Rows:
    return names, [[getattr(each, name) for name in names] for each in found]


_ALERT = ("kind", "what", "location", "since_date", "last_date", "days", "count", "expected_tenths", "incident_id")


def _funnel_rows(found: Funnel) -> Rows:
    names = funnel_queries.NAMES
    whole: list[Sequence[object]] = [["", "all", *(each.count for each in found.steps)]]
    return ("key", found.by, *names), whole + [
        [each.key, each.label, *(each.counts[name] for name in names)] for each in found.groups
    ]


def _times_rows(found: Times) -> Rows:
    percents = time_queries.PERCENTILES
    columns = ("step", "cases", *(f"wall_{each}" for each in percents), *(f"business_{each}" for each in percents))
    return (*columns, "in_time", "ended"), [
        [each.name, each.count, *each.wall_minutes, *each.business_minutes, each.in_time, each.ended]
        for each in found.steps
    ]


def _trend_rows(found: Trends) -> Rows:
    columns = ("key", found.by, *map(str, found.weeks), "change_permille", "q_permille", "significant", "new")
    return columns, [
        [each.key, each.label, *each.counts, each.change_permille, each.q_permille, each.significant, each.new]
        for each in found.series
    ]


def _cost_rows(found: Costs) -> Rows:
    columns = ("key", found.by, "incentives", "amount_minor", "currency", "share_bp", "running_bp")
    return columns, [
        [each.key, each.label, each.number, each.amount.amount_minor, each.amount.currency, each.share_bp,
         each.running_bp]
        for each in found.rows
    ]  # fmt: skip


def _effect_rows(found: Effectiveness) -> Rows:
    columns = ("issue_tag", "incentive", "cases", "decided", "recovered", "low_bp", "high_bp", "cost_minor", "currency")
    return columns, [
        [each.issue_tag, each.incentive, each.cases, each.decided, each.recovered,
         each.share and each.share.low_bp, each.share and each.share.high_bp,
         each.cost and each.cost.amount_minor, each.cost and each.cost.currency]
        for each in (*found.overall, *found.by_tag)
    ]  # fmt: skip


def _return_rows(found: dict[str, Any]) -> Rows:
    columns = ("currency", "cases", "given", "recovered", "kept_low", "kept", "kept_high", "by_holdout", "cost_minor",
               "handling_minor", "net_low_minor", "net_minor", "net_high_minor")  # fmt: skip
    return columns, [_return_row(each) for each in found["rows"]]


def _return_row(each: Return) -> Sequence[object]:
    low, guess, high = each.kept
    net = (each.net.low, each.net.value, each.net.high) if each.net else ()
    ends: Sequence[int | None] = [bound.amount_minor for bound in net] or [None, None, None]
    return [each.currency, each.cases, each.given, each.recovered, low, guess, high, each.by_holdout,
            each.cost.amount_minor, each.handling.amount_minor, *ends]  # fmt: skip
