"""Migrations while everybody works: ``python -m tests.migrations.under_load --vouchers 10000``.

On PostgreSQL, with so many vouchers in it: down to an older revision and up again, one by one, while others take the
lock that every writer needs of each busy table, without a pause. Told is how long one of them waited for it; and the
data is the same afterwards.
"""

import argparse
import contextlib
import hashlib
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_vouchers
from incentives.kernel import migrate
from incentives.kernel.clock import SystemClock
from tests.migrations.test_up_and_down import Columns, columns, everything
from tests.races.deeds import MANAGER
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.small_catalog import TAG, catalog
from tests.world import make_core, publish_catalog

OLDEST = "0004"
WAIT_SECONDS_MAX = 2.0
_TOGETHER = 500
_WRITERS = 2

BUSY = (
    "vouchers", "issuances", "recovery_cases", "customers", "customer_identities", "outbox_messages",
    "delivery_attempts", "budget_periods", "budget_movements", "ledger_entries", "ledger_postings", "audit_events",
    "redemptions", "redemption_attempts", "idempotency_keys", "catalog_releases",
)  # fmt: skip


@dataclass(slots=True)
class Waited:
    """How long somebody waited for a table while a revision was put in, and how long that took."""

    revision: str
    took_seconds: float
    table: str
    seconds: float


@dataclass(slots=True)
class Story:
    """What came of it."""

    vouchers: int
    waited: list[Waited] = field(default_factory=list)
    quiet_seconds: float = 0.0
    same: bool = False


class Writers:
    """Threads that take the lock of a writer of each busy table in turn, and note how long they waited for it."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self._waits: list[tuple[float, float, str]] = []

    @contextlib.contextmanager
    def at_work(self) -> Iterator["Writers"]:
        """Let them work until the block ends."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_WRITERS)]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._over.set()
            for each in threads:
                each.join()

    def longest_since(self, began: float) -> tuple[float, str]:
        """Return the longest wait of those that were not over yet at an instant, and for what."""
        time.sleep(0.1)  # Whoever waits just now is told of, too.
        return max((seconds, table) for at, seconds, table in list(self._waits) if at + seconds >= began)

    def _work(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for table in itertools.cycle(BUSY):
                if self._over.is_set():
                    return
                lock = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(table))
                at = time.monotonic()
                with connection.transaction():
                    connection.execute(lock)
                self._waits.append((at, time.monotonic() - at, table))


def play(run: RunFolder, vouchers: int) -> Story:
    """Give so many vouchers, go down and up, and look what came of it."""
    story, server = Story(vouchers), Postgres(run, durable=True)
    server.start()
    try:
        url = server.url()
        _fill(url, vouchers)
        while revision(url) != OLDEST:
            migrate.downgrade(url, "-1")
        kept = columns(url)
        before = digest(url, kept)
        with Writers(url).at_work() as writers:
            began = time.monotonic()
            time.sleep(0.5)
            story.quiet_seconds, _ = writers.longest_since(began)
            while revision(url) != migrate.head():
                story.waited.append(_up(url, writers))
        story.same = digest(url, kept) == before
        while revision(url) != OLDEST:
            migrate.downgrade(url, "-1")
        story.same = story.same and digest(url, kept) == before
    finally:
        server.remove()
    return story


def _up(url: str, writers: Writers) -> Waited:
    began = time.monotonic()
    migrate.upgrade(url, "+1")
    took = time.monotonic() - began
    seconds, table = writers.longest_since(began)
    return Waited(revision(url), took, table, seconds)


def revision(url: str) -> str:
    """Return where a database stands."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row
    return str(row[0])


def digest(url: str, kept: Columns) -> str:
    """Return what stands for all that is in some tables and columns."""
    return hashlib.sha256(repr(sorted(everything(url, kept).items())).encode()).hexdigest()


def _fill(url: str, vouchers: int) -> None:
    migrate.upgrade(url)
    core = make_core(url, clock=SystemClock())
    publish_catalog(core, catalog())
    for start in range(0, vouchers, _TOGETHER):
        customers = [CustomerGiven(email=f"{start + each}@customer.example") for each in range(_TOGETHER)]
        wishes = [IssueVoucher(issue_tag=TAG, customer=each, channels=("email",)) for each in customers]
        issue_vouchers(core=core, actor=MANAGER, commands=wishes[: vouchers - start])
    core.database.dispose()


def main() -> int:
    """Tell what happened; return 1 where anybody waited too long, or the data is not the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.migrations.under_load", description=__doc__)
    parser.add_argument("--vouchers", type=int, default=10_000)
    with RunFolder.opened() as run:
        story = play(run, parser.parse_args().vouchers)
    sys.stdout.write(f"{story.vouchers} vouchers; without a migration nobody waits over {story.quiet_seconds:.3f} s\n")
    for each in story.waited:
        took = f"{each.took_seconds:.2f} s"
        sys.stdout.write(f"up to {each.revision} in {took}: somebody waited {each.seconds:.3f} s for {each.table}\n")
    sys.stdout.write("the data is the same\n" if story.same else "THE DATA IS NOT THE SAME\n")
    return int(not story.same or any(each.seconds > WAIT_SECONDS_MAX for each in story.waited))


if __name__ == "__main__":
    sys.exit(main())
