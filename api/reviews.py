"""Reviews: what signals of abuse held back or refused, for somebody else to look at."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, MoneySchema, Query, QueryNumber, Text
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.review import DecideReview, Reviewed, decide_review
from incentives.kernel import errors
from incentives.queries.reviews import held_money, one_review, precision
from incentives.queries.reviews import list_reviews as found_reviews

blueprint = Blueprint("reviews", "What somebody should look at; never decided by whoever caused it.")

_KINDS = ("issuance", "redemption", "actor", "unknown_codes", "break_glass")
_STATUSES = ("open", "released", "blocked", "noted")
_NOTE_LENGTH = 500
_DAYS_MOST = 730


class ReviewsQuery(PageQuery):
    """Which reviews."""

    status = fields.String(validate=validate.OneOf(_STATUSES), metadata={"description": "Left out: all of them."})
    kind = fields.String(validate=validate.OneOf(_KINDS))


class PrecisionQuery(Query):
    """How far back."""

    days = QueryNumber(minimum=1, maximum=_DAYS_MOST, load_default=90)


class SignalSchema(Answer):
    """A signal that showed: how many there were of how many that are normal, in so many minutes."""

    name = fields.String()
    words = fields.String()
    count = fields.Integer(dump_default=0)
    limit = fields.Integer(dump_default=0)
    minutes = fields.Integer(dump_default=0)
    action = fields.String(dump_default="allow")


class ReviewSchema(Answer):
    """One review."""

    id = fields.UUID()
    kind = fields.String()
    status = fields.String()
    action = fields.String(metadata={"description": "What was done meanwhile: allow, step_up, hold or block."})
    signals = fields.List(fields.Nested(SignalSchema))
    location = fields.String(allow_none=True)
    amount = fields.Nested(MoneySchema, allow_none=True)
    issuance_id = fields.UUID(allow_none=True)
    case_id = fields.UUID(allow_none=True)
    actor_name = fields.String(metadata={"description": "Who caused it, and so does not decide it."})
    opened_at = fields.AwareDateTime()
    due_at = fields.AwareDateTime()
    late = fields.Boolean()
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    note = fields.String(allow_none=True)


class ReviewDecisionBody(Body):
    """A decision."""

    decision = fields.String(required=True, validate=validate.OneOf(("release", "block", "note")))
    note = Text(
        _NOTE_LENGTH, load_default=None, allow_none=True, metadata={"description": "Needed unless it is released."}
    )


class ReviewedSchema(Answer):
    """What was decided, and what followed."""

    id = fields.UUID(attribute="review_id")
    status = fields.String()
    unfrozen = fields.Integer(metadata={"description": "Vouchers that are good from now on."})
    voided = fields.Integer(metadata={"description": "Vouchers that were taken back."})
    messages = fields.Integer(metadata={"description": "Messages that go out now."})


class HeldSchema(Answer):
    """What is frozen until it is reviewed, in one currency."""

    count = fields.Integer()
    amount = fields.Nested(MoneySchema)


class PrecisionSchema(Answer):
    """How often one signal was right."""

    signal = fields.String()
    open = fields.Integer()
    released = fields.Integer()
    blocked = fields.Integer()
    noted = fields.Integer()
    percent = fields.Integer(allow_none=True, metadata={"description": "Blocked, of those released and blocked."})


class ReviewSummarySchema(Answer):
    """What waits in money, and how good the signals are."""

    held = fields.List(fields.Nested(HeldSchema))
    signals = fields.List(fields.Nested(PrecisionSchema))


@blueprint.get("/reviews")
@blueprint.asks("reviews:read")
@blueprint.arguments(ReviewsQuery(), location="query")
@blueprint.answers({200: page_of(ReviewSchema)})
def list_reviews(query: dict[str, Any]) -> Any:
    """List reviews, the newest first."""
    return found_reviews(core=current_core(), actor=current_actor(), **{"status": None, **query})


@blueprint.get("/reviews/summary")
@blueprint.asks("reviews:read")
@blueprint.arguments(PrecisionQuery(), location="query")
@blueprint.answers({200: ReviewSummarySchema()})
def summarize_reviews(query: dict[str, Any]) -> dict[str, Any]:
    """Say what is held in money, and of each signal how many of its reviews were released and blocked."""
    core, actor = current_core(), current_actor()
    return {"held": held_money(core=core, actor=actor), "signals": precision(core=core, actor=actor, **query)}


@blueprint.get("/reviews/<uuid:review_id>")
@blueprint.asks("reviews:read")
@blueprint.refuses(errors.ReviewNotFound, errors.NotFound)
@blueprint.answers({200: ReviewSchema()})
def get_review(review_id: uuid.UUID) -> Any:
    """Show a review."""
    return one_review(core=current_core(), actor=current_actor(), review_id=review_id)


@blueprint.post("/reviews/<uuid:review_id>/decision")
@blueprint.asks("reviews:decide")
@blueprint.arguments(ReviewDecisionBody(), example={"decision": "release", "note": "A family with one address."})
@blueprint.idempotent(required=False)
@blueprint.refuses(
    errors.ReviewNotFound,
    errors.NotFound,
    errors.ReviewAlreadyDecided,
    errors.SelfReview,
    errors.VoucherReserved,
)
@blueprint.answers({200: ReviewedSchema()})
def decide_on_review(body: dict[str, Any], review_id: uuid.UUID, *, idempotency_key: str | None) -> Reviewed:
    """Release what is held, take it back, or note that it was seen. Whoever caused it cannot decide it."""
    command = DecideReview(review_id=review_id, idempotency_key=idempotency_key, **body)
    return decide_review(core=current_core(), actor=current_actor(), command=command)
