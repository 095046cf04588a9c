"""Our own statements, as PostgreSQL received them, as scripts for pgbench.

A few requests of each kind run once while the server logs every statement with its parameters: whatever sent them
(SQLAlchemy, the driver, a function), this is what arrived. What differs from request to request (ids, digests, keys) is
written into a script as an expression of a number, so that transaction 4711 of pgbench issues voucher 4711, and its
redemption redeems it; all else stays as it was sent. Each of the requests becomes a branch of the script.

What is asked only now and then, such as the switches every half second, is asked for by some samples and not by others,
as among our requests.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from flask.testing import FlaskClient
from psycopg import sql

import wsgi
from api.authentication import KnownKeys
from bench.load import Request
from bench.servers import World
from incentives.kernel.clock import SystemClock
from tests.world import make_core

KINDS = ("issue", "redeem", "lookup")
SAMPLES = 16
_EACH_PLACE = 2
_WARM = 8
_DIGITS = 12  # as many as the last group of a UUID has, and enough for every client's numbers
_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] (\w+):  (.*)$")
_STATEMENT = re.compile(r"(?:statement|execute [^:]*): (.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
_PLACE = re.compile(r"\$(\d+)")
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TOKEN = re.compile(rf"{_UUID}|(?<![0-9a-wyzA-Z_-])[0-9a-f]{{24,}}(?![0-9a-zA-Z_-])")


@dataclass
class Statement:
    """One statement with its parameters as text, None for NULL."""

    text: str
    values: dict[int, str | None] = field(default_factory=dict)


Sample = dict[str, list[Statement]]
Written = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Recorded:
    """A script for each kind, and what one run of all its branches writes, by table and way."""

    scripts: dict[str, str]
    written: dict[str, Written]


def recorded(world: World, samples: int = SAMPLES) -> Recorded:
    """Issue, look up and redeem a few vouchers through the application, and return what that asked of PostgreSQL."""
    core = make_core(world.database_url, clock=SystemClock(), INCENTIVES_DATABASE_POOL_SIZE="1")
    app = wsgi.create_app(core)
    app.extensions["known_keys"] = KnownKeys(seconds=lambda: 0.0)  # Or the statements would depend on the moment.
    client = app.test_client()
    places = [f"place-{number // _EACH_PLACE}" for number in range(samples)]
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        for _ in range(_WARM):
            code = _send(client, world.issues(1, location=places[0])[0])["voucher"]["code"]
            _send(client, world.lookup(code))
            _send(client, world.redemption(code))
        for place in places:
            _send(client, world.issues(1, location=place)[0])  # so that each place's budget is there
        world.core.database.dispose()  # Who stays connected tells what they wrote when it suits them.
        _log_all(connection, on=True)
        found: list[Sample] = [{} for _ in places]
        written: dict[str, Written] = {}
        codes: list[str] = []

        def note(kind: str, requests: Sequence[Request]) -> list[Any]:
            core.database.dispose()  # Connections that come now are logged; those that went have told what they wrote.
            before, answers = statistics(connection), []
            for sample, request in zip(found, requests, strict=True):
                at = world.server.log.stat().st_size
                answers.append(_send(client, request))
                sample[kind] = _statements(world.server.log.read_bytes()[at:].decode())
            core.database.dispose()
            written[kind] = statistics(connection) - before
            return answers

        issued = note("issue", [world.issues(1, location=place)[0] for place in places])
        codes += [each["voucher"]["code"] for each in issued]
        note("lookup", [world.lookup(code) for code in codes])
        note("redeem", [world.redemption(code) for code in codes])
        _log_all(connection, on=False)
        writer = _Writer(connection, found)
        return Recorded({kind: writer.script(kind) for kind in KINDS}, written)


def _send(client: FlaskClient, request: Request) -> Any:
    answer = client.open(request.path, method=request.method, headers=request.headers, data=request.body)
    assert answer.status_code in (200, 201), answer.data
    return answer.get_json()


def _log_all(connection: psycopg.Connection, *, on: bool) -> None:
    """Let the connections that come to this database be logged, or not any more."""
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} SET log_statement = {}").format(name, "all" if on else "none"))


def statistics(connection: psycopg.Connection) -> Written:
    """Return how many rows were inserted and updated in each table, by all whose connections have ended."""
    _wait_for_others(connection)
    rows = connection.execute("SELECT relname, n_tup_ins, n_tup_upd FROM pg_stat_user_tables").fetchall()
    return Counter({(table, way): n for table, ins, upd in rows for way, n in (("ins", ins), ("upd", upd))})


def _wait_for_others(connection: psycopg.Connection) -> None:
    """A backend tells what it wrote when it ends, which is a moment after its client has gone."""
    connection.execute(
        """
        DO $$ BEGIN
            FOR i IN 1..50 LOOP
                PERFORM pg_stat_clear_snapshot();
                EXIT WHEN (SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND query LIKE 'COMMIT%') = 0;
                PERFORM pg_sleep(0.02);
            END LOOP;
            PERFORM pg_sleep(0.1);
        END $$
        """
    )


def _statements(log: str) -> list[Statement]:
    """Return what a piece of the server's log says was executed."""
    entries: list[tuple[str, str]] = []
    for line in log.splitlines():
        head = _LINE.match(line)
        if head:
            entries.append((head[1], head[2]))
        elif entries:
            entries[-1] = (entries[-1][0], f"{entries[-1][1]}\n{line.removeprefix(chr(9))}")
    found: list[Statement] = []
    for level, text in entries:
        statement = _STATEMENT.match(text) if level == "LOG" else None
        if statement:
            found.append(Statement(statement[1]))
        elif level == "DETAIL" and found:
            found[-1].values = {int(number): _unquoted(value) for number, value in _PARAMETER.findall(text)}
    return found


