"""Bulk files: tables and lines of JSON, what cannot be read, and that the same file is the same job."""

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.flows.bulk_load import LoadJob, load_job
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    BulkFileInvalid,
    BulkJobNotReady,
)
from incentives.queries.bulk import one_job
from incentives.vouchers.bulk_tables import bulk_jobs, bulk_rows
from incentives.vouchers.tables import issuances
from tests import dump
from tests.flows.bulk_shop import count, csv_of, done, loaded, rows_of
from tests.flows.bulk_shop import people as customers
from tests.flows.shop import Shop
from tests.world import person


@pytest.fixture
def boss(shop: Shop) -> Actor:
    return person(shop.core, "manager")


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (b"", 1, "The file is empty"),
        (b"issue_tag,email\n", 1, "The file has no rows"),
        (b"issue_tag,colour\nlong-wait,red\n", 1, "There is no column “colour”"),
        (b"issue_tag,issue_tag\nlong-wait,x\n", 1, "stands twice"),
        (b"issue_tag,email\nlong-wait\n", 2, "has 1 cells, and the header has 2"),
        (b"issue_tag,name\nlong-wait,Ana\xff\n", 2, "not UTF-8"),
        (b"issue_tag,note\nlong-wait,ok\nlong-wait," + b"x" * 70_000 + b"\n", 3, "at most 64 kB"),
        (b'issue_tag,note\nlong-wait,"never ends\n' + b"long-wait,x\n" * 20_000, 2, "This is not CSV"),
    ],
)
def test_a_table_that_cannot_be_read_names_its_line(shop: Shop, file: bytes, line: int, said: str) -> None:
    boss = replace(shop.manager)
    before = dump.of(shop.core)
    with pytest.raises(BulkFileInvalid) as refused:
        loaded(shop.core, boss, file)
    (mistake,) = refused.value.facts["errors"]
    assert mistake["line"] == line
    assert said in mistake["message"]
    assert dump.differences(before, dump.of(shop.core)) == {}


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        (b'{"issue_tag": "long-wait"}\nnonsense\n[1]\n{"issue_tag": "x", "colour": 1}\n', [2, 3, 4]),
        (b'{"customer": {"shoe_size": 44}}\n', [1]),
        (b"\n\n", [1]),
        (b"x\n" * 50, list(range(1, 21))),
    ],
)
def test_lines_of_json_that_cannot_be_read_are_named(shop: Shop, file: bytes, lines: list[int]) -> None:
    with pytest.raises(BulkFileInvalid) as refused:
        loaded(shop.core, shop.manager, file, format="ndjson")
    assert [each["line"] for each in refused.value.facts["errors"]] == lines
    assert count(shop.core, bulk_jobs) == 0


def test_lines_of_json_and_tables_of_semicolons_say_all_that_a_request_says(shop: Shop, boss: Actor) -> None:
    lines = (
        b'{"issue_tag": "long-wait", "incentive": "voucher", "amount_minor": 700, "severity": 3, "note": "sorry",'
        b' "customer": {"email": "a@customer.example", "name": "Ana", "locale": "es"}, "channels": ["email"],'
        b' "order_ref": "O-1", "location": "london", "metadata": {"batch": 7}}\n'
    )
    table = 'issue_tag;name;note;metadata.batch\n"long-wait";"Zoë; ""Z""";"two\nlines";7\nlong-wait;Ana;;\n'
    first = done(shop.core, boss, lines, format="ndjson")
    second = done(shop.core, boss, table.encode("utf-8-sig"))
    assert (first.rows_issued, second.rows_issued) == (1, 2)
    assert [each.line for each in rows_of(shop.core, boss, second)] == [2, 4]
    with shop.core.database.read() as tx:
        rows = tx.execute(sa.select(issuances).order_by(issuances.c.id)).all()
    assert (rows[0].amount_minor, rows[0].severity, rows[0].order_ref, rows[0].location) == (700, 3, "O-1", "london")
    assert (rows[0].channels, rows[0].locale, rows[0].metadata) == (["email"], "es", {"batch": 7})
    assert (rows[1].metadata, shop.core.contacts.decrypt(rows[1].note)) == ({"batch": "7"}, "two\nlines")


def test_what_holds_for_all_rows_gives_way_to_what_a_row_says(shop: Shop, boss: Actor) -> None:
    file = csv_of("a@customer.example,fixed", "b@customer.example,", header="email,incentive")
    job = done(shop.core, boss, file, defaults={"issue_tag": "long-wait", "incentive": "points", "channels": ["email"]})
    assert job.rows_issued == 2
    with shop.core.database.read() as tx:
        given = tx.execute(sa.select(issuances.c.incentive, issuances.c.channels).order_by(issuances.c.id)).all()
    assert [tuple(each) for each in given] == [("fixed", ["email"]), ("points", ["email"])]


def test_the_same_file_is_the_same_job_and_another_when_something_is_said_otherwise(shop: Shop, boss: Actor) -> None:
    first = loaded(shop.core, boss, customers(2))
    command = LoadJob(file=io.BytesIO(customers(2)), format="csv")
    assert load_job(core=shop.core, actor=boss, command=command).replayed
    assert loaded(shop.core, boss, customers(2)) == first
    others = {
        loaded(shop.core, boss, customers(3)),
        loaded(shop.core, boss, customers(2), defaults={"incentive": "fixed"}),
        loaded(shop.core, boss, customers(2), again="first"),
        loaded(shop.core, boss, customers(2), again="second"),
        loaded(shop.core, boss, customers(2), again="second"),
        loaded(shop.core, shop.manager, customers(2)),
    }
    assert len(others | {first}) == 6


def test_what_a_dead_process_left_half_loaded_is_loaded_by_the_next(
    shop: Shop, boss: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incentives.flows.bulk_load.BATCH_ROWS", 2)
    dies = {"after": 2}

    def renewed(*arguments: Any, **values: Any) -> bool:
        dies["after"] -= 1
        if dies["after"] < 0:
            raise KeyboardInterrupt
        return True

    with monkeypatch.context() as patched:
        patched.setattr("incentives.vouchers.bulk_jobs.renew", renewed)
        with pytest.raises(KeyboardInterrupt):
            loaded(shop.core, boss, customers(7))
    assert count(shop.core, bulk_rows) == 4
    with pytest.raises(BulkJobNotReady):
        loaded(shop.core, boss, customers(7))
    shop.clock.advance(timedelta(minutes=2))
    job_id = loaded(shop.core, boss, customers(7))
    assert count(shop.core, bulk_rows) == 7
    assert one_job(core=shop.core, actor=boss, job_id=job_id).rows_total == 7


def test_nothing_that_names_a_customer_stands_in_clear(shop: Shop, boss: Actor) -> None:
    loaded(shop.core, boss, csv_of("long-wait,ana.lopez@customer.example,"))
    with shop.core.database.read() as tx:
        (request,) = tx.execute(sa.select(bulk_rows.c.request)).scalars()
    assert "ana" not in request
