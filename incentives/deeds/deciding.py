"""Deciding one draft while its budgets are held: refuse, ask somebody, or give; and the rows that follow."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from incentives.catalog.safeguarding import ApprovalPolicy
from incentives.deeds import assessment, caring, overriding, suspecting, wording
from incentives.deeds.answers import AwaitingApproval, Issued
from incentives.deeds.assessment import Proposal
from incentives.deeds.batch import Batch, Gift
from incentives.deeds.wanting import Draft
from incentives.kernel.actors import Actor
from incentives.kernel.errors import Refusal
from incentives.kernel.throttle import block_of
from incentives.queries.approval_policies import LIFETIME_HOURS
from incentives.spending import approving, budgets

APPROVAL_LIFETIME = timedelta(hours=LIFETIME_HOURS)


def decide(
    draft: Draft, pots: Mapping[budgets.PotKey, budgets.Pot], batch: Batch
) -> Issued | AwaitingApproval | Refusal:
    """Decide one command while its budgets are held, and lay out the rows that follow."""
    proposal = proposed(draft)
    blocked = suspecting.blocked(draft, batch.actor, batch.core, batch.now)
    if blocked:
        return blocked
    reasons = judge(draft, pots, batch.actor)
    if isinstance(reasons, Refusal):
        return reasons
    full = batch.room.refusal(draft.wish) if batch.room and not reasons else None
    if full:  # who must be asked first is promised nothing yet: it is looked at when that is granted
        return full
    contact_token = batch.core.contacts.encrypt(proposal.ground.contact.to_text())
    case_id = draft.command.case_id or _open_case(draft, proposal, batch, contact_token)
    batch.issuances.append(_issuance_row(draft, proposal, case_id, batch, contact_token, issued=not reasons))
    _charge(draft, pots, batch, held=bool(reasons))
    return _ask(draft, proposal, case_id, reasons, batch) if reasons else _give(draft, proposal, case_id, batch)


def proposed(draft: Draft) -> Proposal:
    """Return what a command that was understood proposes."""
    if draft.proposal is None:
        raise AssertionError("a command reached its decision without a proposal")
    return draft.proposal


def judge(draft: Draft, pots: Mapping[budgets.PotKey, budgets.Pot], actor: Actor) -> Refusal | tuple[str, ...]:
    """Return why a command is refused, or else why somebody must be asked, which may be nothing; nothing changes.

    What is foreseen of a bulk job is judged here too, in the same words.
    """
    proposal = proposed(draft)
    capped = [each for each in draft.wanted if not overriding.overrides(draft, each)]
    refusal = assessment.burst(capped, pots, proposal.amount.amount_minor)
    if refusal:
        return refusal
    asked = (draft.command.approval_reason,) if draft.command.approval_required else ()
    reasons = (*asked, *assessment.approval_reasons(proposal, actor, draft.wanted, pots))
    return (*reasons, *suspecting.reasons(draft, asked=bool(reasons)))


def charged(draft: Draft, *, held: bool) -> list[tuple[budgets.Wanted, dict[str, int]]]:
    """Return what a command charges to which budgets: held until an approval, or committed.

    A limit that only asks is charged where it lets pass: what somebody else agrees to does not use it up.
    """
    state = "held" if held else "committed"
    changes = {f"{state}_minor": proposed(draft).amount.amount_minor, f"{state}_count": 1}
    return [
        (each, budgets.in_unit(each.rule.currency, changes))
        for each in draft.wanted
        if not (held and each.rule.asks_approval)
    ]


def _open_case(draft: Draft, proposal: Proposal, batch: Batch, contact_token: str | None) -> uuid.UUID:
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
            contact_token=contact_token,
            locale=ground.locale,
            segment=ground.segment,
            location=ground.location,
            team=ground.team,
            order_ref=draft.command.order_ref,
            owner=batch.actor.label if batch.actor.kind == "person" else None,
            incident_id=draft.command.incident_id,
        ),
    )
    batch.cases.append(rows)
    return rows.id


def _issuance_row(
    draft: Draft, proposal: Proposal, case_id: uuid.UUID, batch: Batch, contact_token: str | None, *, issued: bool
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
        "source": draft.command.source,
        "job_id": draft.command.job_id,
        "ip_block": block_of(batch.actor.ip),
        "metadata": dict(draft.command.metadata),
        "channels": list(draft.channels),
        "contact": contact_token,
        "locale": ground.locale,
        "requested_at": batch.now,
        "issued_at": batch.now if issued else None,
        **wording.columns(batch.core, draft, batch.actor, batch.now, issued=issued),
    }


def _charge(draft: Draft, pots: Mapping[budgets.PotKey, budgets.Pot], batch: Batch, *, held: bool) -> None:
    """Charge every matching budget; what overrides a customer's caps is allotted first."""
    overriding.allot(draft, pots, batch)
    for each, changes in charged(draft, held=held):
        pots[each.pot].rule = each.rule
        batch.move(pots[each.pot], draft.id, draft.id, "hold" if held else "commit", changes)


