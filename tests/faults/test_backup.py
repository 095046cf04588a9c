"""A backup that was taken while everybody worked is restored elsewhere: whole, provable, guarded, ready to go on."""

import itertools
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from incentives.flows.seal import seal_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.kernel.migrate import check
from incentives.queries.books_seals import newest_checkpoint
from incentives.queries.books_verify import Checkpoint, verify_books
from incentives.vouchers.tables import redemptions, vouchers
from tests import dump
from tests.faults.test_busy_sqlite import give_and_redeem
from tests.migrations.shape import Shape, shape
from tests.races.deeds import broken, rows
from tests.run_folder import RunFolder
from tests.schema import append_only_tables
from tests.servers import Postgres
from tests.small_catalog import catalog
from tests.world import make_core, publish_catalog

SEALED = 60
WRITERS = 4
_SPELLING = re.compile(r"::(text|character varying)(\[\])?|[()]")
SEAL_AT_ONCE = timedelta(seconds=1)


@pytest.fixture
def elsewhere(run: RunFolder) -> Iterator[Postgres]:
    """Another machine's PostgreSQL, with nothing in it."""
    server = Postgres(run)
    server.start()
    yield server
    server.remove()


@contextmanager
def everybody_works(core: Core) -> Iterator[None]:
    """Let some give and redeem until the block ends."""
    over, numbers = threading.Event(), itertools.count(SEALED)

    def keep_giving() -> None:
        while not over.is_set():
            give_and_redeem(core, next(numbers))

    threads = [threading.Thread(target=keep_giving) for _ in range(WRITERS)]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in threads:
            each.join()


def run_program(server: Postgres, name: str, *arguments: str) -> None:
    done = subprocess.run([str(server.programs / name), *arguments], check=False, capture_output=True, cwd="/")
    assert done.returncode == 0, done.stderr.decode()


def back_up(server: Postgres, file: Path) -> None:
    run_program(server, "pg_dump", "--format=custom", f"--file={file}", server.url())


def restore(server: Postgres, file: Path) -> None:
    run_program(server, "pg_restore", "--exit-on-error", f"--dbname={server.url()}", str(file))


def sealed(core: Core) -> Checkpoint:
    """Seal the books and return the checkpoint that an auditor keeps elsewhere."""
    while seal_due(core=core):
        pass
    found = newest_checkpoint(core=core, actor=SYSTEM)
    assert found is not None
    return found


@pytest.fixture
def core(own_postgres: Postgres) -> Iterator[Core]:
    core = make_core(own_postgres.url(), clock=SystemClock())
    publish_catalog(core, catalog())
    for number in range(SEALED):
        give_and_redeem(core, number)
    yield core
    core.database.dispose()


def test_what_is_restored_is_whole_and_goes_on(
    core: Core, own_postgres: Postgres, elsewhere: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incentives.flows.seal.SETTLED", -SEAL_AT_ONCE)
    anchor = sealed(core)
    file = tmp_path / "backup"
    with everybody_works(core):
        back_up(own_postgres, file)
    restore(elsewhere, file)
    restored = make_core(elsewhere.url(), clock=SystemClock())
    check(restored.database)
    assert spelled_alike(shape(elsewhere.url())) == spelled_alike(shape(own_postgres.url()))
    assert SEALED <= rows(restored, redemptions) <= rows(core, redemptions)
    assert broken(restored) == []
    verdict = verify_books(core=restored, actor=SYSTEM, anchors=[anchor])
    assert verdict.holds, verdict.faults
    assert verdict.seals == anchor.number
    keeps_its_guards(elsewhere)
    before = rows(restored, vouchers)
    give_and_redeem(restored, -1)  # a key that was not used before
    assert rows(restored, vouchers) == before + 1
    assert broken(restored) == []
    restored.database.dispose()


def spelled_alike(whole: Shape) -> Shape:
    """Return a shape without parentheses and casts: PostgreSQL sets other ones around what it has read from a dump."""
    return {part: [tuple(_SPELLING.sub("", text) for text in row) for row in found] for part, found in whole.items()}


def keeps_its_guards(server: Postgres) -> None:
    """Look that what is written once still lets nobody change it."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for table in append_only_tables():
            count: Any = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            if count[0]:
                with pytest.raises(psycopg.errors.RestrictViolation):
                    connection.execute(f"DELETE FROM {table}")


def test_a_backup_in_peace_is_the_same_to_the_last_row(
    core: Core, own_postgres: Postgres, elsewhere: Postgres, tmp_path: Path
) -> None:
    back_up(own_postgres, tmp_path / "backup")
    restore(elsewhere, tmp_path / "backup")
    restored = make_core(elsewhere.url())
    assert dump.differences(dump.of(core), dump.of(restored)) == {}
    restored.database.dispose()
