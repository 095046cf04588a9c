"""Seals: what is written is covered once, whoever is late, and nobody waits for it."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books import seals
from incentives.books.tables import audit_events, seal_parts
from incentives.books.tables import seals as seals_table
from incentives.flows import seal
from incentives.flows.hear import StatusReport, hear_reports
from incentives.flows.seal import seal_due, seal_late
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import FixedClock, SystemClock
from incentives.kernel.errors import InputInvalid, NotPermitted
from incentives.kernel.ids import Ids
from incentives.kernel.keys import KeyRing
from incentives.messages.tables import delivery_events
from incentives.queries import sealed_rows
from incentives.queries.books_verify import Known, Verdict, verify_books
from incentives.queries.sealed_rows import BOOKS, JOINED, LATE
from tests.flows import guards
from tests.flows.shop import Shop
from tests.schema import append_only_tables
from tests.world import actor


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    shop = open_shop()
    live(shop)
    return shop


def live(shop: Shop) -> None:
    """Let something of every kind happen that a shop does, and settle."""
    shop.redeem(shop.voucher(incentive="fixed").code)
    shop.decide(shop.ask(incentive="voucher", amount_minor=3000).approval_id)
    shop.deliver()
    shop.later(seconds=10)


def verified(shop: Shop, **more: Any) -> Verdict:
    return verify_books(core=shop.core, actor=SYSTEM, **more)


def rows_of_books(shop: Shop) -> int:
    return sum(len(shop.all(table)) for table in BOOKS)


def note(shop: Shop, at: datetime, **values: Any) -> uuid.UUID:
    """Write an audit event as a transaction would that began at an instant and commits now."""
    row = {
        "id": Ids().new(at), "at": at, "actor": "system:0", "actor_name": "x", "action": "x.y",
        "subject_kind": "x", "subject_id": "x", "facts": {},
    }  # fmt: skip
    with shop.core.database.write() as tx:
        tx.execute(audit_events.insert(), row | values)
    return row["id"]  # type: ignore[return-value]  # the first of its values


def test_every_row_is_sealed_once_and_the_chain_holds(shop: Shop) -> None:
    sealed = seal_due(core=shop.core)
    assert sealed.rows == rows_of_books(shop) > 20
    assert seal_due(core=shop.core).checkpoint is None, "nothing is sealed twice"
    live(shop)
    assert seal_due(core=shop.core)
    verdict = verified(shop)
    assert verdict.faults == ()
    assert (verdict.seals, verdict.rows, verdict.unsealed) == (2, rows_of_books(shop), 0)
    first, second = shop.all(seals_table)
    assert (first.previous_hash, second.previous_hash) == (seals.BEGINNING, first.hash)


def test_what_is_younger_than_a_few_seconds_waits(shop: Shop) -> None:
    assert seal_due(core=shop.core)
    shop.issue()
    assert not seal_due(core=shop.core)
    assert verified(shop).unsealed > 0
    shop.later(seconds=seal.SETTLED.total_seconds() + 1)
    assert seal_due(core=shop.core)
    assert verified(shop).unsealed == 0


def test_what_is_committed_late_is_in_the_next_seal(shop: Shop) -> None:
    began = shop.clock.now()
    live(shop)
    assert seal_due(core=shop.core)
    late = [note(shop, began), note(shop, began + timedelta(seconds=1))]
    assert verified(shop).unsealed == len(late)
    assert seal_due(core=shop.core).rows == len(late)
    verdict = verified(shop)
    assert verdict.faults == ()
    assert verdict.rows == rows_of_books(shop)
    # And once more above, between and below what is sealed by now.
    later = shop.clock.now()
    live(shop)
    assert seal_due(core=shop.core)
    note(shop, began)
    note(shop, later)
    assert seal_due(core=shop.core).rows == 2
    assert verified(shop).rows == rows_of_books(shop)
    assert verified(shop).holds


def test_what_comes_later_than_any_transaction_could_is_told_and_sealed_by_a_person_only(shop: Shop) -> None:
    began = shop.clock.now()
    shop.later(seconds=LATE.total_seconds() + 60)
    live(shop)
    assert seal_due(core=shop.core)
    late = note(shop, began)
    assert not seal_due(core=shop.core)
    verdict = verified(shop)
    (fault,) = verdict.faults
    assert (fault.book, fault.row_id) == ("audit_events", str(late))
    with pytest.raises(InputInvalid):
        seal_late(core=shop.core, reason=" ")
    sealed = seal_late(core=shop.core, reason="The clock of a machine was behind.")
    assert sealed.rows == 1
    assert verified(shop).holds
    told = shop.one(audit_events, audit_events.c.action == "books.sealed-late")
    assert (told.subject_id, told.facts) == ("2", {"audit_events": 1})
    assert not seal_late(core=shop.core, reason="Once more.")


def test_many_rows_take_several_seals_and_no_book_runs_ahead(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_rows, "MOST_ROWS", 3)
    for _ in range(3):
        shop.later(seconds=LATE.total_seconds())
        live(shop)
    total = 0
    while sealed := seal_due(core=shop.core):
        total += sealed.rows
        assert verified(shop).faults == ()
    assert total == rows_of_books(shop)
    assert max(row.row_count for row in shop.all(seal_parts)) == 3


def test_a_sealer_whose_clock_is_ahead_shuts_nobody_out(shop: Shop) -> None:
    shop.clock.advance(timedelta(hours=3))
    assert seal_due(core=shop.core)
    shop.clock.advance(-timedelta(hours=3))
    live(shop)
    assert seal_due(core=shop.core)
    verdict = verified(shop)
    assert (verdict.faults, verdict.unsealed) == ((), 0)


@pytest.mark.parametrize("most", [sealed_rows.MOST_ROWS, 2])
def test_a_book_that_an_older_worker_did_not_know_is_sealed_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Processes of this version hear what providers report while a worker of the one before seals all the rest."""

    def hear() -> None:
        report = StatusReport(
            provider="desk", channel="sms", event_key=str(uuid.uuid4()), status="sent", means="sent",
            occurred_at=shop.clock.now(),
        )  # fmt: skip
        hear_reports(core=shop.core, said=[report])

    older = [table for table in BOOKS if table not in JOINED]
    with monkeypatch.context() as before:
        before.setattr(seal, "BOOKS", older)
        before.setattr(sealed_rows, "BOOKS", older)
        for _ in range(7):
            hear()
            shop.later(seconds=LATE.total_seconds() + 60)
            live(shop)
            assert seal_due(core=shop.core)
    monkeypatch.setattr(sealed_rows, "MOST_ROWS", most)
    early = shop.clock.now() - 2 * LATE
    assert verified(shop).holds
    while seal_due(core=shop.core):
        assert verified(shop).holds
    assert (verified(shop).faults, verified(shop).unsealed) == ((), 0)
    # From now on it is a book like the others: what is put there afterwards is told.
    with shop.core.database.write() as tx:
        row = shop.all(delivery_events)[0]._asdict() | {"id": Ids().new(early), "event_key": "slipped-in"}
        tx.execute(delivery_events.insert(), row)
    assert not seal_due(core=shop.core)
    assert [fault.book for fault in verified(shop).faults] == ["delivery_events"]


