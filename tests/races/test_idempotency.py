"""One idempotency key is one deed, however often and however much at once it is sent."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.kernel import idempotency
from incentives.kernel.core import Core
from incentives.kernel.idempotency import idempotency_keys
from incentives.vouchers.tables import redemptions, vouchers
from tests.crew import A_MOMENT_SECONDS, SIZE, Crew, Outcome, count, flat
from tests.races.deeds import TILL, broken, issue, rows
from tests.races.test_redeeming import a_code
from tests.small_catalog import catalog
from tests.world import publish_catalog


def redeem(core: Core, code: str) -> Outcome:
    redeemed = redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=code, idempotency_key=f"sale {code}"))
    return Outcome("Replayed" if redeemed.replayed else "Redeemed", redeemed.id)


@contextmanager
def look_then_insert() -> Iterator[None]:
    """Look whether the key is there, and keep it if it is not."""

    def naive(tx: Connection, claims: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
        (row,) = claims
        table = idempotency_keys.c
        if tx.execute(sa.select(table.key).where(table.scope == row["scope"], table.key == row["key"])).first():
            return set()
        time.sleep(A_MOMENT_SECONDS)
        tx.execute(postgresql.insert(idempotency_keys).on_conflict_do_nothing(), dict(row))
        return {(row["scope"], row["key"])}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idempotency, "_insert", naive)
        yield


def test_two_hundred_uses_of_one_key_are_one_voucher(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    outcomes = crew.share(issue, ["the same"] * 200, core.settings.database_url)
    assert count(outcomes) == {"Issued": 1, "Replayed": 199}
    assert len({each.value for each in outcomes}) == 1
    assert rows(core, vouchers) == 1
    assert broken(core) == []


def test_one_who_looks_first_and_inserts_then_issues_again(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    outcomes = flat(crew.at_once(issue, [["the same"] * SIZE], core.settings.database_url, twin=look_then_insert))
    assert count(outcomes)["Issued"] > 1
    assert rows(core, vouchers) > 1


def test_a_till_that_sends_a_sale_again_and_again_spends_the_voucher_once(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [[a_code(core)] * SIZE for _ in range(4)]
    for outcomes in crew.at_once(redeem, rounds, core.settings.database_url):
        assert count(outcomes) == {"Redeemed": 1, "Replayed": SIZE - 1}
        assert len({each.value for each in outcomes}) == 1
    assert rows(core, redemptions) == 4
    assert broken(core) == []
