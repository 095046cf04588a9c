"""What the approved catalog says of recoveries: root causes, who reports to us, and what holds for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core

READ = "catalog:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCauseRow:
    """Why something goes wrong, in every language; ``path`` is its key, its parent's and so on up."""

    key: str
    parent: str | None
    label: Mapping[str, str]
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A tool that reports to us. ``fields`` are JSON Pointers, or constants behind ``=``, by our field."""

    key: str
    name: str
    kind: str
    scale: str | None
    tag_source: str | None
    fields: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Mapping[str, str]]
    tolerance_hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """What holds for every recovery: percents of the comparable scale, amounts in minor units by currency."""

    root_cause_from_severity: int
    escalate_from_severity: int
    recovered_score_pct: int
    recovered_uplift_pct: int
    purchase_within_days: int
    survey_quiet_days: int
    settle_minutes: int
    automation_ceiling_minor: Mapping[str, int]
    customer_value_minor: Mapping[str, int]
    handling_cost_minor: Mapping[str, int]
    trend_volume_least: int
    blame_free: bool


def root_causes(*, core: Core, actor: Actor) -> tuple[RootCauseRow, ...]:
    """Return every root cause, in the catalog's order. Raises ``NotPermitted`` and ``NoCatalog``, as all of these."""
    catalog = _catalog(core, actor)
    return tuple(
        RootCauseRow(key=each.key, parent=each.parent, label=each.label, path=catalog.cause_lineage(each.key))
        for each in catalog.root_causes.values()
    )


def sources(*, core: Core, actor: Actor) -> tuple[SourceRow, ...]:
    """Return every source, in the catalog's order."""
    return tuple(_row(each, SourceRow) for each in _catalog(core, actor).sources.values())


def policy(*, core: Core, actor: Actor) -> PolicyRow:
    """Return what holds for every recovery, whether the catalog says it or it is so by default."""
    found: PolicyRow = _row(_catalog(core, actor).recovery, PolicyRow)
    return found


def _catalog(core: Core, actor: Actor) -> Catalog:
    permit(actor, READ)
    with core.database.read() as tx:
        return releases.cached_current(tx, core).catalog


def _row(item: object, row: type[Any]) -> Any:
    return row(**{name: getattr(item, name) for name in row.__dataclass_fields__})
