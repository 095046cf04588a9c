"""Which requests somebody sees, and on which it is their turn: the same rules as having a say, as conditions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.approval_policies import policy_of
from incentives.queries.delegations import standing_in_for
from incentives.queries.scope import seen_by
from incentives.spending import approving
from incentives.spending.tables import approval_votes, approvals
from incentives.vouchers.tables import issuances

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which requests; what is None does not matter. ``issue_tag`` is with all below.

    ``mine``: on which it is the actor's turn, or that of somebody they stand in for.
    """

    status: str | None = None
    mine: bool = False
    location: str | None = None
    issue_tag: str | None = None
    amount_at_least_minor: int | None = None
    older_than_minutes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciders:
    """Who looks, and for whom they stand in now."""

    actor: Actor
    absent: Sequence[Actor]

    @property
    def all(self) -> tuple[Actor, ...]:
        """Return everybody in whose right they decide, themselves first."""
        return (self.actor, *self.absent)


def deciders(tx: Connection, actor: Actor, now: datetime) -> Deciders:
    """Return an actor with those for whom they stand in now."""
    return Deciders(actor=actor, absent=standing_in_for(tx, actor, now))


def visible(who: Deciders) -> Condition:
    """Return the condition under which somebody sees a request: by their own place, or of whom they stand in for."""
    return sa.or_(*(seen_by(each, issuances.c.location) for each in who.all))


def waiting(now: datetime) -> Condition:
    """Return the condition under which a request can still be decided: one past its time is not pending any more."""
    return sa.and_(approvals.c.status == "pending", approvals.c.expires_at > now)


def filtered(tx: Connection, core: Core, who: Deciders, wanted: Filters, now: datetime) -> list[Condition]:
    """Return the conditions of a list. Raises ``UnknownIssueTag`` and ``UnknownLocation``."""
    found = [visible(who)]
    if wanted.status is not None:
        found.append(waiting(now) if wanted.status == "pending" else approvals.c.status == wanted.status)
    if wanted.mine:
        found.append(mine(tx, core, who, now))
    if wanted.location is not None or wanted.issue_tag is not None:
        catalog = releases.cached_current(tx, core).catalog
        if wanted.location is not None:
            found.append(issuances.c.location == catalog.location(wanted.location).key)
        if wanted.issue_tag is not None:
            key = catalog.issue_tag(wanted.issue_tag).key
            below = [tag for tag in catalog.issue_tags if key in catalog.lineage(tag)]
            found.append(issuances.c.issue_tag.in_(below))
    if wanted.amount_at_least_minor is not None:
        found.append(approvals.c.requested_amount_minor >= wanted.amount_at_least_minor)
    if wanted.older_than_minutes is not None:
        found.append(approvals.c.requested_at <= now - timedelta(minutes=wanted.older_than_minutes))
    return found


def mine(tx: Connection, core: Core, who: Deciders, now: datetime) -> Condition:
    """Return the condition under which it is somebody's turn, for themselves or in another's place."""
    query = sa.select(approvals.c.policy_item_id).where(approvals.c.status == "pending").distinct()
    policies = {
        item_id: policy
        for item_id in tx.execute(query).scalars().all()
        if item_id is not None and (policy := policy_of(tx, core, item_id))
    }
    return sa.and_(waiting(now), sa.or_(*(_turn_of(each, who.actor, policies, now) for each in who.all)))


def _turn_of(principal: Actor, actor: Actor, policies: Mapping[Any, Any], now: datetime) -> Condition:
    labels = {actor.label, principal.label}
    vote = approval_votes.c
    spoken = sa.select(vote.id).where(
        vote.approval_id == approvals.c.id, sa.or_(vote.actor.in_(labels), vote.on_behalf_of.in_(labels))
    )
    return sa.and_(
        seen_by(principal, issuances.c.location),
        approvals.c.requested_by.not_in(labels),
        sa.not_(spoken.exists()),
        sa.or_(approvals.c.policy_item_id.is_(None), *_levels_of(principal, policies, now)),
    )


def _levels_of(principal: Actor, policies: Mapping[Any, Any], now: datetime) -> Iterable[Condition]:
    row = approvals.c
    for item_id, policy in policies.items():
        for level in range(1, len(policy.levels) + 2):
            for where, came_by, came_after in approving.turns(policy, level, now):
                if approving.may_vote(policy, where, role=principal.role, email=principal.email):
                    in_time = [row.level_since_at <= came_by]
                    in_time += [row.level_since_at > came_after] if came_after else []
                    yield sa.and_(row.policy_item_id == item_id, row.level == level, *in_time)
