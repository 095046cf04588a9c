"""What becomes of a voucher after it was given: taken back, replaced, sent again, extended, adjusted, frozen."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, CustomerLink, Instant, Labels, MinorUnits, MoneySchema, Reason, Text, WholeNumber
from api.issuances import CHANNELS, DeliverySchema, IssuedVoucherSchema, VoucherSchema
from api.smorest import Blueprint
from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.issue import CustomerGiven
from incentives.flows.prolong import DAYS_MAX, ExtendVoucher, extend_voucher
from incentives.flows.reissue import Reissued, ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.flows.void import UndoIssuance, VoidVoucher, undo_issuance, void_voucher
from incentives.kernel import errors
from incentives.queries.voucher_care import VoucherLife, one_voucher

blueprint = Blueprint("voucher-care", "What becomes of a voucher after it was given, each with a reason.")

_REASON_LENGTH = 500
_ENDED = (
    errors.VoucherNotFound,
    errors.AlreadyRedeemed,
    errors.VoucherExpired,
    errors.VoucherVoided,
    errors.VoucherReplaced,
)
_HELD = (*_ENDED, errors.VoucherReserved)
_STUCK = (*_HELD, errors.VoucherFrozen)
_EXAMPLE = {"reason": "The customer lost the message."}


def _channels(description: str, **options: Any) -> fields.List[Any]:
    return fields.List(
        fields.String(validate=validate.OneOf(CHANNELS)),
        validate=validate.Length(max=len(CHANNELS)),
        metadata={"description": description},
        **options,
    )


class CareBody(Body):
    """Why."""

    reason = Reason(_REASON_LENGTH, required=True)


class ReissueBody(CareBody):
    """How the customer hears of the new voucher."""

    channels = _channels(
        "Left out: as before. Empty: it is shown on a screen, and the answer has its code.",
        load_default=None,
        allow_none=True,
    )


class NewAddressBody(Body):
    """What of the customer is otherwise; what is left out stays."""

    name = Text(200, load_default=None, allow_none=True)
    email = Text(320, load_default=None, allow_none=True)
    phone = Text(40, load_default=None, allow_none=True)


class AddressBody(ReissueBody):
    """Where the new voucher goes."""

    customer = fields.Nested(NewAddressBody, required=True)


class ResendBody(CareBody):
    """By which channels it goes out again."""

    channels = _channels("Left out or empty: by those that it went by before.", load_default=list)


class ExtendVoucherBody(CareBody):
    """By how many days."""

    days = WholeNumber(
        minimum=1, maximum=DAYS_MAX, required=True, metadata={"description": "To the end of that day, where it is."}
    )


class AdjustBody(CareBody):
    """What it is worth from now on."""

    amount_minor = MinorUnits(required=True, metadata={"description": "Of one use, in the voucher's own currency."})


class FreezeBody(CareBody):
    """Until when."""

    until_at = Instant(
        load_default=None, allow_none=True, metadata={"description": "Left out: until somebody unfreezes it."}
    )


class CaredSchema(Answer):
    """A voucher as it stands now."""

    id = fields.UUID(attribute="voucher_id")
    issuance_id = fields.UUID()
    case_id = fields.UUID()
    status = fields.String(metadata={"description": "issued, reserved, redeemed, voided, expired, replaced"})
    last4 = fields.String()
    amount = fields.Nested(MoneySchema)
    left = fields.Nested(MoneySchema, metadata={"description": "What can still be spent."})
    expires_at = fields.AwareDateTime()
    frozen = fields.Boolean()
    frozen_until_at = fields.AwareDateTime(allow_none=True)


class ReplacementSchema(VoucherSchema):
    """The new voucher. Its secrets are null where the customer was told: they are nobody else's."""

    code = fields.String(allow_none=True)
    token = fields.String(allow_none=True)
    url = CustomerLink(allow_none=True, metadata={"description": "The customer's page."})


class ReissuedSchema(Answer):
    """The new voucher in the place of the old one."""

    replaces_id = fields.UUID()
    issuance_id = fields.UUID()
    case_id = fields.UUID()
    voucher = fields.Nested(ReplacementSchema)
    deliveries = fields.List(fields.Nested(DeliverySchema))


class VoucherMessageSchema(DeliverySchema):
    """One message about one of the issuance's vouchers."""

    voucher_id = fields.UUID()
    copy = fields.Integer(metadata={"description": "0; 1 and more when it was sent again."})
    reason = fields.String(allow_none=True)
    available_at = fields.AwareDateTime(metadata={"description": "It is not sent before."})
    ended_at = fields.AwareDateTime(allow_none=True)


class VoucherEventSchema(Answer):
    """One thing that happened, from the audit trail."""

    id = fields.UUID()
    at = fields.AwareDateTime()
    action = fields.String()
    actor = fields.String()
    actor_name = fields.String()
    reason = fields.String(allow_none=True)
    facts = fields.Dict()


