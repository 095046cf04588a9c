"""A thousand ways to alter sealed books, each by somebody who owns the database and took every trigger away first."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from incentives.books.seals import Checkpoint, Part
from incentives.books.tables import audit_events, seal_parts, seals
from incentives.flows.seal import seal_due
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.ids import Ids
from incentives.queries import sealed_rows
from incentives.queries.books_verify import Verdict, checkpoint_of, verify, verify_books
from incentives.queries.sealed_rows import BOOKS, Recorder, too_late
from tests.flows import guards
from tests.migrations.filled import fill
from tests.world import START, make_core

SEED = 20261122
# PostgreSQL answers the same questions a good deal more slowly; all columns are met on SQLite.
TAMPERINGS = {"sqlite": 1_000, "postgresql": 300}


@dataclass(frozen=True)
class Done:
    """What was altered: rows by their ids, or a seal by its number."""

    what: str
    row_ids: frozenset[str] = frozenset()
    seal_number: int | None = None


@pytest.fixture
def core(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    """Books with rows in every table and several seals, and nothing that guards them any more."""
    fill(database_url)
    clock = FixedClock(START + timedelta(days=40))
    core = make_core(database_url, clock=clock)
    guards.take_away(core, *(table.name for table in BOOKS), "seals", "seal_parts")
    _write_more(core)
    monkeypatch.setattr(sealed_rows, "MOST_ROWS", 20)
    while seal_due(core=core):
        pass
    verdict = verify_books(core=core, actor=SYSTEM)
    assert verdict.holds, verdict.faults
    assert verdict.unsealed == 0
    assert verdict.seals > 3
    yield core
    core.database.dispose()


def _write_more(core: Core) -> None:
    ids = Ids()
    rows = [
        {
            "id": ids.new(START + timedelta(hours=number)), "at": START + timedelta(hours=number), "actor": "system:0",
            "actor_name": "Ünï", "action": "x.y", "subject_kind": "x", "subject_id": str(number), "case_id": None,
            "reason": f"No. {number}\n\t\\", "facts": {"n": number, "deep": {"b": [1, None], "a": "ü"}},
        }
        for number in range(20)
    ]  # fmt: skip
    with core.database.write() as tx:
        tx.execute(seal_parts.delete())  # sealed anew, in many small seals
        tx.execute(seals.delete())
        tx.execute(audit_events.insert(), rows)


def tampered(core: Core, dice: random.Random, how: Any) -> tuple[Done, Verdict]:
    """Alter something, verify, and undo it."""
    with core.database.engine.connect() as tx:
        while True:
            tx.rollback()
            if core.database.sqlite:
                tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
                tx.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
            try:
                done = how(tx, dice)
            except IntegrityError:
                continue  # A key that is unique stands in the way of this one; SQLite cannot let go of those.
            if done is not None:
                break
        verdict = verify(tx, core.keys.seals, core.clock.now())
        tx.rollback()
    return done, verdict


def _row(tx: Connection, dice: random.Random, table: sa.Table) -> Any:
    return dice.choice(tx.execute(sa.select(table).order_by(*table.primary_key)).all())


def _other(dice: random.Random, column: Any, value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """Return another value of a column."""
    if value is not None and column.nullable and dice.random() < 0.2:
        return None
    if isinstance(column.type, sa.Uuid):
        return uuid.UUID(int=(value or uuid.uuid4()).int ^ 1 << dice.randrange(60))
    if isinstance(column.type, sa.JSON):
        return {**value, "x": 1} if isinstance(value, dict) else [value, 1]
    if isinstance(value, datetime):
        return value + dice.choice((timedelta(microseconds=1), -timedelta(days=1)))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + dice.choice((-1, 1, 100))
    if isinstance(value, bytes):
        place = dice.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << dice.randrange(8)]) + value[place + 1 :]
    if value is None and not isinstance(column.type, sa.String):
        return 1
    text = value or ""
    return text[:-1] + ("x" if text[-1:] != "x" else "y")


def change(tx: Connection, dice: random.Random) -> Done:
    table = dice.choice(BOOKS)
    row = _row(tx, dice, table)
    column = dice.choice(list(table.c))
    value = _other(dice, column, getattr(row, column.name))
    tx.execute(table.update().where(table.c.id == row.id).values({column.name: value}))
    return Done(f"{table.name}.{column.name}", frozenset({str(row.id)}))


def delete(tx: Connection, dice: random.Random) -> Done:
    table = dice.choice(BOOKS)
    row = _row(tx, dice, table)
    tx.execute(table.delete().where(table.c.id == row.id))
    return Done(f"delete from {table.name}", frozenset({str(row.id)}))


def insert(tx: Connection, dice: random.Random) -> Done | None:
    """Slip a row in that is as old as another."""
    table = dice.choice(BOOKS)
    row = _row(tx, dice, table)
    late = too_late(tx)
    if late is None or row.id >= late:
        return None  # what is as new as the newest seal is sealed by itself, as what comes a little late is
    new_id = uuid.UUID(int=row.id.int + dice.choice((-1, 1)))
    source = {"source_id": uuid.uuid4()} if "source_id" in table.c else {}
    tx.execute(table.insert(), row._asdict() | source | {"id": new_id})
    return Done(f"insert into {table.name}", frozenset({str(new_id)}))


def swap(tx: Connection, dice: random.Random) -> Done | None:
    """Let two rows trade their ids."""
    table = dice.choice(BOOKS)
    one, other = _row(tx, dice, table), _row(tx, dice, table)
    if one.id == other.id:
        return None
    meanwhile = uuid.uuid4()
    for old, new in ((one.id, meanwhile), (other.id, one.id), (meanwhile, other.id)):
        tx.execute(table.update().where(table.c.id == old).values(id=new))
    return Done(f"swap in {table.name}", frozenset({str(one.id), str(other.id)}))


def change_seal(tx: Connection, dice: random.Random) -> Done:
    table = dice.choice((seals, seal_parts))
    row = _row(tx, dice, table)
    column = dice.choice(list(table.c))
    number = row.number if table is seals else row.seal_number
    this = [column == getattr(row, column.name) for column in table.primary_key]
    value = _other(dice, column, getattr(row, column.name))
    tx.execute(table.update().where(*this).values({column.name: value}))
    return Done(f"{table.name}.{column.name}", seal_number=number)


def remove_seal(tx: Connection, dice: random.Random) -> Done | None:
    row = _row(tx, dice, seals)
    if row.number == tx.execute(sa.select(sa.func.max(seals.c.number))).scalar_one():
        return None  # for that one an anchor is needed
    tx.execute(seal_parts.delete().where(seal_parts.c.seal_number == row.number))
    tx.execute(seals.delete().where(seals.c.number == row.number))
    return Done("delete a seal", seal_number=row.number)


def remove_part(tx: Connection, dice: random.Random) -> Done:
    row = _row(tx, dice, seal_parts)
    this = (seal_parts.c.seal_number == row.seal_number, seal_parts.c.book == row.book)
    tx.execute(seal_parts.delete().where(*this))
    return Done("delete a part", seal_number=row.seal_number)


def add_part(tx: Connection, dice: random.Random) -> Done:
    """Slip a row in that is as old as another, with a part that speaks for it and belongs to no seal."""
    number = tx.execute(sa.select(sa.func.max(seals.c.number))).scalar_one() + 1
    _slip_in(tx, dice, number)
    return Done("add a part", seal_number=number)


def part_of_seal_zero(tx: Connection, dice: random.Random) -> Done:
    """Slip a row in with a part that is before the first seal, and perhaps a seal for it."""
    number = dice.choice((0, -1))
    _slip_in(tx, dice, number)
    if dice.random() < 0.5:
        tx.execute(seals.insert(), _row(tx, dice, seals)._asdict() | {"number": number})
    return Done("add a part before the first", seal_number=number)


def _slip_in(tx: Connection, dice: random.Random, number: int) -> str:
    """Slip a row in that a part of a seal speaks for; return its id."""
    done = None
    while done is None:
        done = insert(tx, dice)
    (row_id,) = done.row_ids
    name = done.what.rpartition(" ")[-1]
    table = next(table for table in BOOKS if table.name == name)
    record = Recorder(table)
    (row,) = sealed_rows.rows(tx, table, [table.c.id == uuid.UUID(row_id)])
    part = Part(book=name, columns=record.columns, content=record(row))
    tx.execute(seal_parts.insert(), part.row(number))
    return row_id


WAYS = (
    *(change, change, change, change, delete, insert, swap),
    *(change_seal, remove_seal, remove_part, add_part, part_of_seal_zero),
)


@pytest.mark.timeout(900)
def test_each_of_a_thousand_tamperings_is_found_and_its_row_named(core: Core, backend: str) -> None:
    dice = random.Random(SEED)
    seen = set()
    for number in range(TAMPERINGS[backend]):
        done, verdict = tampered(core, dice, dice.choice(WAYS))
        seen.add(done.what)
        told = f"No. {number}, seed {SEED}: {done}, found {verdict.faults}"
        assert verdict.faults, told
        if done.row_ids:
            assert verdict.faults[0].row_id is not None, told
            assert {fault.row_id for fault in verdict.faults} >= done.row_ids or len(done.row_ids) == 1, told
            assert verdict.faults[0].row_id in done.row_ids or done.what.endswith(".id"), told
        else:
            # Whatever becomes of its rows: the seal itself, or the one that follows it, is named.
            numbers = {fault.seal_number for fault in verdict.faults}
            assert numbers & {done.seal_number, (done.seal_number or 0) + 1}, told
    columns = {f"{table.name}.{column.name}" for table in BOOKS for column in table.c}
    share = 0.8 if backend == "sqlite" else 0.5
    assert len(seen & columns) > len(columns) * share, "the dice have left out many columns"


@pytest.mark.parametrize("number", [0, -1])
def test_a_row_that_a_part_before_the_first_seal_speaks_for_is_named(core: Core, number: int) -> None:
    ids: list[str] = []

    def slip_in(tx: Connection, dice: random.Random) -> Done:
        ids.append(_slip_in(tx, dice, number))
        return Done("slip in")

    done, verdict = tampered(core, random.Random(SEED), slip_in)
    told = [fault.words for fault in verdict.faults]
    assert (done.what, told[0]) == ("slip in", f"seal {number}: has a number that no seal has")
    assert verdict.faults[1].row_id == ids[-1], told
    assert len(told) == 2, told


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(
    ("book", "statement"),
    [
        ("criteria_firings", "UPDATE criteria_firings SET cost_minor = 9e999 WHERE cost_minor IS NULL"),
        (
            "audit_events",
            "UPDATE audit_events SET facts = REPLACE(facts, '{\"n\":', '{\"n\": 9, \"n\":') WHERE action = 'x.y'",
        ),
    ],
)
def test_what_only_sqlite_lets_stand_there_is_not_as_it_was_sealed(core: Core, book: str, statement: str) -> None:
    """JSON spells a number that is not finite as null, and of two values of a name only the last is read."""

    def write(tx: Connection, _dice: random.Random) -> Done:
        assert tx.exec_driver_sql(statement).rowcount > 0
        return Done("write")

    _, verdict = tampered(core, random.Random(SEED), write)
    assert {(fault.book, fault.what) for fault in verdict.faults} == {(book, "is not as it was sealed")}


def test_only_an_anchor_tells_that_the_newest_seals_are_gone_with_their_rows(core: Core) -> None:
    with core.database.read() as tx:
        (*_, before, last) = tx.execute(sa.select(seals).order_by(seals.c.number)).all()
    anchor = checkpoint_of(last)
    assert verify_books(core=core, actor=SYSTEM, anchors=[anchor, checkpoint_of(before)]).holds
    _cut(core, last.number)
    assert verify_books(core=core, actor=SYSTEM).holds
    (fault,) = verify_books(core=core, actor=SYSTEM, anchors=[anchor, checkpoint_of(before)]).faults
    assert fault.seal_number == last.number
    assert f"the last there is is {before.number}" in fault.what
    forged = Checkpoint(number=1, hash="0" * 64, at=last.at, key_id=last.key_id, signature=last.signature)
    (fault,) = verify_books(core=core, actor=SYSTEM, anchors=[forged]).faults
    assert fault.what == "the anchor is not signed by a key of this house"


def test_only_an_anchor_tells_that_all_was_altered_and_sealed_anew(core: Core) -> None:
    """The worker signs whatever it finds: without the key too a chain can be made anew, from any seal on."""
    with core.database.read() as tx:
        anchor = checkpoint_of(tx.execute(sa.select(seals).where(seals.c.number == 1)).one())
    with core.database.write() as tx:
        tx.execute(seal_parts.delete())
        tx.execute(seals.delete())
        tx.execute(audit_events.update().values(reason="Nothing happened."))
    while seal_due(core=core):
        pass
    assert verify_books(core=core, actor=SYSTEM).holds
    (fault,) = verify_books(core=core, actor=SYSTEM, anchors=[anchor]).faults
    assert fault.words == "seal 1: is another one than the anchor knows"


def _cut(core: Core, number: int) -> None:
    with core.database.write() as tx:
        if core.database.sqlite:
            tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        for row in tx.execute(sa.select(seal_parts).where(seal_parts.c.seal_number == number)).all():
            table = next(table for table in BOOKS if table.name == row.book)
            for start in range(0, len(row.content), 48):
                tx.execute(table.delete().where(table.c.id == uuid.UUID(bytes=row.content[start : start + 16])))
        tx.execute(seal_parts.delete().where(seal_parts.c.seal_number == number))
        tx.execute(seals.delete().where(seals.c.number == number))


def test_a_chain_made_anew_without_the_key_is_not_signed(core: Core) -> None:
    """Whoever alters a row and every hash after it still lacks the key."""
    thief = make_core(core.database.url.render_as_string(hide_password=False).replace("+psycopg", ""), clock=core.clock,
                      INCENTIVES_SEAL_KEYS="t:" + "A" * 43 + "=")  # fmt: skip
    with core.database.write() as tx:
        tx.execute(seal_parts.delete())
        tx.execute(seals.delete())
        tx.execute(audit_events.update().values(reason="Nothing happened."))
    while seal_due(core=thief):
        pass
    assert verify_books(core=thief, actor=SYSTEM).holds
    found = verify_books(core=core, actor=SYSTEM).faults
    assert found[0].what == "is not signed by the key that it names"
    thief.database.dispose()
