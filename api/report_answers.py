"""What reports answer. Shares are in ten thousandths, amounts in whole minor units, times in minutes."""

from marshmallow import fields

from api.fields import Answer, MoneySchema


class WindowSchema(Answer):
    """The period: days in the brand's zone, both included, and the same as instants."""

    from_date = fields.Date()
    until_date = fields.Date()
    from_at = fields.AwareDateTime()
    until_at = fields.AwareDateTime()
    time_zone = fields.String()


class ShareSchema(Answer):
    """A share or a difference with the bounds of 95 in 100, in ten thousandths."""

    value_bp = fields.Integer()
    low_bp = fields.Integer()
    high_bp = fields.Integer()


class FunnelStepSchema(Answer):
    """How many came to a step, out of how many; the median of the minutes since another step."""

    name = fields.String()
    count = fields.Integer()
    of = fields.String(allow_none=True)
    of_count = fields.Integer(allow_none=True)
    share_bp = fields.Integer(allow_none=True, metadata={"description": "In ten thousandths."})
    since = fields.String(allow_none=True)
    median_minutes = fields.Integer(allow_none=True)


class FunnelGroupSchema(Answer):
    """The counts by step for one value; `eligible` is null where only cases know the dimension."""

    key = fields.String(metadata={"description": "Empty: none."})
    label = fields.String()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))


class FunnelSchema(Answer):
    """The funnel of everybody who was let down in a period."""

    window = fields.Nested(WindowSchema)
    steps = fields.List(fields.Nested(FunnelStepSchema))
    unsalvageable = fields.Integer()
    by = fields.String()
    groups = fields.List(fields.Nested(FunnelGroupSchema))


class TimingSchema(Answer):
    """Minutes since opening at 50, 75, 90 and 95 in 100, on the wall and in business hours; clocks met in time."""

    name = fields.String()
    count = fields.Integer()
    wall_minutes = fields.List(fields.Integer(allow_none=True))
    business_minutes = fields.List(fields.Integer(allow_none=True))
    in_time = fields.Integer()
    ended = fields.Integer(metadata={"description": "Clocks that were met or ran out."})
    in_time_bp = fields.Integer(allow_none=True)


class TimingGroupSchema(Answer):
    """The median minutes by step for one value."""

    key = fields.String()
    label = fields.String()
    cases = fields.Integer()
    medians = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))


class TimesSchema(Answer):
    """How long the steps took."""

    window = fields.Nested(WindowSchema)
    cases = fields.Integer()
    steps = fields.List(fields.Nested(TimingSchema))
    by = fields.String()
    groups = fields.List(fields.Nested(TimingGroupSchema))


class TrendSchema(Answer):
    """One series: its count a week, and how the last whole week differs from the one before."""

    key = fields.String()
    label = fields.String()
    counts = fields.List(fields.Integer())
    total = fields.Integer()
    change_permille = fields.Integer(allow_none=True, metadata={"description": "Of the rate, in thousandths."})
    q_permille = fields.Integer(allow_none=True, metadata={"description": "Null: too few to be tested."})
    significant = fields.Boolean()
    new = fields.Boolean()


class TrendsSchema(Answer):
    """Whole weeks by their Monday, the volume of all feedback in each, and the series, the largest first."""

    window = fields.Nested(WindowSchema)
    by = fields.String()
    weeks = fields.List(fields.Date())
    volume = fields.List(fields.Integer())
    least = fields.Integer(metadata={"description": "Fewer than this in a week are no trend."})
    series = fields.List(fields.Nested(TrendSchema))


class CostSchema(Answer):
    """What one of them cost, its share, and the share of all down to it."""

    key = fields.String()
    label = fields.String()
    number = fields.Integer()
    amount = fields.Nested(MoneySchema)
    share_bp = fields.Integer(allow_none=True)
    running_bp = fields.Integer(allow_none=True)


class CostsSchema(Answer):
    """What trouble cost, the dearest first."""

    window = fields.Nested(WindowSchema)
    by = fields.String()
    rows = fields.List(fields.Nested(CostSchema))


