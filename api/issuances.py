"""Issuances: giving one incentive to one customer, and how far it has come."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.customers import customer_given
from api.fields import Answer, Body, CustomerLink, Instant, Key, Metadata, MinorUnits, MoneySchema, Part, Reason, Text
from api.offers import EXAMPLE, TROUBLE_REFUSALS, OffersBody, with_told
from api.smorest import Blueprint
from incentives.flows.issue import AwaitingApproval, IssueVoucher, issue_voucher
from incentives.kernel import errors
from incentives.queries.issuances import Issuance, one_issuance

blueprint = Blueprint("issuances", "The act and record of giving one incentive to one customer.")

CHANNELS = ("email", "sms")


class OverrideBody(Body):
    """Why a customer's caps let this one pass."""

    reason = Reason(500, required=True)


class IssueBody(OffersBody):
    """A trouble, and what to give for it."""

    incentive = Key(load_default=None, allow_none=True, metadata={"description": "Left out: the protocol's default."})
    amount_minor = MinorUnits(
        load_default=None,
        allow_none=True,
        metadata={"description": "Where the incentive lets it be chosen, in its currency."},
    )
    channels = fields.List(
        fields.String(validate=validate.OneOf(CHANNELS)),
        validate=validate.Length(max=len(CHANNELS)),
        load_default=list,
        metadata={
            "description": "How the customer is told. Empty: hand-over on the screen, which needs no personal data."
        },
    )
    case_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "Left out: a new recovery case."}
    )
    note = Text(2000, load_default=None, allow_none=True)
    message = Text(
        300,
        load_default=None,
        allow_none=True,
        metadata={"description": "A personal line in the letter and on the page: no links, addresses, long numbers."},
    )
    deliver_after = Instant(
        load_default=None,
        allow_none=True,
        metadata={"description": "Nothing is sent before; it is looked at again then. Within a year."},
    )
    override = fields.Nested(
        OverrideBody,
        load_default=None,
        allow_none=True,
        metadata={"description": "Lets a customer's caps pass, for whoever may override them."},
    )
    metadata = Metadata(load_default=dict)


class DeliverySchema(Answer):
    """One message on its way."""

    id = fields.UUID()
    channel = fields.String(validate=validate.OneOf(CHANNELS))
    status = fields.String(
        metadata={
            "description": "queued, held, sending, captured, sent, delivered, bounced, failed, suppressed, withdrawn"
        }
    )
    reason = fields.String(allow_none=True, metadata={"description": "Why it waits, failed or is not sent."})


class VoucherSchema(Answer):
    """A voucher without its secrets."""

    id = fields.UUID()
    last4 = fields.String()
    amount = fields.Nested(MoneySchema)
    expires_at = fields.AwareDateTime(metadata={"description": "The last instant at which it is good."})
    status = fields.String()


class IssuedVoucherSchema(VoucherSchema):
    """One voucher of an issuance, and in the place of which it came."""

    number = fields.Integer()
    left = fields.Nested(MoneySchema, metadata={"description": "What can still be spent."})
    issued_at = fields.AwareDateTime()
    replaces_id = fields.UUID(allow_none=True)
    frozen = fields.Boolean()
    frozen_until_at = fields.AwareDateTime(allow_none=True)


class NewVoucherSchema(VoucherSchema):
    """A voucher with its secrets: whoever has them can spend it."""

    code = fields.String(metadata={"description": "XXXX-XXXX-XXXX-X"})
    token = fields.String()
    url = CustomerLink(metadata={"description": "The customer's page."})
    qr_url = CustomerLink("/qr.svg")


class IssuedSchema(Answer):
    """The incentive was given. `voucher` is null where it was an apology by itself."""

    id = fields.UUID()
    status = fields.String(validate=validate.Equal("issued"))
    case_id = fields.UUID()
    voucher = fields.Nested(NewVoucherSchema, allow_none=True)
    deliveries = fields.List(fields.Nested(DeliverySchema))


class ApprovalAskedSchema(Answer):
    """The approval that is waited for."""

    id = fields.UUID(attribute="approval_id")
    reasons = fields.List(fields.String())
    expires_at = fields.AwareDateTime()


