"""Several vouchers of one issuance end at once: each sees what became of the others, and in the end nothing is held."""

from uuid import UUID

import orjson

from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reverse import ReverseRedemption, reverse_redemption
from incentives.kernel.core import Core
from tests.crew import SIZE, Crew, count, flat
from tests.races.aftercare import act
from tests.races.deeds import MANAGER, TILL, broken, counters, give
from tests.small_catalog import PRICE_MINOR, catalog
from tests.world import publish_catalog

ROUNDS = 12


def thrice() -> str:
    """Return the small catalog, in which the dollar may be used three times."""
    text = orjson.loads(catalog())
    text["incentives"][0]["max_redemptions"] = 3
    text["protocols"][0]["most_minor"] = {"USD": PRICE_MINOR * 3}
    return orjson.dumps(text).decode()


def siblings(core: Core) -> list[tuple[UUID, str]]:
    """Return three vouchers of one issuance that are good beside each other, with their codes."""
    issued = give(core)
    assert issued.voucher is not None  # type: ignore[union-attr]
    found = [(issued.voucher.id, issued.voucher.code)]  # type: ignore[union-attr]
    for _ in range(2):
        done = redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=found[0][1])).id
        command = ReverseRedemption(redemption_id=done, reason="A race.", restore="new_code")
        new = reverse_redemption(core=core, actor=MANAGER, command=command).voucher
        assert new is not None
        assert new.code is not None
        found.append((new.id, new.code))
    return found


def test_the_last_of_them_to_be_taken_back_frees_the_place(crew: Crew, core: Core) -> None:
    publish_catalog(core, thrice())
    rounds = [[("void", voucher_id) for voucher_id, _ in siblings(core)] for _ in range(ROUNDS)]
    found = count(flat(crew.at_once(act, rounds, core.settings.database_url)))
    assert found == {"Voided": 3 * ROUNDS}
    assert counters(core) == {}
    assert broken(core) == []


def test_one_is_spent_while_the_others_are_taken_back(crew: Crew, core: Core) -> None:
    publish_catalog(core, thrice())
    rounds = []
    for _ in range(ROUNDS):
        first, second, third = siblings(core)
        deeds = [("void", first[0]), ("redeem", second[1]), ("void", third[0]), ("redeem", third[1])]
        rounds.append((deeds * SIZE)[:SIZE])
    found = count(flat(crew.at_once(act, rounds, core.settings.database_url)))
    assert set(found) <= {"Voided", "Redeemed", "VoucherVoided", "AlreadyRedeemed"}
    assert found["Voided"] + found["Redeemed"] == 3 * ROUNDS
    assert counters(core) == {"spent_minor": found["Redeemed"] * PRICE_MINOR, "spent_count": ROUNDS}
    assert broken(core) == []
