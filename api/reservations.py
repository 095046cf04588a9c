"""Reservations: a till holds a voucher while a sale is paid."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, Key, MoneySchema, Reason, WholeNumber
from api.paging import PageQuery, page_of
from api.redemptions import (
    CODE_REFUSALS,
    LINKS,
    REASON_LENGTH_MAX,
    SALE_REFUSALS,
    OrderBody,
    RedeemBody,
    RedeemedSchema,
    order_told,
)
from api.smorest import Blueprint
from api.vouchers import EXAMPLE_CODE, misses_counted, tell_standing
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.reserve import (
    ExtendReservation,
    ReleaseReservation,
    ReserveVoucher,
    extend_reservation,
    release_reservation,
    reserve_voucher,
)
from incentives.kernel import errors
from incentives.queries.reservations import Reservation, list_held, one_reservation

blueprint = Blueprint("reservations", "Holds of vouchers while a sale is paid.")
blueprint.after_request(tell_standing)

_MINUTES_MAX = 24 * 60
_HOLD_MINUTES = 15
_STATUSES = ("held", "committed", "released", "lapsed")


class ReserveBody(RedeemBody):
    """What is held, for how long, and what is known of the order."""

    hold_minutes = WholeNumber(
        minimum=1,
        maximum=_MINUTES_MAX,
        load_default=_HOLD_MINUTES,
        metadata={"description": "It never holds longer than the voucher is good."},
    )


class ExtendBody(Body):
    """For how many minutes more."""

    minutes = WholeNumber(
        minimum=1, maximum=_MINUTES_MAX, required=True, metadata={"description": "More; 24 hours at most in all."}
    )


class ReleaseBody(Body):
    """Why it is let go. Whoever releases the hold of another till must say so."""

    reason = Reason(REASON_LENGTH_MAX, load_default=None, allow_none=True)


class ReservedSchema(Answer):
    """A hold. `amount` is what committing it as it stands would take off, at most where the order is not known."""

    id = fields.UUID()
    voucher_id = fields.UUID()
    status = fields.String(validate=validate.OneOf(_STATUSES))
    incentive = fields.String()
    last4 = fields.String()
    amount = fields.Nested(MoneySchema)
    location = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    reserved_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime(metadata={"description": "The last instant at which it holds."})


class ReservationSchema(ReservedSchema):
    """A hold as it stands."""

    held_by = fields.String()
    own = fields.Boolean(metadata={"description": "Whether it is the caller's."})
    held_seconds = fields.Integer(metadata={"description": "For how long it has held, or held."})
    ended_at = fields.AwareDateTime(allow_none=True)
    end_reason = fields.String(allow_none=True)
    redemption_id = fields.UUID(allow_none=True)


class ExtendedSchema(Answer):
    """Until when it is held now."""

    id = fields.UUID()
    voucher_id = fields.UUID()
    status = fields.String()
    expires_at = fields.AwareDateTime()


class ReleasedSchema(Answer):
    """The hold is over."""

    id = fields.UUID()
    voucher_id = fields.UUID()
    status = fields.String()
    ended_at = fields.AwareDateTime()


class ReservationsQuery(PageQuery):
    """Where."""

    location = Key(metadata={"description": "Left out: everywhere, or where the caller stands."})


_THIS_REFUSALS = (
    errors.ReservationNotFound,
    errors.NotFound,
    errors.NotYourReservation,
    errors.ReservationLapsed,
    errors.ReservationEnded,
)
_OF_THIS = {"reservation_id": "$response.body#/id"}
_LINKS = {
    "GetReservation": {"operationId": "get_reservation", "parameters": _OF_THIS},
    "CommitReservation": {"operationId": "commit_held", "parameters": _OF_THIS},
    "ReleaseReservation": {"operationId": "release_held", "parameters": _OF_THIS},
}


@blueprint.get("/reservations")
@blueprint.asks("vouchers:lookup")
@blueprint.arguments(ReservationsQuery(), location="query")
@blueprint.answers({200: page_of(ReservationSchema)})
def list_reservations(query: dict[str, Any]) -> Any:
    """List what is held now, the newest first: by whom, where, and for how long."""
    return list_held(core=current_core(), actor=current_actor(), **query)


@blueprint.post("/reservations")
@blueprint.asks("redemptions:create")
@blueprint.arguments(ReserveBody(), example={"code": EXAMPLE_CODE, "location": "london", "order_ref": "T-0815"})
@blueprint.idempotent(required=True)
@blueprint.refuses(*SALE_REFUSALS, *CODE_REFUSALS)
@blueprint.answers({201: ReservedSchema()}, links=_LINKS)
def reserve(body: dict[str, Any], *, idempotency_key: str) -> Any:
    """Hold a voucher while a sale is paid. Facts of the order that are not known yet may come with the commit."""
    command = ReserveVoucher(**order_told(body), idempotency_key=idempotency_key)
    with misses_counted(body):
        result = reserve_voucher(core=current_core(), actor=current_actor(), command=command)
    return result, 201, {"Location": f"/api/v1/reservations/{result.id}"}


@blueprint.get("/reservations/<uuid:reservation_id>")
@blueprint.asks("vouchers:lookup")
@blueprint.refuses(errors.ReservationNotFound, errors.NotFound)
@blueprint.answers({200: ReservationSchema()})
def get_reservation(reservation_id: uuid.UUID) -> Reservation:
    """Show a hold as it stands."""
    return one_reservation(core=current_core(), actor=current_actor(), reservation_id=reservation_id)


@blueprint.post("/reservations/<uuid:reservation_id>/extend")
@blueprint.asks("redemptions:create")
@blueprint.arguments(ExtendBody(), example={"minutes": 15})
@blueprint.idempotent(required=False)
@blueprint.refuses(*_THIS_REFUSALS, errors.VoucherFrozen)
@blueprint.answers({200: ExtendedSchema()})
def extend_held(body: dict[str, Any], reservation_id: uuid.UUID, *, idempotency_key: str | None) -> Any:
    """Hold it longer. The same key again does not hold it longer once more, and says until when it is held."""
    command = ExtendReservation(reservation_id=reservation_id, idempotency_key=idempotency_key, **body)
    return extend_reservation(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/reservations/<uuid:reservation_id>/commit")
@blueprint.asks("redemptions:create")
@blueprint.arguments(OrderBody(), example={"order_total": {"amount_minor": 8000, "currency": "GBP"}})
@blueprint.idempotent(required=True)
@blueprint.refuses(*_THIS_REFUSALS, *SALE_REFUSALS)
@blueprint.answers({201: RedeemedSchema()}, links=LINKS)
def commit_held(body: dict[str, Any], reservation_id: uuid.UUID, *, idempotency_key: str) -> Any:
    """Spend what is held: the sale was paid. What is said of the order here takes the place of what was said before."""
    command = CommitReservation(reservation_id=reservation_id, idempotency_key=idempotency_key, **order_told(body))
    result = commit_reservation(core=current_core(), actor=current_actor(), command=command)
    return result, 201, {"Location": f"/api/v1/redemptions/{result.id}"}


@blueprint.post("/reservations/<uuid:reservation_id>/release")
@blueprint.asks("redemptions:create")
@blueprint.arguments(ReleaseBody(), example={"reason": "The till broke down."})
@blueprint.refuses(*_THIS_REFUSALS, errors.OtherLocation)
@blueprint.answers({200: ReleasedSchema()})
def release_held(body: dict[str, Any], reservation_id: uuid.UUID) -> Any:
    """Let the voucher go: whoever holds it, or with a reason somebody with `reservations:release`."""
    command = ReleaseReservation(reservation_id=reservation_id, **body)
    return release_reservation(core=current_core(), actor=current_actor(), command=command)
