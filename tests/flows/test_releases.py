"""Four eyes over time: a release is approved for later, taken back before, and an older one is brought back."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.catalog import releases
from incentives.catalog.document import parse
from incentives.flows import publish
from incentives.kernel.actors import Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    BudgetRedefined,
    EffectiveDateInvalid,
    NotPermitted,
    Refusal,
    ReleaseAlreadyDecided,
    ReleaseInForce,
    ReleaseNotFound,
    ReleaseScheduled,
    SelfApproval,
)
from incentives.queries import catalog as queries
from tests import dump
from tests.unit.catalog_files import SMALL, added, changed
from tests.unit.catalog_safeguards import GUARDED
from tests.world import actor, make_core

DEARER = changed("    amount_minor: 1000\n", "    amount_minor: 1200\n")
OTHER = changed("  name: Meridian\n", "  name: Meridiana\n")


class Office:
    """Two people and the catalog."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.mia: Actor = actor(core, "manager")
        self.fin: Actor = actor(core, "finance")

    def propose(self, text: str, by: Actor | None = None) -> publish.Proposed:
        command = publish.ProposeCatalog(text=text, reason="because")
        return publish.propose_catalog(core=self.core, actor=by or self.mia, command=command)

    def approve(self, number: int, days: float | None = None, by: Actor | None = None) -> publish.Approved:
        at = self.now + timedelta(days=days) if days is not None else None
        command = publish.ApproveRelease(number=number, effective_at=at)
        return publish.approve_release(core=self.core, actor=by or self.fin, command=command)

    def withdraw(self, number: int, by: Actor | None = None) -> publish.Withdrawn:
        command = publish.WithdrawRelease(number=number, reason="wrong month")
        return publish.withdraw_release(core=self.core, actor=by or self.fin, command=command)

    def roll_back(self, number: int, by: Actor | None = None) -> publish.Proposed:
        command = publish.RollBack(number=number, reason="too dear")
        return publish.roll_back(core=self.core, actor=by or self.mia, command=command)

    def apply(self, text: str) -> None:
        self.approve(self.propose(text).number)

    @property
    def now(self) -> Any:
        return self.core.clock.now()

    def later(self, **step: float) -> None:
        assert isinstance(self.core.clock, FixedClock)
        self.core.clock.advance(timedelta(**step))

    def in_force(self) -> int:
        with self.core.database.read() as tx:
            return releases.cached_current(tx, self.core).number

    def statuses(self) -> list[str]:
        rows = queries.release_list(core=self.core, actor=self.mia)
        return [each.status for each in reversed(rows)]

    def refused(self, refusal: type[Refusal], deed: Callable[..., Any], *arguments: Any, **more: Any) -> Refusal:
        before = dump.of(self.core)
        with pytest.raises(refusal) as caught:
            deed(*arguments, **more)
        assert dump.differences(before, dump.of(self.core)) == {}
        return caught.value


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    core = make_core(database_url)
    office = Office(core)
    office.apply(SMALL)
    yield office
    core.database.dispose()


def test_a_scheduled_release_is_in_force_from_its_instant_on(office: Office) -> None:
    approved = office.approve(office.propose(DEARER).number, days=2)
    assert (approved.number, approved.superseded_number) == (2, 1)
    assert approved.effective_at == office.now + timedelta(days=2)
    assert (office.in_force(), office.statuses()) == (1, ["approved", "scheduled"])
    office.later(days=2, microseconds=-1)
    assert office.in_force() == 1
    office.later(microseconds=1)
    assert (office.in_force(), office.statuses()) == (2, ["superseded", "approved"])


def test_whoever_writes_next_settles_it(office: Office) -> None:
    office.approve(office.propose(DEARER).number, days=1)
    office.propose(OTHER)  # from what was in force; its approver would be shown another difference after that
    office.later(days=1)
    office.propose(changed("  name: Meridian\n", "  name: Third\n", DEARER))
    assert office.statuses() == ["superseded", "approved", "withdrawn", "draft"]
    with office.core.database.read() as tx:
        (event,) = tx.execute(sa.select(audit_events).where(audit_events.c.action == "catalog.in_force")).all()
        assert releases.current_number(tx) == 2
    assert (event.actor_name, event.facts["number"]) == ("the system", 2)


def test_the_same_file_is_what_is_in_force_once_its_instant_came(office: Office) -> None:
    office.approve(office.propose(DEARER).number, days=1)
    office.later(days=1)
    again = office.propose(DEARER)
    assert (again.number, again.status, again.new, again.changes) == (2, "approved", False, ())


def test_while_one_is_scheduled_no_other_is_approved(office: Office) -> None:
    first, second = office.propose(DEARER).number, office.propose(OTHER).number
    office.approve(first, days=3)
    found = office.refused(ReleaseScheduled, office.approve, second)
    assert found.facts["number"] == first
    office.refused(ReleaseScheduled, office.approve, second, days=1)
    office.withdraw(first)
    office.approve(second)
    assert office.statuses() == ["superseded", "withdrawn", "approved"]


