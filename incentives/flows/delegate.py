"""Delegate: an approver who is away hands on the right to decide, for a time, and takes it back.

Who stands in decides with the rights and within the limits of whom they stand in for, and nothing more. What somebody
holds for another they cannot hand on.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.deeds import casework, reasons, same_hands
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import DelegationEnded, DelegationNotFound, InputInvalid, NotPermitted, UserNotFound
from incentives.queries import delegations as absences
from incentives.queries.approval_policies import DECIDERS
from incentives.spending.approving import DELEGATES_FOR, MOST_DELEGATED
from incentives.spending.tables import delegations


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDelegation:
    """Hand on the right to decide, by addresses. ``absent_email`` None is the actor; ``starts_at`` None is now."""

    delegate_email: str
    ends_at: datetime
    reason: str
    absent_email: str | None = None
    starts_at: datetime | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeDelegation:
    """Take a right back before its time is over."""

    delegation_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegated:
    """A delegation, or the end of one."""

    id: uuid.UUID
    replayed: bool = False


def create_delegation(*, core: Core, actor: Actor, command: CreateDelegation) -> Delegated:
    """Hand on one's own right, or arrange the absence of somebody else (``approvals:delegate``).

    For somebody else only where the actor could do as much, and never to the actor: nobody hands a greater right to
    themselves. Raises ``NotPermitted``, ``UserNotFound``, ``InputInvalid`` and ``IdempotencyKeyReused``.
    """
    permit(actor, "approvals:decide")
    now = core.clock.now()
    reason = reasons.reason(command.reason)
    starts_at = max(command.starts_at or now, now)
    delegation_id = core.ids.new(now)
    with core.database.write() as tx:
        request = {name: getattr(command, name) for name in ("delegate_email", "ends_at", "reason", "absent_email")}
        before = casework.claimed_before(
            tx, core, actor, "delegations", command.idempotency_key, request, delegation_id, now
        )
        if before:
            return Delegated(id=before, replayed=True)
        _check_time(starts_at, command.ends_at)  # Whoever asks again hears the first answer, however late.
        absent = _absent(tx, actor, command.absent_email)
        delegate = _approver(tx, command.delegate_email, "delegate_email")
        if delegate.id == absent.id:
            raise _wrong("delegate_email", "Somebody else must stand in.")
        row = {
            "id": delegation_id,
            "from_user_id": absent.id,
            "to_user_id": delegate.id,
            "starts_at": starts_at,
            "ends_at": command.ends_at,
            "reason": reason,
            "created_by": actor.label,
            "created_at": now,
        }
        # Their own right somebody may hand on to whom they like; another's never to their own hands.
        if absent.id != actor.id and same_hands.are_one(tx, core, actor, f"person:{delegate.id}"):
            raise NotPermitted("Nobody hands somebody else's right to themselves.", permission="approvals:delegate")
        tx.execute(delegations.insert(), [row])
        said = {"starts_at": starts_at.isoformat(), "ends_at": command.ends_at.isoformat()}
        _note(tx, core, actor, now, "created", delegation_id, absent, delegate, reason, said)
    return Delegated(id=delegation_id)


def revoke_delegation(*, core: Core, actor: Actor, command: RevokeDelegation) -> Delegated:
    """Take a right back: by whose right it is, by whoever holds it, or by who arranges absences there.

    Raises ``DelegationNotFound``, ``DelegationEnded`` and ``NotPermitted``.
    """
    permit(actor, "approvals:decide")
    now = core.clock.now()
    with core.database.write() as tx:
        row = absences.found(tx, actor, command.delegation_id, lock=True)
        if row is None:
            raise DelegationNotFound
        if absences.status_of(row, now) in ("over", "revoked"):
            raise DelegationEnded(ended_at=(row.revoked_at or row.ends_at).isoformat())
        revoked = tx.execute(
            delegations.update()
            .where(delegations.c.id == row.id, delegations.c.revoked_at.is_(None))
            .values(revoked_by=actor.label, revoked_at=now)
        )
        if revoked.rowcount != 1:
            raise DelegationEnded
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="delegation.revoked",
            subject_kind="delegation",
            subject_id=row.id,
            facts={"from": f"person:{row.from_user_id}", "to": f"person:{row.to_user_id}"},
        )
    return Delegated(id=command.delegation_id)


def _check_time(starts_at: datetime, ends_at: datetime) -> None:
    if ends_at <= starts_at:
        raise _wrong("ends_at", "It must end after it begins.")
    if ends_at - starts_at > MOST_DELEGATED:
        raise _wrong("ends_at", f"It may last {MOST_DELEGATED.days} days at most.")


def _absent(tx: Connection, actor: Actor, email: str | None) -> Any:
    """Return whose right is handed on, after checking that the actor may arrange it."""
    own = email is None or email.strip().lower() == (actor.email or "").lower()
    if own:
        row = tx.execute(sa.select(users).where(users.c.id == actor.id)).one_or_none()
        if row is None or actor.kind != "person":
            raise _wrong("absent_email", "Only people are away; name one.")
        return row
    permit(actor, "approvals:delegate")
    row = _approver(tx, email or "", "absent_email")
    if actor.location is not None and row.location != actor.location:
        raise UserNotFound(field="absent_email")
    if row.role not in DELEGATES_FOR.get(actor.role or "", frozenset()):
        raise NotPermitted(
            "Whoever may decide on more arranges this themselves, or somebody above them.",
            permission="approvals:delegate",
            role=actor.role,
        )
    return row


def _approver(tx: Connection, email: str, field: str) -> Any:
    """Return the row of somebody who decides on requests. Raises ``UserNotFound`` and ``InputInvalid``."""
    known = sa.and_(users.c.email == email.strip().lower(), users.c.disabled_at.is_(None))
    row = tx.execute(sa.select(users).where(known)).one_or_none()
    if row is None:
        raise UserNotFound(field=field)
    if row.role not in DECIDERS:
        raise _wrong(field, "They do not decide on requests themselves.")
    return row


def _wrong(field: str, message: str) -> InputInvalid:
    return InputInvalid(message, errors=[{"field": field, "message": message}])


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    deed: str,
    delegation_id: uuid.UUID,
    absent: Any,
    delegate: Any,
    reason: str,
    said: dict[str, str],
) -> None:
    people = {
        "from": f"person:{absent.id}",
        "from_name": absent.name,
        "to": f"person:{delegate.id}",
        "to_name": delegate.name,
    }
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"delegation.{deed}",
        subject_kind="delegation",
        subject_id=delegation_id,
        reason=reason,
        facts={**people, **said},
    )
