"""Money is conserved whatever happens: deeds in any order, replays, time passing; a model beside the books agrees."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from incentives.catalog.document import parse
from incentives.deeds.answers import Remainder
from incentives.flows import publish
from incentives.flows.issue import AwaitingApproval, Issued, IssuedVoucher, IssueVoucher, issue_voucher, issue_vouchers
from incentives.flows.redeem import Redeemed
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AlreadyRedeemed,
    ApprovalAlreadyDecided,
    ApprovalExpired,
    BudgetExhausted,
    CustomerCapReached,
    Refusal,
    SelfApproval,
    VoucherExpired,
)
from incentives.kernel.money import Money
from incentives.spending.tables import budget_periods
from tests.flows.shop import Shop, budget, catalog, named, wish

CAP_MINOR, KEPT_CAP_MINOR, MONTH_CAP_MINOR, CUSTOMER_CAP = 60_000, 40_000, 25_000, 6
# What budgets are charged for incentives whose value is fixed: its face, a percentage's ceiling, a thing's cost.
CHARGES = {"fixed": 700, "percent": 3000, "points": 250}
# How low an amount that staff chose may go: those are a voucher, and a credit whose remainder is a new voucher.
LEAST = {"voucher": 500, "credit": 100}
TEXT = catalog(
    budget("all", period="none", cap_minor=CAP_MINOR),
    budget("kept", period="none", scope="issue_tag", of="service", cap_minor=KEPT_CAP_MINOR, on_expiry="keep"),
    budget("month", cap_minor=MONTH_CAP_MINOR),
    budget("customer", scope="customer", period="none", cap_count=CUSTOMER_CAP),
)
LONDON = ZoneInfo("Europe/London")
Sums = tuple[int, int, int]


@dataclass(kw_only=True)
class Gift:
    """What one customer was promised, as the model knows it. All amounts are minor units."""

    incentive: str
    customer: int
    month: str
    state: str  # held, committed, spent, lapsed, over: it counts in the first three, and lapsed where that is kept
    held: int = 0
    owed: int = 0
    spent: int = 0
    lapsed: int = 0  # by expiry: a pot that keeps breakage has it still
    approval_id: Any = None
    asked_by: Actor | None = None
    ends_at: datetime
    voucher: IssuedVoucher | Remainder | None = None

    def sums(self, *, kept: bool = False) -> Sums:
        return self.held, self.owed, self.spent + (self.lapsed if kept else 0)

    def counts(self, *, kept: bool = False) -> Sums:
        spent = self.state == "spent" or (kept and self.state == "lapsed")
        return self.state == "held", self.state == "committed", spent


def total(sums: Any) -> Sums:
    columns = [sum(column) for column in zip((0, 0, 0), *sums, strict=True)]
    return columns[0], columns[1], columns[2]


class Till(RuleBasedStateMachine):
    """The shop, and beside it a list of gifts."""

    new_database: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop.opened(type(self).new_database(), TEXT)
        self.gifts: list[Gift] = []
        self.booked: Counter[str] = Counter()  # what each account should hold, in minor units
        self.issued: list[tuple[Actor, IssueVoucher, Any]] = []
        self.redeemed: list[tuple[dict[str, Any], Redeemed]] = []
        self.keys = 0

    def teardown(self) -> None:
        self.shop.core.database.dispose()

    @property
    def now(self) -> datetime:
        return self.shop.clock.now()

    @property
    def waiting(self) -> list[Gift]:
        return [each for each in self.gifts if each.state == "held"]

    @property
    def outstanding(self) -> list[Gift]:
        return [each for each in self.gifts if each.voucher]

    def key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    # --- giving -------------------------------------------------------------------------------------------

    @rule(
        incentive=st.sampled_from([*CHARGES, *LEAST]),
        amount_minor=st.integers(500, 5000),
        customer=st.integers(0, 3),
        manager=st.booleans(),
    )
    def issue(self, incentive: str, amount_minor: int, customer: int, *, manager: bool) -> None:
        by = self.shop.manager if manager else self.shop.agent
        command = wish(
            incentive=incentive,
            amount_minor=amount_minor if incentive in LEAST else None,
            customer=named(f"customer{customer}@example.com"),
            idempotency_key=self.key(),
        )
        charge = CHARGES.get(incentive, amount_minor)
        (result,) = issue_vouchers(core=self.shop.core, actor=by, commands=[command])
        if isinstance(result, BudgetExhausted | CustomerCapReached):
            assert result.facts["budget"] in self.full(charge, customer)
            return
        assert not isinstance(result, Refusal)
        assert not self.full(charge, customer)
        self.issued.append((by, command, result))
        gift = Gift(incentive=incentive, customer=customer, month=self.month, state="held", ends_at=self.now)
        self.gifts.append(gift)
        if isinstance(result, AwaitingApproval):
            assert not manager
            gift.held, gift.ends_at = charge, result.expires_at
            gift.approval_id, gift.asked_by = result.approval_id, by
        else:
            assert manager or charge <= 2000
            self.promise(gift, result)

    @property
    def month(self) -> str:
        return self.now.astimezone(LONDON).date().replace(day=1).isoformat()

    def full(self, charge_minor: int, customer: int) -> set[str]:
        """Return the budgets that have no room for a charge, as the model has it."""
        used = {
            "all": (sum(total(each.sums() for each in self.gifts)), CAP_MINOR),
            "kept": (sum(total(each.sums(kept=True) for each in self.gifts)), KEPT_CAP_MINOR),
            "month": (sum(total(each.sums() for each in self.gifts if each.month == self.month)), MONTH_CAP_MINOR),
        }
        counted = sum(total(each.counts() for each in self.gifts if each.customer == customer))
        full = {key for key, (minor, cap_minor) in used.items() if minor + charge_minor > cap_minor}
        return full | ({"customer"} if counted + 1 > CUSTOMER_CAP else set())

    def promise(self, gift: Gift, issued: Issued) -> None:
        assert issued.voucher is not None
        gift.state, gift.held, gift.owed = "committed", 0, issued.voucher.amount.amount_minor
        gift.voucher, gift.ends_at = issued.voucher, issued.voucher.expires_at
        self.booked["recovery-expense"] += gift.owed
        self.booked["voucher-liability"] -= gift.owed

    @precondition(lambda self: self.issued)
    @rule(pick=st.integers(0, 50))
    def repeat_an_issue(self, pick: int) -> None:
        by, command, before = self.issued[pick % len(self.issued)]
        again = issue_voucher(core=self.shop.core, actor=by, command=command)
        assert again.replayed
        assert (again.id, again.case_id, again.status) == (before.id, before.case_id, before.status)
        if isinstance(before, Issued):
            assert isinstance(again, Issued)
            assert again.voucher == before.voucher

    # --- deciding -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 50), share=st.integers(0, 100), grant=st.booleans())
    def decide(self, pick: int, share: int, *, grant: bool) -> None:
        gift = self.waiting[pick % len(self.waiting)]
        asked = gift.held
        least = LEAST.get(gift.incentive, asked)
        amount_minor = least + (asked - least) * share // 100 if grant else None
        deed = {
            "approval_id": gift.approval_id,
            "decision": "grant" if grant else "decline",
            "amount_minor": amount_minor,
        }
        if gift.asked_by is self.shop.manager:
            with pytest.raises(SelfApproval):
                self.shop.decide(**deed)
            return
        try:
            decided = self.shop.decide(**deed, idempotency_key=(key := self.key()))
        except ApprovalExpired:
            assert gift.ends_at <= self.now
            return
        assert gift.ends_at > self.now
        again = self.shop.decide(**deed, idempotency_key=key)
        assert (again.replayed, again.status) == (True, decided.status)
        with pytest.raises(ApprovalAlreadyDecided):
            self.shop.decide(**deed)
        if decided.issued is None:
            gift.state, gift.held = "over", 0
        else:
            assert decided.issued.voucher is not None
            assert decided.issued.voucher.amount.amount_minor == amount_minor
            self.promise(gift, decided.issued)

    # --- spending -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.outstanding)
    @rule(pick=st.integers(0, 50), total_minor=st.integers(1, 12_000))
    def redeem(self, pick: int, total_minor: int) -> None:
        gift = self.outstanding[pick % len(self.outstanding)]
        assert gift.voucher is not None
        worth = gift.voucher.amount.amount_minor
        command: dict[str, Any] = {"code": gift.voucher.code, "order_total": Money(total_minor, "GBP")}
        if gift.ends_at < self.now:
            with pytest.raises(VoucherExpired):
                self.shop.redeem(**command)
            return
        command["idempotency_key"] = self.key()
        done = self.shop.redeem(**command)
        self.redeemed.append((command, done))
        spent = self.share_of(gift.incentive, total_minor, worth)
        assert done.amount == Money(spent, "GBP")
        with pytest.raises(AlreadyRedeemed):
            self.shop.redeem(**{**command, "idempotency_key": None})
        self.spend(gift, spent, worth - spent, done.remainder)

    @staticmethod
    def share_of(incentive: str, total_minor: int, worth: int) -> int:
        if incentive == "percent":
            return min((total_minor * 15 + 50) // 100, worth)
        return worth if incentive == "points" else min(total_minor, worth)

    def spend(self, gift: Gift, spent: int, left: int, remainder: Remainder | None) -> None:
        gift.state, gift.spent, gift.owed, gift.voucher = "spent", gift.spent + spent, 0, remainder
        self.booked["voucher-liability"] += spent
        self.booked["redemption-settlement"] -= spent
        if gift.incentive == "credit" and left:
            assert remainder is not None
            assert remainder.amount == Money(left, "GBP")
            gift.owed = left
            return
        assert remainder is None
        self.booked["voucher-liability"] += left
        self.booked["recovery-expense" if gift.incentive == "percent" else "breakage"] -= left

    @precondition(lambda self: self.redeemed)
    @rule(pick=st.integers(0, 50))
    def repeat_a_redemption(self, pick: int) -> None:
        command, before = self.redeemed[pick % len(self.redeemed)]
        again = self.shop.redeem(**command)
        assert again.replayed
        assert (again.id, again.amount, again.remainder) == (before.id, before.amount, before.remainder)

    # --- time ---------------------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 30, 24 * 9, 24 * 40]))
    def time_passes(self, hours: int) -> None:
        self.shop.clock.advance(timedelta(hours=hours))

    @rule()
    def sweep(self) -> None:
        lapsed = [each for each in self.outstanding if each.ends_at < self.now]
        unheard = [each for each in self.waiting if each.ends_at <= self.now]
        assert self.shop.expire() == (len(lapsed), len(unheard))
        for gift in unheard:
            gift.state, gift.held = "over", 0
        for gift in lapsed:
            self.booked["voucher-liability"] += gift.owed
            self.booked["breakage"] -= gift.owed
            gift.lapsed, gift.owed, gift.voucher = gift.owed, 0, None
            gift.state = "lapsed" if gift.state == "committed" else gift.state

    # --- what always holds --------------------------------------------------------------------------------

    @invariant()
    def the_books_hold(self) -> None:
        self.shop.check("no hold is older than its request")  # the sweep comes when the machine lets it

    @invariant()
    def the_accounts_are_as_booked(self) -> None:
        assert +Counter(self.shop.balances()) == +self.booked
        assert -Counter(self.shop.balances()) == -self.booked
        assert sum(self.booked.values()) == 0
        assert -self.booked["voucher-liability"] == sum(each.owed for each in self.gifts)

    @invariant()
    def the_budgets_agree_with_the_gifts(self) -> None:
        assert self.shop.pot("all") == total(each.sums() for each in self.gifts)
        assert self.shop.pot("kept") == total(each.sums(kept=True) for each in self.gifts)
        assert self.shop.pot("all", "count") == self.shop.pot("customer", "count")
        assert self.shop.pot("all", "count") == total(each.counts() for each in self.gifts)
        assert self.shop.pot("kept", "count") == total(each.counts(kept=True) for each in self.gifts)
        months = {row.period_key: row for row in self.shop.all(budget_periods, budget_periods.c.budget == "month")}
        for key, row in months.items():
            sums = total(each.sums() for each in self.gifts if each.month == key)
            assert (row.held_minor, row.committed_minor, row.spent_minor) == sums
            assert sum(sums) <= MONTH_CAP_MINOR


# Where money is lost, the shortest way to lose it is looked for, and that takes longer than a test may otherwise.
@pytest.mark.timeout(600)
def test_money_is_conserved(new_database: Callable[[], str], backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "parse", cache(parse))
    machine = type("TillOnThisDatabase", (Till,), {"new_database": staticmethod(new_database)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
