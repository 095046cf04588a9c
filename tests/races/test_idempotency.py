"""One idempotency key is one deed, however often and however much at once it is sent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.kernel import idempotency
from incentives.kernel.core import Core
from incentives.kernel.idempotency import Claim, idempotency_keys
from incentives.kernel.keys import KeyRing
from incentives.vouchers.tables import redemptions, vouchers
from tests.crew import SIZE, Crew, Outcome, count, flat
from tests.races.deeds import MANAGER, broken, issue, rows
from tests.races.test_redeeming import a_code
from tests.small_catalog import catalog
from tests.world import publish_catalog


def redeem(core: Core, code: str) -> Outcome:
    redeemed = redeem_voucher(
        core=core, actor=MANAGER, command=RedeemVoucher(code=code, idempotency_key=f"sale {code}")
    )
    return Outcome("Replayed" if redeemed.replayed else "Redeemed", redeemed.id)


@contextmanager
def look_then_insert() -> Iterator[None]:
    """Look whether the key is there, and keep it if it is not."""

    def naive(tx: Connection, ring: KeyRing, each: Claim, now: datetime) -> bool:
        table = idempotency_keys.c
        if tx.execute(sa.select(table.key).where(table.scope == each.scope, table.key == each.key)).first():
            return False
        time.sleep(0.02)  # It passes between looking and writing on any busy machine.
        row = {
            "scope": each.scope,
            "key": each.key,
            "request_digest": each.digests(ring)[0],
            "result_id": each.result_id,
            "created_at": now,
        }
        tx.execute(postgresql.insert(idempotency_keys).on_conflict_do_nothing(), row)
        return True

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
