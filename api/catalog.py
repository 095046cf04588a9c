"""The approved catalog: locations, issue tags, incentives and protocols, each by its key."""

from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, Labels
from api.paging import PageQuery, page_by_key, page_of
from api.smorest import Blueprint
from incentives.kernel.errors import NoCatalog
from incentives.queries import catalog, catalog_recovery

blueprint = Blueprint("catalog", "What may be given for which trouble, as it was approved.")


class LocationSchema(Answer):
    """A place of business."""

    key = fields.String()
    name = fields.String()
    time_zone = fields.String(metadata={"description": "IANA name"})
    currency = fields.String()
    country = fields.String(metadata={"description": "ISO 3166"})
    groups = fields.List(fields.String(), metadata={"description": "The groups of locations that it is of."})
    hours = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={
            "description": "Local opening and closing by weekday; a day that is absent is closed, none: always open."
        },
    )


class IssueTagSchema(Answer):
    """The label of what went wrong."""

    key = fields.String()
    parent = fields.String(allow_none=True)
    label = Labels()
    icon = fields.String()
    severity = fields.Integer(metadata={"description": "1 (slight) to 4 (grave)"})
    active = fields.Boolean()
    aliases = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "By what values each source means it."},
    )
    words = fields.List(fields.String(), metadata={"description": "What a comment says that means it."})


class IncentiveSchema(Answer):
    """A pre-approved thing to offer. What its kind does not have is null; amounts are minor units of `currency`."""

    key = fields.String()
    version_id = fields.UUID(metadata={"description": "The approved version; vouchers pin it."})
    kind = fields.String()
    title = Labels()
    terms = Labels(allow_none=True)
    item = Labels(allow_none=True)
    currency = fields.String(allow_none=True)
    amount_minor = fields.Integer(allow_none=True)
    min_amount_minor = fields.Integer(allow_none=True)
    max_amount_minor = fields.Integer(allow_none=True)
    percent = fields.Integer(allow_none=True)
    max_discount_minor = fields.Integer(allow_none=True)
    points = fields.Integer(allow_none=True)
    accounting_cost_minor = fields.Integer(allow_none=True)
    valid_days = fields.Integer(allow_none=True)
    expiry = fields.String(allow_none=True)
    remainder = fields.String(allow_none=True)
    offerable_from_date = fields.Date(allow_none=True)
    offerable_until_date = fields.Date(allow_none=True)
    locations = fields.List(fields.String(), metadata={"description": "Where it may be used; empty: everywhere."})
    active = fields.Boolean()
    excluded_locations = fields.List(fields.String(), metadata={"description": "Where it is not offered."})
    redeem_locations = fields.List(
        fields.String(), metadata={"description": "Where it may be redeemed; empty: where it may be offered."}
    )
    max_redemptions = fields.Integer(metadata={"description": "How often; all values are of one redemption."})
    min_order_minor = fields.Integer(allow_none=True, metadata={"description": "The least sale that it is good for."})
    products = fields.List(fields.String(), metadata={"description": "Only these count; empty: all."})
    excluded_products = fields.List(fields.String(), metadata={"description": "These never count."})
    collections = fields.List(fields.String())
    redeemers = fields.List(
        fields.String(), metadata={"description": "Roles, emails, names of API keys; empty: whoever redeems."}
    )
    exclusive_group = fields.String(
        allow_none=True, metadata={"description": "Of one group a case has one open incentive."}
    )
    most_open_per_customer = fields.Integer(allow_none=True)
    offer_when = fields.Dict(metadata={"description": "The condition under which it is offered; empty: always."})
    offer_when_message = Labels()
    redeem_when = fields.Dict(metadata={"description": "The condition under which it is redeemed; empty: always."})
    redeem_when_message = Labels()
    reversal_days = fields.Integer(metadata={"description": "How long a redemption can be reversed."})
    grace_days = fields.Integer(metadata={"description": "How long what a reversal gives back is good, at least."})
    most_extend_days = fields.Integer(metadata={"description": "By how much it can be extended in all."})


class ProtocolTaskSchema(Answer):
    """A task that is made with each case."""

    kind = fields.String(metadata={"description": "`customer`, `process` or `employee`"})
    title = fields.String()
    due_hours = fields.Integer()


class ProtocolSchema(Answer):
    """What to say, to do and to offer for a trouble."""

    key = fields.String()
    issue_tag = fields.String(allow_none=True)
    severity = fields.Integer(allow_none=True)
    location = fields.String(allow_none=True)
    segment = fields.String(allow_none=True)
    script = Labels()
    steps = fields.List(fields.String())
    incentives = fields.List(fields.String(), metadata={"description": "Keys, in the order of preference."})
    default = fields.String()
    most_minor = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "The most that may be given, by currency."},
    )
    optional_steps = fields.List(fields.String(), metadata={"description": "Which of the steps may be left undone."})
    questions = fields.List(fields.String(), metadata={"description": "What must be known before work begins."})
    clocks = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "Business minutes until something must have happened."},
    )
    guidance = Labels()
    tasks = fields.List(fields.Nested(ProtocolTaskSchema))
    resurvey_after = fields.String(allow_none=True, metadata={"description": "`close`, `redemption` or `issue`"})
    resurvey_hours = fields.Integer()
    resurvey_scale = fields.String()
    undo_seconds = fields.Integer(metadata={"description": "So long its giver may take back what was given."})


class RootCauseSchema(Answer):
    """Why something goes wrong."""

    key = fields.String()
    parent = fields.String(allow_none=True)
    label = Labels()
    path = fields.List(fields.String(), metadata={"description": "Its key, its parent's, and so on up."})


@blueprint.get("/locations")
@blueprint.asks(catalog.SEE_PLACES)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(LocationSchema)})
def list_locations(query: dict[str, Any]) -> dict[str, Any]:
    """List the locations."""
    return page_by_key(catalog.locations(core=current_core(), actor=current_actor()), lambda each: each.key, **query)


@blueprint.get("/issue-tags")
@blueprint.asks(catalog.READ)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(IssueTagSchema)})
def list_issue_tags(query: dict[str, Any]) -> dict[str, Any]:
    """List the issue tags."""
    return page_by_key(catalog.issue_tags(core=current_core(), actor=current_actor()), lambda each: each.key, **query)


@blueprint.get("/incentives")
@blueprint.asks(catalog.READ)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(IncentiveSchema)})
def list_incentives(query: dict[str, Any]) -> dict[str, Any]:
    """List the incentives, each in its approved version."""
    return page_by_key(catalog.incentives(core=current_core(), actor=current_actor()), lambda each: each.key, **query)


@blueprint.get("/protocols")
@blueprint.asks(catalog.READ)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(ProtocolSchema)})
def list_protocols(query: dict[str, Any]) -> dict[str, Any]:
    """List the protocols."""
    return page_by_key(catalog.protocols(core=current_core(), actor=current_actor()), lambda each: each.key, **query)


@blueprint.get("/root-causes")
@blueprint.asks(catalog_recovery.READ)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.refuses(NoCatalog)
@blueprint.answers({200: page_of(RootCauseSchema)})
def list_root_causes(query: dict[str, Any]) -> dict[str, Any]:
    """List the root causes."""
    rows = catalog_recovery.root_causes(core=current_core(), actor=current_actor())
    return page_by_key(rows, lambda each: each.key, **query)
