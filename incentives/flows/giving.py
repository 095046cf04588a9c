"""Giving: a customer gets an incentive, or somebody is asked whether they may.

Not a flow: it opens no transaction. Issuing and responding to feedback give by it: claim → lock and check → change →
post → enqueue → audit, for a sequence of commands at once. A refused command leaves nothing and disturbs no neighbor.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.incentive import Incentive
from incentives.flows import answers, assessment, caring
from incentives.flows.answers import AwaitingApproval, Delivery, Issued, IssuedVoucher
from incentives.flows.assessment import Ground, Proposal, Trouble
from incentives.flows.batch import Batch, Gift
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseNotFound, InputInvalid, Refusal
from incentives.kernel.idempotency import Claim
from incentives.recovery import cases, customers
from incentives.recovery.customers import CustomerGiven
from incentives.spending import budgets

__all__ = [
    "AwaitingApproval",
    "CustomerGiven",
    "Delivery",
    "IssueVoucher",
    "Issued",
    "IssuedVoucher",
    "give",
]

APPROVAL_LIFETIME = timedelta(days=3)
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
class _Draft:
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


def give(
    tx: Connection,
    core: Core,
    actor: Actor,
    commands: Sequence[IssueVoucher],
    now: datetime,
) -> list[Issued | AwaitingApproval | Refusal]:
    """Give incentives in numbers within the caller's transaction; each command gets its own answer, in order.

    A refusal is an answer and leaves no trace. Raises nothing that is about one command.
    """
    drafts = [_draft(core, actor, command, now) for command in commands]
    _claim(tx, core, drafts, now)
    current = releases.cached_current(tx, core.cache)
    for draft in _open(drafts):
        _attempt(draft, lambda each: _understand(each, current, actor, now))
    fresh = _meet_customers(tx, core, actor, _open(drafts), now)
    pots = budgets.lock(tx, core, [each for draft in _open(drafts) for each in draft.wanted], now)
    batch = Batch(core=core, actor=actor, now=now)
    for draft in _open(drafts):
        draft.result = _decide(draft, pots, batch)
    batch.write(tx, pots.values())
    _give_back(tx, core, drafts, fresh)
    return [draft.result for draft in drafts if draft.result is not None]


def _draft(core: Core, actor: Actor, command: IssueVoucher, now: datetime) -> _Draft:
    issuance_id = core.ids.new(now)
    key = command.idempotency_key
    claim = Claim(f"{actor.label}:issuances", key, command.request, issuance_id) if key else None
    return _Draft(command=command, id=issuance_id, claim=claim)


def _open(drafts: Sequence[_Draft]) -> list[_Draft]:
    return [draft for draft in drafts if draft.result is None]


def _attempt(draft: _Draft, step: Any) -> None:
    """Let a step refuse one command without disturbing the others."""
    try:
        step(draft)
    except Refusal as refusal:
        draft.result = refusal


def _claim(tx: Connection, core: Core, drafts: Sequence[_Draft], now: datetime) -> None:
    """Claim the keys; answer those that were used before, in the database or earlier in this very sequence."""
    claims = [draft.claim for draft in drafts if draft.claim]
    before = idempotency.claim(tx, core.keys.codes, claims, now)
    first: dict[tuple[str, str], Claim] = {}
    for draft in drafts:
        if draft.claim is None:
            continue
        name = (draft.claim.scope, draft.claim.key)
        found = before.get(name)
        if first.setdefault(name, draft.claim) is not draft.claim:
            draft.key_is_anothers = True
            draft.result = InputInvalid(
                errors=[{"field": "Idempotency-Key", "message": "The same key stands twice in one request."}]
            )
        elif found is not None:
            draft.key_is_anothers = True
            draft.result = found if isinstance(found, Refusal) else answers.replay(tx, core, found)


def _understand(draft: _Draft, current: releases.CurrentCatalog, actor: Actor, now: datetime) -> None:
    """Find the protocol and check the command against the catalog."""
    command = draft.command
    ground = assessment.ground(current, actor, command.trouble)
    draft.ground = ground
    draft.channels = assessment.addressed(command.channels, ground.contact)
    incentive = (
        ground.catalog.incentive(command.incentive)
        if command.incentive
        else assessment.default_incentive(ground, now=now)
    )
    assessment.check_allowed(ground, incentive, amount_minor=command.amount_minor, now=now)
    draft.incentive = incentive


def _meet_customers(
    tx: Connection, core: Core, actor: Actor, drafts: Sequence[_Draft], now: datetime
) -> customers.Newcomers:
    """Recognize the customers and make the new ones, check the cases, and say what each command will charge.

    Returns the customers and identities that are new.
    """
    known_cases = cases.existing(tx, (draft.command.case_id for draft in drafts if draft.command.case_id))
    for draft in drafts:
        if draft.command.case_id and draft.command.case_id not in known_cases:
            draft.result = CaseNotFound(field="case_id")
    ready = [(draft, draft.ground, draft.incentive) for draft in _open(drafts) if draft.ground and draft.incentive]
    people, fresh = customers.settle(tx, core, [(ground.contact, ground.locale) for _, ground, _ in ready], now)
    for (draft, ground, incentive), named in zip(ready, people, strict=True):
        case = known_cases.get(draft.command.case_id) if draft.command.case_id else None
        # Who is helped within a case is its customer, named again or not: their caps count.
        found = customers.together(tx, [case.customer_id]) if case and case.customer_id and not named else named
        draft.proposal = assessment.propose(
            ground, actor, incentive, amount_minor=draft.command.amount_minor, customers=found
        )
        _attempt(draft, lambda each, case=case: _weigh(each, case, actor, now))
    return fresh


def _weigh(draft: _Draft, case: cases.KnownCase | None, actor: Actor, now: datetime) -> None:
    """Check that the command belongs into its case, and say what it will charge."""
    if draft.proposal is None:
        raise AssertionError("a command is weighed before it was understood")
    if case is not None:
        case.check(draft.proposal.customers)
    draft.wanted.extend(assessment.charges(draft.proposal, actor, now))


def _decide(
    draft: _Draft, pots: Mapping[budgets.PotKey, budgets.Pot], batch: Batch
) -> Issued | AwaitingApproval | Refusal:
    """Decide one command while its budgets are held, and lay out the rows that follow."""
    proposal = draft.proposal
    if proposal is None:
        raise AssertionError("a command reached its decision without a proposal")
    refusal = assessment.burst(draft.wanted, pots, proposal.amount.amount_minor)
    if refusal:
        return refusal
    asked = (draft.command.approval_reason,) if draft.command.approval_required else ()
    reasons = (*asked, *assessment.approval_reasons(proposal, batch.actor, draft.wanted, pots))
    case_id = draft.command.case_id or _open_case(draft, proposal, batch)
    batch.issuances.append(_issuance_row(draft, proposal, case_id, batch, issued=not reasons))
    _charge(draft, proposal, pots, batch, held=bool(reasons))
    return _ask(draft, proposal, case_id, reasons, batch) if reasons else _give(draft, proposal, case_id, batch)


def _open_case(draft: _Draft, proposal: Proposal, batch: Batch) -> uuid.UUID:
    ground = proposal.ground
    rows = caring.lay_out(
        batch.core,
        batch.actor,
        batch.now,
        ground.current,
        caring.NewCase(
            issue_tag=ground.issue_tag,
            severity=ground.severity,
            protocol=ground.resolution.protocol,
            customer_id=proposal.customers[0] if proposal.customers else None,
            contact=ground.contact,
            locale=ground.locale,
            segment=ground.segment,
            location=ground.location,
            team=ground.team,
            order_ref=draft.command.order_ref,
            owner=batch.actor.label if batch.actor.kind == "person" else None,
        ),
    )
    batch.cases.append(rows)
    return rows.id


def _issuance_row(
    draft: _Draft, proposal: Proposal, case_id: uuid.UUID, batch: Batch, *, issued: bool
) -> dict[str, Any]:
    ground = proposal.ground
    item_ids = ground.current.item_ids
    return {
        "id": draft.id,
        "status": "issued" if issued else "pending_approval",
        "case_id": case_id,
        "customer_id": proposal.customers[0] if proposal.customers else None,
        "issue_tag": ground.issue_tag,
        "severity": ground.severity,
        "segment": ground.segment,
        "incentive": proposal.incentive,
        "incentive_item_id": item_ids["incentive", proposal.incentive],
        "protocol_item_id": item_ids["protocol", ground.resolution.protocol.key],
        "catalog_release_id": ground.current.release_id,
        "amount_minor": proposal.amount.amount_minor,
        "currency": proposal.currency,
        "location": ground.location,
        "team": ground.team,
        "actor": batch.actor.label,
        "order_ref": draft.command.order_ref,
        "note": batch.core.contacts.encrypt(draft.command.note),
        "metadata": dict(draft.command.metadata),
        "channels": list(draft.channels),
        "contact": batch.core.contacts.encrypt(ground.contact.to_text()),
        "locale": ground.locale,
        "requested_at": batch.now,
        "issued_at": batch.now if issued else None,
    }


def _charge(
    draft: _Draft, proposal: Proposal, pots: Mapping[budgets.PotKey, budgets.Pot], batch: Batch, *, held: bool
) -> None:
    """Charge every matching budget: held until the approval, or committed.

    A limit that only asks is charged where it lets pass: what somebody else agrees to does not use it up.
    """
    state, kind = ("held", "hold") if held else ("committed", "commit")
    changes = {f"{state}_minor": proposal.amount.amount_minor, f"{state}_count": 1}
    for each in draft.wanted:
        if not (held and each.rule.asks_approval):
            pots[each.pot].rule = each.rule
            unit = budgets.in_unit(each.rule.currency, changes)
            batch.move(pots[each.pot], draft.id, draft.id, kind, unit)


def _ask(
    draft: _Draft, proposal: Proposal, case_id: uuid.UUID, reasons: tuple[str, ...], batch: Batch
) -> AwaitingApproval:
    approval_id = batch.core.ids.new(batch.now)
    expires_at = batch.now + APPROVAL_LIFETIME
    batch.approvals.append(
        {
            "id": approval_id,
            "issuance_id": draft.id,
            "status": "pending",
            "reasons": list(reasons),
            "requested_amount_minor": proposal.amount.amount_minor,
            "requested_by": batch.actor.label,
            "requested_at": batch.now,
            "expires_at": expires_at,
        }
    )
    facts = {**proposal.amount.as_json(), "incentive": proposal.incentive, "reasons": list(reasons)}
    batch.note("approval.requested", draft.id, case_id, proposal.ground.issue_tag, facts)
    return AwaitingApproval(
        id=draft.id, case_id=case_id, approval_id=approval_id, reasons=reasons, expires_at=expires_at
    )


def _give(draft: _Draft, proposal: Proposal, case_id: uuid.UUID, batch: Batch) -> Issued:
    gift = Gift(
        issuance_id=draft.id,
        case_id=case_id,
        incentive=proposal.incentive_item,
        incentive_item_id=proposal.ground.current.item_ids["incentive", proposal.incentive],
        amount=proposal.amount,
        time_zone=proposal.ground.time_zone,
        channels=draft.channels,
    )
    issued = batch.give(gift)
    last4 = issued.voucher.last4 if issued.voucher else None
    facts = {**proposal.amount.as_json(), "incentive": proposal.incentive, "last4": last4}
    action = "voucher.issued" if issued.voucher else "apology.given"
    batch.note(action, draft.id, case_id, proposal.ground.issue_tag, facts)
    return issued


def _give_back(tx: Connection, core: Core, drafts: Sequence[_Draft], fresh: customers.Newcomers) -> None:
    """Leave no trace of refused commands: neither their keys nor what they alone told about customers."""
    refused = [draft for draft in drafts if isinstance(draft.result, Refusal)]
    idempotency.release(tx, [draft.claim for draft in refused if draft.claim and not draft.key_is_anothers])
    given = [draft.proposal for draft in drafts if draft.proposal and not isinstance(draft.result, Refusal)]
    customers.forget(tx, core, fresh, [(proposal.ground.contact, proposal.customers) for proposal in given])
