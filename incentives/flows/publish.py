"""Publishing a catalog: one person proposes a file, another approves it, and only then is it in force.

Proposing the file that is in force, or one that is proposed already, changes nothing and says so; that makes
``incentives catalog apply`` safe to repeat, and safe to run twice at once.
"""

from dataclasses import dataclass

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.difference import Change, difference, warnings_of
from incentives.catalog.document import parse
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import BudgetRedefined, ReleaseAlreadyDecided, SelfApproval

_FIXED = ("scope", "of", "currency", "period", "time_zone", "week_start")
"""What a budget cannot change under its key; caps, names and policies can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeCatalog:
    """The text of a catalog file, or its bytes in UTF-8."""

    text: str | bytes


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
    """The number of the draft to put in force."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """The release that is in force now, and the one it took the place of."""

    number: int
    superseded_number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRelease:
    """The number of the draft to take back, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The draft that was taken back."""

    number: int


def propose_catalog(*, core: Core, actor: Actor, command: ProposeCatalog) -> Proposed:
    """Propose a catalog file as a draft. Raises ``NotPermitted``, ``CatalogInvalid`` and ``BudgetRedefined``."""
    permit(actor, "catalog:propose")
    catalog = parse(command.text)
    now = core.clock.now()
    with core.database.write() as tx:
        releases.lock(tx)
        current = releases.current_release(tx)
        before = releases.catalog_of_release(tx, current.id) if current else None
        _refuse_other_budgets(before, catalog)
        changes = difference(before, catalog)
        same = current if current and current.digest == catalog.digest else releases.draft_with(tx, catalog.digest)
        release = same or releases.add_draft(
            tx,
            core=core,
            now=now,
            by=actor.label,
            catalog=catalog,
            based_on_number=current.number if current else None,
        )
        if not same:
            facts = {"number": release.number, "based_on": release.based_on_number, "digest": release.digest}
            changed = [f"{each.action} {each.item_kind} {each.key}".strip() for each in changes]
            audit.record(
                tx,
                core=core,
                actor=actor,
                now=now,
                action="catalog.proposed",
                subject_kind="catalog_release",
                subject_id=release.id,
                facts={**facts, "changes": changed},
            )
    return Proposed(
        number=release.number,
        status=release.status,
        new=same is None,
        changes=changes,
        warnings=warnings_of(catalog),
    )


def _refuse_other_budgets(before: Catalog | None, after: Catalog) -> None:
    """Refuse a budget whose key stands for another one now: its counters would go on in another unit."""
    old = before.budgets if before else {}
    changed = [
        key
        for key, budget in after.budgets.items()
        if key in old and any(getattr(budget, name) != getattr(old[key], name) for name in _FIXED)
    ]
    if changed:
        raise BudgetRedefined(f"Changed under the same key: {', '.join(changed)}.", budgets=changed)


def approve_release(*, core: Core, actor: Actor, command: ApproveRelease) -> Approved:
    """Put a draft in force, in the place of what was.

    Raises ``NotPermitted``, ``ReleaseNotFound``, ``ReleaseAlreadyDecided`` and, when the approver is who
    proposed it, ``SelfApproval``.
    """
    permit(actor, "catalog:approve")
    now = core.clock.now()
    with core.database.write() as tx:
        releases.lock(tx)
        draft = _draft(tx, command.number)
        if draft.proposed_by == actor.label:
            raise SelfApproval("You proposed this catalog release; somebody else approves it.", number=draft.number)
        superseded = releases.current_number(tx)
        if not releases.put_in_force(tx, number=draft.number, by=actor.label, now=now):
            raise _decided(draft)
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="catalog.approved",
            subject_kind="catalog_release",
            subject_id=draft.id,
            facts={"number": draft.number, "superseded": superseded, "digest": draft.digest},
        )
    return Approved(number=draft.number, superseded_number=superseded)


def withdraw_release(*, core: Core, actor: Actor, command: WithdrawRelease) -> Withdrawn:
    """Take a draft back. Raises ``NotPermitted``, ``ReleaseNotFound`` and ``ReleaseAlreadyDecided``."""
    permit(actor, "catalog:propose")
    now = core.clock.now()
    with core.database.write() as tx:
        releases.lock(tx)
        draft = _draft(tx, command.number)
        if not releases.withdraw(tx, number=draft.number):
            raise _decided(draft)
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="catalog.withdrawn",
            subject_kind="catalog_release",
            subject_id=draft.id,
            reason=command.reason,
            facts={"number": draft.number},
        )
    return Withdrawn(number=draft.number)


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
