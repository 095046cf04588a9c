"""The commands of the books: sealing, a checkpoint to keep outside, and verifying with it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.kernel.clock import FixedClock
from incentives.kernel.database import Database
from tests.databases import SqliteDatabases
from tests.doors.operator import Operator
from tests.world import START, make_core, publish_catalog


@pytest.fixture
def operator(sqlite: SqliteDatabases) -> Operator:
    """An operator whose books hold what publishing a catalog some time ago has written."""
    url = sqlite.new()
    core = make_core(url, clock=FixedClock(START - timedelta(days=1)))
    publish_catalog(core)
    core.database.dispose()
    return Operator(url)


def test_sealing_and_verifying_with_an_anchor(operator: Operator, tmp_path: Path) -> None:
    assert "Nothing is sealed yet" in operator.is_refused("books", "checkpoint")
    assert "rows sealed, up to seal 1." in operator.gets("books", "seal")
    assert operator.gets("books", "seal") == "There was nothing to seal.\n"
    line = operator.gets("books", "checkpoint")
    assert json.loads(line)["number"] == 1
    anchor = tmp_path / "anchors"
    anchor.write_text(f"{line}\n")
    told = operator.gets("books", "verify", "--anchor", str(anchor))
    assert told.startswith("1 seals, ")
    assert told.endswith(" rows verified, 0 rows are not sealed yet.\n")
    assert "Without --anchor" in operator.gets("books", "verify")
    anchor.write_text(line.replace('"number": 1', '"number": 2'))
    result = operator.types("books", "verify", "--anchor", str(anchor))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (
        1,
        "BROKEN seal 2: the anchor is not signed by a key of this house",
    )


def test_what_was_altered_is_named(operator: Operator) -> None:
    operator.gets("books", "seal")
    database = Database(operator.url)
    with database.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER audit_events_no_update")
        altered = tx.execute(sa.select(audit_events.c.id).order_by(audit_events.c.id).limit(1)).scalar_one()
        tx.execute(audit_events.update().where(audit_events.c.id == altered).values(actor="person:nobody"))
    database.dispose()
    result = operator.types("books", "verify")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == f"BROKEN audit_events {altered}, seal 1: is not as it was sealed"


@pytest.mark.parametrize("said", [{"number": 10**30}, {"hash": "\ud800"}, {"at": "0001-01-01T00:00:00+14:00"}], ids=str)
def test_an_anchor_that_is_none_of_ours_is_named(operator: Operator, tmp_path: Path, said: dict[str, Any]) -> None:
    operator.gets("books", "seal")
    anchor = tmp_path / "anchors"
    found = json.loads(operator.gets("books", "checkpoint")) | said
    anchor.write_text(json.dumps(found))
    result = operator.types("books", "verify", "--anchor", str(anchor))
    told = f"BROKEN seal {found['number']}: the anchor is not signed by a key of this house"
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, told)


@pytest.mark.parametrize(
    "content",
    [
        *(b"{}", b"x", b"[1]", b'{"number": 1, "hash": "", "at": "2026-11-20T12:00:00"}'),
        *(b"", b"\n \n", b"\xff\xfe\x00", b"[" * 100_000),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_file_that_is_no_anchor_is_refused(operator: Operator, tmp_path: Path, content: bytes) -> None:
    anchor = tmp_path / "anchors"
    anchor.write_bytes(content)
    assert "Each line is a checkpoint" in operator.is_refused("books", "verify", "--anchor", str(anchor), status=2)


def test_sealing_what_is_late_needs_a_reason(operator: Operator) -> None:
    operator.gets("books", "seal")
    operator.is_refused("books", "seal", "--late")
    assert operator.gets("books", "seal", "--late", "--reason", "A restore.") == "There was nothing to seal.\n"
