"""The ledger's lines by month: at commit the database adds up an entry in the month where it is, and there only."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from incentives.books.ledger import BREAKAGE, EXPENSE, LIABILITY, Entry, post
from incentives.books.tables import ledger_entries, ledger_postings
from incentives.flows import keep_months as flow
from incentives.flows.keep_months import keep_months
from incentives.kernel.ids import Ids
from tests.flows.shop import Shop
from tests.flows.test_keep_months import asked, made_until, part_of, parts, somebody, spelled

TABLE = "ledger_postings"
FAIR = {EXPENSE: 5, LIABILITY: -5}

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])


def entry_at(shop: Shop, at: datetime, lines: dict[str, int]) -> Entry:
    """Return an entry of an instant about some voucher."""
    voucher_id = shop.all(ledger_entries)[0].voucher_id
    told = {"kind": "voucher-adjusted", "source_id": uuid.uuid4(), "voucher_id": voucher_id}
    return Entry(id=Ids().new(at), currency="GBP", lines=lines, reason="A test.", **told)


def write(shop: Shop, at: datetime, *lines: tuple[str, int, str]) -> uuid.UUID:
    """Write an entry and its lines by statements, as somebody might who is none of us; return a line's id."""
    ids, entry = Ids(), entry_at(shop, at, {})
    told = {"kind": entry.kind, "source_id": entry.source_id, "voucher_id": entry.voucher_id, "reason": entry.reason}
    rows = [
        {"id": ids.new(at), "entry_id": entry.id, "account": account, "amount_minor": amount, "currency": currency}
        for account, amount, currency in lines
    ]
    with shop.core.database.write() as tx:
        tx.execute(ledger_entries.insert(), {"id": entry.id, "at": at, "actor": "system", **told})
        tx.execute(ledger_postings.insert(), rows)
    found = rows[0]["id"]
    assert isinstance(found, uuid.UUID)
    return found


def in_every_part(shop: Shop) -> dict[str, datetime]:
    """Let there be a part of each kind; return an instant of each: the first, a month, one made late, the rest."""
    first, last = shop.clock.now(), made_until(shop, TABLE)
    late = last + timedelta(days=70)
    write(shop, late, (EXPENSE, 5, "GBP"), (LIABILITY, -5, "GBP"))
    shop.clock.advance(late - first)
    assert keep_months(core=shop.core) > 0
    found = {"_before_": first, "_20": last - timedelta(days=1), "_late_before_": late}
    found["_rest"] = made_until(shop, TABLE) + timedelta(days=1)
    assert len({name.removeprefix(TABLE)[:6] for name in parts(shop, TABLE)}) >= len(found)
    return found


UNFAIR = (
    [(EXPENSE, 100, "GBP"), (LIABILITY, -99, "GBP")],
    [(EXPENSE, 100, "GBP")],
    [(EXPENSE, 100, "GBP"), (LIABILITY, -100, "EUR")],
)


def test_in_every_part_an_entry_balances_or_is_refused(shop: Shop) -> None:
    shop.issue()
    for kind, at in in_every_part(shop).items():
        line = write(shop, at, (EXPENSE, 5, "GBP"), (LIABILITY, -3, "GBP"), (BREAKAGE, -2, "GBP"))
        assert kind in part_of(shop, line, TABLE)
        before = shop.all(ledger_postings)
        for lines in UNFAIR:
            with pytest.raises(IntegrityError, match="does not balance"):
                write(shop, at, *lines)
        assert shop.all(ledger_postings) == before


def test_a_line_in_another_month_does_not_unbalance_an_entry(shop: Shop) -> None:
    shop.issue()
    line = shop.all(ledger_postings)[0]
    at = made_until(shop, TABLE) - timedelta(days=1)
    more = {"entry_id": line.entry_id, "account": BREAKAGE, "amount_minor": 1, "currency": line.currency}
    with pytest.raises(IntegrityError, match="does not balance"), shop.core.database.write() as tx:
        tx.execute(ledger_postings.insert(), {"id": Ids().new(at), **more})
    shop.check()


def test_an_entry_of_the_last_moment_of_a_month_is_in_one_month(shop: Shop) -> None:
    """Whatever is made meanwhile in the next month: ids only ever grow, so its lines' would be of that month."""
    shop.issue()
    edge = made_until(shop, TABLE)
    keep = edge - timedelta(days=1)
    last = datetime(keep.year, keep.month, 1, tzinfo=UTC) - timedelta(milliseconds=1)
    core = shop.core
    entry = entry_at(shop, last, FAIR)
    core.ids.new(last + timedelta(seconds=1))
    with core.database.write() as tx:
        post(tx, core=core, actor="system", now=last, entries=[entry])
    lines = [row for row in shop.all(ledger_postings) if row.entry_id == entry.id]
    assert len(lines) == len(FAIR)
    assert {row.id.int >> 80 for row in lines} == {entry.id.int >> 80}


