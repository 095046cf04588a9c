"""Criteria: the rules in force, what they did, and what a threshold would have cost."""

from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, Key, MoneySchema, WholeNumber
from api.paging import PageQuery, page_by_key, page_of
from api.smorest import Blueprint
from incentives.kernel.errors import NoCatalog, NotFound
from incentives.queries.criteria import list_criteria as found_criteria
from incentives.queries.criteria import list_firings as found_firings
from incentives.queries.criteria_history import DAYS_MOST, Question, Simulation, simulate

blueprint = Blueprint("criteria", "The rules that turn feedback into cases and incentives.")

SCALES = ("stars_5", "csat", "nps", "ces_7", "percent")
_CHOICES_MOST = 200
_PERCENT = 100


class WeekSchema(Answer):
    """What a criterion did in the last seven days."""

    times = fields.Integer()
    outcomes = fields.Dict(keys=fields.String(), values=fields.Integer())
    costs = fields.List(fields.Nested(MoneySchema), metadata={"description": "What live firings promised."})
    would_cost = fields.List(
        fields.Nested(MoneySchema), metadata={"description": "What firings in shadow would have promised."}
    )


class TrippedSchema(Answer):
    """A source for which nothing more is given in this hour."""

    source = fields.String()
    until_at = fields.AwareDateTime()


class CriterionSchema(Answer):
    """A criterion in its approved version: when all of `when` holds, all of `then` is done."""

    key = fields.String()
    name = fields.String()
    version = fields.Integer()
    priority = fields.Integer(metadata={"description": "The greatest is asked first."})
    mode = fields.String(metadata={"description": "live, shadow or off"})
    stop = fields.Boolean()
    when = fields.Dict()
    then = fields.Dict()
    settle_minutes = fields.Integer(allow_none=True)
    breaker = fields.Dict(metadata={"description": "What it may give within an hour for each source."})
    ask_above_minor = fields.Dict(keys=fields.String(), values=fields.Integer())
    holdout_percent = fields.Integer()
    week = fields.Nested(WeekSchema)
    tripped = fields.List(fields.Nested(TrippedSchema))


class FiringSchema(Answer):
    """One firing: the version that held, the facts it held for, and what came of it."""

    id = fields.UUID()
    at = fields.AwareDateTime()
    version = fields.Integer()
    source = fields.String()
    mode = fields.String(metadata={"description": "live, shadow or held_out"})
    outcome = fields.String(
        metadata={"description": "acted, asked, refused, tripped, outranked, already, would_have or held_out"}
    )
    facts = fields.Dict()
    actions = fields.List(fields.Dict(), metadata={"description": "Each deed and what came of it."})
    cost = fields.Nested(MoneySchema, allow_none=True)
    feedback_id = fields.UUID()
    case_id = fields.UUID(allow_none=True)
    issuance_id = fields.UUID(allow_none=True)
    location = fields.String(allow_none=True)


def _some(of: str) -> Any:
    length = validate.Length(max=_CHOICES_MOST)
    return fields.List(Key(), load_default=(), validate=length, metadata={"description": f"Left out: every {of}."})


class SimulationBody(Body):
    """What if everything scored at most so much opened a case, and got the protocol's default?"""

    scale = fields.String(load_default="stars_5", validate=validate.OneOf(SCALES))
    at_most = WholeNumber(required=True, minimum=0, maximum=_PERCENT)
    days = WholeNumber(load_default=28, minimum=1, maximum=DAYS_MOST, metadata={"description": "How far to look back."})
    sources = _some("source but answers after a recovery")
    issue_tags = _some("issue tag")
    locations = _some("location")


class ThresholdSchema(Answer):
    """One threshold over all the days; what nothing could be given for counts as a case and costs nothing."""

    at_most = fields.Integer()
    chosen = fields.Boolean()
    cases = fields.Integer()
    costs = fields.List(fields.Nested(MoneySchema))
    unpriced = fields.Integer()


class SimulationSchema(Answer):
    """The thresholds of a scale side by side."""

    scale = fields.String()
    days = fields.Integer()
    from_at = fields.AwareDateTime()
    until_at = fields.AwareDateTime()
    scored = fields.Integer(metadata={"description": "How many pieces of feedback have a score."})
    thresholds = fields.List(fields.Nested(ThresholdSchema))


@blueprint.get("/criteria")
@blueprint.asks("criteria:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(CriterionSchema)})
def list_criteria(query: dict[str, Any]) -> dict[str, Any]:
    """List the criteria in force, in the order in which they are asked."""
    found = found_criteria(core=current_core(), actor=current_actor())
    return page_by_key(found, lambda each: each.key, **query)


@blueprint.get("/criteria/<key>/firings")
@blueprint.asks("criteria:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NotFound)
@blueprint.answers({200: page_of(FiringSchema)})
def list_firings(query: dict[str, Any], key: str) -> Any:
    """List a criterion's firings, the newest first."""
    return found_firings(core=current_core(), actor=current_actor(), key=key, **query)


@blueprint.post("/criteria/simulation")
@blueprint.asks("criteria:read")
@blueprint.arguments(SimulationBody(), example={"scale": "stars_5", "at_most": 2, "days": 28})
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: SimulationSchema()})
def simulate_threshold(body: dict[str, Any]) -> Simulation:
    """Count what a threshold would have meant over stored feedback, at today's prices; changes nothing."""
    lists = {name: tuple(body[name]) for name in ("sources", "issue_tags", "locations")}
    return simulate(core=current_core(), actor=current_actor(), question=Question(**{**body, **lists}))
