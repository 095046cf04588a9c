"""All verbs at once, by several processes on few vouchers: no ring of locks, no bug, and the books hold.

``STRESS_SECONDS=90 STRESS_SEED=7`` lets them live longer, by other dice.
"""

import os

from incentives.kernel.actors import SYSTEM
from incentives.queries.books import check_books
from incentives.vouchers.bulk_tables import bulk_jobs
from tests.machines.lives import opened
from tests.races import stress

SECONDS = float(os.environ.get("STRESS_SECONDS", "8"))
SEED = int(os.environ.get("STRESS_SEED", "1"))
# The worker does nothing until the dice say so.
MAY_WAIT = ("nothing is stuck in the outbox", "no hold is older than its request")


def test_whatever_happens_at_once_the_books_hold(database_url: str) -> None:
    life = opened(database_url)
    found = stress.run(database_url, life.people, SECONDS, SEED)
    assert not found.bugs, "\n".join([f"{len(found.bugs)} bugs", *found.bugs[:10]])
    assert found.done
    checks = check_books(core=life.core, actor=SYSTEM)
    assert {each.name: each.broken for each in checks if not each.holds and each.name not in MAY_WAIT} == {}
    assert [each.reason for each in life.shop.all(bulk_jobs) if "Something broke" in (each.reason or "")] == []
    life.core.database.dispose()
