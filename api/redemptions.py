"""Redemptions: the one spending of a voucher."""

import uuid
from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, Key, MoneyBody, MoneySchema, Text
from api.issuances import NewVoucherSchema
from api.smorest import Blueprint
from api.vouchers import EXAMPLE_CODE, VoucherBody, misses_counted, tell_standing
from incentives.flows.redeem import Redeemed, RedeemVoucher, redeem_voucher
from incentives.kernel import errors
from incentives.kernel.money import Money
from incentives.queries.redemptions import Redemption, one_redemption

blueprint = Blueprint("redemptions", "The one spending of a voucher.")
blueprint.after_request(tell_standing)


class RedeemBody(VoucherBody):
    """What is spent, and on what."""

    location = Key(load_default=None, allow_none=True, metadata={"description": "Left out: where the caller stands."})
    order_ref = Text(200, load_default=None, allow_none=True)
    order_total = fields.Nested(
        MoneyBody,
        load_default=None,
        allow_none=True,
        metadata={"description": "What a percentage is taken from; needed for those."},
    )


class RedemptionSchema(Answer):
    """A redemption. `amount` is how much of the sale the voucher pays."""

    id = fields.UUID()
    voucher_id = fields.UUID()
    incentive = fields.String()
    last4 = fields.String()
    amount = fields.Nested(MoneySchema)
    location = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    redeemed_at = fields.AwareDateTime()


class RedeemedSchema(RedemptionSchema):
    """A fresh redemption, with the new voucher over what was left where the incentive says so."""

    remainder = fields.Nested(NewVoucherSchema, allow_none=True)


class RedemptionNowSchema(RedemptionSchema):
    """A redemption as it stands."""

    redeemed_by = fields.String()
    reversed_at = fields.AwareDateTime(allow_none=True)


_LINKS = {
    "GetRedemption": {"operationId": "get_redemption", "parameters": {"redemption_id": "$response.body#/id"}},
}


@blueprint.post("/redemptions")
@blueprint.asks("redemptions:create")
@blueprint.arguments(RedeemBody(), example={"code": EXAMPLE_CODE, "location": "london", "order_ref": "T-0815"})
@blueprint.idempotent(required=True)
@blueprint.refuses(
    errors.NoCatalog,
    errors.CodeMalformed,
    errors.VoucherNotFound,
    errors.AlreadyRedeemed,
    errors.VoucherExpired,
    errors.VoucherVoided,
    errors.VoucherReserved,
    errors.VoucherReplaced,
    errors.CurrencyMismatch,
    errors.OrderTotalMissing,
    errors.NotUsableHere,
    errors.UnknownLocation,
    errors.TooManyRequests,
)
@blueprint.answers({201: RedeemedSchema()}, links=_LINKS)
def redeem(body: dict[str, Any], *, idempotency_key: str) -> Any:
    """Spend a voucher, once."""
    total = body["order_total"]
    command = RedeemVoucher(
        **{**body, "order_total": Money(**total) if total else None, "idempotency_key": idempotency_key}
    )
    with misses_counted(body):
        result: Redeemed = redeem_voucher(core=current_core(), actor=current_actor(), command=command)
    return result, 201, {"Location": f"/api/v1/redemptions/{result.id}"}


@blueprint.get("/redemptions/<uuid:redemption_id>")
@blueprint.asks("vouchers:lookup")
@blueprint.refuses(errors.RedemptionNotFound, errors.NotFound)
@blueprint.answers({200: RedemptionNowSchema()})
def get_redemption(redemption_id: uuid.UUID) -> Redemption:
    """Show when, where and by whom a voucher was redeemed."""
    return one_redemption(core=current_core(), actor=current_actor(), redemption_id=redemption_id)