def test_the_one_who_comes_second_adds_nothing(shop: Shop) -> None:
    with shop.core.database.read() as tx:
        head = seals.head(tx)
    assert head is None
    assert seal_due(core=shop.core)
    part = seals.Part(book="audit_events", columns=("id",), content=bytes(48))
    with shop.core.database.write() as tx:
        assert seals.add(tx, shop.core.keys.seals, head, [part], shop.clock.now()) is None
    assert verified(shop).seals == 1


def test_keys_rotate_and_an_old_one_that_is_gone_is_told(shop: Shop) -> None:
    old, new = KeyRing((("t", b"t" * 32),)), KeyRing((("t", b"t" * 32), ("u", b"u" * 32)))
    before, both = (replace(shop.core, keys=replace(shop.core.keys, seals=ring)) for ring in (old, new))
    assert seal_due(core=before)
    live(shop)
    assert seal_due(core=both)
    assert [row.key_id for row in shop.all(seals_table)] == ["t", "u"]
    assert verify_books(core=both, actor=SYSTEM).holds
    assert list(seals.public_keys(both.keys.seals)) == ["u", "t"]
    (fault,) = verify_books(core=before, actor=SYSTEM).faults
    assert (fault.seal_number, "names a key that is not in INCENTIVES_SEAL_KEYS" in fault.what) == (2, True)


