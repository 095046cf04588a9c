"""A customer whom two processes meet for the first time at once is one customer, with one customer's caps."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.recovery import customers
from incentives.recovery.tables import customer_identities
from incentives.recovery.tables import customers as customer_table
from tests.crew import SIZE, Crew, Outcome, count, flat
from tests.races.deeds import broken, give, rows
from tests.small_catalog import budget, catalog
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

    def naive(tx: Connection, digest: str, owner: uuid.UUID, kind: str, found: dict[str, uuid.UUID]) -> None:
        table = customer_identities.c
        known = tx.execute(sa.select(table.customer_id).where(table.digest == digest)).scalar()
        time.sleep(0.02)  # It passes between looking and keeping on any busy machine.
        row = {"digest": digest, "customer_id": owner, "kind": kind}
        tx.execute(postgresql.insert(customer_identities).on_conflict_do_nothing(), row)
        found[digest] = known or owner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(customers, "_claim_identity", naive)
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
