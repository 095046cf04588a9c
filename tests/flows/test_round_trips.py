"""What goes along with what on the way to PostgreSQL: BEGIN with the first statement, COMMIT with the last."""

import tempfile
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from incentives.kernel import postgres
from incentives.kernel.idempotency import idempotency_keys
from incentives.kernel.many import RowsTogether, insert_many
from tests.flows.shop import Shop, named

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])


def key(shop: Shop, name: str = "one") -> dict[str, Any]:
    return {
        "scope": "test",
        "key": name,
        "request_digest": "0",
        "result_id": uuid.uuid4(),
        "created_at": shop.core.clock.now(),
    }


def keys(shop: Shop) -> list[str]:
    with shop.core.database.read() as tx:
        return list(tx.execute(sa.select(idempotency_keys.c.key).where(idempotency_keys.c.scope == "test")).scalars())


def round_trips(deed: Any) -> int:
    """Return how often a deed waits for the server: each Sync, and each simple query, is one."""
    with tempfile.TemporaryFile() as trace, pytest.MonkeyPatch.context() as patched:
        made: list[Any] = []
        share = postgres.share

        def traced(connection: sa.Connection) -> None:
            made.append(connection.connection.driver_connection)
            made[-1].pgconn.trace(trace.fileno())
            share(connection)

        patched.setattr(postgres, "share", traced)
        deed()
        for each in made:
            each.pgconn.untrace()
        trace.seek(0)
        sent = [line.split(b"\t") for line in trace.read().splitlines()]
    return sum(part[1] == b"F" and part[3].split()[0] in (b"Sync", b"Query") for part in sent)


def write(shop: Shop, before: str, *last: str, after: bool = False) -> None:
    """Write a key, and others as the last of the transaction; or one more after that."""
    with shop.core.database.write() as tx:
        tx.execute(idempotency_keys.insert(), key(shop, before))
        with RowsTogether(tx, last=True) as rows:
            insert_many(rows, idempotency_keys, [key(shop, name) for name in last])
        if after:
            tx.execute(idempotency_keys.delete())


def test_a_hot_request_waits_as_often_as_it_asks(shop: Shop) -> None:
    """The numbers of statements that docs/performance.md lists, and no BEGIN, SET or COMMIT more."""
    for number in range(8):  # until the driver has prepared them all
        code = shop.voucher(customer=named(f"a{number}@example.com"), idempotency_key=f"i{number}").code
        shop.redeem(code, idempotency_key=f"r{number}")
    code = shop.voucher(customer=named("b@example.com"), idempotency_key="before").code
    assert round_trips(lambda: shop.redeem(code, idempotency_key="redeem")) == 6
    assert round_trips(lambda: shop.voucher(customer=named("c@example.com"), idempotency_key="issue")) == 7


def test_what_fails_last_leaves_nothing(shop: Shop) -> None:
    with pytest.raises(IntegrityError):
        write(shop, "before", "one", "one")
    assert keys(shop) == []
    with shop.core.database.write() as tx:  # and the connection is as good as before
        tx.execute(idempotency_keys.insert(), key(shop))
    assert keys(shop) == ["one"]


def test_what_comes_first_may_fail_and_may_be_the_last(shop: Shop) -> None:
    with shop.core.database.write() as tx, RowsTogether(tx, last=True) as rows:
        insert_many(rows, idempotency_keys, [key(shop)])
    with pytest.raises(IntegrityError), shop.core.database.write() as tx:
        tx.execute(idempotency_keys.insert(), key(shop))
    assert keys(shop) == ["one"]


def test_nothing_comes_after_the_last(shop: Shop) -> None:
    """It would be a transaction of its own: half a deed could be lost."""
    with pytest.raises(AssertionError):
        write(shop, "before", "one", after=True)
    assert sorted(keys(shop)) == ["before", "one"]


@pytest.mark.parametrize("many", [False, True])
def test_nothing_comes_after_the_last_by_whatever_way(shop: Shop, *, many: bool) -> None:
    def go_on() -> None:
        with shop.core.database.write() as tx:
            with RowsTogether(tx, last=True) as rows:
                insert_many(rows, idempotency_keys, [key(shop)])
            cursor = tx.connection.driver_connection.cursor()  # type: ignore[union-attr]  # psycopg's
            if many:
                cursor.executemany("SELECT %s", [(1,), (2,)])
            else:
                list(cursor.stream("SELECT 1"))

    with pytest.raises(AssertionError):
        go_on()
    assert keys(shop) == ["one"]


def test_only_a_shared_transaction_is_impatient(shop: Shop) -> None:
    """And only it makes no plans anew: whoever looks for what is rare must."""
    settings = ("lock_timeout", "plan_cache_mode")

    def shown(tx: sa.Connection) -> tuple[str, ...]:
        return tuple(tx.exec_driver_sql(f"SHOW {name}").scalar_one() for name in settings)

    with shop.core.database.write(shared=True) as tx:
        assert [shown(tx) for _ in range(2)] == [("1s", "force_generic_plan")] * 2
    with shop.core.database.write(shared=True):
        pass  # nothing asked: nothing is left for who has the connection next
    with shop.core.database.write() as tx:
        assert shown(tx) == ("10s", "auto")


def test_columns_are_known_by_their_statement(shop: Shop) -> None:
    with shop.core.database.read() as tx:
        for _ in range(3):
            assert tx.exec_driver_sql("SELECT 1 AS a, 'x' AS b").keys() == ["a", "b"]
            assert tx.exec_driver_sql("SELECT 1 AS b").keys() == ["b"]


def test_what_fails_is_told_as_what_it_is(shop: Shop) -> None:
    """However late the server's answer to the COMMIT comes: the driver would tell of that, and of a row in the log."""
    for number in range(300):
        with pytest.raises(IntegrityError) as failed:
            write(shop, f"before {number}", "one", "one")
        told = str(failed.value.orig)
        assert "unique constraint" in told
        assert "DETAIL" not in told
