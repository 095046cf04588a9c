"""What each incentive achieves: how many it brought back, at what cost, against nobody having given anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.queries.reports import statistics
from incentives.queries.reports.asked import Asked, Window, catalog_for, labels_of, window
from incentives.queries.reports.facts import cohort_of
from incentives.recovery.feedback_tables import criteria_firings
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances

_WHOLE_BP = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share, or a difference of two, with the bounds of 95 in 100, in ten thousandths."""

    value_bp: int
    low_bp: int
    high_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one incentive did (None: no incentive), for one tag or ("") for all.

    Of ``cases`` so many are ``decided``, and of these ``recovered``. ``cost`` is of all cases, ``per_recovery`` that of
    one recovery. ``over_nothing`` is the difference to cases in which nothing was given.
    """

    incentive: str | None
    incentive_label: str
    issue_tag: str
    issue_tag_label: str
    cases: int
    decided: int
    recovered: int
    share: Share | None
    over_nothing: Share | None
    cost: Money | None
    per_recovery: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One side of a holdout."""

    cases: int
    decided: int
    recovered: int
    share: Share | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """A criterion that gives nothing to some by lot: both arms, and the difference that giving made."""

    criterion: str
    given: Arm
    held_out: Arm
    difference: Share | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effectiveness:
    """The effects over all tags and by tag, and the holdouts, for the cases that were opened in a period."""

    window: Window
    overall: tuple[Effect, ...]
    by_tag: tuple[Effect, ...]
    holdouts: tuple[Holdout, ...]


def effectiveness(*, core: Core, actor: Actor, asked: Asked) -> Effectiveness:
    """Return what incentives achieve. Raises ``NotPermitted``, ``NoCatalog`` and ``InputInvalid``."""
    catalog = catalog_for(core, actor)
    span = window(catalog, core.clock.now(), asked)
    cohort = cohort_of(catalog, actor, span, asked)
    with core.database.read() as tx:
        cells = _cells(tx, cohort, asked)
        arms = holdouts(tx, cohort)
    return Effectiveness(
        window=span,
        overall=_effects(catalog, _summed(cells)),
        by_tag=_effects(catalog, cells),
        holdouts=arms,
    )


def share_of(hits: int, of: int) -> Share | None:
    """Return a share with its interval."""
    return _in_bp(statistics.wilson(hits, of))


def difference_of(hits: int, of: int, other_hits: int, other_of: int) -> Share | None:
    """Return the difference of two shares with its interval."""
    return _in_bp(statistics.newcombe(hits, of, other_hits, other_of))


@dataclass(slots=True)
class _Cell:
    cases: int = 0
    decided: int = 0
    recovered: int = 0
    costs: dict[str, int] | None = None

    def add(self, cases: int, *, decided: int, recovered: int, costs: Mapping[str, int]) -> None:
        """Count more."""
        self.cases += cases
        self.decided += decided
        self.recovered += recovered
        mine = self.costs = self.costs or {}
        for currency, amount_minor in costs.items():
            mine[currency] = mine.get(currency, 0) + amount_minor


_Cells = dict[tuple[str | None, str], _Cell]


def _cells(tx: Connection, cohort: tuple[ColumnElement[bool], ...], asked: Asked) -> _Cells:
    """Return the counts by (incentive, tag): each case once, under the first of its incentives by key."""
    case, given = recovery_cases.c, issuances.c
    per_case = (
        sa.select(
            given.case_id,
            given.currency,
            sa.func.min(given.incentive).label("incentive"),
            sa.func.sum(given.amount_minor).label("cost"),
        )
        .join(recovery_cases, case.id == given.case_id)
        .where(given.status == "issued", *cohort)
        .group_by(given.case_id, given.currency)
        .subquery()
    )
    rows = tx.execute(
        sa.select(
            per_case.c.incentive,
            case.issue_tag,
            per_case.c.currency,
            sa.func.count(),
            sa.func.count(case.recovered),
            sa.func.sum(sa.case((case.recovered, 1), else_=0)),
            sa.func.coalesce(sa.func.sum(per_case.c.cost), 0),
        )
        .select_from(recovery_cases)
        .outerjoin(per_case, per_case.c.case_id == case.id)
        .where(*cohort)
        .group_by(per_case.c.incentive, case.issue_tag, per_case.c.currency)
    )
    found: _Cells = {}
    for incentive, tag, currency, cases, decided, recovered, cost in rows:
        if asked.incentive is None or asked.incentive == incentive or incentive is None:
            cell = found.setdefault((incentive, tag), _Cell())
            cell.add(cases, decided=decided, recovered=int(recovered), costs={currency: int(cost)} if currency else {})
    return found