def test_a_checkpoint_holds_for_nothing_but_itself() -> None:
    ring = KeyRing((("a", b"a" * 32), ("b", b"b" * 32)))
    now = datetime.fromisoformat("2026-11-20T12:00:00.000001+00:00")
    made = seals.sign(ring, 7, "f" * 64, now)
    assert seals.is_signed(ring, made)
    wrong: tuple[tuple[str, Any], ...] = (
        ("number", 8), ("hash", "e" * 64), ("at", now + timedelta(microseconds=1)), ("key_id", "a"), ("key_id", "c"),
        ("signature", made.signature[:-2] + "AA"), ("signature", "é"), ("signature", ""), ("hash", "\ud800"),
        ("number", 10**30), ("at", datetime.fromisoformat("0001-01-01T00:00:00+14:00")),
    )  # fmt: skip
    for name, value in wrong:
        assert not seals.is_signed(ring, replace(made, **{name: value})), name


def test_every_append_only_table_is_a_book_or_has_its_reason() -> None:
    left_out = {
        "ledger_accounts": "the chart, which the program knows by itself",
        "catalog_release_items": "has no id of its own; the audit trail names each release's digest",
        "feedback_revisions": "has no id of its own, and moves no money",
        "seals": "the chain itself",
        "seal_parts": "the chain itself",
    }
    assert {table.name for table in BOOKS} == set(append_only_tables()) - set(left_out)
    for table in BOOKS:
        first = next(iter(table.c))
        assert (first.name, isinstance(first.type, sa.Uuid), [*table.primary_key]) == ("id", True, [first])


def test_only_those_who_see_the_books_may_verify(shop: Shop) -> None:
    with pytest.raises(NotPermitted):
        verify_books(core=shop.core, actor=actor(shop.core, "manager"))
    assert verify_books(core=shop.core, actor=actor(shop.core, "auditor")).holds


def test_a_machine_whose_clock_is_ahead_shuts_nobody_out_and_its_rows_wait(
    shop: Shop, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = shop.clock.now()
    monkeypatch.setattr(seal, "shared_now", lambda _tx, now: right if backend == "postgresql" else now)
    ahead = replace(shop.core, clock=FixedClock(right + timedelta(minutes=10)))
    note(shop, right + timedelta(minutes=9))
    # Of an SQLite file all workers are on one machine, and only a row can be ahead.
    while seal_due(core=ahead if backend == "postgresql" else shop.core):
        pass
    assert verified(shop).unsealed == 1, "what is ahead waits"
    note(shop, right + timedelta(seconds=1))
    note(shop, right - LATE + timedelta(minutes=1))
    right += timedelta(minutes=1)
    shop.clock.advance(timedelta(minutes=1))
    assert seal_due(core=shop.core).rows == 2
    verdict = verified(shop)
    assert (verdict.faults, verdict.unsealed) == ((), 1)
    right += timedelta(minutes=9)
    shop.clock.advance(timedelta(minutes=9))
    assert seal_due(core=ahead).rows == 1
    assert verified(shop).unsealed == 0


def test_a_row_of_a_time_that_is_far_ahead_is_named_each_time(shop: Shop) -> None:
    """No seal would ever come so far, and it could be altered for years."""
    assert seal_due(core=shop.core)
    head = shop.one(seals_table)
    note(shop, shop.clock.now() + LATE - timedelta(minutes=1))
    assert (verified(shop).faults, verified(shop).unsealed) == ((), 1)
    ahead = note(shop, shop.clock.now() + timedelta(days=365 * 50))
    for only_new in (False, True):
        verdict = verified(shop, known=Known(head.number, head.hash), only_new=only_new)
        (fault,) = verdict.faults
        assert (fault.book, fault.row_id) == ("audit_events", str(ahead))
        assert fault.what == "has an id of a time that has not come"


def test_each_seal_is_logged_so_that_something_outside_the_database_knows_it(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "incentives.seal"):
        assert seal_due(core=shop.core)
        assert not seal_due(core=shop.core)
    assert [record.getMessage() for record in caplog.records] == [f"seal 1 is {shop.one(seals_table).hash}"]


def test_the_clock_that_machines_share_is_the_servers_where_there_is_one(shop: Shop, backend: str) -> None:
    told = shop.clock.now() + timedelta(days=36_500)
    with shop.core.database.read() as tx:
        found = sealed_rows.shared_now(tx, told)
    if backend == "sqlite":
        assert found == told
    else:
        assert found.utcoffset() == timedelta()
        assert abs(found - SystemClock().now()) < timedelta(minutes=10)


def test_a_damaged_head_stops_no_sealing(shop: Shop) -> None:
    assert seal_due(core=shop.core)
    guards.take_away(shop.core, "seals")
    with shop.core.database.write() as tx:
        tx.exec_driver_sql("UPDATE seals SET at = 'infinity'")
    live(shop)
    assert seal_due(core=shop.core)
    assert {fault.seal_number for fault in verified(shop).faults} == {1}
