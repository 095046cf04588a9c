"""Issue: a customer is given an incentive, or somebody is asked whether they may be.

permit → now → begin → claim → lock and check → change → post → enqueue → audit → end → result, for a sequence of
commands at once; a single request is a sequence of one. A refused command leaves nothing and disturbs no neighbor.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit, ledger
from incentives.catalog import eligibility, releases
from incentives.catalog.incentive import Incentive
from incentives.flows import answers, assessment
from incentives.flows.answers import AwaitingApproval, Delivery, Issued, IssuedVoucher
from incentives.flows.assessment import Ground, Proposal, Trouble
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseNotFound, InputInvalid, Refusal
from incentives.kernel.idempotency import Claim
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.recovery import cases, customers
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import recovery_cases
from incentives.spending import budgets
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, vouchers

__all__ = [
    "AwaitingApproval", "CustomerGiven", "Delivery", "IssueVoucher", "Issued", "IssuedVoucher", "issue_voucher", "issue_vouchers",
]

APPROVAL_LIFETIME = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueVoucher:
    """Give one incentive to one customer. ``incentive`` None is the protocol's default.

    ``channels`` empty is a hand-over on the screen. ``idempotency_key`` makes a repetition a replay.
    """

    issue_tag: str
    incentive: str | None = None
    amount_minor: int | None = None
    severity: int | None = None
    customer: CustomerGiven = CustomerGiven()
    channels: tuple[str, ...] = ()
    location: str | None = None
    order_ref: str | None = None
    case_id: uuid.UUID | None = None
    note: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None

    @property
    def trouble(self) -> Trouble:
        """Return what went wrong, for whom and where."""
        return Trouble(
            issue_tag=self.issue_tag, severity=self.severity, customer=self.customer, location=self.location, order_ref=self.order_ref,
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


@dataclass(slots=True)
class _Batch:
    """The rows that a transaction will write, table by table."""

    cases: list[dict[str, Any]] = field(default_factory=list)
    issuances: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    vouchers: list[Mapping[str, Any]] = field(default_factory=list)
    movements: list[dict[str, Any]] = field(default_factory=list)
    entries: list[ledger.Entry] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


def issue_voucher(*, core: Core, actor: Actor, command: IssueVoucher) -> Issued | AwaitingApproval:
    """Give one incentive, or ask for an approval; a refusal leaves no trace.

    Raises what ``assessment`` raises, and ``CaseNotFound``, ``IncentiveNotInProtocol``, ``BudgetExhausted``,
    ``CustomerCapReached``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``, ``NotPermitted``.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        (result,) = _issue(tx, core, actor, [command], now)
        if isinstance(result, Refusal):
            raise result
    return result