def test_a_scheduled_release_is_taken_back_before_its_instant_and_not_after(office: Office) -> None:
    number = office.propose(DEARER).number
    office.approve(number, days=1)
    office.withdraw(number, by=office.mia)
    office.later(days=2)
    assert (office.in_force(), office.statuses()) == (1, ["approved", "withdrawn"])
    office.refused(ReleaseAlreadyDecided, office.withdraw, number)
    number = office.propose(OTHER).number
    office.approve(number, days=1)
    office.later(days=1)
    with pytest.raises(ReleaseAlreadyDecided):
        office.withdraw(number)
    assert office.in_force() == number


@pytest.mark.parametrize("days", [0, -1, 367])
def test_an_instant_in_the_past_or_too_far_is_refused(office: Office, days: float) -> None:
    number = office.propose(DEARER).number
    office.refused(EffectiveDateInvalid, office.approve, number, days=days)


def test_four_eyes_hold_for_later_too(office: Office) -> None:
    number = office.propose(DEARER).number
    office.refused(SelfApproval, office.approve, number, days=1, by=office.mia)
    office.refused(NotPermitted, office.approve, number, days=1, by=actor(office.core, "supervisor"))
    office.refused(NotPermitted, office.withdraw, number, by=actor(office.core, "auditor"))


def test_an_older_catalog_is_brought_back_by_two(office: Office) -> None:
    office.apply(DEARER)
    proposed = office.roll_back(1)
    assert (proposed.status, proposed.new) == ("draft", True)
    assert [str(each.fields[0]) for each in proposed.changes] == ["amount_minor: 1200 → 1000"]
    row = queries.one_release(core=office.core, actor=office.fin, number=proposed.number)
    assert (row.rollback_of_number, row.reason) == (1, "too dear")
    office.refused(SelfApproval, office.approve, proposed.number, by=office.mia)
    office.approve(proposed.number)
    with office.core.database.read() as tx:
        assert releases.load_current(tx).catalog == parse(SMALL)
    office.refused(ReleaseInForce, office.roll_back, 1)
    office.refused(ReleaseNotFound, office.roll_back, 9)
    office.refused(NotPermitted, office.roll_back, 2, by=office.fin)


def test_a_budget_is_not_brought_back_as_another(office: Office) -> None:
    weekly = "{key: each-team, name: Each team, scope: team, period: week, week_start: sunday, cap_count: 10}"
    office.apply(changed(f"  - {weekly}\n", ""))
    daily = changed(weekly, "{key: each-team, name: Each team, scope: team, period: day, cap_count: 10}")
    office.refused(BudgetRedefined, office.propose, daily)
    assert office.roll_back(1).new


def test_what_is_exported_is_the_same_catalog(office: Office) -> None:
    office.apply(GUARDED)
    text = queries.export(core=office.core, actor=office.fin)
    assert parse(text) == parse(GUARDED)
    assert not office.propose(text).new
    assert parse(queries.export(core=office.core, actor=office.fin, number=1)) == parse(SMALL)


def test_a_difference_reads_as_finance_reads(office: Office) -> None:
    text = changed("cap_minor: 100000}", "cap_minor: 150050}")
    text = changed("incentives: [off, words]", "incentives: [off, percent]", text)
    text = changed("es: Diez menos", "es: Diez de menos", text)
    text = changed("most_minor: {GBP: 4000}", "most_minor: {GBP: 5000, USD: 100}", text)
    text = changed("  - {person: Ana@Example.com, currency: GBP, unlimited: true}\n", "", text)
    sections = queries.plan(core=office.core, actor=office.mia, text=text).sections
    told = {
        section.words: [(each.action, each.name, *map(str, each.lines)) for each in section.entries]
        for section in sections
    }
    assert told == {
        "Budgets": [("changed", "All", "Cap: £1,000.00 → £1,500.50")],
        "Approval limits": [("removed", "person:ana@example.com:GBP")],
        "Incentives": [("changed", "Ten off", "Title (es): Diez menos → Diez de menos")],
        "Protocols": [
            (
                "changed",
                "late",
                "Incentives: + percent, − words",
                "Most that may be given (GBP): £40.00 → £50.00",
                "Most that may be given (USD): (none) → $1.00",
            )
        ],
    }
    assert list(told) == ["Budgets", "Approval limits", "Incentives", "Protocols"]


def test_the_languages_are_counted(office: Office) -> None:
    english, spanish = queries.languages(core=office.core, actor=office.fin)
    assert (english.language, english.present, english.total, english.missing) == ("en", 13, 13, ())
    assert (spanish.required, spanish.present, spanish.same_as_default) == (True, 13, ())


def test_a_budget_that_was_never_in_force_may_be_another_one(office: Office) -> None:
    """It was approved for later and withdrawn before: nobody was promised anything out of it."""
    new = "{key: new, name: New, scope: organization, currency: CURRENCY, cap_minor: 1000, period: none}"
    pounds, dollars = (added("budgets", new.replace("CURRENCY", each)) for each in ("GBP", "USD"))
    number = office.propose(pounds).number
    office.approve(number, days=3)
    office.withdraw(number)
    assert office.propose(dollars).number == number + 1
    office.apply(pounds)
    with pytest.raises(BudgetRedefined):
        office.propose(dollars)