def _summed(cells: _Cells) -> _Cells:
    found: _Cells = {}
    for (incentive, _), each in cells.items():
        found.setdefault((incentive, ""), _Cell()).add(
            each.cases, decided=each.decided, recovered=each.recovered, costs=each.costs or {}
        )
    return found


def _effects(catalog: Catalog, cells: _Cells) -> tuple[Effect, ...]:
    tags = labels_of(catalog, "issue_tag", {tag for _, tag in cells})
    names = labels_of(catalog, "incentive", {incentive or "" for incentive, _ in cells})
    found = [_effect(cells, incentive, tag, names, tags) for incentive, tag in cells]
    return tuple(sorted(found, key=lambda each: (each.issue_tag_label, each.incentive is None, -each.cases)))


def _effect(
    cells: _Cells, incentive: str | None, tag: str, names: Mapping[str, str], tags: Mapping[str, str]
) -> Effect:
    cell, nothing = cells[incentive, tag], cells.get((None, tag), _Cell())
    costs = cell.costs or {}
    # Amounts of several currencies have no sum; such a row says nothing of its cost.
    cost = Money(next(iter(costs.values())), next(iter(costs))) if len(costs) == 1 else None
    return Effect(
        incentive=incentive,
        incentive_label=names[incentive] if incentive else "Nothing given",
        issue_tag=tag,
        issue_tag_label=tags[tag] if tag else "All",
        cases=cell.cases,
        decided=cell.decided,
        recovered=cell.recovered,
        share=share_of(cell.recovered, cell.decided),
        over_nothing=None
        if incentive is None
        else difference_of(cell.recovered, cell.decided, nothing.recovered, nothing.decided),
        cost=cost,
        per_recovery=Money(cost.amount_minor // cell.recovered, cost.currency) if cost and cell.recovered else None,
    )


def holdouts(tx: Connection, cohort: tuple[ColumnElement[bool], ...]) -> tuple[Holdout, ...]:
    """Return, for each criterion that holds some out, how both arms fared."""
    case, firing = recovery_cases.c, criteria_firings.c
    counts = (sa.func.count(), sa.func.count(case.recovered), sa.func.sum(sa.case((case.recovered, 1), else_=0)))
    held = {
        row[0]: _arm(*row[1:])
        for row in tx.execute(
            sa.select(case.held_out_of, *counts)
            .where(*cohort, case.held_out_of.is_not(None))
            .group_by(case.held_out_of)
        )
    }
    given = {
        row[0]: _arm(*row[1:])
        for row in tx.execute(
            sa.select(firing.criterion, *counts)
            .select_from(criteria_firings)
            .join(recovery_cases, case.id == firing.case_id)
            .where(*cohort, firing.issuance_id.is_not(None), firing.criterion.in_(list(held)), firing.mode == "live")
            .group_by(firing.criterion)
        )
    }
    nobody = _arm(0, 0, 0)
    return tuple(_holdout(criterion, given.get(criterion, nobody), held[criterion]) for criterion in sorted(held))


def _holdout(criterion: str, given: Arm, held: Arm) -> Holdout:
    difference = difference_of(given.recovered, given.decided, held.recovered, held.decided)
    return Holdout(criterion=criterion, given=given, held_out=held, difference=difference)


def _arm(cases: int, decided: int, recovered: Any) -> Arm:
    hits = int(recovered or 0)
    return Arm(cases=cases, decided=decided, recovered=hits, share=share_of(hits, decided))


def _in_bp(interval: statistics.Interval | None) -> Share | None:
    if interval is None:
        return None
    to_bp: Callable[[float], int] = lambda share: round(share * _WHOLE_BP)  # noqa: E731 - three times the same
    return Share(value_bp=to_bp(interval.value), low_bp=to_bp(interval.low), high_bp=to_bp(interval.high))