class EffectSchema(Answer):
    """What an incentive (null: none) did for a tag (empty: all)."""

    incentive = fields.String(allow_none=True)
    incentive_label = fields.String()
    issue_tag = fields.String()
    issue_tag_label = fields.String()
    cases = fields.Integer()
    decided = fields.Integer()
    recovered = fields.Integer()
    share = fields.Nested(ShareSchema, allow_none=True)
    over_nothing = fields.Nested(ShareSchema, allow_none=True)
    cost = fields.Nested(MoneySchema, allow_none=True)
    per_recovery = fields.Nested(MoneySchema, allow_none=True)


class ArmSchema(Answer):
    """One side of a holdout."""

    cases = fields.Integer()
    decided = fields.Integer()
    recovered = fields.Integer()
    share = fields.Nested(ShareSchema, allow_none=True)


class HoldoutSchema(Answer):
    """A criterion that gives some customers nothing by lot, and the difference that giving made."""

    criterion = fields.String()
    given = fields.Nested(ArmSchema)
    held_out = fields.Nested(ArmSchema)
    difference = fields.Nested(ShareSchema, allow_none=True)


class EffectivenessSchema(Answer):
    """What each incentive achieves, over all and by tag."""

    window = fields.Nested(WindowSchema)
    overall = fields.List(fields.Nested(EffectSchema))
    by_tag = fields.List(fields.Nested(EffectSchema))
    holdouts = fields.List(fields.Nested(HoldoutSchema))


class RangeSchema(Answer):
    """An amount that is not known exactly."""

    low = fields.Nested(MoneySchema)
    value = fields.Nested(MoneySchema)
    high = fields.Nested(MoneySchema)


class ReturnSchema(Answer):
    """The return of the cases in one currency; without a holdout all who recovered count as kept."""

    currency = fields.String()
    cases = fields.Integer()
    given = fields.Integer()
    decided = fields.Integer()
    recovered = fields.Integer()
    kept = fields.List(fields.Integer(), metadata={"description": "Customers: low, guess, high."})
    by_holdout = fields.Boolean()
    worth = fields.Nested(MoneySchema, allow_none=True)
    cost = fields.Nested(MoneySchema)
    handling = fields.Nested(MoneySchema)
    retained = fields.Nested(RangeSchema, allow_none=True)
    net = fields.Nested(RangeSchema, allow_none=True)


class LoyaltySchema(Answer):
    """Customers of one kind, and how many of them bought again."""

    kind = fields.String(metadata={"description": "recovered, not_recovered or never_failed"})
    customers = fields.Integer()
    bought = fields.Integer()
    share = fields.Nested(ShareSchema, allow_none=True)
    scored = fields.Integer()
    mean_score_bp = fields.Integer(allow_none=True)


class ParadoxSchema(Answer):
    """Whether the recovered are more loyal than those who were never let down."""

    window = fields.Nested(WindowSchema)
    within_days = fields.Integer()
    groups = fields.List(fields.Nested(LoyaltySchema))
    difference = fields.Nested(ShareSchema, allow_none=True)


class ReturnsSchema(Answer):
    """The return by currency, the holdouts it leans on, and the recovery paradox."""

    window = fields.Nested(WindowSchema)
    rows = fields.List(fields.Nested(ReturnSchema))
    holdouts = fields.List(fields.Nested(HoldoutSchema))
    paradox = fields.Nested(ParadoxSchema)


class AlertSchema(Answer):
    """Too much of something: the latest count beside what was expected, in tenths."""

    kind = fields.String(metadata={"description": "place (a tag at a place), tag or cause"})
    what = fields.String()
    label = fields.String()
    location = fields.String(allow_none=True)
    location_name = fields.String(allow_none=True)
    since_date = fields.Date()
    last_date = fields.Date()
    days = fields.Integer()
    count = fields.Integer()
    expected_tenths = fields.Integer()
    incident_id = fields.UUID(allow_none=True)


class AlertsSchema(Answer):
    """What spiked within the last seven days, the least explicable first."""

    alerts = fields.List(fields.Nested(AlertSchema))
