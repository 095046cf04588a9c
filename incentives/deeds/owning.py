"""Who takes a case on, and who is told of it.

Not a flow: it opens no transaction.
"""

import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import PERMISSIONS, Actor, may
from incentives.kernel.core import Core
from incentives.messages import outbox
from incentives.recovery import owners
from incentives.recovery.tables import recovery_cases

SUPERVISORS = ("supervisor", "manager")
WORKERS = tuple(role for role, permissions in PERMISSIONS.items() if "cases:work" in permissions)


class Placed(Protocol):
    """What of a case its assignment goes by; a row of a case has it, and so has a ``NewCase``."""

    @property
    def issue_tag(self) -> str:
        """Return the key of what went wrong."""

    @property
    def location(self) -> str | None:
        """Return where it went wrong."""

    @property
    def team(self) -> str | None:
        """Return whose trouble it was."""


def best_owner(
    tx: Connection,
    catalog: Catalog,
    case: Placed,
    rule: Mapping[str, Any],
    *,
    agents: Collection[str] = (),
    not_to: Collection[str] = (),
) -> str | None:
    """Return the label of who should take a case on by a rule, or None where nobody can.

    ``rule`` is ``{"to": "team" | "same_agent" | "supervisor", "team": key}``; ``agents`` are the names, addresses or
    labels by which the one who served is known, for ``same_agent``. Of those who can, whoever has the fewest open
    cases, then whoever was given one the longest ago: equals take turns. The candidates stay locked until the
    transaction ends, so that no two cases are counted into the same last place.
    """
    found = _candidates(tx, catalog, case, rule, agents, not_to)
    if not found:
        return None
    labels = [f"person:{row.id}" for row in found]
    table = recovery_cases.c
    counted = tx.execute(
        sa.select(table.owner, sa.func.count().filter(table.status == "open"), sa.func.max(table.assigned_at))
        .where(table.owner.in_(labels))
        .group_by(table.owner)
    ).all()
    loads = {owner: (count, last) for owner, count, last in counted}
    return owners.choose(
        owners.Candidate(
            label=label,
            open_cases=loads.get(label, (0, None))[0],
            last_assigned_at=loads.get(label, (0, None))[1],
            most_open_cases=_most_open(catalog, row.team),
        )
        for label, row in zip(labels, found, strict=True)
    )


def _most_open(catalog: Catalog, team: str | None) -> int | None:
    found = catalog.teams.get(team or "")
    return found.most_open_cases if found else None


def _candidates(
    tx: Connection,
    catalog: Catalog,
    case: Placed,
    rule: Mapping[str, Any],
    agents: Collection[str],
    not_to: Collection[str],
) -> list[Any]:
    """Return the people who could take the case on, locked in the order of their ids."""
    table = users.c
    who = _whom(catalog, case, rule, agents)
    if who is None:
        return []
    here = sa.or_(table.location.is_(None), table.location == case.location) if case.location else sa.true()
    rows = tx.execute(
        sa.select(table.id, table.team, table.skills)
        .where(who, here, table.disabled_at.is_(None), table.role.in_(WORKERS))
        .order_by(table.id)
        .with_for_update(key_share=True)
    ).all()
    lineage = catalog.lineage(case.issue_tag)
    return [row for row in rows if owners.skilled(row.skills, lineage) and f"person:{row.id}" not in not_to]


def person_id(label: str | None) -> uuid.UUID | None:
    """Return the id of the person whom a label names; None for a program, and for what is no label at all.

    A survey tool may call whoever served by any name, such as one that only looks like a label.
    """
    kind, _, number = (label or "").partition(":")
    try:
        return uuid.UUID(number) if kind == "person" else None
    except ValueError:
        return None


def _whom(
    catalog: Catalog, case: Placed, rule: Mapping[str, Any], agents: Collection[str]
) -> sa.ColumnElement[bool] | None:
    """Return the condition that a rule puts on people, or None where it means nobody."""
    table = users.c
    if rule["to"] == "supervisor":
        return table.role.in_(SUPERVISORS)
    if rule["to"] == "same_agent":
        ids = [found for name in agents if (found := person_id(name))]
        names = [name.strip().lower() for name in agents]
        named = sa.or_(table.id.in_(ids), sa.func.lower(table.email).in_(names), sa.func.lower(table.name).in_(names))
        return named if agents else None
    lineage = catalog.lineage(case.issue_tag)
    wanted = [rule["team"]] if rule.get("team") else [case.team] if case.team else list(catalog.teams)
    teams = [
        key
        for key in wanted
        if (team := catalog.teams.get(key))
        and owners.skilled(team.skills, lineage)
        and (team.location is None or case.location is None or team.location == case.location)
    ]
    return table.team.in_(teams) if teams else None


def assign(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    case: Any,
    *,
    owner: str | None,
    team: str | None,
    by: str,
) -> bool:
    """Give an open case to somebody, or to a team; False when it is closed. ``by`` says how that was decided.

    Whoever is given a case by somebody else is told by email.
    """
    table = recovery_cases.c
    moved = tx.execute(
        recovery_cases.update()
        .where(table.id == case.id, table.status == "open")
        .values(owner=owner, owner_team=team, assigned_at=now if owner else None, changed_at=now)
    ).rowcount
    if moved != 1:
        return False
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action="case.assigned",
        subject_kind="case",
        subject_id=case.id,
        case_id=case.id,
        facts={"owner": owner, "team": team, "by": by, "before": case.owner},
    )
    if owner not in (None, actor.label, case.owner):
        tell(tx, core, now, case.id, [owner], "notice-assigned")
    return True


def tell(
    tx: Connection, core: Core, now: datetime, case_id: uuid.UUID, labels: Collection[str | None], template: str
) -> None:
    """Put notices to people into the outbox; programs and rules are told nothing."""
    ids = [found for label in labels if (found := person_id(label))]
    if not ids:
        return
    known = tx.execute(sa.select(users.c.id).where(users.c.id.in_(ids), users.c.disabled_at.is_(None))).scalars()
    outbox.enqueue(
        tx, [outbox.notice(core=core, now=now, case_id=case_id, user_id=each, template=template) for each in known]
    )


def leaders(tx: Connection, location: str | None) -> list[str]:
    """Return the labels of whoever leads where a case is: supervisors there, else whoever leads everywhere."""
    table = users.c
    query = sa.select(table.id, table.role, table.location).where(
        table.role.in_(SUPERVISORS), table.disabled_at.is_(None)
    )
    found = tx.execute(query.where(sa.or_(table.location == location, table.location.is_(None)))).all()
    nearest: list[Callable[[Any], bool]] = [
        lambda row: row.role == "supervisor" and row.location == location,
        lambda row: row.location == location,
        lambda row: row.role == "supervisor",
        lambda _row: True,
    ]
    chosen: list[Any] = next((some for each in nearest if (some := [row for row in found if each(row)])), [])
    return [f"person:{row.id}" for row in chosen]


def tell_if_grave(tx: Connection, core: Core, actor: Actor, now: datetime, case: Mapping[str, Any]) -> None:
    """Tell whoever leads there of a case that was just opened, by its row, if it is as grave as the policy says.

    Who leads knows what they open themselves.
    """
    grave = releases.cached_current(tx, core).catalog.recovery.escalate_from_severity
    if case["severity"] >= grave and not may(actor, "cases:manage"):
        tell(tx, core, now, case["id"], leaders(tx, case["location"]), "notice-new")
