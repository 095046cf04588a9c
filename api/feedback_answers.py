"""What the API answers about feedback."""

from marshmallow import fields

from api.fields import Answer


class TakenInSchema(Answer):
    """What became of a piece of feedback."""

    id = fields.UUID(allow_none=True, metadata={"description": "Null while nobody could understand it."})
    inbox_id = fields.UUID(metadata={"description": "The request as it was kept."})
    case_id = fields.UUID(allow_none=True)
    issuance_id = fields.UUID(allow_none=True)
    status = fields.String(
        metadata={"description": "settling (it may still change), acted, waiting (for a person), ignored"}
    )
    reason = fields.String(allow_none=True, metadata={"description": "Why it waits or is ignored."})


class PieceSchema(Answer):
    """A piece of feedback."""

    id = fields.UUID()
    source = fields.String()
    external_id = fields.String()
    kind = fields.String()
    event = fields.String(allow_none=True)
    score = fields.String(allow_none=True, metadata={"description": "As it was given, on its scale."})
    scale = fields.String(allow_none=True)
    score_percent = fields.Float(allow_none=True, metadata={"description": "Comparable: 0 is the worst, 100 the best."})
    comment = fields.String(allow_none=True)
    issue_tag = fields.String(allow_none=True)
    tagged_by = fields.String(allow_none=True, metadata={"description": "source, words (of the comment), person"})
    severity = fields.Integer(allow_none=True)
    location = fields.String(allow_none=True)
    product = fields.String(allow_none=True)
    agent = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    occurred_at = fields.AwareDateTime()
    received_at = fields.AwareDateTime()
    revision = fields.Integer()
    status = fields.String(metadata={"description": "settling, acted, waiting, ignored"})
    reason = fields.String(allow_none=True)
    case_id = fields.UUID(allow_none=True)


class PieceVersionSchema(Answer):
    """One version of a piece's score and words."""

    revision = fields.Integer()
    score = fields.String(allow_none=True)
    score_percent = fields.Float(allow_none=True)
    comment = fields.String(allow_none=True)
    at = fields.AwareDateTime()


class FiredSchema(Answer):
    """A criterion that held, and what came of it."""

    criterion = fields.String()
    mode = fields.String(metadata={"description": "live, shadow, held_out"})
    outcome = fields.String()
    issuance_id = fields.UUID(allow_none=True)
    at = fields.AwareDateTime()


class UnmappedSchema(Answer):
    """What the source said that nothing is named by."""

    field = fields.String()
    value = fields.String()


class PieceWithStorySchema(PieceSchema):
    """A piece of feedback with all that is known of it."""

    customer_name = fields.String(allow_none=True)
    issue_tags = fields.List(fields.String())
    choices = fields.Raw(allow_none=True, metadata={"description": "What was ticked."})
    story = fields.Dict(metadata={"description": "What a colleague reported: what, who, when, differently."})
    unmapped = fields.List(fields.Nested(UnmappedSchema))
    versions = fields.List(fields.Nested(PieceVersionSchema))
    firings = fields.List(fields.Nested(FiredSchema))


class WaitingPieceSchema(Answer):
    """A kept request that nobody could understand yet."""

    id = fields.UUID()
    source = fields.String()
    received_at = fields.AwareDateTime()
    reason = fields.String(allow_none=True)
    tries = fields.Integer()
    media_type = fields.String()
    body = fields.String(metadata={"description": "As it came, cut where it is very long."})
