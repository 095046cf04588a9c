"""Vouchers by the million, with all that belongs to them, made by PostgreSQL itself over three years up to now.

Nothing of it goes through the product's own ways, which would take days: rows are selected from a series of numbers,
while indexes, triggers and references rest, and the indexes are built afterwards. Half of the vouchers are redeemed, a
third of what is left can be used yet; each customer has three of them or so. Ids and times run as they would have.

Above ``THIN_ABOVE`` vouchers only every fourth has movements and a pot of its customer's, and only every sixteenth what
no measured request reads and each writes to the end of (the ledger's lines, audit events, messages, attempts, tags):
ten million with everything would not fit on a small disk, nor be there before the evening. What is asked for has all.
"""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from incentives.kernel.core import Core
from incentives.vouchers import codes

YEARS = 3
THIN_ABOVE = 2_000_000
_THIN = 4
_PENDING = 200  # requests that wait for somebody, however many were decided before

# What the statements below share. ``n`` counts vouchers from 1, ``at`` is when the n-th was given.
_BEFORE = """
CREATE SCHEMA IF NOT EXISTS growth;
CREATE OR REPLACE FUNCTION growth.id(ms bigint, kind integer, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring(int8send(ms) FROM 3) || substring(int4send(28672 + kind) FROM 3)
        || int8send(n - 9223372036854775807 - 1), 'hex')::uuid $$;
CREATE OR REPLACE FUNCTION growth.ms(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT {end_ms} - (({size} - n)::float8 / {size} * {years} * 31536000000)::bigint $$;
CREATE OR REPLACE FUNCTION growth.digest(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256($1::bytea), 'hex') $$;
CREATE UNLOGGED TABLE growth.vouchers AS
    SELECT n, ms, made.at, growth.id(ms, 0, n) AS case_id, growth.id(ms, 1, n) AS issuance_id,
        growth.id(ms, 2, n) AS voucher_id, c, growth.id(growth.ms(1 + c * 10 / 3), 3, c) AS customer_id,
        'place-' || n * 7919 % 50 AS location, extract(year FROM made.at AT TIME ZONE 'UTC')::int AS year,
        CASE WHEN n % 10 < 5 THEN 'redeemed' WHEN made.at < {end} - interval '364 days' THEN 'expired'
            ELSE 'issued' END AS status
    FROM (SELECT n, growth.ms(n) AS ms, n * 2654435761 % {customers} AS c
        FROM generate_series(1, {size}::bigint) AS n) AS each, LATERAL (SELECT to_timestamp(ms / 1000.0) AS at) AS made;
CREATE VIEW growth.given AS SELECT * FROM growth.vouchers WHERE n <= {decided};
"""

_ROWS = Path(__file__).with_suffix(".sql")
_ITEM = "(SELECT id FROM catalog_items WHERE kind = {} ORDER BY version DESC LIMIT 1)"
_RELEASE = "(SELECT id FROM catalog_releases WHERE status = 'approved')"
_INCENTIVE, _PROTOCOL = _ITEM.format("'incentive'"), _ITEM.format("'protocol'")


@dataclass(frozen=True)
class Filled:
    """What of the rows is asked for: vouchers to look up and to redeem, each with its code, and known customers."""

    looked_up: Sequence[str]
    redeemable: Sequence[str]
    emails: Sequence[str]


def fill(core: Core, url: str, size: int, giver: str, samples: int) -> Filled:
    """Fill a database that has a catalog and nothing else."""
    end_ms = int(core.clock.now().timestamp() * 1000)
    values = {
        "size": sql.Literal(size),
        "years": sql.Literal(YEARS),
        "end": sql.SQL("to_timestamp({} / 1000.0)").format(sql.Literal(end_ms)),
        "end_ms": sql.Literal(end_ms),
        "pots_from": sql.Literal(end_ms - YEARS * 31_536_000_000),
        "customers": sql.Literal(size * 3 // 10),
        "decided": sql.Literal(size - _PENDING),
        "thin": sql.Literal(_thin(size)),
        "giver": sql.Literal(giver),
        "key": sql.Literal(core.keys.codes.newest_id),
        "contact": sql.Literal(core.contacts.encrypt('{"email": "ada.lovelace@customer.example", "name": "Ada"}')),
        "incentive": sql.SQL(_INCENTIVE),
        "protocol": sql.SQL(_PROTOCOL),
        "release": sql.SQL(_RELEASE),
        "every_year": sql.SQL(
            "generate_series(extract(year FROM now() - interval '3 years')::int, extract(year FROM now())::int)"
        ),
    }
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET work_mem = '256MB'")
        connection.execute("SET timezone = 'UTC'")
        connection.execute(sql.SQL(_BEFORE).format(**values))
        connection.execute("ANALYZE growth.vouchers")
        for statement in _ROWS.read_text(encoding="utf-8").split(";\n")[:-1]:
            table = statement.partition("INSERT INTO ")[2].partition(" ")[0]
            _insert(connection, table, sql.SQL(statement).format(**values))
        found = _sampled(connection, core, size, samples)
        connection.execute("DROP SCHEMA growth CASCADE")
        connection.execute("VACUUM ANALYZE")
    return found


def _thin(size: int) -> int:
    return _THIN if size > THIN_ABOVE else 1


def _insert(connection: psycopg.Connection, table: str, statement: sql.Composed) -> None:
    """Insert without indexes, and build them: ten times as fast as keeping them."""
    parts = [row[0] for row in connection.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s)", [table])]
    connection.execute(
        "UPDATE pg_index SET indisready = false WHERE indrelid = ANY(%s::regclass[]) "
        "AND (SELECT relkind FROM pg_class WHERE oid = indexrelid) = 'i'",
        [parts],
    )
    connection.execute(statement)
    connection.execute(sql.SQL("REINDEX TABLE {}").format(sql.Identifier(table)))


def _sampled(connection: psycopg.Connection, core: Core, size: int, samples: int) -> Filled:
    """Give some vouchers and customers what the product would have given them, so that they are found."""
    step = max(1, size // (samples * 8 * _THIN)) * _thin(size)
    redeemable = _coded(connection, core, f"status = 'issued' AND n % {step} = 0", samples)
    looked_up = _coded(connection, core, f"status <> 'issued' AND n % {step} = 0", samples)
    chosen = "SELECT c FROM growth.vouchers ORDER BY random() LIMIT %s"
    numbers = {row[0] for row in connection.execute(chosen, [samples])}
    emails = []
    for number in numbers:
        email = f"{secrets.token_hex(8)}@example.com"
        connection.execute(
            "UPDATE customer_identities SET digest = %s WHERE digest = growth.digest(%s)",
            [core.contacts.digests("email", email)[0], f"c{number}"],
        )
        emails.append(email)
    return Filled(looked_up=looked_up, redeemable=redeemable, emails=emails)


def _coded(connection: psycopg.Connection, core: Core, which: str, samples: int) -> list[str]:
    query = f"SELECT voucher_id FROM growth.given WHERE {which} ORDER BY random() LIMIT {samples}"  # noqa: S608 - ours
    found = []
    ring = core.keys.codes
    for (voucher_id,) in connection.execute(query).fetchall():
        code = codes.code_of(ring, ring.newest_id, uuid.UUID(str(voucher_id)))
        row = [codes.digest(ring, ring.newest_id, code), codes.last4(code), voucher_id]
        connection.execute("UPDATE vouchers SET code_digest = %s, last4 = %s WHERE id = %s", row)
        found.append(code)
    return found
