"""However many promise messages to one contact at once, it is promised as many as the cap says, and no fewer."""

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from incentives.deeds.giving import give_all
from incentives.flows.issue import CustomerGiven, Issued, IssueVoucher, issue_voucher, issue_vouchers
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.messages.tables import outbox_messages
from incentives.recovery import promised
from tests.crew import A_MOMENT_SECONDS, Crew, Outcome, count, flat
from tests.races.deeds import MANAGER, broken, rows
from tests.small_catalog import TAG, catalog
from tests.world import publish_catalog

MOST = 3
NUMBERS = tuple(f"+1212555{number:04}" for number in range(1000, 1020))


def strict(core: Core) -> Core:
    """Return the core with the strict setting."""
    return replace(core, settings=replace(core.settings, contact_cap=MOST))


def gift(phone: str, **more: Any) -> IssueVoucher:
    return IssueVoucher(issue_tag=TAG, customer=CustomerGiven(phone=phone, **more), channels=("sms",))


def text(core: Core, phone: str) -> Outcome:
    """Give somebody a voucher by text message."""
    given = issue_voucher(core=strict(core), actor=MANAGER, command=gift(phone))
    return Outcome(type(given).__name__, given.id)


def text_and_die(core: Core, phone: str) -> Outcome:
    """Give by text message, and undo all of it before it is committed: a process that dies there looks like this."""
    with core.database.write() as tx:
        (given,) = give_all(tx, strict(core), [(MANAGER, gift(phone))], core.clock.now())
        time.sleep(A_MOMENT_SECONDS / 4)
        tx.rollback()
    return Outcome("Died" if isinstance(given, Issued) else type(given).__name__)


def text_or_die(core: Core, job: tuple[str, bool]) -> Outcome:
    phone, dies = job
    return text_and_die(core, phone) if dies else text(core, phone)


def text_many(core: Core, phones: list[str]) -> Outcome:
    """Give to several in one transaction, in the order in which they are named."""
    found = issue_vouchers(core=strict(core), actor=MANAGER, commands=[gift(each) for each in phones])
    given = [phone for phone, each in zip(phones, found, strict=True) if not isinstance(each, Refusal)]
    return Outcome("Many", (given, sorted({type(each).__name__ for each in found})))


def promise(core: Core, job: tuple[str, uuid.UUID]) -> Outcome:
    """Promise one more message to a number in one of the ways in which that is done."""
    way, voucher_id = job
    if way == "issue":
        return text(core, NUMBERS[0])
    if way == "resend":
        resend_voucher(core=strict(core), actor=MANAGER, command=ResendVoucher(voucher_id=voucher_id, reason="Again."))
    else:
        to = CustomerGiven(phone=NUMBERS[0])
        command = ReissueVoucher(voucher_id=voucher_id, reason="It was lost.", customer=to, channels=("sms",))
        reissue_voucher(core=strict(core), actor=MANAGER, command=command)
    return Outcome("Issued")


@contextmanager
def without_lock() -> Iterator[None]:
    """Read what a contact was promised a moment ago, and decide by that."""

    def read(tx: Connection, digests: Collection[str]) -> dict[str, list[int]]:
        found = promised.read(tx, digests)
        time.sleep(A_MOMENT_SECONDS)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promised, "lock", read)
        yield


def known(core: Core) -> None:
    """Meet the numbers, so that no two who give wait for each other to make the same customer."""
    for each in NUMBERS:
        issue_voucher(core=core, actor=MANAGER, command=replace(gift(each), channels=()))


def messages(core: Core) -> int:
    return rows(core, outbox_messages)


def test_of_a_hundred_to_one_number_three_are_sent(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    outcomes = crew.share(text, [NUMBERS[0]] * 100, core.settings.database_url)
    assert count(outcomes) == {"Issued": MOST, "ContactCap": 97}
    assert messages(core) == MOST
    assert broken(core) == []


def test_of_a_hundred_to_one_who_is_known_three_are_sent(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    known(core)
    rounds = [[each] * 16 for each in NUMBERS]
    for outcomes in crew.at_once(text, rounds, core.settings.database_url):
        assert count(outcomes) == {"Issued": MOST, "ContactCap": 13}
    assert messages(core) == MOST * len(NUMBERS)


def test_who_reads_without_a_lock_sends_too_many(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    known(core)
    outcomes = flat(crew.at_once(text, [[NUMBERS[0]] * 16] * 2, core.settings.database_url, twin=without_lock))
    assert count(outcomes)["Issued"] > MOST
    assert messages(core) > MOST


@pytest.mark.parametrize("met", [False, True])
def test_what_is_rolled_back_takes_no_room(crew: Crew, core: Core, *, met: bool) -> None:
    publish_catalog(core, catalog())
    if met:
        known(core)
    jobs = [(NUMBERS[0], number % 2 == 0) for number in range(64)]
    outcomes = count(crew.share(text_or_die, jobs, core.settings.database_url))
    assert outcomes.pop("Issued") == MOST
    assert outcomes.keys() <= {"ContactCap", "Died"}
    assert messages(core) == MOST


@pytest.mark.parametrize("met", [False, True])
def test_sequences_that_meet_in_any_order_neither_wait_in_a_ring_nor_lose_room(
    crew: Crew, core: Core, *, met: bool
) -> None:
    publish_catalog(core, catalog())
    if met:
        known(core)
    some = list(NUMBERS[:6])
    rounds = [[some[turn % 6 :] + some[: turn % 6] for turn in range(16)], [some[::-1], some] * 8]
    outcomes = flat(crew.at_once(text_many, rounds, core.settings.database_url))
    assert count(outcomes) == {"Many": 32}
    given = [each for outcome in outcomes for each in outcome.value[0]]
    assert {each: given.count(each) for each in some} == dict.fromkeys(some, MOST)
    assert {name for outcome in outcomes for name in outcome.value[1]} == {"Issued", "ContactCap"}
    assert broken(core) == []


def test_whoever_promises_in_whatever_way_shares_the_room(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    sent = [issue_voucher(core=core, actor=MANAGER, command=gift(NUMBERS[0])).voucher for _ in range(1)]  # type: ignore[union-attr]
    others = [issue_voucher(core=core, actor=MANAGER, command=gift(each)).voucher for each in NUMBERS[1:8]]  # type: ignore[union-attr]
    with core.database.write() as tx:
        tx.execute(outbox_messages.update().values(status="captured"))
    jobs = [("issue", uuid.UUID(int=0))] * 8 + [("resend", each.id) for each in sent if each]
    jobs += [("reissue", each.id) for each in others if each]
    before = messages(core)
    (outcomes,) = crew.at_once(promise, [jobs], core.settings.database_url)
    assert count(outcomes) == {"Issued": MOST - 1, "ContactCap": 16 - MOST + 1}
    assert messages(core) == before + MOST - 1
    assert broken(core) == []