def _ask(
    draft: Draft, proposal: Proposal, case_id: uuid.UUID, reasons: tuple[str, ...], batch: Batch
) -> AwaitingApproval:
    approval_id = batch.core.ids.new(batch.now)
    policy = _policy(proposal)
    lifetime = timedelta(hours=policy.lifetime_hours) if policy else APPROVAL_LIFETIME
    expires_at = batch.now + lifetime
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
            "policy_item_id": proposal.ground.current.item_ids[policy.item_kind, policy.key] if policy else None,
            "level": 1,
            "level_since_at": batch.now,
            "escalates_at": approving.escalates_at(policy, 1, batch.now),
        }
    )
    facts = {
        **_facts(draft, proposal, held=True),
        "reasons": list(reasons),
        "approval_id": str(approval_id),
        "policy": policy.key if policy else None,
    }
    batch.note("approval.requested", draft.id, case_id, proposal.ground.issue_tag, facts)
    return AwaitingApproval(
        id=draft.id, case_id=case_id, approval_id=approval_id, reasons=reasons, expires_at=expires_at
    )


def _policy(proposal: Proposal) -> ApprovalPolicy | None:
    """Return which policy says who decides; None: whoever may decide at all."""
    wish = approving.Wish(
        amount_minor=proposal.amount.amount_minor,
        currency=proposal.currency,
        issue_tags=proposal.issue_tags,
        location=proposal.location,
        incentive=proposal.incentive,
    )
    return approving.fitting(proposal.ground.catalog.approval_policies.values(), wish)


def _give(draft: Draft, proposal: Proposal, case_id: uuid.UUID, batch: Batch) -> Issued:
    gift = Gift(
        issuance_id=draft.id,
        case_id=case_id,
        incentive=proposal.incentive_item,
        incentive_item_id=proposal.ground.current.item_ids["incentive", proposal.incentive],
        amount=proposal.amount,
        time_zone=proposal.ground.time_zone,
        channels=draft.channels,
        tell_at=wording.tell_at(draft, batch.actor, batch.now),
        wish=draft.wish,
    )
    issued = batch.give(gift)
    if suspecting.held(draft):
        issued = suspecting.hold_back(draft, issued, batch)
    last4 = issued.voucher.last4 if issued.voucher else None
    voucher_id = str(issued.voucher.id) if issued.voucher else None
    facts = {**_facts(draft, proposal, held=False), "last4": last4, "voucher_id": voucher_id}
    action = "voucher.issued" if issued.voucher else "apology.given"
    batch.note(action, draft.id, case_id, proposal.ground.issue_tag, facts)
    return issued


def _facts(draft: Draft, proposal: Proposal, *, held: bool) -> dict[str, Any]:
    """Return what the audit trail knows of a gift: enough to count every budget again from it alone."""
    charged = [list(each.pot) for each in draft.wanted if not (held and each.rule.asks_approval)]
    return {
        **proposal.amount.as_json(),
        "incentive": proposal.incentive,
        "location": proposal.location,
        "team": proposal.team,
        "charged": charged,
        **({"held_for": list(suspecting.held(draft))} if not held and suspecting.held(draft) else {}),
        **({"allocations": draft.allotted} if draft.allotted else {}),
    }
