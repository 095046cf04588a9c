"""Publishing a catalog: one person proposes a file, another approves it, and only then is it in force.

A release may be approved for later: it is in force from its instant on, and until then it can be taken back. While one
is scheduled no other is approved, so that nobody's change is undone by one that was approved before it.

Proposing the file that is in force, or one that is proposed already, changes nothing and says so; that makes
``incentives catalog apply`` safe to repeat, and safe to run twice at once.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.difference import Change, difference, warnings_of
from incentives.catalog.document import parse
from incentives.deeds import same_hands
from incentives.kernel.actors import SYSTEM, Actor, may, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    BudgetRedefined,
    EffectiveDateInvalid,
    ReleaseAlreadyDecided,
    ReleaseInForce,
    ReleaseScheduled,
    SelfApproval,
)

_FIXED = ("scope", "of", "currency", "period", "time_zone", "week_start")
"""What a budget cannot change under its key; caps, names and policies can."""

_SCHEDULE_MOST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeCatalog:
    """The text of a catalog file, or its bytes in UTF-8, and why it is proposed, if somebody says so."""

    text: str | bytes
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """The number of the release whose catalog is proposed again, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """The release that holds the proposed catalog.

    ``status`` is ``approved`` when the file is what is in force (then there are no changes) and ``draft``
    when it waits for a second person. ``new`` is whether this call wrote anything.
    """

    number: int
    status: str
    new: bool
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveRelease:
    """The number of the draft to put in force, at once or at an instant (UTC) within the next year."""

    number: int
    effective_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """The release that is in force now, and the one it took the place of.

    With ``effective_at`` it is scheduled: until then the other one stays in force.
    """

    number: int
    superseded_number: int | None
    effective_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRelease:
    """The number of the draft or of the scheduled release to take back, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The release that was taken back."""

    number: int


def propose_catalog(*, core: Core, actor: Actor, command: ProposeCatalog) -> Proposed:
    """Propose a catalog file as a draft. Raises ``NotPermitted``, ``CatalogInvalid`` and ``BudgetRedefined``."""
    permit(actor, "catalog:propose")
    catalog = parse(command.text)
    now = core.clock.now()
    with core.database.write() as tx:
        _settle(tx, core, now)
        return _propose(tx, core, actor, now, catalog, reason=command.reason)


def roll_back(*, core: Core, actor: Actor, command: RollBack) -> Proposed:
    """Propose the catalog of an older release as a draft, as it stood; somebody else approves it like any other.

    Raises ``NotPermitted``, ``ReleaseNotFound``, ``ReleaseInForce`` and ``BudgetRedefined``.
    """
    permit(actor, "catalog:propose")
    now = core.clock.now()
    with core.database.write() as tx:
        _settle(tx, core, now)
        old = releases.release_by_number(tx, command.number)
        current = releases.current_release(tx)
        if current and current.digest == old.digest:
            raise ReleaseInForce(f"What release {old.number} says is in force.", number=current.number)
        catalog = releases.catalog_of_release(tx, old.id)
        return _propose(tx, core, actor, now, catalog, reason=command.reason, rollback_of=old.number)


def _settle(tx: Connection, core: Core, now: datetime) -> None:
    """Take the lock under which releases are written, and write down what is in force by now."""
    releases.lock(tx)
    due = releases.settle(tx, now)
    if due is not None:
        _note(tx, core, SYSTEM, now, "catalog.in_force", due.id, {"number": due.number, "digest": due.digest})


def _propose(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    catalog: Catalog,
    *,
    reason: str | None,
    rollback_of: int | None = None,
) -> Proposed:
    current = releases.current_release(tx)
    before = releases.catalog_of_release(tx, current.id) if current else None
    _refuse_other_budgets(tx, catalog)
    changes = difference(before, catalog)
    same = current if current and current.digest == catalog.digest else releases.draft_with(tx, catalog.digest)
    release = same or releases.add_draft(
        tx,
        core=core,
        now=now,
        by=actor.label,
        catalog=catalog,
        based_on_number=current.number if current else None,
        rollback_of_number=rollback_of,
        reason=reason,
    )
    if not same:
        changed = [f"{each.action} {each.item_kind} {each.key}".strip() for each in changes]
        facts: dict[str, Any] = {
            "number": release.number,
            "based_on": release.based_on_number,
            "digest": release.digest,
            "changes": changed,
        }
        facts |= {"rollback_of": rollback_of} if rollback_of else {}
        _note(tx, core, actor, now, "catalog.proposed", release.id, facts, reason=reason)
    return Proposed(
        number=release.number,
        status=release.status,
        new=same is None,
        changes=changes,
        warnings=warnings_of(catalog),
    )


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    release_id: uuid.UUID,
    facts: Mapping[str, Any],
    *,
    reason: str | None = None,
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=action,
        subject_kind="catalog_release",
        subject_id=release_id,
        reason=reason,
        facts=dict(facts),
    )


