"""Months: on PostgreSQL there is one for whatever is written, made ahead; none is missed, and each is append-only."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

import worker
from incentives.books.tables import audit_events, ledger_postings
from incentives.flows import keep_months as flow
from incentives.flows.keep_months import AHEAD, keep_months
from incentives.flows.seal import seal_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.database import Database
from incentives.kernel.ids import Ids
from incentives.messages.tables import delivery_attempts
from incentives.queries.books_verify import verify_books
from tests.flows.shop import ANA, Shop

BY_MONTH = ("audit_events", "delivery_attempts", "ledger_postings")

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])


def asked(shop: Shop, statement: str, **values: Any) -> Any:
    with shop.core.database.read() as tx:
        return tx.execute(sa.text(statement), values).scalar_one()


def made_until(shop: Shop, table: str = "audit_events") -> datetime:
    found = asked(shop, "SELECT months.made_until(:table)", table=table)
    assert isinstance(found, datetime)
    return found.astimezone(UTC)


def parts(shop: Shop, table: str = "audit_events") -> list[str]:
    """Return the names of a table's parts, as they follow each other; the rest comes last."""
    with shop.core.database.read() as tx:
        found = tx.execute(
            sa.text(
                "SELECT relname FROM pg_partition_tree(:table) JOIN pg_class ON oid = relid WHERE isleaf ORDER BY "
                "pg_get_expr(relpartbound, oid) = 'DEFAULT', substring(pg_get_expr(relpartbound, oid) from 'TO .*')"
            ),
            {"table": table},
        )
        return list(found.scalars())


def part_of(shop: Shop, row_id: uuid.UUID, table: str = "audit_events") -> str:
    where = f"SELECT relname FROM {table} AS e JOIN pg_class AS c ON c.oid = e.tableoid WHERE e.id = :id"
    return str(asked(shop, where, id=row_id))


def note(shop: Shop, at: datetime) -> uuid.UUID:
    """Write an audit event at an instant."""
    row = {
        "id": Ids().new(at), "at": at, "actor": "system:0", "actor_name": "x", "action": "x.y",
        "subject_kind": "x", "subject_id": "x", "facts": {},
    }  # fmt: skip
    with shop.core.database.write() as tx:
        tx.execute(audit_events.insert(), row)
    return row["id"]  # type: ignore[return-value]  # the first of its values


def spelled(table: str, at: datetime) -> str:
    return f"{table}_{at:%Y_%m}"


def test_months_are_made_ahead_and_none_twice(shop: Shop) -> None:
    last = made_until(shop)
    assert last >= datetime.now(UTC) + timedelta(days=28)
    assert keep_months(core=shop.core) == 0
    shop.clock.advance(last - AHEAD - shop.clock.now())
    assert keep_months(core=shop.core) == len(BY_MONTH)
    assert keep_months(core=shop.core) == 0
    for table in BY_MONTH:
        assert parts(shop, table)[-2:] == [spelled(table, last), f"{table}_rest"]
        assert timedelta(days=28) <= made_until(shop, table) - last <= timedelta(days=31)


def test_the_worker_makes_them(shop: Shop) -> None:
    last = made_until(shop)
    shop.clock.advance(last - shop.clock.now())
    worker.sweep(shop.core)
    assert made_until(shop) > shop.clock.now() + AHEAD


def test_each_row_is_in_its_month(shop: Shop) -> None:
    shop.clock.advance(made_until(shop) - shop.clock.now())
    keep_months(core=shop.core)
    first = made_until(shop) - timedelta(days=1)
    edge = datetime(first.year, first.month, 1, tzinfo=UTC)
    assert part_of(shop, note(shop, edge)) == spelled("audit_events", edge)
    assert part_of(shop, note(shop, edge - timedelta(milliseconds=1))) != spelled("audit_events", edge)


def test_nothing_is_refused_for_want_of_a_month(shop: Shop) -> None:
    """Whatever comes before anybody makes its month stays where it is, and what comes later has a month again."""
    last = made_until(shop)
    late = last + timedelta(days=70)
    shop.clock.advance(late - shop.clock.now())
    given = shop.issue()
    event = note(shop, late)
    assert part_of(shop, event) == "audit_events_rest"
    before = shop.all(audit_events)
    assert keep_months(core=shop.core) > 0
    assert sorted(map(repr, shop.all(audit_events))) == sorted(map(repr, before))
    assert part_of(shop, event).startswith("audit_events_late_before_")
    assert part_of(shop, note(shop, made_until(shop) - timedelta(days=1))) in parts(shop)[:-1]
    assert given.voucher is not None
    shop.redeem(given.voucher.code)
    assert keep_months(core=shop.core) == 0
    shop.check()


def test_a_row_of_a_clock_that_is_far_ahead_keeps_no_month_from_being_made(shop: Shop) -> None:
    last = made_until(shop)
    note(shop, last + timedelta(days=400))
    shop.clock.advance(last - shop.clock.now())
    assert keep_months(core=shop.core) >= len(BY_MONTH)
    assert spelled("audit_events", last) in parts(shop)
    assert part_of(shop, note(shop, last + timedelta(hours=1))) == spelled("audit_events", last)


