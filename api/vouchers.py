"""Vouchers: what a till needs to know before it redeems one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from flask import Response, current_app, g
from marshmallow import ValidationError, fields, validates_schema

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, MoneySchema, Text
from api.smorest import Blueprint
from incentives.flows.look_up import look_up
from incentives.kernel.errors import CodeMalformed, CodeRetired, NoCatalog, TooManyRequests, VoucherNotFound
from incentives.kernel.throttle import Standing, Throttle
from incentives.queries.vouchers import TillVoucher

blueprint = Blueprint("vouchers", "The single-use bearer instruments.")

CODE_LENGTH_MAX = 500  # A scanner may type the whole link into the field of the code.
EXAMPLE_CODE = "7KQ4-9M2X-ABCD-J"
_THROTTLE = "code-misses"


class VoucherBody(Body):
    """A voucher by its code or its token, exactly one of them."""

    exactly_one_of = ("code", "token")

    code = Text(CODE_LENGTH_MAX, metadata={"description": "As typed or scanned."})
    token = Text(CODE_LENGTH_MAX, metadata={"description": "From the customer's link."})

    @validates_schema
    def check_one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse both, and none."""
        if ("code" in data) == ("token" in data):
            raise ValidationError("Send either code or token.", "code")


class LookUpBody(VoucherBody):
    """Which voucher, and the language of its words."""

    locale = Text(20, load_default=None, allow_none=True)


class EarlierRedemptionSchema(Answer):
    """When, where and by whom the voucher was redeemed."""

    redeemed_at = fields.AwareDateTime()
    location = fields.String(allow_none=True, attribute="redeemed_location")
    redeemed_by = fields.String()


class HoldSchema(Answer):
    """Who holds the voucher, and until when."""

    reservation_id = fields.UUID()
    held_by = fields.String()
    location = fields.String(allow_none=True)
    reserved_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    own = fields.Boolean(metadata={"description": "Whether it is the caller's own hold."})


class TillVoucherSchema(Answer):
    """What a till needs to know. Whose voucher it is, is not among it."""

    id = fields.UUID()
    status = fields.String(metadata={"description": "issued, reserved, redeemed, voided, expired, replaced"})
    redeemable = fields.Boolean(metadata={"description": "Whether it could be redeemed here now."})
    reason = fields.String(
        allow_none=True, metadata={"description": "Why not, as the slug of the problem that redeeming would end in."}
    )
    incentive = fields.String()
    title = fields.String()
    terms = fields.String()
    kind = fields.String()
    amount = fields.Nested(MoneySchema, metadata={"description": "What one use of it is worth at most."})
    percent = fields.Integer(allow_none=True)
    max_redemptions = fields.Integer(metadata={"description": "How often it can be redeemed in all."})
    uses_left = fields.Integer()
    min_order = fields.Nested(
        MoneySchema, allow_none=True, metadata={"description": "What has to be bought at least, of what counts."}
    )
    needs_order_total = fields.Boolean()
    needs_order_ref = fields.Boolean(metadata={"description": "Whether the till must say which order it is."})
    needs_items = fields.Boolean(metadata={"description": "Whether the till must say what is bought."})
    products = fields.List(fields.String(), metadata={"description": "What counts; with collections, either."})
    collections = fields.List(fields.String())
    excluded_products = fields.List(fields.String())
    frozen = fields.Boolean()
    hold = fields.Nested(HoldSchema, allow_none=True)
    last4 = fields.String()
    expires_at = fields.AwareDateTime()
    time_zone = fields.String()
    where_to_use = fields.List(fields.String(), metadata={"description": "Names of locations; empty: everywhere."})
    redemption = fields.Nested(
        EarlierRedemptionSchema, allow_none=True, metadata={"description": "The last one that stands."}
    )


@contextmanager
def misses_counted(body: dict[str, Any]) -> Iterator[None]:
    """Count the misses of whoever tries codes; one too many is answered with 429 instead of 404.

    A good code is answered whatever went before: foreign QR codes must not close a till, and what keeps codes from
    being found by trying is their length. Misses are counted by actor, wherever they come from, so that a stolen key
    gains nothing by many addresses. Codes whose check symbol is wrong are not counted: nobody learns from those.
    """
    throttle, key = cast("Throttle", current_app.extensions["throttle"]), current_actor().label
    g.standing = throttle.standing(_THROTTLE, key)
    try:
        yield
    except VoucherNotFound as refusal:
        g.standing = replace(g.standing, remaining=0)  # What a refused miss tells of.
        g.standing = throttle.miss(_THROTTLE, key)
        raise VoucherNotFound(refusal.detail, field="code" if "code" in body else "token") from None


@blueprint.after_request
def tell_standing(response: Response) -> Response:
    """Say where the caller stands with the throttle (draft-ietf-httpapi-ratelimit-headers)."""
    standing: Standing | None = g.get("standing")
    if standing is not None:
        limit = standing.limit
        response.headers["RateLimit-Policy"] = f'"{standing.name}";q={limit.tries};w={limit.window_seconds}'
        response.headers["RateLimit"] = f'"{standing.name}";r={standing.remaining};t={standing.reset_after_seconds}'
    return response


@blueprint.post("/vouchers/lookup")
@blueprint.asks("vouchers:lookup")
@blueprint.arguments(LookUpBody(), example={"code": EXAMPLE_CODE})
@blueprint.refuses(NoCatalog, CodeMalformed, VoucherNotFound, CodeRetired, TooManyRequests)
@blueprint.answers({200: TillVoucherSchema()})
def look_up_voucher(body: dict[str, Any]) -> TillVoucher:
    """Say what a voucher is worth and whether it could be redeemed; it changes nothing."""
    with misses_counted(body):
        return look_up(core=current_core(), actor=current_actor(), **body)
