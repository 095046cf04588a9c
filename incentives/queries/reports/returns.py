"""The return on the money: what kept customers are worth, less what it cost to keep them, with its uncertainty.

How much of it is owed to the incentives only a holdout can tell: with one, a customer counts as kept by us only as far
as more came back than among those who got nothing. Without one, all who were recovered count, and the report says so.
Shares are estimates and end as whole numbers of customers; amounts are only ever whole minor units.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.queries.reports import statistics
from incentives.queries.reports.asked import Asked, Window, catalog_for, days_after, window
from incentives.queries.reports.effectiveness import Holdout, Share, difference_of, holdouts, share_of
from incentives.queries.reports.facts import cohort_of, purchases
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """An amount that is not known exactly: the best guess, and the bounds of 95 in 100."""

    low: Money
    value: Money
    high: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The return of the cases in one currency.

    ``kept`` are customers: the guess and its bounds. ``by_holdout`` says whether those who would have come back anyway
    are taken off. ``worth`` is what one kept customer is worth by the policy; None where the policy does not say.
    """

    currency: str
    cases: int
    given: int
    decided: int
    recovered: int
    kept: tuple[int, int, int]
    by_holdout: bool
    worth: Money | None
    cost: Money
    handling: Money
    retained: Range | None
    net: Range | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loyalty:
    """Customers of one kind: how many of them bought again within the policy's days, and what they say since."""

    kind: str  # recovered, not_recovered, never_failed
    customers: int
    bought: int
    share: Share | None
    scored: int
    mean_score_bp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paradox:
    """Whether who was let down and won back is more loyal than who never was (the recovery paradox)."""

    window: Window
    within_days: int
    groups: tuple[Loyalty, ...]
    difference: Share | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """The return by currency, and the holdout that it leans on."""

    window: Window
    rows: tuple[Return, ...]
    holdouts: tuple[Holdout, ...]


def returns(*, core: Core, actor: Actor, asked: Asked) -> Returns:
    """Return the return on the money. Raises ``NotPermitted``, ``NoCatalog`` and ``InputInvalid``."""
    catalog = catalog_for(core, actor)
    span = window(catalog, core.clock.now(), asked)
    cohort = cohort_of(catalog, actor, span, asked)
    with core.database.read() as tx:
        arms = holdouts(tx, cohort)
        counts, costs = _counts(tx, catalog, cohort), _costs(tx, cohort)
    currencies = sorted({*counts, *costs})
    return Returns(
        window=span,
        rows=tuple(_return(catalog, each, counts.get(each, _NOBODY), costs.get(each, 0), arms) for each in currencies),
        holdouts=arms,
    )


def paradox(*, core: Core, actor: Actor) -> Paradox:
    """Compare the loyalty of the recovered with that of those who were never let down.

    Only what began so long ago that everybody has had the policy's days since is counted: a year of it.
    """
    catalog = catalog_for(core, actor)
    within = catalog.recovery.purchase_within_days
    today = window(catalog, core.clock.now(), Asked(), usual_days=1).until_date
    last = today - timedelta(days=within + 1)
    span = window(catalog, core.clock.now(), Asked(from_date=last - timedelta(days=364), until_date=last))
    with core.database.read() as tx:
        groups = tuple(_loyalty(tx, kind, refs, within) for kind, refs in _references(catalog, actor, span).items())
    recovered, _, never = groups
    return Paradox(
        window=span,
        within_days=within,
        groups=groups,
        difference=difference_of(recovered.bought, recovered.customers, never.bought, never.customers),
    )


_Counts = tuple[int, ...]
_NOBODY: _Counts = (0, 0, 0, 0)


def _counts(tx: Connection, catalog: Catalog, cohort: tuple[ColumnElement[bool], ...]) -> dict[str, _Counts]:
    """Return cases, and of those that were given something all, decided and recovered, by their place's currency."""
    case, given = recovery_cases.c, issuances.c
    got = sa.exists().where(given.case_id == case.id, given.status == "issued")
    was_given = sa.case((got, 1), else_=0).label("given")
    each_case = sa.select(case.location, case.recovered, was_given).where(*cohort).subquery()
    row = each_case.c
    rows = tx.execute(
        sa.select(
            row.location,
            sa.func.count(),
            sa.func.sum(row.given),
            sa.func.sum(sa.case((row.recovered.is_not(None), row.given), else_=0)),
            sa.func.sum(sa.case((row.recovered, row.given), else_=0)),
        ).group_by(row.location)
    )
    found: dict[str, _Counts] = {}
    for location, *numbers in rows:
        currency = catalog.currency(location if location in catalog.locations else None)
        before = found.get(currency, _NOBODY)
        found[currency] = tuple(one + int(more or 0) for one, more in zip(before, numbers, strict=True))
    return found


def _costs(tx: Connection, cohort: tuple[ColumnElement[bool], ...]) -> dict[str, int]:
    case, given = recovery_cases.c, issuances.c
    rows = tx.execute(
        sa.select(given.currency, sa.func.sum(given.amount_minor))
        .join(recovery_cases, case.id == given.case_id)
        .where(*cohort, given.status == "issued")
        .group_by(given.currency)
    )
    return {currency: int(total) for currency, total in rows}


