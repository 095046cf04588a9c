"""The line to PostgreSQL breaks just when it says that it has committed: nobody knows, and asking again is safe."""

from collections import Counter
from collections.abc import Iterator

import pytest

from incentives.books.tables import ledger_entries, ledger_postings
from incentives.vouchers.tables import redemptions, vouchers
from tests.faults.line import Line
from tests.faults.programs import Shop, is_told_to_ask_again
from tests.races.deeds import broken, counters, rows
from tests.servers import Postgres
from tests.small_catalog import PRICE_MINOR, catalog
from tests.world import make_core, publish_catalog

KEYS = 200
USED = 20


@pytest.fixture
def line(own_postgres: Postgres) -> Iterator[Line]:
    with Line(own_postgres.port).open() as line:
        yield line


@pytest.fixture
def shop(own_postgres: Postgres, line: Line) -> Iterator[Shop]:
    core = make_core(line.url(own_postgres.url()))
    publish_catalog(core, catalog())
    yield Shop(core)
    core.database.dispose()


def test_what_was_committed_unheard_is_given_and_redeemed_once(shop: Shop, line: Line) -> None:
    line.loses_replies_to = b"COMMIT"
    codes, seen = [], Counter[bool]()
    for number in range(KEYS):
        line.to_lose = 1
        assert is_told_to_ask_again(shop.give(f"give-{number}"))
        again = shop.give(f"give-{number}")
        assert again.status_code == 201, again.get_data(as_text=True)
        seen[again.headers.get("Idempotent-Replayed") == "true"] += 1
        codes.append(again.get_json()["voucher"]["code"])
    for number, code in enumerate(codes[:USED]):
        line.to_lose = 1
        assert is_told_to_ask_again(shop.redeem(code, f"redeem-{number}"))
        again = shop.redeem(code, f"redeem-{number}")
        assert again.status_code == 201, again.get_data(as_text=True)
        seen[again.headers.get("Idempotent-Replayed") == "true"] += 1
    assert seen == {True: KEYS + USED}  # The server had committed each time: it was the answer that was lost.
    assert line.lost == KEYS + USED
    core = shop.core
    assert (len(set(codes)), rows(core, vouchers), rows(core, redemptions)) == (KEYS, KEYS, USED)
    assert rows(core, ledger_entries) == KEYS + USED
    assert rows(core, ledger_postings) == 2 * (KEYS + USED)
    assert counters(core)["committed_minor"] == (KEYS - USED) * PRICE_MINOR
    assert broken(core) == []
