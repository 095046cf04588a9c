"""The funnel, from trouble to bought again, by the cohort of opening: who was let down then, and how far it went.

A step's share says of what: of all who were let down, of the cases, or of those who came to the step before it.
"""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.reports import statistics
from incentives.queries.reports.asked import DIMENSIONS, Asked, Window, catalog_for, labels_of, window
from incentives.queries.reports.facts import CaseFacts, case_facts, kept_to
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
_MINUTE_SECONDS = 60


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
        cases = case_facts(tx, catalog, actor, span, asked)
        unseen = _without_case(tx, catalog, actor, span, asked, by)
    return Funnel(
        window=span,
        steps=_steps(cases, sum(unseen.values()) if unseen is not None else None),
        unsalvageable=sum(not each.salvageable for each in cases),
        by=by,
        groups=_groups(catalog, cases, unseen, by),
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
        cases = case_facts(tx, catalog, actor, span, asked)
    found = [each for each in cases if reached(each, step) is not missing]
    found.sort(key=lambda each: each.opened, reverse=True)
    return len(found), tuple(
        CaseAt(
            id=each.id,
            issue_tag=each.issue_tag,
            location=each.location,
            status="open" if each.closed is None else "closed",
            opened_at=datetime.fromtimestamp(each.opened, UTC),
        )
        for each in found[:limit]
    )


def reached(case: CaseFacts, step: str) -> bool:
    """Return whether a case came to a step."""
    if step == "case":
        return True
    if step == "recovered":
        return case.recovered is True
    return getattr(case, step) is not None


def _steps(cases: Sequence[CaseFacts], unseen: int | None) -> tuple[Step, ...]:
    counts = _counts(cases)
    counts["eligible"] = len(cases) + (unseen or 0)
    first = Step(
        name="eligible", count=counts["eligible"], of=None, of_count=None, share_bp=None, since=None,
        median_minutes=None,
    )  # fmt: skip
    return (first, *(_step(cases, counts, name) for name in STEPS))


def _step(cases: Sequence[CaseFacts], counts: Mapping[str, int], name: str) -> Step:
    of, since = STEPS[name]
    return Step(
        name=name,
        count=counts[name],
        of=of,
        of_count=counts[of],
        share_bp=share_bp(counts[name], counts[of]),
        since=since or None,
        median_minutes=statistics.percentile(_minutes(cases, name, since), 50) if since else None,
    )


def share_bp(count: int, of: int) -> int | None:
    """Return a share in ten thousandths, halves up; None of nothing."""
    return (2 * count * _WHOLE_BP + of) // (2 * of) if of else None


def _minutes(cases: Sequence[CaseFacts], name: str, since: str) -> list[int]:
    """Return the minutes between two steps, sorted; a step that came before the other one took none."""
    both = attrgetter(since, _AT.get(name, name))
    counted = cases if name != "recovered" else [case for case in cases if case.recovered]
    pairs = map(both, counted)
    return sorted(
        max(0, later - earlier) // _MINUTE_SECONDS
        for earlier, later in pairs
        if earlier is not None and later is not None
    )


_AT = {"recovered": "decided"}


def _counts(cases: Sequence[CaseFacts]) -> dict[str, int]:
    counts = {"case": len(cases), "recovered": sum(each.recovered is True for each in cases)}
    for name in STEPS.keys() - counts.keys():
        index = CaseFacts._fields.index(name)
        counts[name] = sum(each[index] is not None for each in cases)
    return counts


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


def _groups(catalog: Catalog, cases: Sequence[CaseFacts], unseen: Counter[str] | None, by: str) -> tuple[Group, ...]:
    index = CaseFacts._fields.index(by if by in DIMENSIONS else "issue_tag")
    members: dict[str, list[CaseFacts]] = {}
    for each in cases:
        members.setdefault(_text(each[index]), []).append(each)
    known = unseen if unseen is not None and by in ON_FEEDBACK else None
    keys = sorted({*members, *(known or ())})
    labels = labels_of(catalog, by, keys)
    groups = []
    for key in keys:
        counts: dict[str, int | None] = dict(_counts(members.get(key, [])))
        counts["eligible"] = None if known is None else len(members.get(key, [])) + known[key]
        groups.append(Group(key=key, label=labels[key], counts={name: counts[name] for name in NAMES}))
    return tuple(sorted(groups, key=lambda each: -(each.counts["eligible"] or each.counts["case"] or 0)))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
