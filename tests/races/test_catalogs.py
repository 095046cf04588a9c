"""One catalog is in force, whoever applies what at the same instant."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.tables import catalog_items, catalog_releases
from incentives.flows.publish import ApproveRelease, ProposeCatalog, approve_release, propose_catalog
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count
from tests.races.conftest import DropConstraint
from tests.races.deeds import rows
from tests.small_catalog import catalog

APPROVER = Actor(kind="person", id=uuid.UUID(int=9), name="Approver", role="manager")


def apply(core: Core, text: str) -> Outcome:
    """Propose a catalog and approve it, as `incentives catalog apply --approve-as` does."""
    proposed = propose_catalog(core=core, actor=SYSTEM, command=ProposeCatalog(text=text))
    if proposed.status == "approved":
        return Outcome("InForceAlready", proposed.number)
    approved = approve_release(core=core, actor=APPROVER, command=ApproveRelease(number=proposed.number))
    return Outcome("Approved", approved.number)


@contextmanager
def without_lock() -> Iterator[None]:
    """Let every proposal and approval go ahead at once."""

    def no_lock(tx: Connection) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releases, "lock", no_lock)
        patch.setattr(releases, "draft_with", slowly(releases.draft_with))
        yield


def slowly(look: Callable[..., Any]) -> Callable[..., Any]:
    """Return a look after which a moment passes, as it does on any busy machine, before what was seen is acted on."""

    def looked(*arguments: Any, **more: Any) -> Any:
        seen = look(*arguments, **more)
        time.sleep(A_MOMENT_SECONDS)
        return seen

    return looked


def standing(core: Core) -> list[tuple[int, str]]:
    """Return the number and status of every release."""
    table = catalog_releases.c
    with core.database.read() as tx:
        return [
            (row.number, row.status) for row in tx.execute(sa.select(table.number, table.status).order_by(table.number))
        ]


def test_one_catalog_applied_by_sixteen_is_one_release(crew: Crew, core: Core) -> None:
    (outcomes,) = crew.at_once(apply, [[catalog()] * SIZE], core.settings.database_url)
    found = count(outcomes)
    assert found["Approved"] == 1
    assert set(found) <= {"Approved", "InForceAlready", "ReleaseAlreadyDecided"}
    assert standing(core) == [(1, "approved")]


def test_sixteen_catalogs_applied_at_once_leave_one_in_force(crew: Crew, core: Core) -> None:
    (outcomes,) = crew.at_once(
        apply, [[catalog(name=f"Brand {number}") for number in range(SIZE)]], core.settings.database_url
    )
    found = count(outcomes)
    assert found["Approved"] >= 1
    assert set(found) <= {"Approved", "ReleaseAlreadyDecided"}  # The others were withdrawn when one came in force.
    releases_now = standing(core)
    assert [number for number, _ in releases_now] == list(range(1, SIZE + 1))
    assert [status for _, status in releases_now].count("approved") == 1
    assert [status for _, status in releases_now].count("draft") == 0
    newest = max(each.value for each in outcomes if each.name == "Approved")
    assert newest in [number for number, status in releases_now if status in ("approved", "superseded")]
    versions = sa.func.max(catalog_items.c.version)
    with core.database.read() as tx:
        assert tx.execute(sa.select(versions).where(catalog_items.c.kind == "brand")).scalar() == SIZE
    assert rows(core, catalog_items, catalog_items.c.kind == "incentive") == 1


def test_without_the_lock_and_the_indexes_several_are_in_force(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    drop_constraint.index("uq_catalog_releases_one_approved")
    drop_constraint.index("uq_catalog_releases_one_draft_of_a_digest")
    for table, columns in (("releases", "number"), ("items", "kind_key_version"), ("items", "kind_key_digest")):
        drop_constraint(f"catalog_{table}", f"uq_catalog_{table}_{columns}")
    crew.at_once(apply, [[catalog()] * SIZE], core.settings.database_url, twin=without_lock)
    now = standing(core)
    assert len(now) > 1  # The same file was proposed several times,
    assert len({number for number, _ in now}) < len(now)  # under the same number,


def test_without_the_lock_the_database_itself_keeps_one_in_force(crew: Crew, core: Core) -> None:
    (outcomes,) = crew.at_once(
        apply,
        [[catalog(name=f"Brand {number}") for number in range(SIZE)]],
        core.settings.database_url,
        twin=without_lock,
    )
    assert count(outcomes)["IntegrityError"] > 0
    assert [status for _, status in standing(core)].count("approved") == 1


def schedule(core: Core, wanted: tuple[int, int]) -> Outcome:
    """Approve a draft for a few minutes from now."""
    number, minutes = wanted
    at = core.clock.now() + timedelta(minutes=minutes)
    approve_release(core=core, actor=APPROVER, command=ApproveRelease(number=number, effective_at=at))
    return Outcome("Scheduled", number)


def test_of_many_drafts_that_are_approved_for_later_at_once_one_is_scheduled(crew: Crew, core: Core) -> None:
    apply(core, catalog())
    drafts = [
        propose_catalog(core=core, actor=SYSTEM, command=ProposeCatalog(text=catalog(name=f"Brand {number}"))).number
        for number in range(SIZE)
    ]
    pairs = [(number, 5 + place % 3) for place, number in enumerate(drafts)]
    (outcomes,) = crew.at_once(schedule, [pairs], core.settings.database_url)
    found = count(outcomes)
    assert found["Scheduled"] == 1
    assert set(found) <= {"Scheduled", "ReleaseScheduled"}
    statuses = [status for _, status in standing(core)]
    assert (statuses.count("approved"), statuses.count("scheduled")) == (1, 1)
    assert statuses.count("draft") == SIZE - 1
