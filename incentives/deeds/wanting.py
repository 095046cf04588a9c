"""What is wanted: one command to give, and the draft that it becomes on its way."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incentives.catalog.incentive import Incentive
from incentives.deeds import capping
from incentives.deeds.answers import AwaitingApproval, Issued
from incentives.deeds.assessment import Ground, Proposal, Trouble
from incentives.deeds.telling import Told
from incentives.kernel.actors import Actor
from incentives.kernel.errors import Refusal
from incentives.kernel.idempotency import Claim
from incentives.recovery.customers import CustomerGiven
from incentives.safeguards.signals import NOTHING, Suspicion
from incentives.spending import budgets

RULE_ASKS = "rule-asks"
AUTOMATION_CEILING = "automation-ceiling"
_NOT_ASKED = {"idempotency_key", "job_id", "approval_required", "approval_reason"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueVoucher:
    """Give one incentive to one customer. ``incentive`` None is the protocol's default.

    ``channels`` empty is a hand-over on the screen. ``idempotency_key`` makes a repetition a replay. With
    ``approval_required`` a person decides, whatever the limits allow, for ``approval_reason``.

    ``job_id`` is the bulk job that it is a row of. With ``incident_id`` it is about that incident: in the customer's
    open case there, or in a new one that is attached, and once for each customer. ``source`` is the feedback source
    that it is given for. With ``override_reason`` a customer's caps let it pass, where the actor may override them.
    Nothing is sent before ``deliver_after``; ``message`` is a personal line that goes into the letter.
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
    job_id: uuid.UUID | None = None
    incident_id: uuid.UUID | None = None
    source: str | None = None
    override_reason: str | None = None
    told: Told = field(default_factory=Told)
    deliver_after: datetime | None = None
    message: str | None = None

    @property
    def request(self) -> dict[str, Any]:
        """Return what makes two commands under one key the same. What only criteria ask for was not always there.

        Which job a row came by does not: whoever tries the rows that were refused once more asks for the same.
        """
        new = {"idempotency_key", "job_id"} if self.approval_required else _NOT_ASKED
        names = (name for name in self.__dataclass_fields__ if name not in new)
        late = ("incident_id", "source", "override_reason", "told", "deliver_after", "message")
        return {name: getattr(self, name) for name in names if name not in late or getattr(self, name)}

    @property
    def trouble(self) -> Trouble:
        """Return what went wrong, for whom and where."""
        return Trouble(
            issue_tag=self.issue_tag,
            severity=self.severity,
            customer=self.customer,
            location=self.location,
            order_ref=self.order_ref,
            case_id=self.case_id,
            channels=self.channels,
            told=self.told,
        )


@dataclass(slots=True, kw_only=True)
class Draft:
    """One command on its way through the flow."""

    actor: Actor
    command: IssueVoucher
    id: uuid.UUID
    claim: Claim | None
    key_is_anothers: bool = False
    ground: Ground | None = None
    incentive: Incentive | None = None
    channels: tuple[str, ...] = ()
    wish: capping.Wish = capping.NOTHING  # the room that its messages take, should it be given
    proposal: Proposal | None = None
    wanted: list[budgets.Wanted] = field(default_factory=list)
    suspicion: Suspicion = NOTHING
    allotted: list[dict[str, Any]] = field(default_factory=list)  # what overriding a customer's caps took
    result: Issued | AwaitingApproval | Refusal | None = None