def _return(catalog: Catalog, currency: str, counts: _Counts, cost_minor: int, arms: Sequence[Holdout]) -> Return:
    cases, given, decided, recovered = counts
    policy = catalog.recovery
    kept, by_holdout = _kept(given, decided, recovered, arms)
    handling = Money(policy.handling_cost_minor.get(currency, 0) * given, currency)
    worth_minor = policy.customer_value_minor.get(currency)
    spent_minor = cost_minor + handling.amount_minor
    return Return(
        currency=currency,
        cases=cases,
        given=given,
        decided=decided,
        recovered=recovered,
        kept=kept,
        by_holdout=by_holdout,
        worth=None if worth_minor is None else Money(worth_minor, currency),
        cost=Money(cost_minor, currency),
        handling=handling,
        retained=None if worth_minor is None else _range(kept, worth_minor, 0, currency),
        net=None if worth_minor is None else _range(kept, worth_minor, spent_minor, currency),
    )


def _kept(given: int, decided: int, recovered: int, arms: Sequence[Holdout]) -> tuple[tuple[int, int, int], bool]:
    """Return how many customers the incentives kept (low, guess, high), and whether a holdout says so.

    What is known of the decided cases is taken to hold for all that were given something.
    """
    held = [each.held_out for each in arms]
    held_decided, held_recovered = sum(each.decided for each in held), sum(each.recovered for each in held)
    share = (
        statistics.newcombe(recovered, decided, held_recovered, held_decided)
        if held_decided
        else statistics.wilson(recovered, decided)
    )
    if share is None:
        return (0, 0, 0), bool(held_decided)
    kept = (math.floor(share.low * given), round(share.value * given), math.ceil(share.high * given))
    return kept, bool(held_decided)


def _range(kept: tuple[int, int, int], worth_minor: int, spent_minor: int, currency: str) -> Range:
    low, value, high = (Money(each * worth_minor - spent_minor, currency) for each in kept)
    return Range(low=low, value=value, high=high)


# --- the recovery paradox -------------------------------------------------------------------------------------


def _references(catalog: Catalog, actor: Actor, span: Window) -> Mapping[str, sa.Select[Any]]:
    """Return who is of which kind, and since when it counts what they do: (customer, at)."""
    case, said = recovery_cases.c, feedback.c
    closed = sa.select(case.customer_id, sa.func.min(case.closed_at).label("at")).where(
        case.customer_id.is_not(None),
        case.closed_at >= span.from_at,
        case.closed_at < span.until_at,
        seen_by(actor, case.location),
    )
    let_down = sa.select(case.customer_id).where(case.customer_id.is_not(None))
    never = (
        sa.select(said.customer_id, sa.func.min(said.occurred_at).label("at"))
        .where(
            said.score_bp >= catalog.recovery.recovered_score_pct * 100,
            said.survey_id.is_(None),
            said.customer_id.is_not(None),
            said.customer_id.not_in(let_down),
            said.occurred_at >= span.from_at,
            said.occurred_at < span.until_at,
            seen_by(actor, said.location),
        )
        .group_by(said.customer_id)
    )
    return {
        "recovered": closed.where(case.recovered.is_(True)).group_by(case.customer_id),
        "not_recovered": closed.where(case.recovered.is_(False)).group_by(case.customer_id),
        "never_failed": never,
    }


def _loyalty(tx: Connection, kind: str, found: sa.Select[Any], within_days: int) -> Loyalty:
    who = found.cte("who").prefix_with("MATERIALIZED")
    refs = sa.select(who, days_after(tx, who.c.at, within_days).label("until")).cte("refs").prefix_with("MATERIALIZED")
    ref, bought, said = refs.c, purchases(), feedback.c
    buyers = (
        sa.select(sa.func.count(sa.distinct(ref.customer_id)))
        .join(bought, bought.c.customer_id == ref.customer_id)
        .where(bought.c.at > ref.at, bought.c.at <= ref.until)
    )
    scores = (
        sa.select(sa.func.count().label("number"), sa.func.coalesce(sa.func.sum(said.score_bp), 0).label("total"))
        .select_from(refs)
        .join(feedback, said.customer_id == ref.customer_id)
        .where(
            said.score_bp.is_not(None),
            said.survey_id.is_(None),
            said.occurred_at > ref.at,
            said.occurred_at <= ref.until,
        )
        .subquery()
    )
    everybody = sa.select(sa.func.count()).select_from(refs).scalar_subquery()
    customers, bought_again, scored, total = tx.execute(
        sa.select(everybody, buyers.scalar_subquery(), scores.c.number, scores.c.total)
    ).one()
    return Loyalty(
        kind=kind,
        customers=customers,
        bought=bought_again,
        share=share_of(bought_again, customers),
        scored=scored,
        mean_score_bp=int(total) // scored if scored else None,
    )
