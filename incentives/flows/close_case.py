"""Close a case once it is documented, and open it again where it was not over."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.deeds import asking, caring, casework, owning
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseClosed, CaseNotClosed, CaseNotDocumented
from incentives.queries import case_facts
from incentives.recovery import closing, steps
from incentives.recovery.tables import recovery_cases

_JUDGED = {"recovered": True, "not_recovered": False, "unsalvageable": False}
_NOT_ASKED = "The customer is not asked again."


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseCase:
    """A case has ended like this. The note documents it; ``reason`` says why nothing could be done."""

    case_id: uuid.UUID
    outcome: str
    note: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """How it ended, by what that is known, and whether the customer will be asked again."""

    case_id: uuid.UUID
    outcome: str
    recovered: bool | None
    evidence: str | None
    survey_planned: bool


def close_case(*, core: Core, actor: Actor, command: CloseCase) -> Closed:
    """Close a case, once: what staff think of it is the weakest evidence, and the customer is asked.

    Raises ``CaseNotDocumented`` naming everything that is missing at once, ``InputInvalid``, ``CaseNotFound``,
    ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    note, reason = casework.text(command.note, "note"), casework.text(command.reason, "reason")
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        catalog = releases.cached_current(tx, core).catalog
        missing = closing.missing_words(outcome=command.outcome, note=note, reason=reason)
        missing += case_facts.missing(tx, core, catalog, case, now)
        if missing:
            raise CaseNotDocumented(errors=missing)
        _document(tx, core, actor, now, catalog, case, note)
        _end(tx, core, actor, now, case, command.outcome, note, reason)
        planned = asking.plan(tx, core, now, catalog, case, "close", actor=actor) is not None
        _survey(tx, core, actor, now, catalog, case, planned=planned)
        judged = sa.select(recovery_cases.c.recovered, recovery_cases.c.recovered_evidence)
        known = tx.execute(judged.where(recovery_cases.c.id == case.id)).one()
    return Closed(
        case_id=case.id,
        outcome=command.outcome,
        recovered=known.recovered,
        evidence=known.recovered_evidence,
        survey_planned=planned,
    )


def _document(
    tx: Connection, core: Core, actor: Actor, now: datetime, catalog: Catalog, case: Any, note: str | None
) -> None:
    """Let the closing note be the protocol's last words, where nobody has written them."""
    protocol = caring.protocol_of(tx, core, catalog, case)
    if protocol and "document" in protocol.steps:
        caring.take_step(tx, core, actor, now, case, "document", note=note)


def _end(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    case: Any,
    outcome: str,
    note: str | None,
    reason: str | None,
) -> None:
    ended = tx.execute(
        recovery_cases.update()
        .where(recovery_cases.c.id == case.id, recovery_cases.c.status == "open")
        .values(
            status="closed",
            outcome=outcome,
            closed_at=now,
            closed_by=actor.label,
            closing_note=core.contacts.encrypt(note),
            salvageable=sa.false() if outcome == "unsalvageable" else recovery_cases.c.salvageable,
            changed_at=now,
        )
    )
    if ended.rowcount != 1:
        raise CaseClosed
    if reason:
        casework.note(tx, core, actor, now, case.id, reason)
    caring.meet(tx, [case.id], "close", now)
    casework.say(tx, core, actor, now, case.id, "closed", {"outcome": outcome, "round": case.round})
    if outcome in _JUDGED:
        asking.settle(tx, core, now, case.id, recovered=_JUDGED[outcome], evidence="judgment", actor=actor)


def _survey(
    tx: Connection, core: Core, actor: Actor, now: datetime, catalog: Catalog, case: Any, *, planned: bool
) -> None:
    """Let what was planned be the protocol's step of asking again."""
    protocol = caring.protocol_of(tx, core, catalog, case)
    if protocol and "survey" in protocol.steps:
        status, note = (steps.DONE, None) if planned else (steps.SKIPPED, _NOT_ASKED)
        caring.take_step(tx, core, actor, now, case, "survey", status=status, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenCase:
    """A case was not over after all, for this reason, which becomes a note."""

    case_id: uuid.UUID
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """The round that began."""

    case_id: uuid.UUID
    round: int


def reopen_case(*, core: Core, actor: Actor, command: ReopenCase) -> Reopened:
    """Open a closed case for another round: its steps begin anew, its clocks too, and everything done before stays.

    Raises ``CaseNotClosed``, ``CaseClosed`` for one that was merged into another, ``InputInvalid``, ``CaseNotFound``,
    ``NotPermitted``.
    """
    permit(actor, "cases:manage")
    now = core.clock.now()
    reason = casework.text(command.reason, "reason", needed="Say why.") or ""
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        if case.status != "closed":
            raise CaseNotClosed
        current = releases.cached_current(tx, core)
        if not caring.reopen(tx, core, actor, now, current, case, why="by hand"):
            raise CaseClosed("This case was merged into another; go on with that one.", field="case_id")
        casework.note(tx, core, actor, now, case.id, reason)
        if case.owner != actor.label:
            owning.tell(tx, core, now, case.id, [case.owner], "notice-reopened")
    return Reopened(case_id=case.id, round=case.round + 1)
