"""Assign a case: somebody takes it on, is given it, or a rule says who should have it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import casework, owning
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseOwned, InputInvalid
from incentives.recovery.feedback_tables import feedback

RULES = ("team", "same_agent", "supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignCase:
    """Give a case to a person, to a team, or to whom a rule says, and write down why.

    ``owner`` is a label (``person:<id>``). ``rule`` is ``{"to": "team" | "same_agent" | "supervisor", "team": key}``.
    """

    case_id: uuid.UUID
    reason: str
    owner: str | None = None
    team: str | None = None
    rule: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCase:
    """Take a case on oneself."""

    case_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Whose the case is now; ``owner`` is None where it waits for somebody of the team."""

    case_id: uuid.UUID
    owner: str | None
    owner_name: str | None
    owner_team: str | None


def assign_case(*, core: Core, actor: Actor, command: AssignCase) -> Assigned:
    """Give a case to somebody else; the reason becomes a note, and who is given it is told by email.

    Raises ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:manage")
    now = core.clock.now()
    reason = casework.text(command.reason, "reason", needed="Say why.") or ""
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        catalog = releases.cached_current(tx, core).catalog
        owner, by = _chosen(tx, catalog, case, command)
        person = casework.person(tx, owner, "owner")
        team = command.team or (command.rule or {}).get("team") or (person.team if person else None)
        if team is not None and team not in catalog.teams:
            raise InputInvalid(errors=[{"field": "team", "message": "There is no such team."}])
        owning.assign(tx, core, actor, now, case, owner=owner, team=team, by=by)
        casework.check_sees(tx, person, case.id)
        casework.note(tx, core, actor, now, case.id, reason)
    return Assigned(case_id=case.id, owner=owner, owner_name=person.name if person else None, owner_team=team)


def _chosen(tx: Connection, catalog: Catalog, case: Any, command: AssignCase) -> tuple[str | None, str]:
    """Return who should have the case, and by what that was decided."""
    given = [each for each in (command.owner, command.rule, command.team) if each]
    if not given or (command.owner and command.rule):
        raise InputInvalid(errors=[{"field": "owner", "message": "Name a person, a team or a rule."}])
    if command.rule is None:
        return command.owner, "hand"
    to = casework.one_of(str(command.rule.get("to")), RULES, "rule.to")
    # Who served is whom the feedback names, and as far as the case itself knows whoever opened it.
    named = tx.execute(sa.select(feedback.c.agent).where(feedback.c.case_id == case.id, feedback.c.agent.is_not(None)))
    owner = owning.best_owner(tx, catalog, case, command.rule, agents=[*named.scalars(), case.opened_by])
    if owner is None:
        raise InputInvalid(errors=[{"field": "rule", "message": "Nobody can take it on by this rule right now."}])
    return owner, to


def take_case(*, core: Core, actor: Actor, command: TakeCase) -> Assigned:
    """Take on a case that nobody has; whoever leads may take one from somebody else by assigning it.

    Raises ``CaseOwned``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        if case.owner not in (None, actor.label):
            raise CaseOwned(field="case_id")
        team = case.owner_team or actor.team
        if case.owner is None:
            owning.assign(tx, core, actor, now, case, owner=actor.label, team=team, by="taken")
    return Assigned(case_id=case.id, owner=actor.label, owner_name=actor.name, owner_team=team)
