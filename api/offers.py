"""Offers: what may be given to this customer for this trouble, now, and what to say."""

from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.customers import CustomerBody, customer_given
from api.fields import Answer, Body, Bounds, Instant, Key, Metadata, MoneyBody, MoneySchema, Text, WholeNumber
from api.smorest import Blueprint
from incentives.flows.offer import Offers, Told, Trouble, offer_incentives
from incentives.kernel import errors
from incentives.kernel.money import Money

blueprint = Blueprint("offers", "What may be given now. It decides as issuing does, and changes nothing.")

SEVERITY_MIN, SEVERITY_MAX = 1, 4
_CHANNELS = ("email", "sms")

EXAMPLE = {
    "issue_tag": "flight-delayed",
    "location": "london",
    "customer": {"name": "Ana Ruiz", "email": "ana.ruiz@example.com", "locale": "es"},
}

# What issuing and offering refuse alike.
TROUBLE_REFUSALS = (
    errors.NoCatalog,
    errors.UnknownIssueTag,
    errors.UnknownLocation,
    errors.NoProtocol,
    errors.EmailInvalid,
    errors.PhoneInvalid,
)


class OffersBody(Body):
    """A trouble."""

    issue_tag = Key(required=True, metadata={"description": "The key of what went wrong."})
    severity = WholeNumber(
        minimum=SEVERITY_MIN,
        maximum=SEVERITY_MAX,
        load_default=None,
        allow_none=True,
        metadata={"description": "1 (slight) to 4 (grave); left out: the issue tag's own."},
    )
    customer = fields.Nested(CustomerBody, load_default=None, allow_none=True)
    location = Key(load_default=None, allow_none=True, metadata={"description": "Left out: where the caller stands."})
    order_ref = Text(200, load_default=None, allow_none=True)
    case_id = fields.UUID(load_default=None, allow_none=True, metadata={"description": "The case that it belongs to."})
    channels = fields.List(
        fields.String(validate=validate.OneOf(_CHANNELS)),
        validate=validate.Length(max=len(_CHANNELS)),
        load_default=list,
        metadata={"description": "How the customer is to be told; a channel without an address blocks."},
    )
    order_total = fields.Nested(
        MoneyBody, load_default=None, allow_none=True, metadata={"description": "What conditions ask of the order."}
    )
    order_placed_at = Instant(load_default=None, allow_none=True)
    customer_attributes = Metadata(
        load_default=dict,
        metadata={"description": "What conditions ask of the customer, as the catalog declares it; it is not kept."},
    )
    customer_attributes_at = Instant(
        load_default=None, allow_none=True, metadata={"description": "When the attributes were true."}
    )


_TOLD = ("order_total", "order_placed_at", "customer_attributes", "customer_attributes_at")


def with_told(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request's members with what conditions ask for as one, as commands take it."""
    total, attributes = body["order_total"], body["customer_attributes"]
    told = Told(
        order_total=Money(**total) if total else None,
        order_placed_at=body["order_placed_at"],
        attributes=dict(sorted(attributes.items())),
        attributes_at=body["customer_attributes_at"],
    )
    return {**{name: value for name, value in body.items() if name not in _TOLD}, "told": told}


class ExplanationSchema(Answer):
    """Why an incentive is blocked."""

    reason = fields.String(metadata={"description": "One of `blocked_reasons`."})
    words = fields.String(metadata={"description": "For staff. No budget's numbers stand here."})
    failed = fields.List(fields.String(), metadata={"description": "What of its condition does not hold."})
    message = fields.String(
        allow_none=True, metadata={"description": "What the catalog says about it, in the customer's language."}
    )


class OfferSchema(Answer):
    """One incentive of the protocol."""

    incentive = fields.String()
    kind = fields.String()
    title = fields.String(metadata={"description": "In the customer's language."})
    terms = fields.String(allow_none=True)
    amount = fields.Nested(MoneySchema)
    percent = fields.Integer(allow_none=True)
    amount_bounds = Bounds(metadata={"description": "Null where the value is fixed."})
    is_default = fields.Boolean()
    offerable = fields.Boolean(metadata={"description": "Whether issuing it now would succeed."})
    approval_required = fields.Boolean()
    approval_reasons = fields.List(fields.String())
    blocked_reasons = fields.List(fields.String(), metadata={"description": "All of them at once."})
    explanations = fields.List(fields.Nested(ExplanationSchema))


class EarlierRecoverySchema(Answer):
    """One incentive that the same customer was given or waits for."""

    issuance_id = fields.UUID()
    case_id = fields.UUID()
    issue_tag = fields.String()
    incentive = fields.String()
    amount = fields.Nested(MoneySchema)
    status = fields.String()
    location = fields.String(allow_none=True)
    requested_at = fields.AwareDateTime()


class CameBackSchema(Answer):
    """An address of the customer to which nothing is sent: it would not arrive, or is not wanted."""

    channel = fields.String(metadata={"description": "email or sms"})
    status = fields.String(
        metadata={"description": "bounced, suppressed (they want no more of them), or failed (refused for good)"}
    )
    reason = fields.String(metadata={"description": "blocked, invalid, bounced, complained, or unsubscribed"})
    at = fields.AwareDateTime()


class LosingProtocolSchema(Answer):
    """A protocol that covers the trouble too."""

    protocol = fields.String()
    reason = fields.String(metadata={"description": "farther-tag or less-specific"})


class ChosenProtocolSchema(Answer):
    """The protocol that holds, and why it is that one."""

    key = fields.String()
    matched = fields.Dict(metadata={"description": "What the protocol asks for and the trouble has."})
    script = fields.String(metadata={"description": "The apology, placeholders filled, in the customer's language."})
    steps = fields.List(fields.String())
    losers = fields.List(fields.Nested(LosingProtocolSchema), metadata={"description": "Who lost, and why."})


class OffersSchema(Answer):
    """What to say and what may be given."""

    issue_tag = fields.String()
    severity = fields.Integer()
    protocol = fields.Nested(ChosenProtocolSchema)
    offers = fields.List(fields.Nested(OfferSchema))
    earlier_recoveries = fields.List(fields.Nested(EarlierRecoverySchema))
    came_back = fields.List(
        fields.Nested(CameBackSchema), metadata={"description": "Where it may not arrive, known before it is promised."}
    )


@blueprint.post("/offers")
@blueprint.asks("offers:read")
@blueprint.arguments(OffersBody(), example=EXAMPLE)
@blueprint.refuses(*TROUBLE_REFUSALS, errors.CaseNotFound, errors.CaseClosed, errors.CaseOfAnotherCustomer)
@blueprint.answers({200: OffersSchema()})
def offer(body: dict[str, Any]) -> dict[str, Any]:
    """Say what may be offered now."""
    customer, channels = customer_given(body["customer"]), tuple(body["channels"])
    trouble = Trouble(**{**with_told(body), "customer": customer, "channels": channels})
    return _answer(offer_incentives(core=current_core(), actor=current_actor(), command=trouble))


def _answer(found: Offers) -> dict[str, Any]:
    return {
        "issue_tag": found.issue_tag,
        "severity": found.severity,
        "protocol": {
            "key": found.protocol,
            "matched": found.matched,
            "script": found.script,
            "steps": found.steps,
            "losers": found.losers,
        },
        "offers": found.offers,
        "earlier_recoveries": found.earlier_recoveries,
        "came_back": found.came_back,
    }
