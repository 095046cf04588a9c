"""The operator's commands: the database, keys, serving and what is said when a command cannot do its work."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from incentives.kernel import migrate
from incentives.kernel.settings import Settings
from tests.databases import SqliteDatabases
from tests.doors.operator import Operator
from tests.servers import free_port
from tests.world import HOUSE, environ

_NEED_TABLES = (
    ("user", "list"),
    ("user", "create", "--email", "ana@example.com", "--role", "admin"),
    ("user", "change", "--email", "ana@example.com", "--role", "admin"),
    ("user", "reset-password", "--email", "ana@example.com"),
    ("user", "disable", "--email", "ana@example.com"),
    ("user", "enable", "--email", "ana@example.com"),
    ("api-key", "list"),
    ("api-key", "create", "--name", "till", "--role", "till"),
    ("api-key", "revoke", "0199d9b0-0000-7000-8000-000000000000"),
    ("catalog", "plan", str(HOUSE / "demo" / "catalog.yaml")),
    ("catalog", "apply", str(HOUSE / "demo" / "catalog.yaml")),
    ("catalog", "apply", str(HOUSE / "demo" / "catalog.yaml"), "--approve-as", "ana@example.com"),
    ("catalog", "releases"),
    ("catalog", "approve", "1", "--as", "ana@example.com"),
    ("catalog", "withdraw", "1", "--as", "ana@example.com", "--reason", "wrong"),
    ("books", "check"),
    ("books", "seal"),
    ("books", "checkpoint"),
    ("books", "verify"),
    ("worker",),
    ("serve",),
)


@pytest.fixture
def blank(sqlite: SqliteDatabases) -> Operator:
    """An operator whose database has no tables."""
    return Operator(sqlite.new(migrated=False))


@pytest.fixture
def operator(sqlite: SqliteDatabases) -> Operator:
    return Operator(sqlite.new())


def _without_port(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return (*arguments, "--port", str(free_port())) if arguments == ("serve",) else arguments


# --- the database ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", _NEED_TABLES, ids=" ".join)
def test_a_command_says_that_the_database_is_not_migrated(blank: Operator, arguments: tuple[str, ...]) -> None:
    told = blank.is_refused(*_without_port(arguments))
    assert told == (
        f"The database has no tables yet; this program needs {migrate.head()}."
        " Run `incentives db upgrade`, then try again.\n"
    )
    assert blank.served == []


def test_a_database_that_is_behind_is_not_worked_with(database_url: str) -> None:
    operator = Operator(database_url)
    assert operator.gets("db", "downgrade", "0001") == "The database is at 0001.\n"
    told = operator.is_refused("books", "check")
    assert told.startswith(f"The database is at revision 0001; this program needs {migrate.head()}. Run `incentives")
    assert operator.gets("db", "upgrade") == f"The database is at {migrate.head()}.\n"
    assert "ok " in operator.gets("books", "check")


def test_a_database_without_tables_gets_them(blank_database_url: str) -> None:
    operator = Operator(blank_database_url)
    assert operator.is_refused("user", "list").startswith("The database has no tables yet")
    assert "nonsense" in operator.is_refused("db", "upgrade", "nonsense")
    assert operator.gets("db", "upgrade") == f"The database is at {migrate.head()}.\n"
    assert operator.gets("user", "list").startswith("EMAIL")


def test_the_revision_that_is_told_is_the_one_that_the_database_is_at(operator: Operator) -> None:
    assert operator.gets("db", "upgrade", "0001") == f"The database is at {migrate.head()}.\n"  # nothing is to be done
    assert operator.gets("db", "downgrade", "base") == "The database has no tables any more.\n"


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
@pytest.mark.parametrize("revision", ["nonsense", "9999", "+17"])
def test_a_revision_that_there_is_not(operator: Operator, way: str, revision: str) -> None:
    told = operator.is_refused("db", way, revision)
    assert told.startswith(f"The database cannot be brought to revision {revision}: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://app:hush-hush@db/incentives",
        "mssql://app:hush-hush@db/incentives",
        "postgresql+nonsense://app:hush-hush@db/incentives",
        "postgresql://app:hush-hush@db:port/incentives",
        "postgresql://app:hush-hush@127.0.0.1/incentives?hush-hush=1",
        "postgresql://app:hush-hush@127.0.0.1:1/incentives",
        "sqlite:////proc/no-such/hush-hush.db",
        f"sqlite:///{HOUSE / 'pyproject.toml'}",
    ],
)
@pytest.mark.parametrize("arguments", [("books", "check"), ("db", "upgrade"), ("serve",)], ids=" ".join)
def test_an_address_without_a_database(url: str, arguments: tuple[str, ...]) -> None:
    operator = Operator(url)
    told = operator.is_refused(*_without_port(arguments))
    assert "INCENTIVES_DATABASE_URL" in told
    assert "hush-hush" not in told
    assert "Idempotency-Key" not in told
    assert len(told.splitlines()) <= 2
    assert operator.served == []


def test_the_installed_command_ends_without_a_traceback(blank: Operator) -> None:
    program = [sys.executable, "-c", "from wsgi import main; main()", "books", "check"]
    ended = subprocess.run(program, cwd=HOUSE, env=environ(blank.url), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("The database has no tables yet")


# --- settings ----------------------------------------------------------------------------------------------------


def test_each_wrong_setting_is_told_once_on_a_line_of_its_own(operator: Operator) -> None:
    operator.settings = {"INCENTIVES_NONSENSE": "1", "INCENTIVES_DELIVERY": "pigeon"}
    lines = operator.is_refused("books", "check").splitlines()
    assert lines[0] == "The settings are wrong. Correct the variables that are named and run the command again."
    assert lines[1:] == [
        "  INCENTIVES_NONSENSE: there is no such setting",
        "  INCENTIVES_DELIVERY: must be one of worker, in-process",
    ]


# --- keys --------------------------------------------------------------------------------------------------------


def test_fresh_keys_can_be_appended_to_those_of_any_day(operator: Operator) -> None:
    settings = environ(operator.url)
    for _ in range(3):
        for line in operator.gets("keys", "new").splitlines():
            name, _, value = line.partition("=")
            assert re.fullmatch(r"k20[0-9]{6}-[a-z0-9]{6}:.{44}", value)
            settings[name] = f"{settings[name]},{value}"
    read = Settings.from_environ(settings)
    for ring in (read.code_keys, read.link_keys, read.session_keys, read.contact_keys):
        assert len({key.id for key in ring}) == 4


def test_the_id_of_fresh_keys_can_be_chosen(operator: Operator) -> None:
    assert operator.gets("keys", "new", "--id", "spring-27").count("=spring-27:") == 5
    for wrong in ("", "Spring", "a:b", "x" * 17):
        assert "--id" in operator.is_refused("keys", "new", "--id", wrong, status=2)


# --- serving -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        ("--port", "99999"),
        ("--port", "0"),
        ("--port", "http"),
        ("--workers", "0"),
        ("--threads", "-1"),
        ("--host", "x"),
    ],
)
def test_an_address_that_cannot_be_served(operator: Operator, wrong: tuple[str, str]) -> None:
    assert wrong[0] in operator.is_refused("serve", *wrong, status=2)
    assert operator.served == []


def test_a_port_that_is_taken_is_told(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in operator.is_refused("serve", "--port", port)
    assert operator.served == []
    operator.gets("serve", "--port", port)
    assert operator.served == [("127.0.0.1", int(port))]


def test_the_demo_needs_a_port_that_there_is(operator: Operator) -> None:
    assert "--port" in operator.is_refused("demo", "--port", "99999", status=2)


def test_the_document_of_the_api_needs_no_tables(blank: Operator, tmp_path: Path) -> None:
    blank.settings = {"INCENTIVES_DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}"}
    assert blank.gets("openapi").startswith("{")
