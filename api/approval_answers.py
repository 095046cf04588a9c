"""What the API answers about approvals."""

from marshmallow import fields

from api.fields import Answer, MoneySchema
from api.issuances import DeliverySchema, VoucherSchema
from api.offers import EarlierRecoverySchema
from api.smorest import ProblemSchema


class LevelSchema(Answer):
    """One level of who must agree."""

    number = fields.Integer()
    roles = fields.List(fields.String())
    people = fields.List(fields.String(), metadata={"description": "By their email."})
    needed = fields.Integer(metadata={"description": "So many of these must grant."})
    escalate_after_minutes = fields.Integer(
        allow_none=True, metadata={"description": "After so long the next level decides in its place. Null: never."}
    )


class VoteSchema(Answer):
    """What one approver said."""

    level = fields.Integer()
    decision = fields.String(metadata={"description": "grant or decline"})
    actor_name = fields.String()
    on_behalf_of_name = fields.String(allow_none=True, metadata={"description": "Whom they stood in for."})
    amount = fields.Nested(MoneySchema, allow_none=True)
    incentive = fields.String(allow_none=True, metadata={"description": "Where it was chosen in this vote."})
    comment = fields.String(allow_none=True)
    at = fields.AwareDateTime()


class StandInSchema(Answer):
    """An absent approver in whose place the caller may decide."""

    label = fields.String(metadata={"description": "What `on_behalf_of` takes."})
    name = fields.String()


class OtherIncentiveSchema(Answer):
    """What could be granted instead; its budgets say the rest."""

    incentive = fields.String(attribute="key")
    title = fields.String()
    amount = fields.Nested(MoneySchema)
    least_minor = fields.Integer()


class ApprovalSchema(Answer):
    """One request, as its approver must see it."""

    id = fields.UUID()
    status = fields.String()
    issuance_id = fields.UUID()
    case_id = fields.UUID()
    issue_tag = fields.String()
    severity = fields.Integer()
    incentive = fields.String(metadata={"description": "What is given, or was asked for."})
    title = fields.String()
    amount = fields.Nested(MoneySchema, metadata={"description": "The whole promise that was asked for."})
    least_minor = fields.Integer(metadata={"description": "How far the amount may be lowered."})
    reasons = fields.List(fields.String())
    note = fields.String(allow_none=True)
    location = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    requested_by = fields.String()
    requested_by_name = fields.String()
    requested_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    granted = fields.Nested(MoneySchema, allow_none=True)
    granted_incentive = fields.String(allow_none=True, metadata={"description": "Where it is another than was asked."})
    decided_by_name = fields.String(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    comment = fields.String(allow_none=True)
    earlier_recoveries = fields.List(fields.Nested(EarlierRecoverySchema))
    policy = fields.String(allow_none=True, metadata={"description": "Null: whoever may decide at all does."})
    level = fields.Integer(metadata={"description": "Which of the levels decides now, or decided."})
    levels = fields.List(fields.Nested(LevelSchema))
    fallback = fields.Boolean(
        metadata={"description": "The last level has grown old: `fallback_roles` may decide too."}
    )
    fallback_roles = fields.List(fields.String())
    escalates_at = fields.AwareDateTime(allow_none=True, metadata={"description": "When the next level takes over."})
    still_needed = fields.Integer(metadata={"description": "So many more of this level must grant."})
    agreed = fields.Nested(MoneySchema, metadata={"description": "The most that the votes so far agree to."})
    agreed_incentive = fields.String(allow_none=True)
    votes = fields.List(fields.Nested(VoteSchema))
    may_decide = fields.Boolean(metadata={"description": "Whether the caller can, perhaps in another's place."})
    blocked = fields.String(
        allow_none=True,
        metadata={"description": "Why not in the caller's own name: own, not-permitted, voted, others-turn."},
    )
    stand_ins = fields.List(fields.Nested(StandInSchema))
    other_incentives = fields.List(fields.Nested(OtherIncentiveSchema))


class GivenSchema(Answer):
    """What was given on an approval. The code goes to the customer and to nobody else."""

    id = fields.UUID()
    status = fields.String()
    case_id = fields.UUID()
    voucher = fields.Nested(VoucherSchema, allow_none=True)
    deliveries = fields.List(fields.Nested(DeliverySchema))


class DecidedSchema(Answer):
    """What came of a vote."""

    id = fields.UUID(attribute="approval_id")
    issuance_id = fields.UUID()
    status = fields.String(
        metadata={"description": "granted, declined, or pending where others must agree too"},
    )
    level = fields.Integer(metadata={"description": "Which level decides next, or has decided."})
    levels = fields.Integer(metadata={"description": "How many there are."})
    still_needed = fields.Integer(
        metadata={"description": "While it is pending, so many more of the level must grant."}
    )
    issuance = fields.Nested(GivenSchema, attribute="issued", allow_none=True)


class DecisionAnswerSchema(Answer):
    """The answer to one of many decisions: what came of it, or why nothing did."""

    id = fields.UUID()
    decided = fields.Nested(DecidedSchema, allow_none=True)
    problem = fields.Nested(ProblemSchema, allow_none=True)


class DecisionsSchema(Answer):
    """An answer to each decision, in their order."""

    items = fields.List(fields.Nested(DecisionAnswerSchema))


class WithdrawnSchema(Answer):
    """The request is over."""

    id = fields.UUID(attribute="approval_id")
    issuance_id = fields.UUID()
    status = fields.String(metadata={"description": "withdrawn"})


class WouldDecideSchema(Answer):
    """Who would decide."""

    policy = fields.String(allow_none=True, metadata={"description": "Null: whoever may decide at all does."})
    name = fields.String(allow_none=True)
    amount = fields.Nested(MoneySchema)
    levels = fields.List(fields.Nested(LevelSchema))
    fallback_roles = fields.List(fields.String())
    lifetime_hours = fields.Integer(metadata={"description": "After so long the request lapses."})
