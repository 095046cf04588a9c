"""Who carries how much, so that work can be shared fairly. For those who lead others; it is no trend and no blame."""

from dataclasses import dataclass

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.queries.letters import actor_names
from incentives.queries.reports.asked import Asked, Window, catalog_for, window
from incentives.queries.reports.facts import cohort_of
from incentives.queries.reports.funnel import share_bp
from incentives.recovery.tables import case_clocks, recovery_cases

LEAD = "cases:manage"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLoad:
    """One owner: cases that were opened for them in the period, still open, grave ones, and clocks met in time."""

    owner: str | None
    name: str
    cases: int
    open: int
    grave: int
    in_time: int
    ended: int
    in_time_bp: int | None
    share_bp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load by owner, the most laden first; cases without an owner stand there as nobody's."""

    window: Window
    owners: tuple[OwnerLoad, ...]


def load(*, core: Core, actor: Actor, asked: Asked) -> Load:
    """Return who carries how much. Raises ``NotPermitted`` to whoever leads nobody, ``NoCatalog``, ``InputInvalid``."""
    permit(actor, LEAD)
    catalog = catalog_for(core, actor)
    now = core.clock.now()
    span = window(catalog, now, asked)
    cohort = cohort_of(catalog, actor, span, asked)
    case, clock = recovery_cases.c, case_clocks.c
    with core.database.read() as tx:
        cases = tx.execute(
            sa.select(
                case.owner,
                sa.func.count(),
                sa.func.sum(sa.case((case.status == "open", 1), else_=0)),
                sa.func.sum(sa.case((case.severity >= 3, 1), else_=0)),  # noqa: PLR2004 - serious and grave
            )
            .where(*cohort)
            .group_by(case.owner)
        ).all()
        clocks = {
            owner: (int(met), ended)
            for owner, met, ended in tx.execute(
                sa.select(case.owner, sa.func.sum(sa.case((clock.met_at <= clock.due_at, 1), else_=0)), sa.func.count())
                .select_from(case_clocks)
                .join(recovery_cases, case.id == clock.case_id)
                .where(*cohort, sa.or_(clock.met_at.is_not(None), clock.due_at < now))
                .group_by(case.owner)
            )
        }
        names = actor_names(tx, {row[0] for row in cases if row[0]})
    whole = sum(row[1] for row in cases)
    found = [
        OwnerLoad(
            owner=owner,
            name=names.get(owner, owner) if owner else "Nobody",
            cases=number,
            open=int(still),
            grave=int(grave),
            in_time=clocks.get(owner, (0, 0))[0],
            ended=clocks.get(owner, (0, 0))[1],
            in_time_bp=share_bp(*clocks.get(owner, (0, 0))),
            share_bp=share_bp(number, whole),
        )
        for owner, number, still, grave in cases
    ]
    return Load(window=span, owners=tuple(sorted(found, key=lambda each: (-each.cases, each.name))))
