"""Many processes respond at once: each piece is acted on once, a breaker counts exactly, one trouble is one case."""

from incentives.kernel.core import Core
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import criteria_firings, feedback
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import vouchers
from tests.crew import SIZE, Crew, count, flat
from tests.races.conftest import DropConstraint
from tests.races.deeds import broken, counters, rows
from tests.races.responding import (
    counted,
    look_then_claim,
    look_then_count,
    prepare,
    reported,
    respond_all,
    respond_one,
    without_waiting,
)
from tests.small_catalog import PRICE_MINOR

ROUNDS = 8
ONCE_A_PIECE = "uq_criteria_firings_feedback_id_criterion"


def strangers(core: Core, number: int) -> list[object]:
    """Report from somebody of whom nothing but an address is known, so that no case is theirs already."""
    return [reported(core, each, customer_id=None, contact=None, **_address(core, each)) for each in range(number)]


def _address(core: Core, number: int) -> dict[str, object]:
    contact = Contact(email=f"p{number}@example.com").to_text()
    return {"encrypted_contact": core.contacts.encrypt(contact)}


def test_sixteen_processes_act_on_a_piece_once(crew: Crew, core: Core) -> None:
    prepare(core)
    pieces = strangers(core, ROUNDS)
    outcomes = flat(crew.at_once(respond_one, [[each] * SIZE for each in pieces], core.settings.database_url))
    assert count(outcomes) == {"acted": ROUNDS * SIZE}
    assert len({each.value for each in outcomes}) == ROUNDS
    assert rows(core, vouchers) == rows(core, criteria_firings) == rows(core, recovery_cases) == ROUNDS
    assert counters(core) == {"committed_minor": ROUNDS * PRICE_MINOR, "committed_count": ROUNDS}
    assert counted(core) == ROUNDS
    assert broken(core) == []


def test_without_the_claim_and_what_stands_behind_it_a_piece_is_paid_for_again(
    crew: Crew, core: Core, drop_constraint: DropConstraint
) -> None:
    prepare(core)
    drop_constraint("criteria_firings", ONCE_A_PIECE)
    (piece,) = strangers(core, 1)
    crew.at_once(respond_one, [[piece] * SIZE], core.settings.database_url, twin=look_then_claim)
    assert rows(core, vouchers) > 1


def test_without_the_claim_the_database_itself_lets_one_voucher_stand(crew: Crew, core: Core) -> None:
    prepare(core)
    (piece,) = strangers(core, 1)
    crew.at_once(respond_one, [[piece] * SIZE], core.settings.database_url, twin=look_then_claim)
    assert rows(core, vouchers) == rows(core, criteria_firings) == 1
    assert broken(core) == []


def test_a_breaker_gives_exactly_so_many_under_sixteen_workers(crew: Crew, core: Core) -> None:
    prepare(core, count_per_hour=10)
    strangers(core, 64)
    outcomes = flat(crew.at_once(respond_all, [[1] * SIZE], core.settings.database_url))
    assert sum(each.value for each in outcomes) == 64
    assert rows(core, vouchers) == counted(core) == 10
    assert rows(core, criteria_firings, criteria_firings.c.outcome == "tripped") == 54
    assert rows(core, feedback, feedback.c.status == "acted") == 64
    assert counters(core) == {"committed_minor": 10 * PRICE_MINOR, "committed_count": 10}
    assert broken(core) == []


def test_a_breaker_that_looks_first_and_counts_then_gives_more(crew: Crew, core: Core) -> None:
    prepare(core, count_per_hour=10)
    strangers(core, 64)
    crew.at_once(respond_all, [[1] * SIZE], core.settings.database_url, twin=look_then_count)
    assert rows(core, vouchers) > 10


def test_sixteen_reports_of_one_trouble_are_one_case_and_one_voucher(crew: Crew, core: Core) -> None:
    prepare(core)
    rounds = [
        [reported(core, 100 * turn + each, contact=Contact(email=f"p{turn}@example.com")) for each in range(SIZE)]
        for turn in range(ROUNDS)
    ]
    outcomes = flat(crew.at_once(respond_one, rounds, core.settings.database_url))
    assert count(outcomes) == {"acted": ROUNDS * SIZE}
    assert rows(core, recovery_cases) == rows(core, vouchers) == ROUNDS
    assert rows(core, criteria_firings, criteria_firings.c.outcome == "already") == ROUNDS * (SIZE - 1)
    assert broken(core) == []


def test_without_waiting_for_each_other_they_open_a_case_each(crew: Crew, core: Core) -> None:
    prepare(core)
    pieces = [reported(core, each, contact=Contact(email="p@example.com")) for each in range(SIZE)]
    crew.at_once(respond_one, [pieces], core.settings.database_url, twin=without_waiting)
    assert rows(core, recovery_cases) > 1
