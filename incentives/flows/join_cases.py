"""Join cases: two that are one are merged, one that is two is split, and those that belong together are linked."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import protocols, releases
from incentives.deeds import caring, casework
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.kernel.errors import CaseOfAnotherCustomer, InputInvalid
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.recovery.tables import case_links, case_tags, case_tasks, recovery_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCase:
    """A case is the same trouble as another one, into which it goes, for a reason that becomes a note."""

    case_id: uuid.UUID
    into_id: uuid.UUID
    reason: str


def merge_case(*, core: Core, actor: Actor, command: MergeCase) -> None:
    """Close a case as merged into another: its history stays its own, its open tasks and its tags go along.

    Raises ``CaseOfAnotherCustomer``, ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:manage")
    now = core.clock.now()
    reason = casework.text(command.reason, "reason", needed="Say why.") or ""
    with core.database.write() as tx:
        case, into = _both(tx, actor, command.case_id, command.into_id, "into_id")
        _check_customers(tx, case, into)
        _close_merged(tx, core, actor, now, case, into, reason)
        _take_over(tx, now, case, into)
        _link(tx, actor, now, case.id, into.id, "merged")
        casework.note(tx, core, actor, now, into.id, reason)
        casework.say(tx, core, actor, now, case.id, "merged", {"into": str(into.id)})
        casework.say(tx, core, actor, now, into.id, "merged-with", {"case": str(case.id)})


def _both(tx: Connection, actor: Actor, one: uuid.UUID, other: uuid.UUID, field_name: str) -> tuple[Any, Any]:
    """Return two open cases, locked in the order of their ids, so that no two mergers wait for each other."""
    if one == other:
        raise InputInvalid(errors=[{"field": field_name, "message": "This is the very same case."}])
    named = {one: None, other: field_name}
    found = {each: casework.work_on(tx, actor, each, field=named[each]) for each in sorted(named)}
    return found[one], found[other]


def _check_customers(tx: Connection, case: Any, into: Any) -> None:
    if case.customer_id is None or into.customer_id is None:
        return
    if into.customer_id not in customers.together(tx, [case.customer_id]):
        raise CaseOfAnotherCustomer("These two cases are about different customers.", field="into_id")


def _close_merged(tx: Connection, core: Core, actor: Actor, now: datetime, case: Any, into: Any, reason: str) -> None:
    table = recovery_cases.c
    casework.change(
        tx,
        case.id,
        now,
        status="closed",
        outcome="merged",
        closed_at=now,
        closed_by=actor.label,
        closing_note=core.contacts.encrypt(reason),
        merged_into_id=into.id,
    )
    # What was merged into this one is part of that one now: whoever looks goes one step, however often it happened.
    tx.execute(recovery_cases.update().where(table.merged_into_id == case.id).values(merged_into_id=into.id))
    caring.meet(tx, [case.id], "close", now)


def _take_over(tx: Connection, now: datetime, case: Any, into: Any) -> None:
    table = case_tasks.c
    tx.execute(case_tasks.update().where(table.case_id == case.id, table.done_at.is_(None)).values(case_id=into.id))
    for tag in tx.execute(sa.select(case_tags.c.issue_tag).where(case_tags.c.case_id == case.id)).scalars().all():
        insert_unless_there(tx, case_tags, ("case_id", "issue_tag"), {"case_id": into.id, "issue_tag": tag})
    # The one that stays learns who the customer is, and how bad it was at its worst.
    learned = {
        name: getattr(case, name)
        for name in ("customer_id", "contact", "locale", "segment", "order_ref", "first_score_bp")
        if getattr(into, name) is None and getattr(case, name) is not None
    }
    casework.change(tx, into.id, now, severity=max(case.severity, into.severity), **learned)


