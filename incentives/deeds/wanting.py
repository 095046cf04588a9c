"""What is wanted: one command to give, and the draft that it becomes on its way."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from incentives.catalog.incentive import Incentive
from incentives.deeds.answers import AwaitingApproval, Issued
from incentives.deeds.assessment import Ground, Proposal, Trouble
from incentives.kernel.errors import Refusal
from incentives.kernel.idempotency import Claim
from incentives.recovery.customers import CustomerGiven
from incentives.spending import budgets

RULE_ASKS = "rule-asks"
AUTOMATION_CEILING = "automation-ceiling"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueVoucher:
    """Give one incentive to one customer. ``incentive`` None is the protocol's default.

    ``channels`` empty is a hand-over on the screen. ``idempotency_key`` makes a repetition a replay. With
    ``approval_required`` a person decides, whatever the limits allow, for ``approval_reason``.
    """

    issue_tag: str
    incentive: str | None = None
    amount_minor: int | None = None
    severity: int | None = None
    customer: CustomerGiven = field(default_factory=CustomerGiven)
    channels: tuple[str, ...] = ()
    location: str | None = None
    order_ref: str | None = None
    case_id: uuid.UUID | None = None
    note: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    approval_required: bool = False
    approval_reason: str = RULE_ASKS

    @property
    def request(self) -> dict[str, Any]:
        """Return what makes two commands under one key the same. What only criteria ask for was not always there."""
        new = () if self.approval_required else ("approval_required", "approval_reason")
        names = (name for name in self.__dataclass_fields__ if name not in ("idempotency_key", *new))
        return {name: getattr(self, name) for name in names}

    @property
    def trouble(self) -> Trouble:
        """Return what went wrong, for whom and where."""
        return Trouble(
            issue_tag=self.issue_tag,
            severity=self.severity,
            customer=self.customer,
            location=self.location,
            order_ref=self.order_ref,
        )


@dataclass(slots=True, kw_only=True)
class Draft:
    """One command on its way through the flow."""

    command: IssueVoucher
    id: uuid.UUID
    claim: Claim | None
    key_is_anothers: bool = False
    ground: Ground | None = None
    incentive: Incentive | None = None
    channels: tuple[str, ...] = ()
    proposal: Proposal | None = None
    wanted: list[budgets.Wanted] = field(default_factory=list)
    result: Issued | AwaitingApproval | Refusal | None = None
