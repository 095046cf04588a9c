"""Approve: others decide on an issuance over a limit. The budgets have held the amount since it was asked.

Of a policy's levels each wants so many votes; the vote that completes the last of them grants, a decline ends it at
once. Only the votes of the last level must be within their voters' own limits: who leads nearest may agree to more
than they may give, and yet nothing is given that somebody who grants it could not give alone. Another incentive
than is on the table begins its level's count anew.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import answers, granting, guarding, reasons, reviewing, voting
from incentives.deeds.answers import Issued
from incentives.deeds.voting import Ballot, Voter
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ApprovalAlreadyDecided, BlockedBySafeguards, InputInvalid, Refusal
from incentives.kernel.idempotency import Claim
from incentives.queries.approval_policies import policy_of
from incentives.spending import approving
from incentives.spending.approving import DECLINE, GRANT
from incentives.spending.tables import approval_votes, approvals

DECISIONS = {GRANT: "granted", DECLINE: "declined"}
COMMENT_LONGEST = 2000
MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideApproval:
    """Grant or decline.

    ``amount_minor`` may lower what was asked for (the whole promise, for vouchers of several uses too), where the
    incentive's value is adjustable; ``incentive`` grants another one of the same protocol that charges no more.
    ``on_behalf_of`` is the label of an absent approver who handed on the right.
    """

    approval_id: uuid.UUID
    decision: str
    amount_minor: int | None = None
    incentive: str | None = None
    comment: str | None = None
    on_behalf_of: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What came of a vote: ``granted``, ``declined``, or ``pending`` where others must agree too.

    ``issued`` is what the customer was given. The voucher's secrets go to the customer and to nobody else: an approver
    does not see the code. While it is pending, ``still_needed`` more must grant at ``level`` of ``levels``.
    """

    approval_id: uuid.UUID
    issuance_id: uuid.UUID
    status: str
    issued: Issued | None = None
    level: int = 1
    levels: int = 1
    still_needed: int = 0
    replayed: bool = False