def _refuse_other_budgets(tx: Connection, after: Catalog) -> None:
    """Refuse a budget whose key stands for another one now: its counters would go on in another unit.

    One that was taken out of the catalog has its counters yet, and what was promised of it.
    """
    old = releases.budgets_before(tx, after.budgets.keys())
    changed = [
        key
        for key, budget in after.budgets.items()
        if key in old and any(getattr(budget, name) != getattr(old[key], name) for name in _FIXED)
    ]
    if changed:
        raise BudgetRedefined(f"Changed under the same key: {', '.join(changed)}.", budgets=changed)


def approve_release(*, core: Core, actor: Actor, command: ApproveRelease) -> Approved:
    """Put a draft in force in the place of what was, now or from an instant on.

    Raises ``NotPermitted``, ``ReleaseNotFound``, ``ReleaseAlreadyDecided``, ``ReleaseScheduled``,
    ``EffectiveDateInvalid`` and, when the approver is who proposed it, ``SelfApproval``.
    """
    permit(actor, "catalog:approve")
    now = core.clock.now()
    effective_at = _effective(command.effective_at, now)
    with core.database.write() as tx:
        _settle(tx, core, now)
        draft = _draft(tx, command.number)
        if same_hands.are_one(tx, core, actor, draft.proposed_by):
            raise SelfApproval("You proposed this catalog release; somebody else approves it.", number=draft.number)
        _refuse_scheduled(tx)
        superseded = releases.current_number(tx)
        facts = {"number": draft.number, "superseded": superseded, "digest": draft.digest}
        if effective_at is None:
            done = releases.put_in_force(tx, number=draft.number, by=actor.label, now=now)
            action = "catalog.approved"
        else:
            by = actor.label
            done = releases.schedule(tx, number=draft.number, by=by, now=now, effective_at=effective_at)
            action = "catalog.scheduled"
            facts |= {"effective_at": effective_at.isoformat()}
        if not done:
            raise _decided(draft)
        _note(tx, core, actor, now, action, draft.id, facts)
    return Approved(number=draft.number, superseded_number=superseded, effective_at=effective_at)


def _effective(wanted: datetime | None, now: datetime) -> datetime | None:
    if wanted is None:
        return None
    # An instant in the past would change what was in force when vouchers were given.
    if not now < wanted <= now + _SCHEDULE_MOST:
        raise EffectiveDateInvalid(
            "It must be later than now and within a year.",
            field="effective_at",
            now=now.isoformat(),
            most=(now + _SCHEDULE_MOST).isoformat(),
        )
    return wanted.astimezone(UTC)


def _refuse_scheduled(tx: Connection) -> None:
    waiting = releases.scheduled_release(tx)
    if waiting is not None and waiting.effective_at is not None:
        at = waiting.effective_at.isoformat()
        raise ReleaseScheduled(
            f"Release {waiting.number} is in force from {at}.", number=waiting.number, effective_at=at
        )


def withdraw_release(*, core: Core, actor: Actor, command: WithdrawRelease) -> Withdrawn:
    """Take a draft back, or a scheduled release before its instant; whoever proposes or approves may do so.

    Raises ``NotPermitted``, ``ReleaseNotFound`` and ``ReleaseAlreadyDecided``.
    """
    if not may(actor, "catalog:approve"):
        permit(actor, "catalog:propose")
    now = core.clock.now()
    with core.database.write() as tx:
        _settle(tx, core, now)
        release = releases.release_by_number(tx, command.number)
        if not releases.withdraw(tx, number=release.number):
            raise _decided(release)
        facts = {"number": release.number, "was": release.status}
        _note(tx, core, actor, now, "catalog.withdrawn", release.id, facts, reason=command.reason)
    return Withdrawn(number=release.number)


def _draft(tx: Connection, number: int) -> releases.Release:
    release = releases.release_by_number(tx, number)
    if release.status != releases.DRAFT:
        raise _decided(release)
    return release


def _decided(release: releases.Release) -> ReleaseAlreadyDecided:
    return ReleaseAlreadyDecided(
        f"Catalog release {release.number} is {release.status} already.",
        number=release.number,
        decision=release.status,
    )
