"""All verbs at once, by several processes on few vouchers: no deadlock, no bug, and the books hold."""

import os

from incentives.kernel.actors import SYSTEM
from incentives.queries.books import check_books
from tests.flows.shop import Shop
from tests.machines.lives import opened
from tests.races import stress

SECONDS = float(os.environ.get("STRESS_SECONDS", "10"))
SEED = int(os.environ.get("STRESS_SEED", "1"))


def test_whatever_happens_at_once_the_books_hold(database_url: str) -> None:
    life = opened(database_url)
    people = dict(life.people)
    found = stress.run(database_url, people, SECONDS, SEED)
    print(sum(found["done"].values()), dict(found["done"]), dict(found["refused"]), found["seconds"])
    assert not found["bugs"], "\n".join([f"{len(found['bugs'])} bugs", *found["bugs"][:12]])
    checks = check_books(core=life.core, actor=SYSTEM)
    may_wait = ("nothing is stuck in the outbox", "no hold is older than its request")
    assert {each.name: each.broken for each in checks if not each.holds and each.name not in may_wait} == {}
    life.core.database.dispose()
