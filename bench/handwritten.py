"""The floor: one WSGI program by hand that does the least of the same work, ``bench.handwritten:app``.

psycopg and nothing else: no framework, no key, no role, no validation, no audit, no catalog, no customer. PostgreSQL
does each request in one prepared call of one function: issuing writes the idempotency row, a voucher, two postings and
an outbox row and charges one of fifty budgets; redeeming updates conditionally, writes the redemption and two postings;
looking up reads by the code's digest. Its tables stand in a schema of their own, beside ours, in the same cluster.
"""

import hashlib
import hmac
import itertools
import os
import threading
import uuid
from abc import ABC, abstractmethod
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import psycopg
from psycopg.rows import TupleRow

from bench.load import Request

BUDGETS = 50
URL_VARIABLE = "HANDWRITTEN_URL"
_KEY = b"a key of the benchmark"

SCHEMA = """
DROP SCHEMA IF EXISTS handwritten CASCADE;
CREATE SCHEMA handwritten;
SET search_path = handwritten;
CREATE TABLE budgets (id int PRIMARY KEY, cap_minor bigint NOT NULL, used_minor bigint NOT NULL DEFAULT 0);
CREATE TABLE idempotency_keys (key text PRIMARY KEY, voucher_id uuid NOT NULL);
CREATE TABLE vouchers (
    id uuid PRIMARY KEY, code_digest text NOT NULL UNIQUE, budget_id int NOT NULL,
    amount_minor bigint NOT NULL, currency text NOT NULL, status text NOT NULL,
    issued_at timestamptz NOT NULL, expires_at timestamptz NOT NULL);
CREATE TABLE redemptions (
    id uuid PRIMARY KEY, voucher_id uuid NOT NULL UNIQUE, redeemed_at timestamptz NOT NULL);
CREATE TABLE postings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, voucher_id uuid NOT NULL,
    account text NOT NULL, amount_minor bigint NOT NULL, currency text NOT NULL, posted_at timestamptz NOT NULL);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, voucher_id uuid NOT NULL,
    channel text NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO budgets (id, cap_minor) SELECT n, 1000000000000000 FROM generate_series(0, 49) AS n;

CREATE FUNCTION issue(its_key text, its_id uuid, its_digest text, its_budget int, its_amount bigint)
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE ends_at timestamptz := now() + interval '30 days';
BEGIN
    INSERT INTO handwritten.idempotency_keys VALUES (its_key, its_id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN NULL; END IF;
    INSERT INTO handwritten.vouchers
        VALUES (its_id, its_digest, its_budget, its_amount, 'USD', 'issued', now(), ends_at);
    INSERT INTO handwritten.postings (voucher_id, account, amount_minor, currency, posted_at)
        VALUES (its_id, 'promised', its_amount, 'USD', now()), (its_id, 'liability', -its_amount, 'USD', now());
    INSERT INTO handwritten.outbox (voucher_id, channel, status, created_at)
        VALUES (its_id, 'email', 'queued', now());
    UPDATE handwritten.budgets SET used_minor = used_minor + its_amount
        WHERE id = its_budget AND used_minor + its_amount <= cap_minor;
    IF NOT FOUND THEN RAISE EXCEPTION 'the budget is exhausted'; END IF;
    RETURN ends_at;
END $$;

CREATE FUNCTION redeem(its_id uuid, its_digest text)
RETURNS TABLE (voucher_id uuid, amount_minor bigint, redeemed_at timestamptz) LANGUAGE plpgsql AS $$
DECLARE found_id uuid; found_amount bigint;
BEGIN
    UPDATE handwritten.vouchers AS v SET status = 'redeemed'
        WHERE v.code_digest = its_digest AND v.status = 'issued' AND v.expires_at > now()
        RETURNING v.id, v.amount_minor INTO found_id, found_amount;
    IF NOT FOUND THEN RETURN; END IF;
    INSERT INTO handwritten.redemptions VALUES (its_id, found_id, now());
    INSERT INTO handwritten.postings (voucher_id, account, amount_minor, currency, posted_at)
        VALUES (found_id, 'liability', found_amount, 'USD', now()), (found_id, 'spent', -found_amount, 'USD', now());
    RETURN QUERY SELECT found_id, found_amount, now();
END $$;
"""

_VOUCHERS = """
COPY handwritten.vouchers (id, code_digest, budget_id, amount_minor, currency, status, issued_at, expires_at) FROM STDIN
"""
_ISSUE = "SELECT handwritten.issue(%s::text, %s::uuid, %s::text, %s::int, %s::bigint)"
_REDEEM = "SELECT * FROM handwritten.redeem(%s::uuid, %s::text)"
_LOOKUP = "SELECT id, amount_minor, currency, status, expires_at FROM handwritten.vouchers WHERE code_digest = %s::text"

