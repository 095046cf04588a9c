"""A customer whom two processes meet for the first time at once is one customer, with one customer's caps."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_voucher
from incentives.kernel.core import Core
from incentives.recovery import customers
from incentives.recovery.tables import customer_identities
from incentives.recovery.tables import customers as customer_table
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.deeds import MANAGER, broken, give, rows
from tests.small_catalog import TAG, budget, catalog
from tests.world import publish_catalog

PEOPLE = 12
ONE_EACH = (budget(cap_minor=1_000_000), budget("each", scope="customer", cap_count=1))


def meet(core: Core, email: str) -> Outcome:
    return Outcome(type(give(core, email=email)).__name__, email)


def spellings(person: int) -> list[str]:
    """Return ways to write one person's address."""
    return [
        f"A.na.Ruiz{person}+{number}@Example.com" if number % 2 else f"ana.ruiz{person}@example.com"
        for number in range(SIZE)
    ]


@contextmanager
def look_then_keep() -> Iterator[None]:
    """Look whether the identity is known, keep it if not, and never mind who was quicker."""

    def naive(
        tx: Connection,
        wanted: Mapping[str, tuple[uuid.UUID, str]],
        found: dict[str, uuid.UUID],
        _promised: Mapping[str, list[int]],
    ) -> frozenset[str]:
        table = customer_identities.c
        for digest, (owner, kind) in wanted.items():
            known = tx.execute(sa.select(table.customer_id).where(table.digest == digest)).scalar()
            time.sleep(A_MOMENT_SECONDS)
            row = {"digest": digest, "customer_id": owner, "kind": kind}
            tx.execute(postgresql.insert(customer_identities).on_conflict_do_nothing(), row)
            found[digest] = known or owner
        return frozenset()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(customers, "_claim_identities", naive)
        yield


def test_sixteen_who_meet_a_new_customer_give_once_where_the_cap_is_one(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(*ONE_EACH))
    rounds = [spellings(person) for person in range(PEOPLE)]
    for outcomes in crew.at_once(meet, rounds, core.settings.database_url):
        assert count(outcomes) == {"Issued": 1, "CustomerCapReached": SIZE - 1}
    assert rows(core, customer_table) == PEOPLE
    assert rows(core, customer_identities) == PEOPLE
    assert broken(core) == []


def test_one_who_looks_first_and_keeps_then_gives_again(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog(*ONE_EACH))
    outcomes = flat(crew.at_once(meet, [spellings(1)], core.settings.database_url, twin=look_then_keep))
    assert count(outcomes)["Issued"] > 1
    assert rows(core, customer_table) > 1


def meet_somebody(core: Core, job: CustomerGiven) -> Outcome:
    command = IssueVoucher(issue_tag=TAG, customer=job)
    return Outcome(type(issue_voucher(core=core, actor=MANAGER, command=command)).__name__)


@contextmanager
def without_lock() -> Iterator[None]:
    """Link customers that turn out to be one from what was read a moment ago."""

    def no_lock(tx: Connection) -> None:
        time.sleep(A_MOMENT_SECONDS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(customers, "_lock_links", no_lock)
        yield


def halves_of(core: Core, person: int) -> list[CustomerGiven]:
    """Meet somebody three times as three customers; return two contacts that each say two of them are one."""
    parts = {"email": f"ana{person}@example.com", "phone": f"+1212555{person:04}", "external_ref": f"member {person}"}
    for name, value in parts.items():
        meet_somebody(core, CustomerGiven(**{name: value}))
    pairs = (("email", "phone"), ("phone", "external_ref"))
    return [CustomerGiven(**{name: parts[name] for name in pair}) for pair in pairs]


def groups(core: Core) -> int:
    with core.database.read() as tx:
        return len(tx.execute(sa.select(customer_table.c.group_id).distinct()).all())


def test_two_who_each_learn_half_of_who_somebody_is_together_learn_all(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [halves_of(core, person) * 2 for person in range(PEOPLE)]
    outcomes = flat(crew.at_once(meet_somebody, rounds, core.settings.database_url))
    assert count(outcomes) == {"Issued": 4 * PEOPLE}
    assert rows(core, customer_table) == 3 * PEOPLE
    assert groups(core) == PEOPLE


def test_two_who_link_what_they_read_undo_or_wait_for_each_other(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [halves_of(core, person) for person in range(4)]
    outcomes = flat(crew.at_once(meet_somebody, rounds, core.settings.database_url, twin=without_lock))
    assert groups(core) > 4 or "StorageUnavailable" in count(outcomes)