class VoucherLifeSchema(Answer):
    """A voucher with all that happened to it and to the others of its issuance, the latest first."""

    id = fields.UUID()
    issuance_id = fields.UUID()
    case_id = fields.UUID()
    last4 = fields.String()
    status = fields.String()
    incentive = fields.String()
    title = Labels()
    kind = fields.String()
    amount = fields.Nested(MoneySchema)
    left = fields.Nested(MoneySchema)
    max_redemptions = fields.Integer()
    redeemed_count = fields.Integer()
    issued_at = fields.AwareDateTime()
    issued_by = fields.String()
    issued_by_name = fields.String()
    expires_at = fields.AwareDateTime()
    time_zone = fields.String()
    extended_days = fields.Integer()
    most_extend_days = fields.Integer()
    location = fields.String(allow_none=True)
    frozen = fields.Boolean()
    frozen_until_at = fields.AwareDateTime(allow_none=True)
    reserved_until_at = fields.AwareDateTime(allow_none=True)
    replaces_id = fields.UUID(allow_none=True)
    replaced_by_id = fields.UUID(allow_none=True)
    chain = fields.List(fields.Nested(IssuedVoucherSchema))
    messages = fields.List(fields.Nested(VoucherMessageSchema))
    events = fields.List(fields.Nested(VoucherEventSchema))


class UndoneSchema(Answer):
    """What was taken back; `voucher` is null where it was an apology by itself."""

    issuance_id = fields.UUID()
    case_id = fields.UUID()
    voucher = fields.Nested(CaredSchema, allow_none=True)


@blueprint.get("/vouchers/<uuid:voucher_id>")
@blueprint.asks("issuances:read")
@blueprint.refuses(errors.VoucherNotFound, errors.NotFound)
@blueprint.answers({200: VoucherLifeSchema()})
def get_voucher(voucher_id: uuid.UUID) -> VoucherLife:
    """Show a voucher's whole life, without its code."""
    return one_voucher(core=current_core(), actor=current_actor(), voucher_id=voucher_id)


