"""What the lives give, ask for, and decide on."""

from datetime import timedelta

from incentives.deeds.wanting import IssueVoucher
from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.delegate import CreateDelegation, RevokeDelegation, create_delegation, revoke_delegation
from incentives.flows.deliver import deliver_next
from incentives.flows.escalate_approvals import escalate_approvals_due
from incentives.flows.expire import expire_due
from incentives.flows.issue import issue_voucher, issue_vouchers
from incentives.flows.reveal import RevealCode, reveal_code
from incentives.flows.withdraw_request import WithdrawRequest, withdraw_request
from incentives.kernel.errors import Refusal
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import recovery_cases
from incentives.spending.tables import approvals, delegations
from incentives.vouchers.tables import issuances
from tests.machines.life import CLERKS, LifeBase
from tests.machines.lives_catalog import ADJUSTABLE, KEYS

CUSTOMERS = 12
_APPROVERS = ("supervisor", "manager", "manager", "second_manager", "finance", "admin", "agent")


class Giving(LifeBase):
    """Deeds of whoever gives, and of whoever agrees."""

    def _wish(self) -> IssueVoucher:
        incentive = self.of(*KEYS, None, "voucher", "thrice", "many")
        case = self.recent(recovery_cases) if self.chance(8) else None
        email = f"customer{self.dice.randrange(CUSTOMERS)}@example.com"
        if self.chance(40):
            email = "agent@example.com"  # the clerk's own
        return IssueVoucher(
            issue_tag=self.of("long-wait", "service", "odd", "odd" if self.chance(2) else "long-wait"),
            incentive=incentive,
            amount_minor=self.dice.randrange(450, 6000) if incentive in ADJUSTABLE and self.chance(2) else None,
            customer=CustomerGiven() if case else CustomerGiven(email=email),
            channels=("email",) if not case and self.chance(3) else (),
            location=self.of(None, None, "london"),
            case_id=case.id if case else None,
            approval_required=self.chance(10),
            override_reason="It is another person." if self.chance(10) else None,
        )

    def issue(self) -> None:
        self.do("issue", issue_voucher, self.of(*CLERKS, "key"), self._wish())

    def issue_in_numbers(self) -> None:
        """Give several things at once; what is refused of them leaves nothing, which the model would notice."""
        wishes = [self._wish() for _ in range(self.dice.randrange(2, 6))]
        answers = issue_vouchers(core=self.core, actor=self.people[self.of(*CLERKS)], commands=wishes)
        for each in answers:
            if isinstance(each, Refusal):
                self.refused["issue_in_numbers", each.slug] += 1
            else:
                self.done["issue_in_numbers"] += 1

    def decide(self) -> None:
        asked = self.recent(approvals, *([] if self.chance(8) else [approvals.c.status == "pending"]))
        if asked is None:
            return
        grant = not self.chance(4)
        lower = grant and self.chance(4)
        other = self.of("fixed", "points", "sorry", "thrice", "many", "dollars") if grant and self.chance(5) else None
        command = DecideApproval(
            approval_id=asked.id,
            decision="grant" if grant else "decline",
            amount_minor=self.dice.randrange(1, asked.requested_amount_minor + 2) if lower else None,
            incentive=other,
            comment=self.of(None, "As said on the phone."),
            on_behalf_of=self.people["manager"].label if self.chance(8) else None,
        )
        self.do("decide", decide_approval, self.of(*_APPROVERS), command)

    def withdraw_request(self) -> None:
        asked = self.recent(approvals, *([] if self.chance(4) else [approvals.c.status == "pending"]))
        if asked is None:
            return
        own = [name for name, each in self.people.items() if each.label == asked.requested_by]
        who = self.of(*own, "supervisor", "agent") if own else "manager"
        command = WithdrawRequest(approval_id=asked.id, reason=self.of(None, "They came back."))
        self.do("withdraw_request", withdraw_request, who, command)

    def delegate(self) -> None:
        """Hand the right to decide on, or take it back."""
        row = self.recent(delegations, delegations.c.revoked_at.is_(None))
        who = self.of("manager", "second_manager", "supervisor", "admin", "agent")
        if row is not None and self.chance(2):
            self.do("delegate", revoke_delegation, who, RevokeDelegation(delegation_id=row.id))
            return
        emails = [each.email for each in self.people.values() if each.email]
        command = CreateDelegation(
            delegate_email=self.of(*emails),
            absent_email=self.of(None, None, *emails),
            ends_at=self.now + timedelta(days=self.of(1, 9, 100)),
            reason="On leave.",
        )
        self.do("delegate", create_delegation, who, command)

    def reveal(self) -> None:
        given = self.recent(issuances)
        if given is not None:
            own = [name for name, each in self.people.items() if each.label == given.actor]
            self.do("reveal", reveal_code, self.of(*own, "agent"), RevealCode(issuance_id=given.id))

    # --- what the worker does -----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Let the worker end what is due: nothing depends on when it does."""
        while True:
            ended = expire_due(core=self.core)
            if not ended.vouchers + ended.approvals:
                return
            self.done["sweep"] += 1

    def escalate(self) -> None:
        while escalate_approvals_due(core=self.core):
            self.done["escalate"] += 1

    def deliver(self) -> None:
        for _ in range(20):
            if deliver_next(core=self.core) is None:
                return
            self.done["deliver"] += 1

    def time_passes(self) -> None:
        """Let minutes pass, or days."""
        minutes = self.of(1, 5, 14, 16, 40, 130, 60 * 9, 60 * 24, 60 * 24 * 4, 60 * 24 * 9)
        self.shop.clock.advance(timedelta(minutes=minutes, seconds=self.of(0, 1, 59)))

    def wait(self) -> None:
        """Let some minutes pass, within which a hold or an undoing may end."""
        self.shop.clock.advance(timedelta(seconds=self.of(20, 61, 300, 899, 900, 901)))
