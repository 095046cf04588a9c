"""Publishing a catalog: one proposes, another approves, versions never change; safe to repeat and to race."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.catalog.document import parse
from incentives.catalog.tables import catalog_items, catalog_release_items, catalog_releases
from incentives.flows import publish
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    CatalogInvalid,
    NoCatalog,
    NotPermitted,
    ReleaseAlreadyDecided,
    ReleaseNotFound,
    SelfApproval,
)
from incentives.queries import catalog as queries
from tests.unit.catalog_files import SMALL, added, changed
from tests.world import DEMO_CATALOG, actor, make_core

DEARER = changed("    amount_minor: 1000\n", "    amount_minor: 1200\n")
OTHER = changed("  name: Meridian\n", "  name: Meridiana\n")


@pytest.fixture
def core(database_url: str) -> Iterator[Core]:
    core = make_core(database_url)
    yield core
    core.database.dispose()


@pytest.fixture
def proposer(core: Core) -> Actor:
    return actor(core, "manager")


@pytest.fixture
def approver(core: Core) -> Actor:
    return actor(core, "finance")


@pytest.fixture
def propose(core: Core, proposer: Actor) -> Callable[[str], publish.Proposed]:
    return lambda text: publish.propose_catalog(core=core, actor=proposer, command=publish.ProposeCatalog(text=text))


@pytest.fixture
def approve(core: Core, approver: Actor) -> Callable[[int], publish.Approved]:
    return lambda number: publish.approve_release(
        core=core, actor=approver, command=publish.ApproveRelease(number=number)
    )


@pytest.fixture
def put_in_force(propose: Callable[..., Any], approve: Callable[..., Any]) -> Callable[[str], publish.Approved]:
    def both(text: str) -> publish.Approved:
        approved: publish.Approved = approve(propose(text).number)
        return approved

    return both


def rows(core: Core, table: sa.Table) -> list[dict[str, Any]]:
    """Return all rows of a table, to see what was written."""
    with core.database.read() as tx:
        return [dict(row) for row in tx.execute(sa.select(table)).mappings()]


def everything(core: Core) -> list[list[dict[str, Any]]]:
    """Return all that publishing writes, to see that nothing was."""
    tables = (catalog_items, catalog_releases, catalog_release_items, audit_events)
    return [rows(core, table) for table in tables]


def statuses(core: Core) -> list[str]:
    return [row["status"] for row in sorted(rows(core, catalog_releases), key=lambda row: int(row["number"]))]


def current(core: Core) -> releases.CurrentCatalog:
    with core.database.read() as tx:
        return releases.load_current(tx)


def test_a_proposed_catalog_is_not_in_force(core: Core, propose: Callable[..., Any]) -> None:
    proposed = propose(SMALL)
    assert (proposed.number, proposed.status, proposed.new) == (1, "draft", True)
    assert {each.action for each in proposed.changes} == {"added"}
    assert any("holds money in USD" in each for each in proposed.warnings)
    with pytest.raises(NoCatalog):
        current(core)


def test_an_approved_catalog_is_in_force_as_it_was_written(core: Core, put_in_force: Callable[..., Any]) -> None:
    text = DEMO_CATALOG.read_text(encoding="utf-8")
    assert put_in_force(text) == publish.Approved(number=1, superseded_number=None)
    found = current(core)
    assert found.number == 1
    assert found.catalog == parse(text)
    assert [list(found.catalog.issue_tags), list(found.catalog.protocols)] == [
        list(parse(text).issue_tags), list(parse(text).protocols),
    ]  # fmt: skip
    assert set(found.item_ids) == {(item.item_kind, item.key) for item in found.catalog.items()}


def test_a_new_release_makes_versions_only_of_what_changed(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    before = current(core)
    put_in_force(DEARER)
    after = current(core)
    assert {name for name in after.item_ids if after.item_ids[name] != before.item_ids[name]} == {("incentive", "off")}
    versions = [
        row["version"] for row in rows(core, catalog_items) if (row["kind"], row["key"]) == ("incentive", "off")
    ]
    assert sorted(versions) == [1, 2]
    assert len(rows(core, catalog_items)) == len(before.item_ids) + 1
    assert statuses(core) == ["superseded", "approved"]


def test_a_version_that_a_voucher_pins_says_for_ever_what_it_said(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    pinned = current(core).item_ids["incentive", "off"]
    put_in_force(DEARER)
    with core.database.read() as tx:
        assert releases.incentive_of(tx, pinned, {}).amount_minor == 1000
        assert releases.incentive_of(tx, current(core).item_ids["incentive", "off"], {}).amount_minor == 1200


def test_going_back_uses_the_old_versions_again(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    before = current(core)
    put_in_force(DEARER)
    put_in_force(SMALL)
    assert current(core).item_ids == before.item_ids
    assert current(core).number == 3


@pytest.mark.parametrize("table", [catalog_items, catalog_release_items], ids=lambda table: str(table.name))
@pytest.mark.parametrize("deed", ["update", "delete"])
def test_what_was_approved_cannot_be_altered(
    core: Core, put_in_force: Callable[..., Any], table: sa.Table, deed: str
) -> None:
    put_in_force(SMALL)
    column = "key" if table is catalog_items else "position"
    statement = table.delete() if deed == "delete" else table.update().values({column: table.c[column]})
    with pytest.raises(DatabaseError, match="append-only"), core.database.write() as tx:
        tx.execute(statement)


def test_the_file_that_is_in_force_changes_nothing(
    core: Core, propose: Callable[..., Any], put_in_force: Callable[..., Any]
) -> None:
    put_in_force(SMALL)
    before = everything(core)
    again = propose(SMALL + "\n# a remark is no change\n")
    assert (again.number, again.status, again.new, again.changes) == (1, "approved", False, ())
    assert everything(core) == before


def test_a_file_that_is_proposed_already_is_the_same_draft(core: Core, propose: Callable[..., Any]) -> None:
    propose(SMALL)
    before = everything(core)
    again = propose(SMALL)
    assert (again.number, again.status, again.new) == (1, "draft", False)
    assert len(again.changes) == len(list(parse(SMALL).items()))
    assert everything(core) == before


def test_who_proposed_does_not_approve(core: Core, proposer: Actor, propose: Callable[..., Any]) -> None:
    number = propose(SMALL).number
    before = everything(core)
    with pytest.raises(SelfApproval):
        publish.approve_release(core=core, actor=proposer, command=publish.ApproveRelease(number=number))
    assert everything(core) == before


def test_the_database_itself_wants_four_eyes(core: Core, proposer: Actor, propose: Callable[..., Any]) -> None:
    number = propose(SMALL).number
    with pytest.raises(DatabaseError, match="four_eyes"), core.database.write() as tx:
        releases.put_in_force(tx, number=number, by=proposer.label, now=core.clock.now())


def test_an_approved_release_is_not_approved_again(approve: Callable[..., Any], propose: Callable[..., Any]) -> None:
    number = propose(SMALL).number
    approve(number)
    with pytest.raises(ReleaseAlreadyDecided) as refused:
        approve(number)
    assert refused.value.facts == {"number": 1, "decision": "approved"}


def test_a_release_that_is_not_there_is_not_found(approve: Callable[..., Any]) -> None:
    with pytest.raises(ReleaseNotFound):
        approve(7)


def test_other_drafts_are_withdrawn_when_one_is_approved(
    core: Core, propose: Callable[..., Any], approve: Callable[..., Any]
) -> None:
    propose(SMALL)
    propose(DEARER)
    approve(2)
    assert statuses(core) == ["withdrawn", "approved"]
    with pytest.raises(ReleaseAlreadyDecided):
        approve(1)
    assert propose(SMALL).number == 3


def test_a_draft_can_be_taken_back(
    core: Core, proposer: Actor, propose: Callable[..., Any], approve: Callable[..., Any]
) -> None:
    number = propose(SMALL).number
    command = publish.WithdrawRelease(number=number, reason="a typing mistake")
    assert publish.withdraw_release(core=core, actor=proposer, command=command).number == number
    assert statuses(core) == ["withdrawn"]
    with pytest.raises(ReleaseAlreadyDecided):
        approve(number)
    with pytest.raises(ReleaseAlreadyDecided):
        publish.withdraw_release(core=core, actor=proposer, command=command)


def test_a_broken_file_is_refused_and_nothing_happens(core: Core, propose: Callable[..., Any]) -> None:
    before = everything(core)
    with pytest.raises(CatalogInvalid) as refused:
        propose(changed("icon: plane", "icon: plain"))
    assert [each["path"] for each in refused.value.facts["errors"]] == ["issue_tags[flight].icon"]
    assert everything(core) == before


@pytest.mark.parametrize("role", ["frontline", "supervisor", "finance", "auditor", "till", "integrator"])
def test_most_roles_do_not_propose(core: Core, role: str) -> None:
    with pytest.raises(NotPermitted):
        publish.propose_catalog(core=core, actor=actor(core, role), command=publish.ProposeCatalog(text=SMALL))


@pytest.mark.parametrize("role", ["frontline", "supervisor", "auditor", "till", "integrator"])
def test_most_roles_do_not_approve(core: Core, propose: Callable[..., Any], role: str) -> None:
    number = propose(SMALL).number
    with pytest.raises(NotPermitted):
        publish.approve_release(core=core, actor=actor(core, role), command=publish.ApproveRelease(number=number))
    assert statuses(core) == ["draft"]


def test_every_deed_is_audited(core: Core, proposer: Actor, approver: Actor, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    events = rows(core, audit_events)
    assert [(each["action"], each["actor"]) for each in events] == [
        ("catalog.proposed", proposer.label),
        ("catalog.approved", approver.label),
    ]
    assert events[0]["subject_id"] == events[1]["subject_id"] == str(current(core).release_id)
    assert "added incentive off" in events[0]["facts"]["changes"]


def test_a_plan_shows_the_difference_and_writes_nothing(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    before = everything(core)
    plan = queries.plan(core=core, actor=SYSTEM, text=added("teams", "{key: lounge, name: Lounge}", DEARER))
    assert plan.current_number == 1
    assert [str(each) for each in plan.changes] == [
        "added team lounge",
        "changed incentive off\n    amount_minor: 1000 → 1200",
    ]
    assert everything(core) == before


def test_eight_that_propose_the_same_file_make_one_draft(core: Core, propose: Callable[..., Any]) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: propose(SMALL), range(8)))
    assert {each.number for each in found} == {1}
    assert sum(each.new for each in found) == 1
    assert len(rows(core, catalog_items)) == len(list(parse(SMALL).items()))


def test_of_two_drafts_that_are_approved_at_once_one_is_in_force(core: Core, propose: Callable[..., Any]) -> None:
    numbers = [propose(text).number for text in (SMALL, DEARER, OTHER)] * 2

    def approve(number: int) -> int | None:
        command = publish.ApproveRelease(number=number)
        try:
            return publish.approve_release(core=core, actor=actor(core, "finance"), command=command).number
        except ReleaseAlreadyDecided:
            return None

    with ThreadPoolExecutor(6) as pool:
        winners = [number for number in pool.map(approve, numbers) if number is not None]
    assert len(winners) == 1
    assert current(core).number == winners[0]
    assert sorted(statuses(core)) == ["approved", "withdrawn", "withdrawn"]


def test_the_cache_is_used_and_never_stale(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    with core.database.read() as tx:
        first = releases.cached_current(tx, core)
        assert releases.cached_current(tx, core) is first
        pinned = releases.incentive_of(tx, first.item_ids["incentive", "off"], core.cache)
        assert releases.incentive_of(tx, first.item_ids["incentive", "off"], core.cache) is pinned
    put_in_force(DEARER)
    with core.database.read() as tx:
        assert releases.cached_current(tx, core).number == releases.current_number(tx) == 2
        assert releases.cached_current(tx, core).catalog.incentives["off"].amount_minor == 1200


def test_a_hot_flow_asks_the_database_once(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    asked: list[str] = []
    with core.database.read() as tx:
        releases.cached_current(tx, core)
        sa.event.listen(tx, "before_cursor_execute", lambda *seen: asked.append(seen[2]))
        releases.cached_current(tx, core)
    assert len(asked) == 1


def test_what_the_api_lists_is_what_was_approved(core: Core, approver: Actor, put_in_force: Callable[..., Any]) -> None:
    put_in_force(SMALL)
    who = actor(core, "frontline")
    assert [each.key for each in queries.locations(core=core, actor=who)] == ["london", "new-york"]
    assert [each.active for each in queries.issue_tags(core=core, actor=who)] == [True, True, True, False]
    off, *_ = queries.incentives(core=core, actor=who)
    assert (off.key, off.amount_minor, off.currency, off.item) == ("off", 1000, "GBP", None)
    assert off.version_id == str(current(core).item_ids["incentive", "off"])
    late = queries.protocols(core=core, actor=who)[1]
    assert late.script["es"] == "{brand} lo siente, {customer_name}."
    assert queries.brand(core=core, actor=who).languages == ("en", "es")
    (release,) = queries.release_list(core=core, actor=who)
    assert (release.number, release.status, release.approved_by) == (1, "approved", approver.label)


def test_the_tablet_sees_a_tree_in_its_language(core: Core, put_in_force: Callable[..., Any]) -> None:
    put_in_force(changed("icon: clock, severity: 3}", "icon: clock, severity: 3, active: false}"))
    (flight,) = queries.tag_tiles(core=core, actor=actor(core, "frontline"), language="es-MX")
    assert (flight.label, flight.icon) == ("Vuelo", "plane")
    assert [each.label for each in flight.children] == ["Muy tarde"]  # its own parent is retired


def test_an_approver_sees_what_a_draft_changes(
    core: Core, approver: Actor, propose: Callable[..., Any], put_in_force: Callable[..., Any]
) -> None:
    put_in_force(SMALL)
    propose(DEARER)
    (change,) = queries.release_changes(core=core, actor=approver, number=2)
    assert str(change) == "changed incentive off\n    amount_minor: 1000 → 1200"


@pytest.mark.parametrize("query", [queries.issue_tags, queries.incentives, queries.protocols])
def test_a_till_does_not_read_the_catalog(
    core: Core, put_in_force: Callable[..., Any], query: Callable[..., Any]
) -> None:
    put_in_force(SMALL)
    with pytest.raises(NotPermitted):
        query(core=core, actor=actor(core, "till"))
