"""The floor on SQLite: ``bench/handwritten.py`` in one process, on one file, ``bench.handwritten_sqlite:app``.

The same tables, answers and pragmas as ours have. One lock of the process stands before the writers, which SQLite would
let wait asleep; each thread has a connection of its own.
"""

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.handwritten import BUDGETS, Paths, Requests, answered, code_of, digest_of

URL_VARIABLE = "HANDWRITTEN_FILE"

SCHEMA = """
CREATE TABLE budgets (id INTEGER PRIMARY KEY, cap_minor INTEGER NOT NULL, used_minor INTEGER NOT NULL DEFAULT 0);
CREATE TABLE idempotency_keys (key TEXT PRIMARY KEY, voucher_id TEXT NOT NULL);
CREATE TABLE vouchers (
    id TEXT PRIMARY KEY, code_digest TEXT NOT NULL UNIQUE, budget_id INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL,
    issued_at TEXT NOT NULL, expires_at TEXT NOT NULL);
CREATE TABLE redemptions (id TEXT PRIMARY KEY, voucher_id TEXT NOT NULL UNIQUE, redeemed_at TEXT NOT NULL);
CREATE TABLE postings (
    id INTEGER PRIMARY KEY, voucher_id TEXT NOT NULL,
    account TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, posted_at TEXT NOT NULL);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, voucher_id TEXT NOT NULL,
    channel TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL);
"""
_PRAGMAS = ("journal_mode=WAL", "busy_timeout=30000", "foreign_keys=ON", "synchronous=NORMAL")
_KEY = "INSERT INTO idempotency_keys VALUES (?, ?) ON CONFLICT DO NOTHING"
_VOUCHER = "INSERT INTO vouchers VALUES (?, ?, ?, ?, 'USD', 'issued', ?, ?)"
_POSTING = "INSERT INTO postings (voucher_id, account, amount_minor, currency, posted_at) VALUES (?, ?, ?, 'USD', ?)"
_OUTBOX = "INSERT INTO outbox (voucher_id, channel, status, created_at) VALUES (?, 'email', 'queued', ?)"
_CHARGE = "UPDATE budgets SET used_minor = used_minor + ?1 WHERE id = ?2 AND used_minor + ?1 <= cap_minor"
_USE = """
UPDATE vouchers SET status = 'redeemed' WHERE code_digest = ? AND status = 'issued' AND expires_at > ?
RETURNING id, amount_minor
"""
_REDEMPTION = "INSERT INTO redemptions VALUES (?, ?, ?)"
_LOOKUP = "SELECT id, amount_minor, currency, status, expires_at FROM vouchers WHERE code_digest = ?"

_local = threading.local()
_writing = threading.Lock()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    return answered(_PATHS, environ, start_response)


def opened(path: str) -> sqlite3.Connection:
    """Return a connection that is set as ours are."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _connection() -> sqlite3.Connection:
    if not hasattr(_local, "connection"):
        _local.connection = opened(os.environ[URL_VARIABLE])
    connection: sqlite3.Connection = _local.connection
    return connection


def _written(work: Callable[[sqlite3.Connection], Any]) -> Any:
    """Do something in a transaction; what returns None is undone."""
    connection = _connection()
    with _writing:
        connection.execute("BEGIN IMMEDIATE")
        done = work(connection)
        connection.execute("ROLLBACK" if done is None else "COMMIT")
    return done


def _issue(body: dict[str, Any], environ: dict[str, Any]) -> tuple[str, Any]:
    voucher_id = str(uuid.uuid4())
    code = code_of(uuid.UUID(voucher_id))
    now = datetime.now(UTC)
    at, ends_at, amount = now.isoformat(), (now + timedelta(days=30)).isoformat(), body["amount_minor"]

    def work(tx: sqlite3.Connection) -> bool | None:
        if not tx.execute(_KEY, (environ["HTTP_IDEMPOTENCY_KEY"], voucher_id)).rowcount:
            return None
        tx.execute(_VOUCHER, (voucher_id, digest_of(code), body["budget"], amount, at, ends_at))
        tx.execute(_POSTING, (voucher_id, "promised", amount, at))
        tx.execute(_POSTING, (voucher_id, "liability", -amount, at))
        tx.execute(_OUTBOX, (voucher_id, at))
        return bool(tx.execute(_CHARGE, (amount, body["budget"])).rowcount) or None

    if _written(work) is None:
        return "409 Conflict", {"status": "replayed, or the budget is exhausted"}
    return "201 Created", {"id": voucher_id, "code": code, "status": "issued", "expires_at": ends_at}


def _redeem(body: dict[str, Any], _environ: dict[str, Any]) -> tuple[str, Any]:
    redemption_id, at = str(uuid.uuid4()), datetime.now(UTC).isoformat()

    def work(tx: sqlite3.Connection) -> Any:
        found = tx.execute(_USE, (digest_of(body["code"]), at)).fetchone()
        if found is not None:
            tx.execute(_REDEMPTION, (redemption_id, found[0], at))
            tx.execute(_POSTING, (found[0], "liability", found[1], at))
            tx.execute(_POSTING, (found[0], "spent", -found[1], at))
        return found

    found = _written(work)
    if found is None:
        return "409 Conflict", {"status": "not redeemed"}
    return "201 Created", {"id": redemption_id, "voucher_id": found[0], "amount_minor": found[1], "redeemed_at": at}


def _look_up(body: dict[str, Any], _environ: dict[str, Any]) -> tuple[str, Any]:
    row = _connection().execute(_LOOKUP, (digest_of(body["code"]),)).fetchone()
    if row is None:
        return "404 Not Found", {"status": "unknown"}
    return "200 OK", dict(zip(("id", "amount_minor", "currency", "status", "expires_at"), row, strict=True))


_PATHS: Paths = {"/issue": _issue, "/redeem": _redeem, "/lookup": _look_up}


class Floor(Requests):
    """Its tables, in a file of its own."""

    def __init__(self, path: str) -> None:
        """Make the tables."""
        self.environ = {URL_VARIABLE: path}
        self._path = path
        with closing(opened(path)) as connection:
            connection.executescript(SCHEMA)
            connection.executemany("INSERT INTO budgets (id, cap_minor) VALUES (?, ?)", _budgets())

    def insert(self, vouchers: Iterable[tuple[uuid.UUID, str, int]]) -> None:
        """Insert vouchers that are good for a long time."""
        rows = [(str(each), digest, budget, 100, "2026", "2099") for each, digest, budget in vouchers]
        with closing(opened(self._path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_VOUCHER, rows)
            connection.execute("COMMIT")


def _budgets() -> list[tuple[int, int]]:
    return [(number, 10**15) for number in range(BUDGETS)]