@blueprint.post("/vouchers/<uuid:voucher_id>/void")
@blueprint.asks("vouchers:void")
@blueprint.arguments(CareBody(), example=_EXAMPLE)
@blueprint.idempotent(required=False)
@blueprint.refuses(*_HELD, errors.NotFound)
@blueprint.answers({200: CaredSchema()})
def void(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Take a voucher back; of one that was used in part, what is left."""
    command = VoidVoucher(voucher_id=voucher_id, idempotency_key=idempotency_key, **body)
    return void_voucher(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/vouchers/<uuid:voucher_id>/reissue")
@blueprint.asks("vouchers:reissue")
@blueprint.arguments(ReissueBody(), example=_EXAMPLE)
@blueprint.idempotent(required=False)
@blueprint.refuses(
    *_STUCK, errors.ChannelWithoutAddress, errors.ContactCap, errors.IssuingStopped, errors.NoCatalog,
    errors.KeyRetired, errors.NotFound,
)  # fmt: skip
@blueprint.answers({201: ReissuedSchema()})
def reissue(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Put a new voucher in the place of one; nothing is charged again, and the old one is good for nothing."""
    return _reissued(voucher_id, idempotency_key, body, None)


@blueprint.post("/vouchers/<uuid:voucher_id>/address")
@blueprint.asks("vouchers:reissue")
@blueprint.arguments(AddressBody(), example={**_EXAMPLE, "customer": {"email": "ana.ruiz@example.com"}})
@blueprint.idempotent(required=False)
@blueprint.refuses(
    *_STUCK,
    errors.ChannelWithoutAddress,
    errors.ContactCap,
    errors.EmailInvalid,
    errors.PhoneInvalid,
    errors.CustomerCapReached,
    errors.OverLimit,
    errors.BlockedBySafeguards,
    errors.IssuingStopped,
    errors.NoCatalog,
    errors.KeyRetired,
    errors.NotFound,
)
@blueprint.answers({201: ReissuedSchema()})
def change_address(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Send a new voucher to another address; the old link and code are dead."""
    return _reissued(voucher_id, idempotency_key, body, CustomerGiven(**body["customer"]))


def _reissued(
    voucher_id: uuid.UUID, key: str | None, body: dict[str, Any], customer: CustomerGiven | None
) -> tuple[Any, int, dict[str, str]]:
    channels = body["channels"]
    command = ReissueVoucher(
        voucher_id=voucher_id,
        reason=body["reason"],
        channels=None if channels is None else tuple(channels),
        customer=customer,
        idempotency_key=key,
    )
    done = reissue_voucher(core=current_core(), actor=current_actor(), command=command)
    return _Told(done), 201, {"Location": f"/api/v1/vouchers/{done.voucher.id}"}


class _Told:
    """What is told of a reissue: the secrets where they are to be shown, and nowhere else."""

    def __init__(self, done: Reissued) -> None:
        self.replayed = done.replayed
        self.replaces_id, self.issuance_id, self.case_id = done.replaces_id, done.issuance_id, done.case_id
        self.deliveries = done.deliveries
        made = done.voucher
        secrets = {"code": made.code, "token": made.token} if done.shown else {"code": None, "token": None}
        self.voucher = {
            "id": made.id,
            "last4": made.last4,
            "amount": made.amount,
            "expires_at": made.expires_at,
            "status": made.status,
            **secrets,
        }


@blueprint.post("/vouchers/<uuid:voucher_id>/resend")
@blueprint.asks("vouchers:resend")
@blueprint.arguments(ResendBody(), example=_EXAMPLE)
@blueprint.idempotent(required=False)
@blueprint.refuses(
    *_STUCK, errors.ChannelWithoutAddress, errors.ContactCap, errors.MessageOnItsWay, errors.TooManyCopies,
    errors.KeyRetired, errors.NotFound,
)  # fmt: skip
@blueprint.answers({200: CaredSchema()})
def resend(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Send a voucher's message once more, with the same code."""
    command = ResendVoucher(
        voucher_id=voucher_id,
        reason=body["reason"],
        channels=tuple(body["channels"]),
        idempotency_key=idempotency_key,
    )
    return resend_voucher(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/vouchers/<uuid:voucher_id>/extend")
@blueprint.asks("vouchers:extend")
@blueprint.arguments(ExtendVoucherBody(), example={**_EXAMPLE, "days": 14})
@blueprint.idempotent(required=False)
@blueprint.refuses(*_ENDED, errors.ExtensionTooLong, errors.NotFound)
@blueprint.answers({200: CaredSchema()})
def extend(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Let a voucher last longer, within what its incentive allows in all."""
    command = ExtendVoucher(voucher_id=voucher_id, idempotency_key=idempotency_key, **body)
    return extend_voucher(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/vouchers/<uuid:voucher_id>/adjust")
@blueprint.asks("vouchers:adjust")
@blueprint.arguments(AdjustBody(), example={**_EXAMPLE, "amount_minor": 3000})
@blueprint.idempotent(required=False)
@blueprint.refuses(
    *_STUCK,
    errors.VoucherUsed,
    errors.AmountNotAdjustable,
    errors.AmountOutOfRange,
    errors.AmountAboveProtocol,
    errors.IssuingStopped,
    errors.BlockedBySafeguards,
    errors.BudgetExhausted,
    errors.CustomerCapReached,
    errors.OverLimit,
    errors.NoCatalog,
    errors.NotFound,
)
@blueprint.answers({200: CaredSchema()})
def adjust(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Let an unused voucher be worth more or less, within one's own limits."""
    command = AdjustVoucher(voucher_id=voucher_id, idempotency_key=idempotency_key, **body)
    return adjust_voucher(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/vouchers/<uuid:voucher_id>/freeze")
@blueprint.asks("vouchers:freeze")
@blueprint.arguments(FreezeBody(), example=_EXAMPLE)
@blueprint.idempotent(required=False)
@blueprint.refuses(*_ENDED, errors.VoucherFrozen, errors.NotFound)
@blueprint.answers({200: CaredSchema()})
def freeze(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Let nobody use a voucher until it is unfrozen, or until an instant."""
    command = FreezeVoucher(
        voucher_id=voucher_id, reason=body["reason"], until_at=body["until_at"], idempotency_key=idempotency_key
    )
    return freeze_voucher(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/vouchers/<uuid:voucher_id>/unfreeze")
@blueprint.asks("vouchers:freeze")
@blueprint.arguments(CareBody(), example=_EXAMPLE)
@blueprint.idempotent(required=False)
@blueprint.refuses(*_ENDED, errors.VoucherNotFrozen, errors.NotFound)
@blueprint.answers({200: CaredSchema()})
def unfreeze(body: dict[str, Any], *, voucher_id: uuid.UUID, idempotency_key: str | None) -> Any:
    """Let a frozen voucher be used again."""
    command = UnfreezeVoucher(voucher_id=voucher_id, idempotency_key=idempotency_key, **body)
    return unfreeze_voucher(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/issuances/<uuid:issuance_id>/undo")
@blueprint.asks("issuances:create")
@blueprint.refuses(*_HELD, errors.IssuanceNotFound, errors.UndoOver, errors.NotFound)
@blueprint.answers({200: UndoneSchema()})
def undo(issuance_id: uuid.UUID) -> Any:
    """Take back what one has just given oneself, while nothing was sent."""
    command = UndoIssuance(issuance_id=issuance_id)
    return undo_issuance(core=current_core(), actor=current_actor(), command=command)