def test_who_may_see_no_month_gives_all_the_same(database_url: str) -> None:
    """The lines are added up by whoever owns the books; who writes need not be let into the months."""
    with somebody(database_url) as url:
        shop = Shop.opened(url)
        given = shop.issue()
        assert given.voucher is not None
        shop.redeem(given.voucher.code)
        before = shop.all(ledger_postings)
        with pytest.raises(IntegrityError, match="does not balance"):
            write(shop, shop.clock.now(), (EXPENSE, 5, "GBP"))
        assert shop.all(ledger_postings) == before
        shop.core.database.dispose()


def test_each_part_adds_up_by_a_function_of_its_own_name(shop: Shop) -> None:
    shop.issue()
    in_every_part(shop)
    with shop.core.database.read() as tx:
        found = tx.exec_driver_sql(
            "SELECT tgrelid::regclass::text, tgfoid::regproc::text, prosrc FROM pg_trigger "
            "JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgname = 'ledger_entry_balances'"
        ).all()
    assert sorted(name for name, _, _ in found) == sorted(f"months.{each}" for each in parts(shop, TABLE))
    assert all(function == f"{name}_balances" and f"FROM {name} WHERE" in text for name, function, text in found)


def test_an_entry_is_looked_for_in_no_other_month(shop: Shop) -> None:
    """However many months there are: what adds up an entry asks the index of its own."""
    shop.issue()
    with shop.core.database.write() as tx:
        tx.execute(sa.text("SELECT months.add(:table, now() + interval '3 years')"), {"table": TABLE})
        tx.execute(sa.text("SELECT months.balance_all()"))
    shop.core.database.dispose()  # who stays connected tells what they read when it suits them
    assert len(parts(shop, TABLE)) > 30
    scans = (
        "SELECT count(*) FROM pg_stat_user_tables WHERE relname LIKE 'ledger_postings%' "
        "AND coalesce(idx_scan, 0) + coalesce(seq_scan, 0) > 0 AND relid <> 'ledger_postings'::regclass"
    )
    reset = "SELECT pg_stat_reset()"
    with shop.core.database.write() as tx:
        tx.exec_driver_sql(reset)
    shop.issue()
    shop.core.database.dispose()
    assert waited_for(shop, scans) == 1


def waited_for(shop: Shop, query: str) -> int:
    """Return a count once it is above zero: a backend tells what it read a moment after its client has gone."""
    for _ in range(200):
        if asked(shop, f"SELECT pg_stat_clear_snapshot() IS NULL OR ({query}) > 0"):
            return int(asked(shop, query))
        threading.Event().wait(0.02)
    pytest.fail("nothing was read")


def test_a_month_is_made_between_two_who_write_and_never_against_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has written an entry and comes to its lines does not wait for the one who waits for them."""
    shop.issue()
    monkeypatch.setattr(flow, "_PATIENCE", "SET LOCAL lock_timeout = '30s'")
    last = made_until(shop, TABLE)
    at = last + timedelta(days=1)  # whose month nobody has made: its lines go where the new month is cut from
    shop.clock.advance(at - shop.clock.now())
    entry, made = entry_at(shop, at, FAIR), []
    maker = threading.Thread(target=lambda: made.append(keep_months(core=shop.core)))
    with shop.core.database.write() as tx:
        tx.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        row = {"kind": entry.kind, "source_id": entry.source_id, "voucher_id": entry.voucher_id, "reason": "A test."}
        tx.execute(ledger_entries.insert(), {"id": entry.id, "at": at, "actor": "system", **row})
        maker.start()
        wait_for_a_waiter(shop)
        lines = [
            {"id": Ids().new(at), "entry_id": entry.id, "account": account, "amount_minor": amount, "currency": "GBP"}
            for account, amount in FAIR.items()
        ]
        tx.execute(ledger_postings.insert(), lines)
    maker.join()
    assert made[0] > 0
    assert part_of(shop, lines[0]["id"], TABLE).startswith(f"{TABLE}_late_before_")  # type: ignore[arg-type]  # a UUID
    assert spelled(TABLE, last) not in parts(shop, TABLE)


def wait_for_a_waiter(shop: Shop) -> None:
    here = "pg_stat_activity USING (pid) WHERE datname = current_database()"
    query = f"SELECT count(*) FROM pg_locks JOIN {here} AND NOT granted"
    for _ in range(500):
        if asked(shop, query):
            return
        threading.Event().wait(0.02)
    pytest.fail("nobody waits")
