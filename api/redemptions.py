"""Redemptions: each use of a voucher, and what undoes it."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import (
    Answer,
    Body,
    CustomerLink,
    Key,
    Metadata,
    MinorUnits,
    MoneyBody,
    MoneySchema,
    Reason,
    Text,
    WholeNumber,
)
from api.issuances import VoucherSchema
from api.smorest import Blueprint
from api.vouchers import EXAMPLE_CODE, VoucherBody, misses_counted, tell_standing
from incentives.flows.redeem import ITEMS_MOST, Item, Redeemed, RedeemVoucher, redeem_voucher
from incentives.flows.reverse import (
    AnnulRedemption,
    ReverseRedemption,
    Undone,
    annul_redemption,
    reverse_redemption,
)
from incentives.kernel import errors
from incentives.kernel.money import Money
from incentives.queries.redemptions import Redemption, one_redemption

blueprint = Blueprint("redemptions", "Each use of a voucher.")
blueprint.after_request(tell_standing)

_PRODUCT_LENGTH_MAX = 64
_QUANTITY_MAX = 1_000_000
REASON_LENGTH_MAX = 500


class ItemBody(Body):
    """One line of the order."""

    product = Text(_PRODUCT_LENGTH_MAX, required=True)
    collection = Text(_PRODUCT_LENGTH_MAX, load_default=None, allow_none=True)
    quantity = WholeNumber(minimum=1, maximum=_QUANTITY_MAX, load_default=1)
    amount_minor = MinorUnits(
        required=True, metadata={"description": "What is paid for all of the quantity, in the sale's currency."}
    )


class OrderBody(Body):
    """What is known of the order."""

    order_ref = Text(200, load_default=None, allow_none=True)
    order_total = fields.Nested(
        MoneyBody,
        load_default=None,
        allow_none=True,
        metadata={"description": "What is to be paid before this voucher. A percentage is taken from it."},
    )
    order_initial_total = fields.Nested(
        MoneyBody,
        load_default=None,
        allow_none=True,
        metadata={"description": "What it was before any discount; kept with the redemption."},
    )
    items = fields.List(
        fields.Nested(ItemBody),
        validate=validate.Length(min=1, max=ITEMS_MOST),
        load_default=None,
        allow_none=True,
        metadata={"description": "What is bought. Needed where the voucher is for certain products only."},
    )
    metadata = Metadata(
        load_default=None, allow_none=True, metadata={"description": "As the catalog declares it for redemptions."}
    )


def order_told(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with its order as the flows take it."""
    totals = {name: Money(**body[name]) if body[name] else None for name in ("order_total", "order_initial_total")}
    items = None if body["items"] is None else tuple(Item(**each) for each in body["items"])
    return {**body, **totals, "items": items}


class RedeemBody(VoucherBody, OrderBody):
    """What is spent, and on what."""

    location = Key(load_default=None, allow_none=True, metadata={"description": "Left out: where the caller stands."})


class RedemptionSchema(Answer):
    """A redemption. `amount` is how much of the sale the voucher pays."""

    id = fields.UUID()
    voucher_id = fields.UUID()
    incentive = fields.String()
    last4 = fields.String()
    amount = fields.Nested(MoneySchema)
    location = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    use_number = fields.Integer(metadata={"description": "Which of its uses this was."})
    max_redemptions = fields.Integer(metadata={"description": "How many uses it has in all."})
    reservation_id = fields.UUID(allow_none=True, metadata={"description": "The hold that was committed."})
    redeemed_at = fields.AwareDateTime()


class RemainderSchema(VoucherSchema):
    """A voucher over what was left. Its secrets are null where the customer is told them: they are for them alone."""

    code = fields.String(allow_none=True, metadata={"description": "XXXX-XXXX-XXXX-X"})
    token = fields.String(allow_none=True)
    url = CustomerLink(allow_none=True, metadata={"description": "The customer's page."})
    qr_url = CustomerLink("/qr.svg", allow_none=True)


class RedeemedSchema(RedemptionSchema):
    """A fresh redemption, with the new voucher over what was left where the incentive says so."""

    remainder = fields.Nested(RemainderSchema, allow_none=True)


class ItemSchema(Answer):
    """One line of the order."""

    product = fields.String()
    collection = fields.String(allow_none=True)
    quantity = fields.Integer()
    amount_minor = fields.Integer()


class ReversalNowSchema(Answer):
    """What undid a redemption."""

    id = fields.UUID()
    kind = fields.String(metadata={"description": "reversal, or annulment by the same till within minutes"})
    restore = fields.String(metadata={"description": "same_code, new_code, none"})
    amount = fields.Nested(MoneySchema, metadata={"description": "What was given back, or with none taken back."})
    reason = fields.String()
    reversed_by = fields.String()
    at = fields.AwareDateTime()
    voucher_id = fields.UUID(allow_none=True, metadata={"description": "What the customer has again."})


class RedemptionNowSchema(RedemptionSchema):
    """A redemption as it stands."""

    order_total = fields.Nested(MoneySchema, allow_none=True)
    order_initial_total = fields.Nested(MoneySchema, allow_none=True)
    items = fields.List(fields.Nested(ItemSchema))
    redeemed_by = fields.String()
    reversed_at = fields.AwareDateTime(allow_none=True)
    reversal = fields.Nested(ReversalNowSchema, allow_none=True)


class RestoredSchema(VoucherSchema):
    """What the customer has again.

    `code` and `token` are there only for a new code, for callers who may give, where the issuance has no channel by
    which the customer is told.
    """

    code = fields.String(allow_none=True)
    token = fields.String(allow_none=True)


