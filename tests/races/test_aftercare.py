"""A voucher comes to one end, whoever ends it at the same instant, and is spent at what it is worth then."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from incentives.flows.issue import Issued, IssueVoucher, issue_vouchers
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.recovery.customers import CustomerGiven
from incentives.vouchers.tables import redemptions, vouchers
from tests.crew import Crew, count, flat
from tests.races.aftercare import act
from tests.races.deeds import MANAGER, broken, counters, rows
from tests.small_catalog import PRICE_MINOR, TAG, catalog
from tests.world import START, publish_catalog

VOUCHERS, GROUPS = 500, 20


def adjustable() -> str:
    """Return the small catalog with a dollar that may be two."""
    found: dict[str, Any] = orjson.loads(catalog())
    found["incentives"][0] |= {"min_amount_minor": PRICE_MINOR, "max_amount_minor": 2 * PRICE_MINOR}
    found["protocols"][0]["most_minor"] = {"USD": 2 * PRICE_MINOR}
    return orjson.dumps(found).decode()


def given(core: Core, number: int) -> list[Any]:
    """Give so many vouchers."""
    wishes = [IssueVoucher(issue_tag=TAG, customer=CustomerGiven()) for _ in range(number)]
    made = issue_vouchers(core=core, actor=MANAGER, commands=wishes)
    return [each.voucher for each in made if isinstance(each, Issued)]


def states(core: Core) -> Counter[str]:
    with core.database.read() as tx:
        return Counter(tx.execute(sa.select(vouchers.c.status)).scalars())


def test_redeem_void_and_expire_meet_over_five_hundred_vouchers(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    jobs: list[Any] = []
    for group in range(GROUPS):
        at = START + timedelta(hours=group)
        made = given(replace(core, clock=FixedClock(at)), VOUCHERS // GROUPS)
        theirs = [job for each in made for job in (("redeem", each.code), ("void", each.id), ("redeem", each.code))]
        # A machine whose clock is ahead sweeps while the others are at this group.
        half = len(theirs) // 2
        jobs += [*theirs[:half], ("expire", at + timedelta(days=30, seconds=1)), *theirs[half:]]
    outcomes = crew.share(act, jobs, core.settings.database_url)
    found = count(outcomes)
    swept = sum(each.value for each in outcomes if each.name == "Swept")
    assert found["Redeemed"] + found["Voided"] + swept == VOUCHERS
    assert set(found) <= {"Redeemed", "Voided", "Swept", "AlreadyRedeemed", "VoucherVoided", "VoucherExpired"}
    ended = states(core)
    assert (ended["redeemed"], ended["voided"], ended["expired"]) == (found["Redeemed"], found["Voided"], swept)
    assert min(found["Redeemed"], found["Voided"], swept) > 0
    assert rows(core, redemptions) == found["Redeemed"]
    spent = found["Redeemed"]
    assert counters(core) == {"spent_minor": spent * PRICE_MINOR, "spent_count": spent}
    assert broken(core) == []


def test_of_reissuing_and_redeeming_one_wins(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [[("redeem", each.code), ("reissue", each.id)] * 2 for each in given(core, 24)]
    outcomes = crew.at_once(act, rounds, core.settings.database_url)
    for each in outcomes:
        found = count(each)
        assert found.get("Redeemed", 0) + found.get("Reissued", 0) == 1, found
    won = count(flat(outcomes))
    assert set(won) <= {"Redeemed", "Reissued", "AlreadyRedeemed", "VoucherReplaced"}
    codes = [one.value for one in flat(outcomes) if one.name == "Reissued"]
    again = count(crew.share(act, [("redeem", code) for code in codes * 2], core.settings.database_url))
    assert again.get("Redeemed", 0) == len(codes)
    assert rows(core, redemptions) == 24
    assert counters(core) == {"spent_minor": 24 * PRICE_MINOR, "spent_count": 24}
    assert broken(core) == []


def test_of_two_who_void_one_does(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [[("void", each.id)] * 4 for each in given(core, 16)]
    outcomes = flat(crew.at_once(act, rounds, core.settings.database_url))
    assert count(outcomes) == {"Voided": 16, "VoucherVoided": 48}
    assert counters(core) == {}
    assert broken(core) == []


def test_of_two_who_reissue_one_does(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    rounds = [[("reissue", each.id)] * 4 for each in given(core, 16)]
    outcomes = flat(crew.at_once(act, rounds, core.settings.database_url))
    assert count(outcomes) == {"Reissued": 16, "VoucherReplaced": 48}
    assert states(core) == {"replaced": 16, "issued": 16}
    assert broken(core) == []


def test_what_is_adjusted_while_it_is_redeemed_is_spent_at_what_it_is_worth(crew: Crew, core: Core) -> None:
    publish_catalog(core, adjustable())
    made = given(core, 32)
    rounds = [
        [("adjust", (each.id, 2 * PRICE_MINOR)), ("redeem", each.code), ("adjust", (each.id, PRICE_MINOR + 50))]
        for each in made
    ]
    outcomes = crew.at_once(act, rounds, core.settings.database_url)
    found = count(flat(outcomes))
    assert found["Redeemed"] == 32
    assert set(found) <= {"Redeemed", "Adjusted", "VoucherUsed", "AlreadyRedeemed"}
    assert found.get("Adjusted", 0) > 0
    spent = sum(one.value.amount_minor for one in flat(outcomes) if one.name == "Redeemed")
    assert counters(core) == {"spent_minor": spent, "spent_count": 32}
    assert broken(core) == []