def issue_vouchers(*, core: Core, actor: Actor, commands: Sequence[IssueVoucher]) -> list[Issued | AwaitingApproval | Refusal]:
    """Give incentives in numbers, in one transaction; each command gets its own answer, in order.

    Raises ``NotPermitted``; every other refusal is an answer.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.write() as tx:
        return _issue(tx, core, actor, commands, now)


def _issue(
    tx: Connection, core: Core, actor: Actor, commands: Sequence[IssueVoucher], now: datetime,
) -> list[Issued | AwaitingApproval | Refusal]:
    drafts = [_draft(core, actor, command, now) for command in commands]
    _claim(tx, core, drafts, now)
    current = releases.cached_current(tx, core.cache)
    for draft in _open(drafts):
        _attempt(draft, lambda each: _understand(each, current, actor, now))
    fresh = _meet_customers(tx, core, actor, _open(drafts), now)
    pots = budgets.lock(tx, core, [each for draft in _open(drafts) for each in draft.wanted], now)
    batch = _Batch()
    for draft in _open(drafts):
        draft.result = _decide(core, actor, draft, pots, batch, now)
    _write(tx, core, actor, batch, pots, now)
    _give_back(tx, drafts, fresh)
    return [draft.result for draft in drafts if draft.result is not None]


def _draft(core: Core, actor: Actor, command: IssueVoucher, now: datetime) -> _Draft:
    issuance_id = core.ids.new(now)
    key = command.idempotency_key
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "idempotency_key"}
    claim = Claim(f"{actor.label}:issuances", key, request, issuance_id) if key else None
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
    before = idempotency.claim(tx, claims, now)
    first: dict[tuple[str, str], Claim] = {}
    for draft in drafts:
        if draft.claim is None:
            continue
        name = (draft.claim.scope, draft.claim.key)
        found = before.get(name)
        if found is not None:
            draft.key_is_anothers = True
            draft.result = found if isinstance(found, Refusal) else answers.replay(tx, core, found)
        elif first.setdefault(name, draft.claim) is not draft.claim:
            draft.key_is_anothers = True
            draft.result = InputInvalid(errors=[{"field": "Idempotency-Key", "message": "The same key stands twice in one request."}])


def _understand(draft: _Draft, current: releases.CurrentCatalog, actor: Actor, now: datetime) -> None:
    """Find the protocol and check the command against the catalog."""
    command = draft.command
    ground = assessment.ground(current, actor, command.trouble)
    draft.ground = ground
    draft.channels = assessment.addressed(command.channels, ground.contact)
    incentive = ground.catalog.incentive(command.incentive) if command.incentive else assessment.default_incentive(ground, now=now)
    assessment.check_allowed(ground, incentive, amount_minor=command.amount_minor, now=now)
    draft.incentive = incentive


def _meet_customers(tx: Connection, core: Core, actor: Actor, drafts: Sequence[_Draft], now: datetime) -> set[uuid.UUID]:
    """Recognize the customers and make the new ones, check the cases, and say what each command will charge.

    Returns the customers that are new.
    """
    known_cases = cases.existing(tx, (draft.command.case_id for draft in drafts if draft.command.case_id))
    for draft in drafts:
        if draft.command.case_id and draft.command.case_id not in known_cases:
            draft.result = CaseNotFound(field="case_id")
    ready = [(draft, draft.ground, draft.incentive) for draft in _open(drafts) if draft.ground and draft.incentive]
    people, fresh = customers.settle(tx, core, [(ground.contact, ground.locale) for _, ground, _ in ready], now)
    for (draft, ground, incentive), found in zip(ready, people, strict=True):
        draft.proposal = assessment.propose(ground, actor, incentive, amount_minor=draft.command.amount_minor, customers=found)
        _attempt(draft, lambda each: each.wanted.extend(assessment.charges(each.proposal, actor, now)))
    return fresh


def _decide(
    core: Core, actor: Actor, draft: _Draft, pots: Mapping[budgets.PotKey, budgets.Pot], batch: _Batch, now: datetime,
) -> Issued | AwaitingApproval | Refusal:
    """Decide one command while its budgets are held, and lay out the rows that follow."""
    proposal = draft.proposal
    if proposal is None:
        message = "a command reached its decision without a proposal"
        raise AssertionError(message)
    refusal = assessment.burst(draft.wanted, pots, proposal.amount.amount_minor)
    if refusal:
        return refusal
    reasons = assessment.approval_reasons(proposal, actor, draft.wanted, pots)
    case_id = draft.command.case_id or _open_case(core, actor, draft, proposal, batch, now)
    batch.issuances.append(_issuance_row(core, actor, draft, proposal, case_id, now, issued=not reasons))
    _charge(core, actor, draft, proposal, pots, batch, now, held=bool(reasons))
    if reasons:
        return _ask(core, actor, draft, proposal, case_id, reasons, batch, now)
    return _give(core, actor, draft, proposal, case_id, batch, now)


def _open_case(core: Core, actor: Actor, draft: _Draft, proposal: Proposal, batch: _Batch, now: datetime) -> uuid.UUID:
    case_id = core.ids.new(now)
    ground = proposal.ground
    batch.cases.append({
        "id": case_id, "customer_id": proposal.customers[0] if proposal.customers else None, "issue_tag": ground.issue_tag,
        "severity": ground.severity, "location": ground.location, "team": ground.team, "order_ref": draft.command.order_ref,
        "status": "open", "opened_at": now, "opened_by": actor.label,
    })
    return case_id


def _issuance_row(
    core: Core, actor: Actor, draft: _Draft, proposal: Proposal, case_id: uuid.UUID, now: datetime, *, issued: bool,
) -> dict[str, Any]:
    ground = proposal.ground
    item_ids = ground.current.item_ids
    return {
        "id": draft.id, "status": "issued" if issued else "pending_approval", "case_id": case_id,
        "customer_id": proposal.customers[0] if proposal.customers else None,
        "issue_tag": ground.issue_tag, "severity": ground.severity, "segment": ground.segment,
        "incentive": proposal.incentive, "incentive_item_id": item_ids["incentive", proposal.incentive],
        "protocol_item_id": item_ids["protocol", ground.resolution.protocol.key],
        "catalog_release_id": ground.current.release_id,
        "amount_minor": proposal.amount.amount_minor, "currency": proposal.currency,
        "location": ground.location, "team": ground.team, "actor": actor.label, "order_ref": draft.command.order_ref,
        "note": draft.command.note, "metadata": dict(draft.command.metadata), "channels": list(draft.channels),
        "contact": core.contacts.encrypt(ground.contact.to_text()), "locale": ground.locale,
        "requested_at": now, "issued_at": now if issued else None,
    }


def _charge(
    core: Core, actor: Actor, draft: _Draft, proposal: Proposal, pots: Mapping[budgets.PotKey, budgets.Pot],
    batch: _Batch, now: datetime, *, held: bool,
) -> None:
    """Charge every matching budget: held until the approval, or committed. A limit that asks is charged only if it lets pass."""
    state = "held" if held else "committed"
    changes = {f"{state}_minor": proposal.amount.amount_minor, f"{state}_count": 1}
    for each in draft.wanted:
        if held and each.rule.asks_approval:
            continue
        pot = pots[each.pot]
        pot.rule = each.rule
        batch.movements.append(budgets.movement(
            core=core, now=now, actor=actor.label, pot=pot, issuance_id=draft.id, source_id=draft.id,
            kind="hold" if held else "commit", changes=budgets.in_unit(each.rule.currency, changes),
        ))


def _ask(
    core: Core, actor: Actor, draft: _Draft, proposal: Proposal, case_id: uuid.UUID, reasons: tuple[str, ...], batch: _Batch, now: datetime,
) -> AwaitingApproval:
    approval_id = core.ids.new(now)
    expires_at = now + APPROVAL_LIFETIME
    batch.approvals.append({
        "id": approval_id, "issuance_id": draft.id, "status": "pending", "reasons": list(reasons),
        "requested_amount_minor": proposal.amount.amount_minor, "requested_by": actor.label, "requested_at": now, "expires_at": expires_at,
    })
    facts = {**proposal.amount.as_json(), "incentive": proposal.incentive, "reasons": list(reasons)}
    batch.events.append(audit.event(
        core=core, actor=actor, now=now, action="approval.requested", subject_kind="issuance", subject_id=draft.id,
        case_id=case_id, reason=draft.command.note, facts=facts,
    ))
    return AwaitingApproval(id=draft.id, case_id=case_id, approval_id=approval_id, reasons=reasons, expires_at=expires_at)


def _give(
    core: Core, actor: Actor, draft: _Draft, proposal: Proposal, case_id: uuid.UUID, batch: _Batch, now: datetime,
) -> Issued:
    issued = None
    incentive = proposal.incentive_item
    time_zone = proposal.ground.time_zone
    expires_at = eligibility.expires_at(incentive, time_zone, now)
    if expires_at is not None:
        made = lifecycle.make(
            core=core, now=now, issuance_id=draft.id, number=1, amount=proposal.amount, time_zone=time_zone,
            incentive_item_id=proposal.ground.current.item_ids["incentive", incentive.key],
            expires_at=expires_at,
        )
        issued = answers.shown(made)
        batch.vouchers.append(made.row)
        batch.entries.append(ledger.promised(core, made.row, now))
    messages = [
        outbox.message(
            core=core, now=now, issuance_id=draft.id, voucher_id=issued.id if issued else None, channel=channel,
            template="voucher" if issued else "apology",
        )
        for channel in draft.channels
    ]
    batch.messages += messages
    facts = {**proposal.amount.as_json(), "incentive": incentive.key, "last4": issued.last4 if issued else None}
    batch.events.append(audit.event(
        core=core, actor=actor, now=now, action="voucher.issued" if issued else "apology.given", subject_kind="issuance",
        subject_id=draft.id, case_id=case_id, reason=draft.command.note, facts=facts,
    ))
    return Issued(id=draft.id, case_id=case_id, voucher=issued, deliveries=answers.deliveries(messages))


def _write(tx: Connection, core: Core, actor: Actor, batch: _Batch, pots: Mapping[budgets.PotKey, budgets.Pot], now: datetime) -> None:
    """Write everything that was decided, a statement a table; the budgets, which others wait for, come last."""
    for table, rows in (
        (recovery_cases, batch.cases), (issuances, batch.issuances), (approvals, batch.approvals), (vouchers, batch.vouchers),
    ):
        if rows:
            tx.execute(table.insert(), list(rows))
    ledger.post(tx, core=core, actor=actor.label, now=now, entries=batch.entries)
    outbox.enqueue(tx, batch.messages)
    audit.record_all(tx, batch.events)
    budgets.write(tx, pots.values(), batch.movements)


def _give_back(tx: Connection, drafts: Sequence[_Draft], fresh: set[uuid.UUID]) -> None:
    """Leave no trace of refused commands: neither their keys nor the customers that were made for them."""
    refused = [draft for draft in drafts if isinstance(draft.result, Refusal)]
    idempotency.release(tx, [draft.claim for draft in refused if draft.claim and not draft.key_is_anothers])
    served = {each for draft in drafts if draft not in refused and draft.proposal for each in draft.proposal.customers}
    customers.forget(tx, fresh - served)
