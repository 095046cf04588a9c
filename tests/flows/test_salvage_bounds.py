"""How much a sweep for stranded messages looks at: each voucher once, a part at a time, however many there are."""

from datetime import timedelta

import pytest

from incentives.flows import salvage
from incentives.flows.salvage import SETTLED, WINDOW, salvage_due
from incentives.messages.tables import outbox_messages
from incentives.queries import stranded as searching
from incentives.vouchers.tables import vouchers
from tests.flows.shop import Shop, named
from tests.flows.test_salvage import BOTH, NOTHING, strand, stranded, sweep


def test_each_voucher_is_looked_at_once_and_again_a_day_later(shop: Shop) -> None:
    shop.voucher(customer=BOTH, channels=("email",))
    shop.later(minutes=6)
    assert sweep(shop) == NOTHING
    strand(shop)  # after it was looked at
    shop.later(minutes=1)
    assert salvage_due(core=shop.core) == NOTHING
    shop.clock.advance(salvage.WHOLE_EVERY)
    assert salvage_due(core=shop.core).failed == 1


def test_what_is_older_than_the_window_is_looked_at_no_more(shop: Shop) -> None:
    stranded(shop)
    shop.clock.advance(WINDOW)
    assert sweep(shop) == NOTHING


def test_many_are_looked_at_a_part_at_a_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "MOST", 2)
    for number in range(5):
        shop.issue(customer=named(f"c{number}@example.com"), channels=("email",))
    strand(shop)
    shop.clock.advance(SETTLED + timedelta(seconds=1))
    parts = [sweep(shop), salvage_due(core=shop.core), salvage_due(core=shop.core)]
    assert [(each.queued, each.more) for each in parts] == [(2, True), (2, True), (1, False)]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_sweep_reads_no_more_however_much_was_given_before(shop: Shop) -> None:
    """Ten thousand vouchers that were looked at, or are older than the window, cost nothing."""
    shop.voucher(customer=BOTH, channels=("email",))
    _many(shop, 10_000)
    shop.later(minutes=6)
    sweep(shop)
    assert _read_by(shop) <= 20
    strand(shop, outbox_messages.c.status == "queued")
    shop.core.cache.pop("salvage.place")
    assert _read_by(shop) <= 100


def _many(shop: Shop, number: int) -> None:
    """Let there be many vouchers with their messages, older than the window."""
    with shop.core.database.write() as tx:
        for table, key in ((vouchers, "voucher"), (outbox_messages, "message")):
            names = [column.name for column in table.c]
            made = "('0190' || lpad(to_hex(each), 8, '0') || '7000800000000000' || lpad('0', 4, '0'))::uuid"
            values = {"id": made, "number": "(each + 10)::smallint", "code_digest": "each::text", "copy": "0"}
            values |= {"voucher_id": made, "status": "'sent'" if key == "message" else "'issued'"}
            chosen = ", ".join(values.get(name, name) for name in names)
            tx.exec_driver_sql(
                f"INSERT INTO {table.name} ({', '.join(names)}) "
                f"SELECT {chosen} FROM {table.name}, generate_series(1, {number}) AS each"
            )
    with shop.core.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _read_by(shop: Shop) -> int:
    """Return how many rows of vouchers, issuances and messages a sweep reads."""
    with shop.core.database.write() as tx:
        place, now = salvage._place(shop.core, shop.clock.now()), shop.clock.now()
        end = salvage._first_id(now - SETTLED)
        before = tx.exec_driver_sql(_READ).scalar_one()
        searching.part_ends_at(tx, place.after, end, salvage.MOST)
        searching.untold(tx, place.after, end, salvage.MOST, now)
        return int(tx.exec_driver_sql(_READ).scalar_one() - before)


_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
WHERE relname IN ('vouchers', 'issuances', 'outbox_messages')
"""