def _link(tx: Connection, actor: Actor, now: datetime, one: uuid.UUID, other: uuid.UUID, kind: str) -> bool:
    """Write a link once, whichever of the two named it; a merge or a split says more than that they are related."""
    first, second = sorted((one, other))
    row = {"case_id": first, "other_id": second, "kind": kind, "at": now, "actor": actor.label}
    if insert_unless_there(tx, case_links, ("case_id", "other_id"), row):
        return True
    if kind == "related":
        return False
    table = case_links.c
    tx.execute(case_links.update().where(table.case_id == first, table.other_id == second).values(kind=kind, at=now))
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCase:
    """A part of a case is a trouble of its own; the reason becomes a note."""

    case_id: uuid.UUID
    issue_tag: str
    reason: str
    severity: int | None = None
    story: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSplit:
    """The case that was opened for the part."""

    id: uuid.UUID
    replayed: bool = False


def split_case(*, core: Core, actor: Actor, command: SplitCase) -> CaseSplit:
    """Open a case of its own for a part of another, about the same customer.

    Raises ``UnknownIssueTag``, ``NoProtocol``, ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``,
    ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:manage")
    now = core.clock.now()
    reason = casework.text(command.reason, "reason", needed="Say why.") or ""
    new_id = core.ids.new(now)
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "idempotency_key"}
    with core.database.write() as tx:
        before = casework.claimed_before(tx, core, actor, "splits", command.idempotency_key, request, new_id, now)
        if before:
            return CaseSplit(id=before, replayed=True)
        case = casework.work_on(tx, actor, command.case_id)
        caring.write(tx, [_part(tx, core, actor, now, command, case, new_id)])
        _link(tx, actor, now, case.id, new_id, "split")
        casework.note(tx, core, actor, now, new_id, reason)
        casework.change(tx, case.id, now)
        casework.say(tx, core, actor, now, case.id, "split", {"case": str(new_id), "issue_tag": command.issue_tag})
        casework.say(
            tx, core, actor, now, new_id, "opened", {"issue_tag": command.issue_tag, "split_from": str(case.id)}
        )
    return CaseSplit(id=new_id)


def _part(
    tx: Connection, core: Core, actor: Actor, now: datetime, command: SplitCase, case: Any, new_id: uuid.UUID
) -> caring.CaseRows:
    current = releases.cached_current(tx, core)
    severity = casework.severity(command.severity)
    resolution = protocols.resolve(
        current.catalog, issue_tag=command.issue_tag, severity=severity, location=case.location, segment=case.segment
    )
    new = caring.NewCase(
        id=new_id,
        issue_tag=command.issue_tag,
        severity=resolution.severity,
        protocol=resolution.protocol,
        customer_id=case.customer_id,
        contact=Contact.from_text(core.contacts.decrypt(case.contact)),
        locale=case.locale,
        segment=case.segment,
        location=case.location,
        team=case.team,
        order_ref=case.order_ref,
        product=case.product,
        source=case.source,
        occurred_at=case.occurred_at,
        story=casework.checked_story(command.story),
        owner=case.owner,
        owner_team=case.owner_team,
        incident_id=case.incident_id,
        split_from_id=case.id,
    )
    return caring.lay_out(core, actor, now, current, new)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCases:
    """Two cases have to do with each other."""

    case_id: uuid.UUID
    other_id: uuid.UUID


def link_cases(*, core: Core, actor: Actor, command: LinkCases) -> None:
    """Link two cases, open or not; those that are linked already stay so.

    Raises ``InputInvalid``, ``CaseNotFound``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    if command.case_id == command.other_id:
        raise InputInvalid(errors=[{"field": "other_id", "message": "This is the very same case."}])
    named = {command.case_id: None, command.other_id: "other_id"}
    with core.database.write() as tx:
        for each in sorted(named):
            casework.work_on(tx, actor, each, closed_too=True, field=named[each])
        if _link(tx, actor, now, command.case_id, command.other_id, "related"):
            caring.touch(tx, list(named), now)
            facts = {"other": str(command.other_id)}
            casework.say(tx, core, actor, now, command.case_id, "linked", facts)