class AwaitingApprovalSchema(Answer):
    """Somebody must agree first; the budgets hold the amount meanwhile."""

    id = fields.UUID()
    status = fields.String()
    case_id = fields.UUID()
    approval = Part(ApprovalAskedSchema)


class ApprovalNowSchema(Answer):
    """The approval that an issuance waited or waits for."""

    id = fields.UUID()
    status = fields.String()
    reasons = fields.List(fields.String())
    expires_at = fields.AwareDateTime()


class DeliveryNowSchema(DeliverySchema):
    """One message and how far it has come."""


class IssuanceSchema(Answer):
    """An issuance as it stands, without the code."""

    id = fields.UUID()
    status = fields.String(metadata={"description": "pending_approval, issued, declined, withdrawn, expired"})
    case_id = fields.UUID()
    issue_tag = fields.String()
    severity = fields.Integer()
    incentive = fields.String()
    amount = fields.Nested(MoneySchema)
    location = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    metadata = fields.Dict()
    requested_at = fields.AwareDateTime()
    issued_at = fields.AwareDateTime(allow_none=True)
    voucher = fields.Nested(VoucherSchema, allow_none=True)
    vouchers = fields.List(
        fields.Nested(IssuedVoucherSchema), metadata={"description": "All of them, the first one first: a chain."}
    )
    deliver_after = fields.AwareDateTime(allow_none=True)
    undo_until = fields.AwareDateTime(
        allow_none=True, metadata={"description": "Until when its giver may take it back; null: not any more."}
    )
    approval = fields.Nested(ApprovalNowSchema, allow_none=True)
    deliveries = fields.List(fields.Nested(DeliveryNowSchema))


_LINKS = {
    "GetIssuance": {"operationId": "get_issuance", "parameters": {"issuance_id": "$response.body#/id"}},
    "LookUpVoucher": {"operationId": "look_up_voucher", "requestBody": {"code": "$response.body#/voucher/code"}},
    "RedeemVoucher": {"operationId": "redeem", "requestBody": {"code": "$response.body#/voucher/code"}},
    "GetCase": {"operationId": "get_case", "parameters": {"case_id": "$response.body#/case_id"}},
}


@blueprint.post("/issuances")
@blueprint.asks("issuances:create")
@blueprint.arguments(IssueBody(), example={**EXAMPLE, "channels": ["email"], "order_ref": "MA 482"})
@blueprint.idempotent(required=True)
@blueprint.refuses(
    *TROUBLE_REFUSALS,
    errors.UnknownIncentive,
    errors.IncentiveNotInProtocol,
    errors.IncentiveNotOfferable,
    errors.AmountNotAdjustable,
    errors.AmountOutOfRange,
    errors.AmountAboveProtocol,
    errors.ChannelWithoutAddress,
    errors.ContactCap,
    errors.OfferConditionNotMet,
    errors.CaseNotFound,
    errors.ExclusiveGroupTaken,
    errors.TooManyOpen,
    errors.NoBudget,
    errors.BudgetExhausted,
    errors.CustomerCapReached,
    errors.IssuingStopped,
    errors.BlockedBySafeguards,
)
@blueprint.answers({201: IssuedSchema(), 202: AwaitingApprovalSchema()}, links=_LINKS)
def issue(body: dict[str, Any], *, idempotency_key: str) -> Any:
    """Give an incentive, or ask for an approval where it is over a limit."""
    command = IssueVoucher(
        **{
            **{name: value for name, value in with_told(body).items() if name != "override"},
            "customer": customer_given(body["customer"]),
            "channels": tuple(body["channels"]),
            "override_reason": (body["override"] or {}).get("reason"),
            "idempotency_key": idempotency_key,
        }
    )
    result = issue_voucher(core=current_core(), actor=current_actor(), command=command)
    status = 202 if isinstance(result, AwaitingApproval) else 201
    return result, status, {"Location": f"/api/v1/issuances/{result.id}"}


@blueprint.get("/issuances/<uuid:issuance_id>")
@blueprint.asks("issuances:read")
@blueprint.refuses(errors.IssuanceNotFound, errors.NotFound)
@blueprint.answers({200: IssuanceSchema()})
def get_issuance(issuance_id: uuid.UUID) -> Issuance:
    """Show an issuance as it stands, without the code."""
    return one_issuance(core=current_core(), actor=current_actor(), issuance_id=issuance_id)