def _unquoted(value: str) -> str | None:
    return None if value == "NULL" else value[1:-1].replace("''", "'")


class _Writer:
    """Writes scripts in which what belongs to one request alone follows a number."""

    def __init__(self, connection: psycopg.Connection, samples: Sequence[Sample]) -> None:
        """Look for what stands in one sample only, and for the types of the parameters."""
        self._connection = connection
        self._samples = samples
        self._types: dict[str, list[str]] = {}
        met = Counter(token for sample in samples for token in _tokens(sample))
        own = [token for sample in samples for token in sorted(_tokens(sample)) if met[token] == 1]
        self._varied = {token: _prefix(number, token) for number, token in enumerate(own)}

    def script(self, kind: str) -> str:
        """Return a script in which each client does as one sample did: it need not prepare the others' statements."""
        lines = [rf"\set branch :client_id % {len(self._samples)}"]
        for number, sample in enumerate(self._samples):
            lines.append(rf"\{'el' if number else ''}if :branch = {number}")
            lines += [f"{self._written(statement)};" for statement in sample[kind]]
        return "\n".join([*lines, r"\endif", ""])

    def _written(self, statement: Statement) -> str:
        types = self._types_of(statement) if statement.values else []

        def value(place: re.Match[str]) -> str:
            number = int(place[1])
            return self._value(statement.values[number], types[number - 1])

        return _PLACE.sub(value, statement.text) if statement.values else statement.text

    def _types_of(self, statement: Statement) -> list[str]:
        if statement.text not in self._types:
            query: Callable[[str], Any] = lambda text: self._connection.execute(text.encode())  # noqa: E731 - as is
            query(f"PREPARE recorded AS {statement.text}")
            row = query("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'recorded'").fetchone()
            query("DEALLOCATE recorded")
            self._types[statement.text] = row[0]
        return self._types[statement.text]

    def _value(self, value: str | None, type_name: str) -> str:
        if value is None:
            return f"NULL::{type_name}"
        parts, end = [], 0
        for token in _TOKEN.finditer(value):
            if token[0] in self._varied:
                parts += [_literal(value[end : token.start()] + self._varied[token[0]]), "lpad(:n::text, 12, '0')"]
                end = token.end()
        if not parts:
            return f"{_literal(value)}::{type_name}"
        parts += [_literal(value[end:])] if value[end:] else []
        return f"({' || '.join(parts)})::{type_name}"


def _tokens(sample: Sample) -> set[str]:
    values = (value for statements in sample.values() for each in statements for value in each.values.values())
    return {token for value in values if value for token in _TOKEN.findall(value)}


def _prefix(number: int, token: str) -> str:
    """Return what stands before the number in the place of a token: as long, and no other token's."""
    if "-" in token:
        return f"{number:08x}-0000-7000-8000-"
    return f"{number:x}".rjust(len(token) - _DIGITS, "0")


def _literal(value: str) -> str:
    """Return a value as SQL has it. pgbench takes what follows a colon for a variable, within quotes too."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a")
    return f"E'{escaped}'"
