"""Having a say on a request: whose right it is, whether it is their turn, and what the votes so far agree to.

Not a flow: it opens no transaction. The request is locked first, so that of many who vote at once each sees the
votes of those before, and exactly one completes it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog.safeguarding import ApprovalPolicy
from incentives.deeds import owning, same_hands, suspecting_addresses
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AlreadyVoted,
    ApprovalAlreadyDecided,
    ApprovalExpired,
    ApprovalNotFound,
    NotDelegated,
    NotYourLevel,
    SelfApproval,
)
from incentives.messages import outbox
from incentives.queries import delegations as absences
from incentives.queries.approval_policies import DECIDERS, policy_of
from incentives.recovery.tables import recovery_cases
from incentives.spending import approving
from incentives.spending.approving import Standing
from incentives.spending.tables import approval_votes, approvals, delegations
from incentives.vouchers.tables import issuances

NOTICE = "notice-approval"

_OF_ISSUANCE = (
    "case_id", "customer_id", "issue_tag", "severity", "segment", "incentive", "incentive_item_id", "currency",
    "channels", "location", "team", "locale", "source", "order_ref", "contact", "deliver_after_at",
)  # fmt: skip


def locked(tx: Connection, approval_id: uuid.UUID) -> Any:
    """Return an approval with its issuance; locked, so that what is decided on does not change meanwhile.

    Its case is locked too, before the budgets, as by whoever gives within it. Raises ``ApprovalNotFound``.
    """
    row = tx.execute(
        sa.select(approvals, *(issuances.c[name] for name in _OF_ISSUANCE))
        .join(issuances, issuances.c.id == approvals.c.issuance_id)
        .join(recovery_cases, recovery_cases.c.id == issuances.c.case_id)
        .where(approvals.c.id == approval_id)
        .with_for_update(of=[approvals, recovery_cases], key_share=True),
    ).one_or_none()
    if row is None:
        raise ApprovalNotFound
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """Who has a say, and whose right it is: their own, or that of whom they stand in for."""

    actor: Actor
    principal: Actor

    @property
    def on_behalf_of(self) -> str | None:
        """Return the label of whom they stand in for; None for who votes for themselves."""
        return None if self.principal is self.actor else self.principal.label

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the audit trail says of it beside the actor: both names."""
        if self.principal is self.actor:
            return {}
        return {"on_behalf_of": self.principal.label, "on_behalf_of_name": self.principal.name}


def voter(tx: Connection, actor: Actor, on_behalf_of: str | None, now: datetime) -> Voter:
    """Return who has a say. Raises ``NotDelegated`` where nobody handed on the right, or not now."""
    if on_behalf_of is None:
        return Voter(actor=actor, principal=actor)
    absent = {each.label: each for each in absences.standing_in_for(tx, actor, now)}
    if on_behalf_of not in absent:
        raise NotDelegated(field="on_behalf_of")
    return Voter(actor=actor, principal=absent[on_behalf_of])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A request on which somebody may have a say now: where it stands, and the votes so far in their order."""

    asked: Any
    policy: ApprovalPolicy | None
    standing: Standing
    votes: Sequence[Any]

    @property
    def terms(self) -> approving.Terms:
        """Return what the votes so far agree to."""
        return approving.terms(self.asked.requested_amount_minor, self.votes)

    @property
    def still_needed(self) -> int:
        """Return how many more must grant at this level, this one's vote included."""
        return approving.still_needed(self.policy, self.votes, self.standing.level)


def ballot(tx: Connection, core: Core, voting: Voter, asked: Any, now: datetime) -> Ballot:
    """Return a locked request as somebody may vote on it.

    Raises ``ApprovalNotFound`` (it is another place's), ``SelfApproval``, ``ApprovalExpired``,
    ``ApprovalAlreadyDecided``, ``AlreadyVoted`` and ``NotYourLevel``.
    """
    check_place(voting.principal, asked)
    check_not_own(tx, core, voting, asked.requested_by)
    if any(suspecting_addresses.is_themselves(tx, core, each, asked) for each in {voting.actor, voting.principal}):
        raise SelfApproval("It would be given to an address of your own.")
    check_open(asked, now)
    query = sa.select(approval_votes).where(approval_votes.c.approval_id == asked.id).order_by(approval_votes.c.id)
    votes = tx.execute(query).all()
    _check_first(tx, core, voting, votes)
    policy = policy_of(tx, core, asked.policy_item_id)
    where = standing(policy, asked, now)
    who = voting.principal
    if not approving.may_vote(policy, where, role=who.role, email=who.email):
        raise NotYourLevel(
            level=where.level,
            roles=list(approving.roles_at(policy, where)) if policy else [],
            escalates_at=where.escalates_at.isoformat() if where.escalates_at else None,
        )
    return Ballot(asked=asked, policy=policy, standing=where, votes=votes)


