"""The funnel, from trouble to bought again, by the cohort of opening: who was let down then, and how far it went.

A step's share says of what: of all who were let down, of the cases, or of those who came to the step before it.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.reports import statistics
from incentives.queries.reports.asked import DIMENSIONS, Asked, Window, catalog_for, labels_of, window
from incentives.queries.reports.facts import case_facts, in_order, kept_to, listed, minutes_between, numbers_of
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback

# Each step: of which step its share is, and since which its time counts.
STEPS: Mapping[str, tuple[str, str]] = {
    "case": ("eligible", ""),
    "contacted": ("case", "opened"),
    "apologized": ("case", "contacted"),
    "issued": ("case", "apologized"),
    "delivered": ("issued", "issued"),
    "redeemed": ("issued", "delivered"),
    "asked": ("case", "closed"),
    "answered": ("asked", "asked"),
    "recovered": ("case", "opened"),
    "bought": ("case", "closed"),
}
NAMES = ("eligible", *STEPS)
ON_FEEDBACK = ("issue_tag", "location", "source", "product", "severity", "segment")
"""What feedback can be told apart by that no case was opened for; the rest only cases know."""

_WHOLE_BP = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How many came to a step; ``share_bp`` of ``of_count``, in ten thousandths; the median of the minutes between."""

    name: str
    count: int
    of: str | None
    of_count: int | None
    share_bp: int | None
    since: str | None
    median_minutes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The counts of one value of a dimension, by step; None where only cases know the dimension."""

    key: str
    label: str
    counts: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """The funnel of a period, and the same by a dimension, the largest group first."""

    window: Window
    steps: tuple[Step, ...]
    unsalvageable: int
    by: str
    groups: tuple[Group, ...]


def trouble(catalog: Catalog) -> ColumnElement[bool]:
    """Return the condition under which feedback says that somebody was let down; answers to re-surveys never do."""
    said = feedback.c
    return sa.and_(
        said.survey_id.is_(None),
        sa.or_(
            said.kind.in_(("complaint", "employee_report")),
            sa.and_(said.kind == "event", sa.func.coalesce(said.event, "other") != "purchase"),
            said.score_bp < catalog.recovery.recovered_score_pct * 100,
        ),
    )


def funnel(*, core: Core, actor: Actor, asked: Asked, by: str = "issue_tag") -> Funnel:
    """Return the funnel. Raises ``NotPermitted``, ``NoCatalog`` and ``InputInvalid``."""
    catalog = catalog_for(core, actor)
    span = window(catalog, core.clock.now(), asked)
    with core.database.read() as tx:
        found = _tallies(tx, catalog, actor, span, asked, by)
        unseen = _without_case(tx, catalog, actor, span, asked, by)
    return Funnel(
        window=span,
        steps=_steps(list(found.values()), sum(unseen.values()) if unseen is not None else None),
        unsalvageable=sum(each.unsalvageable for each in found.values()),
        by=by,
        groups=_groups(catalog, found, unseen, by),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAt:
    """A case that a figure is made of."""

    id: uuid.UUID
    issue_tag: str
    location: str | None
    status: str
    opened_at: datetime


def cases_at(
    *, core: Core, actor: Actor, asked: Asked, step: str, missing: bool = False, limit: int = 200
) -> tuple[int, tuple[CaseAt, ...]]:
    """Return how many cases came to a step (or did not), and the latest of them: what a figure is made of."""
    catalog = catalog_for(core, actor)
    span = window(catalog, core.clock.now(), asked)
    with core.database.read() as tx:
        row = case_facts(tx, catalog, actor, span, asked, steps=(step,)).c
        came = {"case": sa.true(), "recovered": sa.func.coalesce(row.recovered, sa.false())}.get(step)
        came = row[step].is_not(None) if came is None else came
        found = tx.execute(
            sa.select(row.id, row.issue_tag, row.location, row.closed, row.opened, sa.func.count().over())
            .where(sa.not_(came) if missing else came)
            .order_by(row.opened.desc(), row.id.desc())
            .limit(limit)
        ).all()
    return found[0][-1] if found else 0, tuple(
        CaseAt(
            id=case_id,
            issue_tag=tag,
            location=location,
            status="open" if closed is None else "closed",
            opened_at=datetime.fromtimestamp(opened, UTC),
        )
        for case_id, tag, location, closed, opened, _ in found
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """The cases of one value of a dimension: how many came to each step, and each one's minutes since another step."""

    counts: dict[str, int]
    unsalvageable: int
    minutes: Mapping[str, list[int]]