def decide_approval(*, core: Core, actor: Actor, command: DecideApproval) -> Decided:
    """Have a say once, by somebody else than the requester.

    Raises ``ApprovalNotFound``, ``NotDelegated``, ``SelfApproval``, ``ApprovalExpired``, ``ApprovalAlreadyDecided``,
    ``AlreadyVoted``, ``NotYourLevel``, ``ApprovalAmountInvalid``, ``ApproverLimitExceeded``, ``IssuingStopped``,
    ``BlockedBySafeguards``, ``IncentiveNotOfferable`` of what is out of use by now, of another incentive what issuing
    it would raise, ``InputInvalid``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "approvals:decide")
    now = core.clock.now()
    _check(command)
    try:
        return _vote(core, actor, command, now)
    except BlockedBySafeguards as refusal:
        _remember(core, actor, refusal, now)
        raise


def _vote(core: Core, actor: Actor, command: DecideApproval, now: datetime) -> Decided:
    with core.database.write() as tx:
        replayed = _claimed_before(tx, core, actor, command, now)
        if replayed:
            return replayed
        asked = voting.locked(tx, command.approval_id)
        # Whose right it is, is read under the lock: while it was waited for, a delegation may have been taken back.
        voter = voting.voter(tx, actor, command.on_behalf_of, now)
        on = voting.ballot(tx, core, voter, asked, now)
        if command.decision == DECLINE:
            return _decline(tx, core, voter, on, command, now)
        return _agree(tx, core, voter, on, command, now)


def _remember(core: Core, actor: Actor, refusal: BlockedBySafeguards, now: datetime) -> None:
    """Write what rules against abuse keep of what they refused, once nothing else is left of it."""
    with core.database.write() as tx:
        stopped = reviewing.remember(tx, core, actor, [refusal], now)
    if stopped:
        guarding.forget(core)


def decide_approvals(*, core: Core, actor: Actor, commands: Sequence[DecideApproval]) -> list[Decided | Refusal]:
    """Have a say on many requests, each in a transaction of its own; each gets its own answer, in order.

    Raises ``NotPermitted`` and ``InputInvalid``; every refusal of one request is an answer.
    """
    permit(actor, "approvals:decide")
    if len(commands) > MOST_AT_ONCE:
        raise InputInvalid(errors=[{"field": "decisions", "message": f"Decide at most {MOST_AT_ONCE} at once."}])
    return [_decided_or_refusal(core, actor, command) for command in commands]


def key_of(key: str | None, approval_id: uuid.UUID) -> str | None:
    """Return the idempotency key of one decision among many that came under one key."""
    return str(uuid.uuid5(approval_id, key)) if key else None


def _decided_or_refusal(core: Core, actor: Actor, command: DecideApproval) -> Decided | Refusal:
    try:
        return decide_approval(core=core, actor=actor, command=command)
    except Refusal as refusal:
        return refusal


def _check(command: DecideApproval) -> None:
    if command.decision not in DECISIONS:
        raise InputInvalid(errors=[{"field": "decision", "message": "Send grant or decline."}])
    reasons.comment(command.comment, longest=COMMENT_LONGEST)


def _claimed_before(tx: Connection, core: Core, actor: Actor, command: DecideApproval, now: datetime) -> Decided | None:
    if not command.idempotency_key:
        return None
    request = {
        "id": command.approval_id,
        "decision": command.decision,
        "amount": command.amount_minor,
        "comment": command.comment,
        # What was not always there stands in what is compared only where it is said.
        **({"incentive": command.incentive} if command.incentive else {}),
        **({"on_behalf_of": command.on_behalf_of} if command.on_behalf_of else {}),
    }
    claim = Claim(f"{actor.label}:decisions", command.idempotency_key, request, command.approval_id)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    return None if found is None else _again(tx, core, actor, found)


def _again(tx: Connection, core: Core, actor: Actor, approval_id: uuid.UUID) -> Decided:
    """Return the answer that a vote got, as it was at that time."""
    row = voting.locked(tx, approval_id)
    policy = policy_of(tx, core, row.policy_item_id)
    levels = len(policy.levels) if policy else 1
    if row.decided_by == actor.label and row.status in DECISIONS.values():
        granted = row.status == "granted"
        return Decided(
            approval_id=row.id,
            issuance_id=row.issuance_id,
            status=row.status,
            issued=answers.given(tx, core, row.issuance_id, row.case_id, replayed=True) if granted else None,
            # The last level grants; whoever declines ends it at whichever it stood at.
            level=levels if granted else _declined_at(tx, row, levels),
            levels=levels,
            replayed=True,
        )
    table = approval_votes.c
    query = approval_votes.select().where(table.approval_id == approval_id).order_by(table.id)
    votes = tx.execute(query).all()
    place = next(place for place, vote in enumerate(votes) if vote.actor == actor.label)
    level, missing = _next_level(votes[place].level, levels, policy, votes[: place + 1])
    return Decided(
        approval_id=row.id, issuance_id=row.issuance_id, status="pending", level=level, levels=levels,
        still_needed=missing, replayed=True,
    )  # fmt: skip


def _declined_at(tx: Connection, row: Any, levels: int) -> int:
    """Return the level at which a request was declined, as the vote says that did it."""
    table = approval_votes.c
    query = approval_votes.select().where(table.approval_id == row.id, table.actor == row.decided_by)
    vote = tx.execute(query).one_or_none()
    return vote.level if vote else levels


def _next_level(level: int, levels: int, policy: Any, votes: Sequence[Any]) -> tuple[int, int]:
    """Return the level that is asked after some votes, and how many it still needs."""
    missing = approving.still_needed(policy, votes, level)
    if missing or level == levels:
        return level, missing
    return level + 1, approving.needed(policy, level + 1)


def _decline(tx: Connection, core: Core, voter: Voter, on: Ballot, command: DecideApproval, now: datetime) -> Decided:
    asked = on.asked
    voting.record(tx, core, now, voter, on, decision=DECLINE, comment=command.comment)
    _decide(tx, voter, on, command, now)
    granting.give_back(tx, core, voter.actor, asked, status="declined", reason=command.comment, now=now, **voter.facts)
    return Decided(
        approval_id=asked.id,
        issuance_id=asked.issuance_id,
        status="declined",
        level=on.standing.level,
        levels=on.standing.levels,
    )


def _agree(tx: Connection, core: Core, voter: Voter, on: Ballot, command: DecideApproval, now: datetime) -> Decided:
    """Count one who grants; the one that completes the last level gives."""
    asked, where = on.asked, on.standing
    choice = granting.choose(tx, core, on, incentive=command.incentive, amount_minor=command.amount_minor, now=now)
    if where.is_last:
        granting.check_limit(tx, core, voter, choice.amount)
    # Who names what is on the table anyway agrees to it; only another incentive stands in the vote.
    other = choice.incentive.key if choice.incentive.key != (on.terms.incentive or asked.incentive) else None
    said = {"amount_minor": choice.amount.amount_minor, "incentive": other, "comment": command.comment}
    voting.record(tx, core, now, voter, on, decision=GRANT, **said)
    missing = approving.needed(on.policy, where.level) if other else on.still_needed
    if missing > 1 or not where.is_last:
        return _count(tx, core, voter, on, choice, command, missing - 1, now)
    _decide(tx, voter, on, command, now, choice)
    issued = granting.grant(tx, core, voter, on, choice, command.comment, now)
    return Decided(
        approval_id=asked.id,
        issuance_id=asked.issuance_id,
        status="granted",
        issued=issued,
        level=where.level,
        levels=where.levels,
    )


def _count(
    tx: Connection,
    core: Core,
    voter: Voter,
    on: Ballot,
    choice: granting.Choice,
    command: DecideApproval,
    missing: int,
    now: datetime,
) -> Decided:
    """Keep a vote that is not the last; one that completes a level asks the next, whose time begins now."""
    asked, where = on.asked, on.standing
    to = where
    if missing == 0:
        to = approving.standing(on.policy, level=where.level + 1, since_at=now, now=now)
        missing = approving.needed(on.policy, to.level)
    if not voting.move_to(tx, asked, to):
        raise ApprovalAlreadyDecided
    if on.policy is not None and to.level != where.level:
        voting.tell_level(tx, core, now, asked, on.policy, to)
    facts = {
        **choice.amount.as_json(),
        "incentive": choice.incentive.key,
        "approval_id": str(asked.id),
        "level": where.level,
        "next_level": to.level,
        "still_needed": missing,
        **voter.facts,
    }
    audit.record(
        tx,
        core=core,
        actor=voter.actor,
        now=now,
        action="approval.agreed",
        subject_kind="issuance",
        subject_id=asked.issuance_id,
        case_id=asked.case_id,
        reason=command.comment,
        facts=facts,
    )
    return Decided(
        approval_id=asked.id,
        issuance_id=asked.issuance_id,
        status="pending",
        level=to.level,
        levels=to.levels,
        still_needed=missing,
    )


def _decide(
    tx: Connection,
    voter: Voter,
    on: Ballot,
    command: DecideApproval,
    now: datetime,
    choice: granting.Choice | None = None,
) -> None:
    """Move the approval out of pending: one conditional update, and the database's own check of four eyes."""
    decided = tx.execute(
        approvals.update()
        .where(approvals.c.id == on.asked.id, approvals.c.status == "pending")
        .values(
            status=DECISIONS[command.decision],
            decided_by=voter.actor.label,
            decided_at=now,
            comment=command.comment,
            level=on.standing.stored_level,
            level_since_at=on.standing.since_at,
            escalates_at=None,
            granted_amount_minor=choice.amount.amount_minor if choice else None,
            granted_incentive=choice.incentive.key if choice and choice.other else None,
        ),
    )
    if decided.rowcount != 1:
        raise ApprovalAlreadyDecided