def _check_first(tx: Connection, core: Core, voting: Voter, votes: Sequence[Any]) -> None:
    """Refuse with ``AlreadyVoted`` who has had a say, under whatever sign-in, or for whom somebody had."""
    if approving.has_voted(votes, voting.actor.label, voting.on_behalf_of):
        raise AlreadyVoted
    spoken = {label for vote in votes for label in (vote.actor, vote.on_behalf_of) if label is not None}
    if spoken and any(same_hands.is_any_of(tx, core, who, spoken) for who in {voting.actor, voting.principal}):
        raise AlreadyVoted


def standing(policy: ApprovalPolicy | None, asked: Any, now: datetime) -> Standing:
    """Return where a request stands, by its row."""
    since_at = asked.level_since_at or asked.requested_at
    return approving.standing(policy, level=asked.level, since_at=since_at, now=now)


def check_place(actor: Actor, asked: Any) -> None:
    """Refuse with ``ApprovalNotFound`` whoever belongs to another place: their queue does not show it."""
    if actor.location is not None and asked.location not in (None, actor.location):
        raise ApprovalNotFound


def check_open(asked: Any, now: datetime) -> None:
    """Refuse what is decided or over. Raises ``ApprovalExpired`` and ``ApprovalAlreadyDecided``."""
    if asked.status == "expired" or (asked.status == "pending" and asked.expires_at <= now):
        raise ApprovalExpired
    if asked.status != "pending":
        raise ApprovalAlreadyDecided(
            decision=asked.status, decided_at=asked.decided_at.isoformat() if asked.decided_at else None
        )


def check_not_own(tx: Connection, core: Core, voting: Voter, requested_by: str) -> None:
    """Refuse with ``SelfApproval`` whoever asked, in whatever role, and who is known to be the same person."""
    if any(same_hands.are_one(tx, core, each, requested_by) for each in {voting.actor, voting.principal}):
        raise SelfApproval


def record(tx: Connection, core: Core, now: datetime, voting: Voter, on: Ballot, **said: Any) -> None:
    """Write a vote down: ``decision``, and perhaps ``amount_minor``, ``incentive`` and ``comment``."""
    row = {
        "id": core.ids.new(now),
        "approval_id": on.asked.id,
        "level": on.standing.level,
        "actor": voting.actor.label,
        "actor_name": voting.actor.name,
        "on_behalf_of": voting.on_behalf_of,
        "at": now,
        **said,
    }
    tx.execute(approval_votes.insert(), [row])


def move_to(tx: Connection, asked: Any, to: Standing) -> bool:
    """Let a pending request stand at a level from here on; False when it was decided meanwhile."""
    values = {"level": to.stored_level, "level_since_at": to.since_at, "escalates_at": to.escalates_at}
    pending = sa.and_(approvals.c.id == asked.id, approvals.c.status == "pending")
    return tx.execute(approvals.update().where(pending).values(values)).rowcount == 1


def tell_level(tx: Connection, core: Core, now: datetime, asked: Any, policy: ApprovalPolicy, to: Standing) -> int:
    """Put notices into the outbox for whoever decides at a level, and who stands in for them; return how many.

    Not for the requester, and nobody is told more often in an hour than any notice is.
    """
    people = [each.lower() for each in approving.people_at(policy, to)]
    those = sa.or_(
        users.c.role.in_(set(approving.roles_at(policy, to)) & set(DECIDERS)),
        sa.and_(sa.func.lower(users.c.email).in_(people), users.c.role.in_(DECIDERS)),
    )
    here = sa.or_(users.c.location.is_(None), users.c.location == asked.location) if asked.location else sa.true()
    found = set(tx.execute(sa.select(users.c.id).where(those, here, users.c.disabled_at.is_(None))).scalars())
    handed_on = sa.select(delegations.c.to_user_id).where(delegations.c.from_user_id.in_(found), absences.active(now))
    found |= set(tx.execute(handed_on).scalars()) if found else set()
    found.discard(owning.person_id(asked.requested_by))
    told = outbox.told_lately(tx, now, [NOTICE])
    notices = [
        outbox.notice(core=core, now=now, case_id=asked.case_id, user_id=each, template=NOTICE)
        for each in sorted(found)
        if told.get(each, 0) < outbox.MOST_NOTICES
    ]
    outbox.enqueue(tx, notices)
    return len(notices)
