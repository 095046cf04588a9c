"""The operator's commands for the catalog: from a file to a draft, and from a draft to what is in force."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from tests.databases import SqliteDatabases
from tests.doors.operator import Operator
from tests.world import DEMO_CATALOG, make_core, person

_MIA = ("--as", "mia@example.com")


@pytest.fixture
def operator(sqlite: SqliteDatabases) -> Operator:
    """An operator whose colleagues are Mia, a manager, and Fay, who gives."""
    operator = Operator(sqlite.new())
    core = make_core(operator.url)
    person(core, "manager", email="mia@example.com")
    person(core, "frontline", email="fay@example.com")
    core.database.dispose()
    return operator


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Return a file that is not the demo's catalog."""
    path = tmp_path / "changed.yaml"
    path.write_text(DEMO_CATALOG.read_text(encoding="utf-8").replace("name: ", "name: New ", 1), encoding="utf-8")
    return path


def test_a_draft_is_seen_and_put_in_force(operator: Operator, changed: Path) -> None:
    operator.gets("catalog", "apply", str(DEMO_CATALOG), "--approve-as", "mia@example.com")
    assert "incentives catalog approve" in operator.gets("catalog", "apply", str(changed))
    shown = operator.gets("catalog", "releases").splitlines()
    assert [line.split()[:2] for line in shown[:3]] == [["NUMBER", "STATUS"], ["2", "draft"], ["1", "approved"]]
    assert "the system" in shown[1]
    assert shown[2].endswith("mia@example.com")
    assert shown[4:5] == ["Release 2 would change:"]
    assert len(shown) > 5
    assert operator.gets("catalog", "approve", "2", *_MIA) == "Release 2 is in force.\n"
    lines = operator.gets("catalog", "releases").splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["approved", "superseded"]
    assert "`incentives catalog releases`" in operator.is_refused("catalog", "approve", "2", *_MIA)


def test_a_draft_is_taken_back(operator: Operator) -> None:
    operator.gets("catalog", "apply", str(DEMO_CATALOG))
    assert operator.gets("catalog", "withdraw", "1", *_MIA, "--reason", "a typo") == "Release 1 is withdrawn.\n"
    assert operator.gets("catalog", "releases").splitlines()[1].split()[:2] == ["1", "withdrawn"]
    core = make_core(operator.url)
    with core.database.read() as tx:
        event = tx.execute(sa.select(audit_events).where(audit_events.c.action == "catalog.withdrawn")).one()
    core.database.dispose()
    assert (event.reason, event.actor_name) == ("a typo", "Manager")
    for deed in (("approve", "1", *_MIA), ("withdraw", "1", *_MIA, "--reason", "again")):
        assert "Catalog release 1 is withdrawn already." in operator.is_refused("catalog", *deed)


@pytest.mark.parametrize("deed", [("approve", "1"), ("withdraw", "1", "--reason", "x")])
def test_who_may_not_decide_on_a_draft(operator: Operator, deed: tuple[str, ...]) -> None:
    operator.gets("catalog", "apply", str(DEMO_CATALOG))
    assert "nobody with the email" in operator.is_refused("catalog", *deed, "--as", "nobody@example.com")
    told = operator.is_refused("catalog", *deed, "--as", "fay@example.com")
    assert told.startswith("The role frontline may not do this: it lacks catalog:")
    assert "incentives user list" in told
    assert "--as" in operator.is_refused("catalog", *deed, status=2)
    assert operator.gets("catalog", "releases").splitlines()[1].split()[1] == "draft"


@pytest.mark.parametrize("email", ["nobody@example.com", "fay@example.com"])
def test_a_wrong_approver_leaves_no_draft_behind(operator: Operator, email: str) -> None:
    operator.is_refused("catalog", "apply", str(DEMO_CATALOG), "--approve-as", email)
    assert len(operator.gets("catalog", "releases").splitlines()) == 1


@pytest.mark.parametrize("number", ["7", "2147483647"])
def test_a_release_that_there_is_not(operator: Operator, number: str) -> None:
    told = operator.is_refused("catalog", "approve", number, *_MIA)
    assert told == f"There is no catalog release {number}. `incentives catalog releases` shows those there are.\n"


def test_numbers_and_reasons_that_cannot_be_meant(operator: Operator) -> None:
    for number in ("0", "-1", "one", "99999999999999999999"):
        operator.is_refused("catalog", "approve", *_MIA, "--", number, status=2)
    assert "--reason" in operator.is_refused("catalog", "withdraw", "1", *_MIA, status=2)
    assert "--reason" in operator.is_refused("catalog", "withdraw", "1", *_MIA, "--reason", " ", status=2)


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_files_that_are_no_catalog(operator: Operator, tmp_path: Path, command: str) -> None:
    empty, odd = tmp_path / "empty.yaml", tmp_path / "odd.yaml"
    empty.write_bytes(b"")
    odd.write_bytes(b"brand:\n  name: \xff\n")
    assert "does not exist" in operator.is_refused("catalog", command, str(tmp_path / "none.yaml"), status=2)
    assert "is a directory" in operator.is_refused("catalog", command, str(tmp_path), status=2)
    assert operator.is_refused("catalog", command, str(empty)).splitlines()[1].startswith("  line 1: There must be")
    told = operator.is_refused("catalog", command, str(odd))
    assert told.splitlines()[1:] == ["  line 2: This is not UTF-8 text; save the file as UTF-8."]


def test_a_release_is_put_in_force_later_and_an_older_one_brought_back(operator: Operator, changed: Path) -> None:
    operator.gets("catalog", "apply", str(DEMO_CATALOG), "--approve-as", "mia@example.com")
    at = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M}"
    told = operator.gets("catalog", "apply", str(changed), "--approve-as", "mia@example.com", "--effective-at", at)
    assert "Release 2 will be in force from" in told
    assert [line.split()[1] for line in operator.gets("catalog", "releases").splitlines()[1:3]] == [
        "scheduled",
        "approved",
    ]
    operator.gets("catalog", "withdraw", "2", *_MIA, "--reason", "wrong month")
    operator.gets("catalog", "apply", str(changed), "--approve-as", "mia@example.com")
    told = operator.gets("catalog", "rollback", "1", *_MIA, "--reason", "too new")
    assert "~ changed" in told
    assert "Release 4 is a draft" in told
    assert "Somebody else" in operator.is_refused("catalog", "approve", "4", *_MIA)


def test_the_catalog_in_force_is_exported_as_the_same_file(operator: Operator, tmp_path: Path) -> None:
    operator.gets("catalog", "apply", str(DEMO_CATALOG), "--approve-as", "mia@example.com")
    path = tmp_path / "exported.yaml"
    path.write_text(operator.gets("catalog", "export"), encoding="utf-8")
    assert operator.gets("catalog", "plan", str(path)) == "Nothing to change.\n"


def test_languages_and_what_if_are_told_in_tables(operator: Operator, changed: Path) -> None:
    operator.gets("catalog", "apply", str(DEMO_CATALOG), "--approve-as", "mia@example.com")
    assert operator.gets("catalog", "languages").splitlines()[1].split()[0] == "en"
    told = operator.gets("catalog", "what-if", str(changed), "--days", "7")
    assert told.startswith("0 given or asked for; 0 would be refused.")
    assert operator.gets("catalog", "what-if", "--release", "1").startswith("0 given")
    assert operator.types("catalog", "what-if").exit_code == 2
    assert operator.types("catalog", "approve", "1", *_MIA, "--effective-at", "soon").exit_code == 2