def _tallies(tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, by: str) -> dict[str, _Tally]:
    """Return the tallies by the values of a dimension: one statement counts all of them."""
    row = case_facts(tx, catalog, actor, span, asked, steps=[*(name for name in STEPS if name not in _ALWAYS), by]).c
    value = row[by if by in DIMENSIONS else "issue_tag"]
    counted = [name for name in STEPS if name != "case"]
    timed = [name for name in STEPS if STEPS[name][1]]
    query = sa.select(
        value,
        sa.func.count(),
        sa.func.sum(sa.case((row.salvageable, 0), else_=1)),
        *(_came(row, name) for name in counted),
        *(listed(_minutes_between(row, name)) for name in timed),
    ).group_by(value)
    found = {}
    for key, cases, unsalvageable, *rest in tx.execute(query):
        came = dict(zip(counted, map(int, rest), strict=False))
        minutes = dict(zip(timed, map(numbers_of, rest[len(counted) :]), strict=True))
        found[_text(key)] = _Tally(counts={"case": cases, **came}, unsalvageable=int(unsalvageable), minutes=minutes)
    return found


_ALWAYS = ("case", "recovered")


def _came(row: Any, name: str) -> ColumnElement[int]:
    if name == "recovered":
        return sa.func.sum(sa.case((row.recovered, 1), else_=0))
    return sa.func.count(row[name])


def _minutes_between(row: Any, name: str) -> ColumnElement[int]:
    """Return the whole minutes between a step and the one since which its time counts."""
    at = sa.case((row.recovered, row.decided)) if name == "recovered" else row[name]
    return minutes_between(row[STEPS[name][1]], at)


def _steps(found: Sequence[_Tally], unseen: int | None) -> tuple[Step, ...]:
    counts = _summed([each.counts for each in found])
    counts["eligible"] = counts["case"] + (unseen or 0)
    first = Step(
        name="eligible", count=counts["eligible"], of=None, of_count=None, share_bp=None, since=None,
        median_minutes=None,
    )  # fmt: skip
    return (first, *(_step(found, counts, name) for name in STEPS))


def _step(found: Sequence[_Tally], counts: Mapping[str, int], name: str) -> Step:
    of, since = STEPS[name]
    minutes = in_order(chain.from_iterable(each.minutes[name] for each in found)) if since else []
    return Step(
        name=name,
        count=counts[name],
        of=of,
        of_count=counts[of],
        share_bp=share_bp(counts[name], counts[of]),
        since=since or None,
        median_minutes=statistics.percentile(minutes, 50),
    )


def share_bp(count: int, of: int) -> int | None:
    """Return a share in ten thousandths, halves up; None of nothing."""
    return (2 * count * _WHOLE_BP + of) // (2 * of) if of else None


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    whole = dict.fromkeys(STEPS, 0)
    for each in counts:
        for name, number in each.items():
            whole[name] += number
    return whole


def _without_case(
    tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, by: str
) -> Counter[str] | None:
    """Return the feedback that somebody was let down and no case was opened for; None where only cases know."""
    said, wanted = feedback.c, asked.wanted()
    if not wanted.keys() <= set(ON_FEEDBACK):
        return None
    value: ColumnElement[Any] = said[by] if by in ON_FEEDBACK else sa.literal(None, sa.String())
    rows = tx.execute(
        sa.select(value, sa.func.count())
        .where(
            said.occurred_at >= span.from_at,
            said.occurred_at < span.until_at,
            said.case_id.is_(None),
            trouble(catalog),
            seen_by(actor, said.location),
            *(kept_to(catalog, said[name], name, wanted[name]) for name in wanted),
        )
        .group_by(value)
    )
    return Counter({_text(key): number for key, number in rows})


def _groups(catalog: Catalog, found: Mapping[str, _Tally], unseen: Counter[str] | None, by: str) -> tuple[Group, ...]:
    known = unseen if unseen is not None and by in ON_FEEDBACK else None
    keys = sorted({*found, *(known or ())})
    labels = labels_of(catalog, by, keys)
    groups = []
    for key in keys:
        counts: dict[str, int | None] = dict(_summed([found[key].counts] if key in found else []))
        counts["eligible"] = None if known is None else (counts["case"] or 0) + known[key]
        groups.append(Group(key=key, label=labels[key], counts={name: counts[name] for name in NAMES}))
    return tuple(sorted(groups, key=lambda each: -(each.counts["eligible"] or each.counts["case"] or 0)))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