def test_no_row_is_changed_or_removed_through_its_month(shop: Shop) -> None:
    shop.issue(customer=ANA, channels=("email",))
    shop.deliver()
    note(shop, made_until(shop) + timedelta(days=1))
    keep_months(core=shop.core)
    tried = 0
    for table in BY_MONTH:
        for part in parts(shop, table):
            full = asked(shop, f"SELECT count(*) FROM months.{part}")
            for deed in (f"UPDATE months.{part} SET id = id", f"DELETE FROM months.{part}") if full else ():
                tried += 1
                with pytest.raises(DBAPIError, match="is append-only"), shop.core.database.engine.begin() as tx:
                    tx.exec_driver_sql(deed)
            with pytest.raises(DBAPIError, match="is append-only"), shop.core.database.engine.begin() as tx:
                tx.exec_driver_sql(f"TRUNCATE months.{part}")
    assert tried >= 4


@pytest.mark.parametrize("table", [audit_events, ledger_postings], ids=str)
def test_books_are_sealed_and_verified_across_months(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, table: sa.Table
) -> None:
    monkeypatch.setattr("incentives.flows.seal.shared_now", lambda _tx, now: now)
    last = made_until(shop)
    for days in (1, 40, 80):
        shop.clock.advance(last + timedelta(days=days) - shop.clock.now())
        shop.issue()
        keep_months(core=shop.core)
    shop.later(seconds=10)
    while seal_due(core=shop.core):
        pass
    assert verify_books(core=shop.core, actor=SYSTEM).holds
    gone = part_of(shop, shop.all(table)[-1].id, table.name)
    bounds = asked(shop, f"SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = '{gone}'")
    with shop.core.database.write() as tx:
        tx.exec_driver_sql(f"ALTER TABLE {table} DETACH PARTITION months.{gone}")
    verdict = verify_books(core=shop.core, actor=SYSTEM)
    assert not verdict.holds
    with shop.core.database.write() as tx:
        tx.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION months.{gone} {bounds}")
    assert verify_books(core=shop.core, actor=SYSTEM).holds


def test_whoever_writes_waits_for_no_month_to_be_made(shop: Shop) -> None:
    """One that writes has not committed: the month is made beside it, and it goes on."""
    shop.clock.advance(made_until(shop) - shop.clock.now())
    with shop.core.database.write() as tx:
        row = {"action": "x.y", "actor": "x", "actor_name": "x", "subject_kind": "x", "subject_id": "x", "facts": {}}
        tx.execute(audit_events.insert(), row | {"id": Ids().new(datetime.now(UTC)), "at": datetime.now(UTC)})
        assert keep_months(core=shop.core) >= len(BY_MONTH)
    assert keep_months(core=shop.core) == 0


def test_one_at_a_time_and_nobody_waits_for_another(shop: Shop) -> None:
    shop.clock.advance(made_until(shop) - shop.clock.now())
    with shop.core.database.write() as tx:
        tx.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": flow._LOCK})
        assert keep_months(core=shop.core) == 0
    with shop.core.database.write() as tx:
        tx.exec_driver_sql("LOCK TABLE audit_events IN SHARE ROW EXCLUSIVE MODE")
        assert keep_months(core=shop.core) == 0
    assert keep_months(core=shop.core) > 0


@contextmanager
def somebody(url: str) -> Iterator[str]:
    """Let in somebody who may read and write every row, and make no table; return the address they have."""
    name = sql.Identifier(f"clerk_{uuid.uuid4().hex[:8]}")
    grant = sql.SQL(
        "CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA public, months TO {name}; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"
    )
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(grant.format(name=name))
        try:
            yield url.replace("//app@", f"//{name.as_string().strip(chr(34))}@")
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {name}; DROP ROLE {name}").format(name=name))


def test_who_may_make_no_table_writes_all_the_same(database_url: str) -> None:
    with somebody(database_url) as url:
        shop = Shop.opened(url)
        shop.clock.advance(made_until(shop) + timedelta(days=40) - shop.clock.now())
        assert keep_months(core=shop.core) == 0
        event = note(shop, shop.clock.now())
        assert part_of(shop, event) == "audit_events_rest"
        shop.core.database.dispose()


@pytest.mark.usefixtures("backend")
def test_sqlite_has_no_months(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'one.db'}")
    core = type("Core", (), {"database": database})
    assert keep_months(core=core) == 0  # type: ignore[arg-type]  # as much of a core as it looks at
    database.dispose()


def test_every_part_is_as_its_table(shop: Shop) -> None:
    assert delivery_attempts.dialect_options["postgresql"]["partition_by"] == "RANGE (id)"
    for table in BY_MONTH:
        wanted = asked(shop, f"SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass")
        for part in parts(shop, table):
            assert asked(shop, f"SELECT count(*) FROM pg_index WHERE indrelid = 'months.{part}'::regclass") == wanted
