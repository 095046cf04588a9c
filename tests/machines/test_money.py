"""Money is conserved whatever happens: deeds in any order, replays, time passing; a model beside the books agrees."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from incentives.flows import publish
from incentives.flows.issue import AwaitingApproval, Issued, IssuedVoucher, IssueVoucher, issue_voucher
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AlreadyRedeemed,
    ApprovalAlreadyDecided,
    ApprovalExpired,
    BudgetExhausted,
    CustomerCapReached,
    VoucherExpired,
)
from incentives.kernel.money import Money
from tests.flows.shop import Shop, budget, catalog, named, wish

CAP_MINOR = 60_000
KEPT_CAP_MINOR = 40_000
# What budgets are charged for incentives whose value is fixed: its face, a percentage's ceiling, a thing's cost.
CHARGES = {"fixed": 700, "percent": 3000, "points": 250}
# How low an amount that staff chose may go: those are a voucher, and a credit whose remainder is a new voucher.
LEAST = {"voucher": 500, "credit": 100}
TEXT = catalog(
    budget("all", period="none", cap_minor=CAP_MINOR),
    budget("kept", period="none", scope="issue_tag", of="service", cap_minor=KEPT_CAP_MINOR, on_expiry="keep"),
    budget("each-customer", scope="customer", cap_count=6),
)


@dataclass
class Owed:
    """A voucher as the model knows it."""

    voucher_id: Any
    code: str
    amount_minor: int
    expires_at: datetime


@dataclass
class Asked:
    """A request as the model knows it."""

    approval_id: Any
    amount_minor: int
    least_minor: int
    expires_at: datetime


class Till(RuleBasedStateMachine):
    """The shop, and beside it a few sums."""

    new_database: Callable[[], str]

    vouchers = Bundle("vouchers")

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop.opened(type(self).new_database(), TEXT)
        self.held = self.committed = self.spent = 0
        self.kept_spent = 0  # what the pot that keeps breakage has besides
        self.owed: dict[Any, int] = {}
        self.ends: dict[Any, datetime] = {}
        self.waiting: list[Asked] = []
        self.last: tuple[Actor, IssueVoucher, Any] | None = None
        self.keys = 0

    def teardown(self) -> None:
        self.shop.core.database.dispose()

    # --- deeds --------------------------------------------------------------------------------------------

    @rule(
        target=vouchers,
        incentive=st.sampled_from([*CHARGES, *LEAST]),
        amount_minor=st.integers(500, 5000),
        customer=st.integers(0, 3),
        manager=st.booleans(),
    )
    def issue(self, incentive: str, amount_minor: int, customer: int, *, manager: bool) -> Any:
        by = self.shop.manager if manager else self.shop.agent
        self.keys += 1
        command = wish(
            incentive=incentive,
            amount_minor=amount_minor if incentive in LEAST else None,
            customer=named(f"customer{customer}@example.com"),
            idempotency_key=f"key-{self.keys}",
        )
        try:
            result = issue_voucher(core=self.shop.core, actor=by, command=command)
        except BudgetExhausted:
            self._must_be_full(CHARGES.get(incentive, amount_minor))
            return multiple()
        except CustomerCapReached:
            return multiple()
        self.last = (by, command, result)
        if isinstance(result, AwaitingApproval):
            charge = CHARGES.get(incentive, amount_minor)
            self.held += charge
            self.waiting.append(Asked(result.approval_id, charge, LEAST.get(incentive, charge), result.expires_at))
            return multiple()
        return self._given(result)

    @rule()
    def repeat_the_last_issue(self) -> None:
        if self.last is None:
            return
        by, command, before = self.last
        again = issue_voucher(core=self.shop.core, actor=by, command=command)
        assert again.replayed
        assert (again.id, again.status) == (before.id, before.status)
        if isinstance(before, Issued):
            assert isinstance(again, Issued)
            assert again.voucher == before.voucher

    @rule(target=vouchers, pick=st.integers(0, 50), share=st.integers(0, 100), grant=st.booleans())
    def decide(self, pick: int, share: int, *, grant: bool) -> Any:
        if not self.waiting:
            return multiple()
        asked = self.waiting[pick % len(self.waiting)]
        amount_minor = asked.least_minor + (asked.amount_minor - asked.least_minor) * share // 100
        try:
            decided = self.shop.decide(
                asked.approval_id, "grant" if grant else "decline", amount_minor=amount_minor if grant else None
            )
        except ApprovalExpired:
            assert asked.expires_at <= self.shop.clock.now()
            return multiple()
        self.waiting.remove(asked)
        self.held -= asked.amount_minor
        with pytest.raises(ApprovalAlreadyDecided):
            self.shop.decide(asked.approval_id, "decline")
        if decided.issued is None:
            return multiple()
        return self._given(decided.issued)

    @rule(target=vouchers, voucher=consumes(vouchers), total_minor=st.integers(1, 12_000))
    def redeem(self, voucher: Owed, total_minor: int) -> Any:
        command = {"order_total": Money(total_minor, "GBP")}
        if voucher.expires_at <= self.shop.clock.now():
            with pytest.raises(VoucherExpired):
                self.shop.redeem(voucher.code, **command)
            return multiple()
        done = self.shop.redeem(voucher.code, **command)
        spent = done.amount.amount_minor
        assert 0 <= spent <= voucher.amount_minor
        left = voucher.amount_minor - spent
        with pytest.raises(AlreadyRedeemed):
            self.shop.redeem(voucher.code, **command)
        del self.owed[voucher.voucher_id]
        self.spent += spent
        self.committed -= voucher.amount_minor
        if done.remainder is None:
            return multiple()
        assert done.remainder.amount.amount_minor == left
        self.committed += left
        return self._owe(done.remainder)

    @rule(hours=st.sampled_from([1, 30, 24 * 9, 24 * 40]))
    def time_passes(self, hours: int) -> None:
        self.shop.clock.advance(timedelta(hours=hours))

    @rule()
    def sweep(self) -> None:
        now = self.shop.clock.now()
        self.shop.expire()
        for asked in [each for each in self.waiting if each.expires_at <= now]:
            self.waiting.remove(asked)
            self.held -= asked.amount_minor
        for voucher_id in [each for each, until in self.ends.items() if until <= now and each in self.owed]:
            amount_minor = self.owed.pop(voucher_id)
            self.committed -= amount_minor
            self.kept_spent += amount_minor

    def _must_be_full(self, charge_minor: int) -> None:
        """A budget refuses only what it has no room for."""
        wanted = self.held + self.committed + self.spent + charge_minor
        assert wanted > CAP_MINOR or wanted + self.kept_spent > KEPT_CAP_MINOR

    def _given(self, given: Issued) -> Owed:
        assert given.voucher is not None
        self.committed += given.voucher.amount.amount_minor
        return self._owe(given.voucher)

    def _owe(self, voucher: IssuedVoucher) -> Owed:
        self.owed[voucher.id] = voucher.amount.amount_minor
        self.ends[voucher.id] = voucher.expires_at
        return Owed(voucher.id, voucher.code, voucher.amount.amount_minor, voucher.expires_at)

    # --- what always holds --------------------------------------------------------------------------------

    @invariant()
    def the_books_hold(self) -> None:
        self.shop.check()

    @invariant()
    def the_books_agree_with_the_model(self) -> None:
        assert self.shop.pot("all") == (self.held, self.committed, self.spent)
        assert self.shop.pot("kept") == (self.held, self.committed, self.spent + self.kept_spent)
        assert -self.shop.balances().get("voucher-liability", 0) == sum(self.owed.values())
        assert self.held + self.committed + self.spent <= CAP_MINOR


def test_money_is_conserved(new_database: Callable[[], str], backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "parse", cache(publish.parse))
    machine = type("TillOnThisDatabase", (Till,), {"new_database": staticmethod(new_database)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
