"""What the lives do with budgets and switches: ask for more, agree, carry over; stop, and let go on."""

from datetime import timedelta

from incentives.catalog.tables import catalog_releases
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.flows.carry_over import carry_over_due
from incentives.flows.listing import ListValue, add_listed, remove_listed
from incentives.flows.publish import (
    ApproveRelease,
    ProposeCatalog,
    WithdrawRelease,
    approve_release,
    propose_catalog,
    withdraw_release,
)
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.flows.watch_budgets import alert_due
from incentives.safeguards.tables import listed_values, switches
from incentives.spending.tables import REQUEST_KINDS, budget_requests
from tests.machines.life import LifeBase
from tests.machines.lives_catalog import MONTH_CAPS, lives_catalog

_SUBJECTS = {"week": ("london", "leeds"), "number": ("voucher", "fixed"), "kept": ("service",)}
_MONEY = ("all", "month", "week", "kept", "expected", "spent", "dollars")
_STEWARDS = ("finance", "second_finance", "manager", "second_manager", "admin", "supervisor")
_TREASURERS = ("finance", "second_finance", "second_finance", "admin", "manager")
_STOPPED = (
    ("organization", None),
    ("location", "london"),
    ("incentive", "voucher"),
    ("issue_tag", "service"),
    ("team", "gates"),
    ("source", "a-tool"),
)


class Money(LifeBase):
    """Deeds of whoever minds the budgets, and of whoever stops things."""

    def _pot(self, *keys: str) -> PotName:
        key = self.of(*keys)
        return PotName(budget=key, subject=self.of(*_SUBJECTS[key]) if key in _SUBJECTS else None)

    def propose_budget_change(self) -> None:
        kind = self.of(*REQUEST_KINDS)
        transfer = kind == "transfer"
        pot = self._pot(*_MONEY) if not self.chance(5) else self._pot("number")
        in_numbers = pot.budget == "number"
        amount = self.of(100, 999, 5000, 20_000) * (-1 if kind == "adjustment" and self.chance(2) else 1)
        command = ProposeBudgetChange(
            kind=kind,
            pot=pot,
            from_pot=self._pot(*_MONEY) if transfer else None,
            amount_minor=0 if in_numbers else amount,
            amount_count=amount // 100 if in_numbers else 0,
            reason="A hard month.",
        )
        self.do("propose_budget_change", propose_budget_change, self.of(*_STEWARDS), command)

    def decide_budget_request(self) -> None:
        row = self.recent(budget_requests, *([] if self.chance(6) else [budget_requests.c.status == "pending"]))
        if row is not None:
            command = DecideBudgetRequest(request_id=row.id, decision=self.of("approve", "approve", "decline"))
            self.do("decide_budget_request", decide_budget_request, self.of(*_TREASURERS), command)

    def withdraw_budget_request(self) -> None:
        row = self.recent(budget_requests)
        if row is not None:
            own = [name for name, each in self.people.items() if each.label == row.requested_by]
            command = WithdrawBudgetRequest(request_id=row.id, comment=self.of(None, "Never mind."))
            self.do("withdraw_budget_request", withdraw_budget_request, self.of(*own, "finance"), command)

    def carry_over(self) -> None:
        while carry_over_due(core=self.core):
            self.done["carry_over"] += 1

    def alert(self) -> None:
        """Let the worker tell of budgets that run dry: that changes no budget."""
        while alert_due(core=self.core):
            self.done["alert"] += 1

    def set_switch(self) -> None:
        scope, subject = self.of(*_STOPPED)
        command = SetSwitch(
            stops=self.of("issuing", "redeeming"), scope=scope, subject=subject, reason="Something is wrong."
        )
        self.do("set_switch", set_switch, self.of("manager", "finance", "supervisor", "agent"), command)

    def lift_switch(self) -> None:
        row = self.recent(switches, *([] if self.chance(6) else [switches.c.lifted_at.is_(None)]))
        if row is not None:
            given = {"switch_id": row.id, "reason": "It is mended."}
            self.do("lift_switch", lift_switch, self.of("manager", "finance", "supervisor", "agent"), given)

    def list_value(self) -> None:
        kind, value = self.of(
            ("email", f"customer{self.dice.randrange(12)}@example.com"), ("actor", self.people["agent"].label)
        )
        ends_at = self.of(None, self.now + timedelta(hours=2))
        command = ListValue(
            list=self.of("allow", "deny", "review"), kind=kind, value=value, reason="We know.", expires_at=ends_at
        )
        self.do("list_value", add_listed, self.of("manager", "finance", "agent"), command)

    def take_off_list(self) -> None:
        row = self.recent(listed_values, *([] if self.chance(6) else [listed_values.c.removed_at.is_(None)]))
        if row is not None:
            given = {"listed_id": row.id, "reason": "It is over."}
            self.do("take_off_list", remove_listed, self.of("manager", "finance"), given)

    def change_catalog(self) -> None:
        """Propose another cap for the month, or have somebody else agree to what is proposed."""
        draft = self.recent(catalog_releases, catalog_releases.c.status == "proposed")
        if draft is None:
            command = ProposeCatalog(text=lives_catalog(month_minor=self.of(*MONTH_CAPS)), reason="A new month.")
            self.do("change_catalog", propose_catalog, self.of("manager", "second_manager", "agent"), command)
        elif self.chance(4):
            withdrawn = WithdrawRelease(number=draft.number, reason="Not now.")
            self.do("change_catalog", withdraw_release, self.of("manager", "finance"), withdrawn)
        else:
            effective_at = self.of(None, None, self.now + timedelta(hours=3))
            agreed = ApproveRelease(number=draft.number, effective_at=effective_at)
            self.do("change_catalog", approve_release, self.of("manager", "finance", "finance"), agreed)
