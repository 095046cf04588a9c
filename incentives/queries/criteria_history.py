"""What a threshold would have cost: feedback that is stored, counted by its trouble, at the prices of today's catalog.

The database counts, by trouble and score; only the few hundred troubles that there are need be priced.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import pricing, releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, Refusal
from incentives.kernel.money import Money
from incentives.queries.scope import seen_by
from incentives.recovery.criteria import RESURVEY
from incentives.recovery.feedback_tables import feedback, feedback_tags
from incentives.recovery.scales import ENDS, score_of

DAYS_MOST = 730
_PERCENT_STEP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What if everything scored at most so much on a scale opened a case, and got the protocol's default?

    None or nothing of the rest is every source (but answers after a recovery), every issue tag, every location.
    """

    at_most: int
    scale: str = "stars_5"
    days: int = 28
    sources: tuple[str, ...] = ()
    issue_tags: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One threshold. ``cases`` is a number in all the days, ``costs`` an amount a currency in all the days.

    ``unpriced`` are those that nothing could be given for: no issue tag, no protocol, or nothing it lets be given.
    """

    at_most: int
    score_bp: int
    chosen: bool
    cases: int
    costs: tuple[Money, ...]
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The thresholds of a scale side by side, over the same days of stored feedback.

    Each piece counts as a case: two reports of one customer's trouble would be one, so it is at most so many.
    """

    scale: str
    days: int
    from_at: datetime
    until_at: datetime
    scored: int
    thresholds: tuple[Threshold, ...]


def simulate(*, core: Core, actor: Actor, question: Question) -> Simulation:
    """Return what thresholds would have meant over stored feedback.

    Raises ``InputInvalid`` naming ``scale``, ``at_most`` or ``days``, ``NoCatalog`` and ``NotPermitted``.
    """
    permit(actor, "criteria:read")
    _check(question)
    now = core.clock.now()
    from_at = now - timedelta(days=question.days)
    with core.database.read() as tx:
        catalog = releases.cached_current(tx, core).catalog
        groups = _groups(tx, actor, catalog, question, from_at, now)
    sums = _sums(catalog, groups, now)
    return Simulation(
        scale=question.scale,
        days=question.days,
        from_at=from_at,
        until_at=now,
        scored=sum(each.cases for each in sums.values()),
        thresholds=tuple(_threshold(each, question, sums) for each in steps(question)),
    )


def steps(question: Question) -> Sequence[int]:
    """Return the thresholds that stand side by side: each score of the scale, or each tenth percent, and the chosen."""
    worst, best = ENDS[question.scale]
    every = _PERCENT_STEP if question.scale == "percent" else 1
    return sorted({*range(worst, best + 1, every), question.at_most})


def _check(question: Question) -> None:
    if question.scale not in ENDS:
        raise _wrong("scale", f"A scale is one of {', '.join(ENDS)}.")
    worst, best = ENDS[question.scale]
    if not worst <= question.at_most <= best:
        raise _wrong("at_most", f"On this scale a score is {worst} to {best}.")
    if not 1 <= question.days <= DAYS_MOST:
        raise _wrong("days", f"Look back 1 to {DAYS_MOST} days.")


def _wrong(field: str, message: str) -> InputInvalid:
    return InputInvalid(message, errors=[{"field": field, "message": message}])


def _groups(
    tx: Connection, actor: Actor, catalog: Catalog, question: Question, from_at: datetime, until_at: datetime
) -> Sequence[Any]:
    """Return how many pieces there are of each trouble and score."""
    table = feedback.c
    trouble = (table.issue_tag, table.location, table.severity, table.segment, table.score_bp)
    query = sa.select(*trouble, sa.func.count().label("pieces")).where(
        table.score_bp.is_not(None), table.occurred_at > from_at, table.occurred_at <= until_at
    )
    # A rule that names no source is not asked about answers after a recovery.
    query = query.where(table.source.in_(question.sources) if question.sources else table.source != RESURVEY)
    if question.issue_tags:
        query = query.where(_is_about(_below(catalog, question.issue_tags)))
    if question.locations:
        query = query.where(table.location.in_(question.locations))
    return tx.execute(query.where(seen_by(actor, table.location)).group_by(*trouble)).all()


def _is_about(keys: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return whether any of a piece's issue tags is one of these: so criteria ask too, whichever was named first."""
    table, tagged = feedback.c, feedback_tags.c
    also = sa.select(tagged.feedback_id).where(tagged.feedback_id == table.id, tagged.issue_tag.in_(keys))
    return sa.or_(table.issue_tag.in_(keys), also.exists())


def _below(catalog: Catalog, keys: Iterable[str]) -> list[str]:
    wanted = set(keys)
    return [key for key in catalog.issue_tags if wanted.intersection(catalog.lineage(key))]


_Trouble = tuple[Any, ...]


@dataclass(slots=True)
class _Sum:
    """Everything with one score."""

    cases: int = 0
    unpriced: int = 0
    costs_minor: dict[str, int] = field(default_factory=dict)


def _sums(catalog: Catalog, groups: Sequence[Any], now: datetime) -> Mapping[int, _Sum]:
    """Return what each score comes to; a trouble is priced once, however many scores it has."""
    prices: dict[_Trouble, Money | None] = {}
    sums: dict[int, _Sum] = {}
    for issue_tag, location, severity, segment, score_bp, pieces in groups:
        trouble = (issue_tag, location, severity, segment)
        if trouble not in prices:
            prices[trouble] = _price(catalog, trouble, now)
        price, total = prices[trouble], sums.setdefault(score_bp, _Sum())
        total.cases += pieces
        if price is None:
            total.unpriced += pieces
        else:
            before = total.costs_minor.get(price.currency, 0)
            total.costs_minor[price.currency] = before + price.amount_minor * pieces
    return sums


def _price(catalog: Catalog, trouble: _Trouble, now: datetime) -> Money | None:
    issue_tag, location, severity, segment = trouble
    try:
        found = pricing.price(
            catalog,
            issue_tag=issue_tag or "",
            severity=severity,
            location=location,
            segment=segment if segment in catalog.segments else None,
            now=now,
        )
    except Refusal:
        return None
    return None if found.blocked_reasons else found.amount


def _threshold(at_most: int, question: Question, sums: Mapping[int, _Sum]) -> Threshold:
    score_bp = score_of(at_most, question.scale).bp
    within = [each for score, each in sums.items() if score <= score_bp]
    costs_minor: dict[str, int] = {}
    for each in within:
        for currency, amount_minor in each.costs_minor.items():
            costs_minor[currency] = costs_minor.get(currency, 0) + amount_minor
    return Threshold(
        at_most=at_most,
        score_bp=score_bp,
        chosen=at_most == question.at_most,
        cases=sum(each.cases for each in within),
        costs=tuple(Money(amount_minor, currency) for currency, amount_minor in sorted(costs_minor.items())),
        unpriced=sum(each.unpriced for each in within),
    )