class ReversedSchema(Answer):
    """What came of undoing a redemption. `voucher` is null where nothing was restored."""

    id = fields.UUID()
    redemption_id = fields.UUID()
    kind = fields.String(metadata={"description": "reversal, annulment"})
    restore = fields.String(metadata={"description": "same_code, new_code, none"})
    amount = fields.Nested(MoneySchema, metadata={"description": "What was given back, or with none taken back."})
    reason = fields.String()
    at = fields.AwareDateTime()
    voucher = fields.Nested(RestoredSchema, allow_none=True)


class AnnulBody(Body):
    """Why a scan is undone."""

    reason = Reason(REASON_LENGTH_MAX, required=True)


class ReverseBody(AnnulBody):
    """Why a redemption is undone, and what the customer gets."""

    restore = fields.String(
        required=True,
        validate=validate.OneOf(("same_code", "new_code", "none")),
        metadata={
            "description": "same_code: the voucher can be redeemed again. new_code: a new voucher, the old one stays "
            "dead. none: what was spent is taken back, and the customer gets nothing."
        },
    )


# What using a voucher is refused for, by its code or by a hold.
SALE_REFUSALS = (
    errors.NoCatalog,
    errors.AlreadyRedeemed,
    errors.VoucherExpired,
    errors.VoucherVoided,
    errors.VoucherReserved,
    errors.VoucherReplaced,
    errors.VoucherFrozen,
    errors.SelfRedemption,
    errors.RedeemerNotAllowed,
    errors.CurrencyMismatch,
    errors.OrderTotalMissing,
    errors.OrderItemsMissing,
    errors.OrderRefMissing,
    errors.OrderTooSmall,
    errors.NothingEligible,
    errors.NotCombinable,
    errors.ConditionNotMet,
    errors.NotUsableHere,
    errors.RedeemingStopped,
    errors.StepUpRequired,
    errors.BlockedBySafeguards,
    errors.BlockedBySafeguards,
    errors.StepUpRequired,
)
CODE_REFUSALS = (
    errors.CodeMalformed,
    errors.VoucherNotFound,
    errors.CodeRetired,
    errors.UnknownLocation,
    errors.OtherLocation,
    errors.TooManyRequests,
)
_UNDOING_REFUSALS = (
    errors.RedemptionNotFound,
    errors.NotFound,
    errors.RedemptionAlreadyReversed,
    errors.RemainderUsed,
    errors.CodeGone,
    errors.VoucherFrozen,
)
LINKS = {
    "GetRedemption": {"operationId": "get_redemption", "parameters": {"redemption_id": "$response.body#/id"}},
}


@blueprint.post("/redemptions")
@blueprint.asks("redemptions:create")
@blueprint.arguments(RedeemBody(), example={"code": EXAMPLE_CODE, "location": "london", "order_ref": "T-0815"})
@blueprint.idempotent(required=True)
@blueprint.refuses(*SALE_REFUSALS, *CODE_REFUSALS)
@blueprint.answers({201: RedeemedSchema()}, links=LINKS)
def redeem(body: dict[str, Any], *, idempotency_key: str) -> Any:
    """Spend one use of a voucher, once."""
    command = RedeemVoucher(**order_told(body), idempotency_key=idempotency_key)
    with misses_counted(body):
        result: Redeemed = redeem_voucher(core=current_core(), actor=current_actor(), command=command)
    return result, 201, {"Location": f"/api/v1/redemptions/{result.id}"}


@blueprint.get("/redemptions/<uuid:redemption_id>")
@blueprint.asks("vouchers:lookup")
@blueprint.refuses(errors.RedemptionNotFound, errors.NotFound)
@blueprint.answers({200: RedemptionNowSchema()})
def get_redemption(redemption_id: uuid.UUID) -> Redemption:
    """Show when, where and by whom a voucher was redeemed, and what undid it."""
    return one_redemption(core=current_core(), actor=current_actor(), redemption_id=redemption_id)


@blueprint.post("/redemptions/<uuid:redemption_id>/annulment")
@blueprint.asks("redemptions:create")
@blueprint.arguments(AnnulBody(), example={"reason": "Scanned twice."})
@blueprint.idempotent(required=False)
@blueprint.refuses(*_UNDOING_REFUSALS, errors.NotYourRedemption, errors.AnnulmentTooLate)
@blueprint.answers({201: ReversedSchema()})
def annul(body: dict[str, Any], redemption_id: uuid.UUID, *, idempotency_key: str | None) -> Undone:
    """Undo a mistaken scan: the same caller may, within fifteen minutes. The same code can be redeemed again."""
    command = AnnulRedemption(redemption_id=redemption_id, idempotency_key=idempotency_key, **body)
    return annul_redemption(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/redemptions/<uuid:redemption_id>/reversal")
@blueprint.asks("redemptions:reverse")
@blueprint.arguments(ReverseBody(), example={"reason": "The order was refunded.", "restore": "same_code"})
@blueprint.idempotent(required=True)
@blueprint.refuses(*_UNDOING_REFUSALS, errors.ReversalTooLate)
@blueprint.answers({201: ReversedSchema()})
def reverse(body: dict[str, Any], redemption_id: uuid.UUID, *, idempotency_key: str) -> Undone:
    """Undo a redemption, once, by an opposite record; also where the voucher would have expired meanwhile."""
    command = ReverseRedemption(redemption_id=redemption_id, idempotency_key=idempotency_key, **body)
    return reverse_redemption(core=current_core(), actor=current_actor(), command=command)