_local = threading.local()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    return answered(_PATHS, environ, start_response)


Paths = Mapping[str, Callable[[dict[str, Any], dict[str, Any]], tuple[str, Any]]]


def answered(paths: Paths, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request by its path; one without a body only asks whether anybody is there."""
    if "CONTENT_LENGTH" not in environ:
        start_response("204 No Content", [])
        return []
    body = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    status, answer = paths[environ["PATH_INFO"]](body, environ)
    written = orjson.dumps(answer)
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(written)))])
    return [written]


def _issue(body: dict[str, Any], environ: dict[str, Any]) -> tuple[str, Any]:
    voucher_id = uuid.uuid4()
    code = code_of(voucher_id)
    asked = (environ["HTTP_IDEMPOTENCY_KEY"], voucher_id, digest_of(code), body["budget"], body["amount_minor"])
    row = _row(_ISSUE, asked)
    if row is None or row[0] is None:
        return "409 Conflict", {"status": "replayed"}
    return "201 Created", {"id": voucher_id, "code": code, "status": "issued", "expires_at": row[0]}


def _redeem(body: dict[str, Any], _environ: dict[str, Any]) -> tuple[str, Any]:
    redemption_id = uuid.uuid4()
    row = _row(_REDEEM, (redemption_id, digest_of(body["code"])))
    if row is None:
        return "409 Conflict", {"status": "not redeemed"}
    return "201 Created", {"id": redemption_id, "voucher_id": row[0], "amount_minor": row[1], "redeemed_at": row[2]}


def _look_up(body: dict[str, Any], _environ: dict[str, Any]) -> tuple[str, Any]:
    row = _row(_LOOKUP, (digest_of(body["code"]),))
    if row is None:
        return "404 Not Found", {"status": "unknown"}
    return "200 OK", dict(zip(("id", "amount_minor", "currency", "status", "expires_at"), row, strict=True))


_PATHS: Paths = {"/issue": _issue, "/redeem": _redeem, "/lookup": _look_up}


def _row(statement: str, values: tuple[Any, ...]) -> TupleRow | None:
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = psycopg.connect(os.environ[URL_VARIABLE], autocommit=True)
    row: TupleRow | None = connection.execute(statement, values, prepare=True).fetchone()
    return row


def code_of(voucher_id: uuid.UUID) -> str:
    """Return a voucher's code."""
    return b32encode(hmac.digest(_KEY, voucher_id.bytes, "sha256")[:10]).decode()


def digest_of(code: str) -> str:
    """Return what a code is found by."""
    return hmac.digest(_KEY, code.encode(), hashlib.sha256).hex()


class Requests(ABC):
    """What is sent to a program by hand, whatever it keeps its records in."""

    environ: dict[str, str]

    def issues(self, count: int) -> list[Request]:
        """Return requests to issue, from fifty budgets in turn."""
        budgets = itertools.islice(itertools.cycle(range(BUDGETS)), count)
        return [self._post("/issue", {"budget": budget, "amount_minor": 100}) for budget in budgets]

    def redemptions(self, count: int) -> list[Request]:
        """Return redemptions, each of another voucher."""
        return [self._post("/redeem", {"code": code}) for code in self._vouchers(count)]

    def lookups(self, count: int) -> list[Request]:
        """Return look-ups of vouchers that are there."""
        return [self._post("/lookup", {"code": code}) for code in self._vouchers(count)]

    @abstractmethod
    def insert(self, vouchers: Iterable[tuple[uuid.UUID, str, int]]) -> None:
        """Insert vouchers by their ids, digests and budgets; each is good for a long time."""

    def _vouchers(self, count: int) -> list[str]:
        ids = [uuid.uuid4() for _ in range(count)]
        codes = [code_of(each) for each in ids]
        budgets = itertools.cycle(range(BUDGETS))
        self.insert(zip(ids, map(digest_of, codes), budgets, strict=False))
        return codes

    @staticmethod
    def _post(path: str, body: dict[str, Any]) -> Request:
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        return Request("POST", path, headers, orjson.dumps(body))


class Floor(Requests):
    """Its tables, on PostgreSQL."""

    def __init__(self, url: str) -> None:
        """Make the tables in a database, beside whatever is there."""
        self.environ = {URL_VARIABLE: url}
        self._url = url
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA.encode())

    def insert(self, vouchers: Iterable[tuple[uuid.UUID, str, int]]) -> None:
        """Insert vouchers that are good for a long time."""
        with psycopg.connect(self._url) as connection, connection.cursor().copy(_VOUCHERS) as copy:
            for voucher_id, digest, budget in vouchers:
                copy.write_row((voucher_id, digest, budget, 100, "USD", "issued", "now", "2099-01-01"))
