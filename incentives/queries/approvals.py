"""The approvals queue, and each request as its approver must see it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from incentives.access.tables import users
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.incentive import Incentive
from incentives.catalog.safeguarding import ApprovalPolicy
from incentives.kernel.actors import Actor, may, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ApprovalNotFound
from incentives.kernel.money import Money
from incentives.queries import approval_scope
from incentives.queries.approval_choices import OtherIncentive, least_minor, others
from incentives.queries.approval_policies import Level, levels_of, policy_of
from incentives.queries.approval_scope import Deciders, Filters
from incentives.queries.letters import actor_names
from incentives.queries.paging import Page, page
from incentives.recovery.tables import customers
from incentives.spending import approving
from incentives.spending.tables import approval_votes, approvals
from incentives.vouchers.history import WINDOW, EarlierRecovery
from incentives.vouchers.tables import issuances

__all__ = [
    "Approval",
    "Filters",
    "Level",
    "OtherIncentive",
    "StandIn",
    "Vote",
    "count_pending",
    "list_approvals",
    "one_approval",
    "waiting",
]

_MOST_EARLIER = 20
OWN = "own"
NOT_PERMITTED = "not-permitted"
VOTED = "voted"
OTHERS_TURN = "others-turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one approver said, in whose place if it was not their own."""

    level: int
    decision: str
    actor_name: str
    on_behalf_of_name: str | None
    amount: Money | None
    incentive: str | None
    comment: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """An absent approver in whose place the reader may decide on a request."""

    label: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One request. ``least_minor`` is how far the approver may lower it; equal to the amount where it is fixed.

    ``agreed`` is what is on the table: no more than the votes so far agree to. ``level`` of ``levels`` decides now,
    and ``still_needed`` more of it must grant; with ``fallback`` it has grown old, and ``fallback_roles`` may too.
    ``blocked`` is why the reader cannot decide in their own name (``own``, ``not-permitted``, ``voted``,
    ``others-turn``), None when they can; ``stand_ins`` are those in whose place they can.
    """

    id: uuid.UUID
    status: str
    issuance_id: uuid.UUID
    case_id: uuid.UUID
    issue_tag: str
    severity: int
    incentive: str
    title: str
    amount: Money
    least_minor: int
    reasons: tuple[str, ...]
    note: str | None
    location: str | None
    order_ref: str | None
    requested_by: str
    requested_by_name: str
    requested_at: datetime
    expires_at: datetime
    own: bool
    granted: Money | None
    granted_incentive: str | None
    decided_by_name: str | None
    decided_at: datetime | None
    comment: str | None
    earlier_recoveries: tuple[EarlierRecovery, ...]
    policy: str | None
    policy_name: str | None
    level: int
    levels: tuple[Level, ...]
    fallback: bool
    fallback_roles: tuple[str, ...]
    level_since_at: datetime
    escalates_at: datetime | None
    still_needed: int
    agreed: Money
    agreed_incentive: str | None
    votes: tuple[Vote, ...]
    blocked: str | None
    stand_ins: tuple[StandIn, ...]
    other_incentives: tuple[OtherIncentive, ...]

    @property
    def may_decide(self) -> bool:
        """Return whether the reader can decide, in their own name or in another's place."""
        return self.blocked is None or bool(self.stand_ins)


_COLUMNS = sa.select(
    approvals,
    issuances.c.case_id,
    issuances.c.issue_tag,
    issuances.c.severity,
    issuances.c.segment,
    issuances.c.incentive,
    issuances.c.incentive_item_id,
    issuances.c.currency,
    issuances.c.note,
    issuances.c.location,
    issuances.c.order_ref,
    customers.c.group_id,
)
_QUERY = _COLUMNS.join(issuances, issuances.c.id == approvals.c.issuance_id).outerjoin(
    customers, customers.c.id == issuances.c.customer_id
)


def list_approvals(
    *,
    core: Core,
    actor: Actor,
    filters: Filters | None = None,
    status: str | None = "pending",
    limit: int = 50,
    after: str | None = None,
) -> Page[Approval]:
    """Return requests of a status (None: all), the newest first. One past its time is not pending any more.

    ``filters`` say all of it instead. Raises ``UnknownIssueTag``, ``UnknownLocation`` and ``InputInvalid``.
    """
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        who = approval_scope.deciders(tx, actor, now)
        wanted = filters or Filters(status=status)
        query = _QUERY.where(*approval_scope.filtered(tx, core, who, wanted, now))
        found = page(tx, query, approvals.c.id, lambda row: row, limit=limit, after=after)
        return Page(items=_approvals(tx, core, who, found.items, now), next=found.next)


def waiting(
    *, core: Core, actor: Actor, filters: Filters | None = None, limit: int = 50, after: uuid.UUID | None = None
) -> Page[Approval]:
    """Return requests that nobody has decided, the longest waiting first: the order in which people decide them.

    Raises ``UnknownIssueTag`` and ``UnknownLocation``.
    """
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        who = approval_scope.deciders(tx, actor, now)
        conditions = approval_scope.filtered(tx, core, who, filters or Filters(), now)
        query = _QUERY.where(*conditions, approval_scope.waiting(now))
        if after is not None:
            query = query.where(approvals.c.id > after)
        rows = tx.execute(query.order_by(approvals.c.id).limit(limit + 1)).all()
        shown = rows[:limit]
        more = shown[-1].id.hex if len(rows) > limit else None
        return Page(items=_approvals(tx, core, who, shown, now), next=more)


def count_pending(*, core: Core, actor: Actor) -> int:
    """Return on how many requests it is the actor's turn, or that of somebody in whose place they decide."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        who = approval_scope.deciders(tx, actor, now)
        return int(
            tx.execute(
                sa.select(sa.func.count())
                .select_from(approvals)
                .join(issuances, issuances.c.id == approvals.c.issuance_id)
                .where(approval_scope.mine(tx, core, who, now))
            ).scalar_one()
        )


def one_approval(*, core: Core, actor: Actor, approval_id: uuid.UUID) -> Approval:
    """Return one request, or raise ``ApprovalNotFound``."""
    permit(actor, "approvals:read")
    now = core.clock.now()
    with core.database.read() as tx:
        who = approval_scope.deciders(tx, actor, now)
        row = tx.execute(_QUERY.where(approvals.c.id == approval_id, approval_scope.visible(who))).one_or_none()
        if row is None:
            raise ApprovalNotFound
        return _approvals(tx, core, who, [row], now)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the rows of one page need beside themselves, read for all of them at once."""

    now: datetime
    catalog: Catalog
    incentives: Mapping[uuid.UUID, Incentive]
    policies: Mapping[uuid.UUID | None, ApprovalPolicy | None]
    votes: Mapping[uuid.UUID, Sequence[Any]]
    names: Mapping[str, str]
    emails: Mapping[str, str]
    earlier: Mapping[uuid.UUID, Sequence[EarlierRecovery]]


def _approvals(tx: sa.Connection, core: Core, who: Deciders, rows: Sequence[Any], now: datetime) -> list[Approval]:
    if not rows:
        return []
    votes = _votes(tx, [row.id for row in rows])
    labels = {label for row in rows for label in (row.requested_by, row.decided_by) if label}
    labels |= {vote.on_behalf_of for each in votes.values() for vote in each if vote.on_behalf_of}
    known = _Known(
        now=now,
        catalog=releases.cached_current(tx, core).catalog,
        incentives=releases.incentives_of(tx, {row.incentive_item_id for row in rows}),
        policies={item_id: policy_of(tx, core, item_id) for item_id in {row.policy_item_id for row in rows}},
        votes=votes,
        names=actor_names(tx, labels),
        emails=_emails(tx, {row.requested_by for row in rows}),
        earlier=_earlier(tx, {row.group_id for row in rows if row.group_id}, now),
    )
    return [_approval(known, core, who, row) for row in rows]


def _votes(tx: sa.Connection, ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, list[Any]]:
    table = approval_votes.c
    found: dict[uuid.UUID, list[Any]] = {}
    for row in tx.execute(sa.select(approval_votes).where(table.approval_id.in_(ids)).order_by(table.id)):
        found.setdefault(row.approval_id, []).append(row)
    return found


def _emails(tx: sa.Connection, labels: set[str]) -> dict[str, str]:
    """Return the addresses of people, by their labels."""
    ids = [uuid.UUID(label.removeprefix("person:")) for label in labels if label.startswith("person:")]
    if not ids:
        return {}
    rows = tx.execute(sa.select(users.c.id, users.c.email).where(users.c.id.in_(ids))).all()
    return {f"person:{row.id}": row.email for row in rows}


def _earlier(tx: sa.Connection, people: set[uuid.UUID], now: datetime) -> Mapping[uuid.UUID, list[EarlierRecovery]]:
    """Return by the groups of customers who are one person what ``earlier_recoveries`` says of each, in one query."""
    table = issuances.c
    newest_first = (table.requested_at.desc(), table.id.desc())
    place = sa.func.row_number().over(partition_by=customers.c.group_id, order_by=newest_first).label("place")
    ranked = (
        sa.select(issuances, customers.c.group_id, place)
        .join(customers, customers.c.id == table.customer_id)
        .where(
            customers.c.group_id.in_(people),
            table.status.in_(("issued", "pending_approval")),
            table.requested_at > now - WINDOW,
        )
        .subquery()
    )
    query = sa.select(ranked).where(ranked.c.place <= _MOST_EARLIER).order_by(ranked.c.place)
    found: dict[uuid.UUID, list[EarlierRecovery]] = {}
    for row in tx.execute(query) if people else ():
        found.setdefault(row.group_id, []).append(_recovery(row))
    return found


def _recovery(row: Any) -> EarlierRecovery:
    return EarlierRecovery(
        issuance_id=row.id,
        case_id=row.case_id,
        issue_tag=row.issue_tag,
        incentive=row.incentive,
        amount=Money(row.amount_minor, row.currency),
        status=row.status,
        location=row.location,
        requested_at=row.requested_at,
    )


def _approval(known: _Known, core: Core, who: Deciders, row: Any) -> Approval:
    incentive, names = known.incentives[row.incentive_item_id], known.names
    earlier = known.earlier.get(row.group_id, ())
    policy, votes = known.policies[row.policy_item_id], known.votes.get(row.id, ())
    since_at = row.level_since_at or row.requested_at
    # What was decided stands where it was decided.
    until = row.decided_at or min(known.now, row.expires_at)
    where = approving.standing(policy, level=row.level, since_at=since_at, now=until)
    terms = approving.terms(row.requested_amount_minor, votes)
    pending = row.status == "pending" and row.expires_at > known.now
    blocked = {each.label: _blocked(known, who.actor, each, row, where) for each in who.all}
    return Approval(
        id=row.id,
        status=row.status,
        issuance_id=row.issuance_id,
        case_id=row.case_id,
        issue_tag=row.issue_tag,
        severity=row.severity,
        incentive=row.incentive,
        title=known.catalog.words(incentive.title, None),
        amount=Money(row.requested_amount_minor, row.currency),
        least_minor=least_minor(incentive, terms.most_minor),
        reasons=tuple(row.reasons),
        note=core.contacts.decrypt(row.note),
        location=row.location,
        order_ref=row.order_ref,
        requested_by=row.requested_by,
        requested_by_name=names.get(row.requested_by, row.requested_by),
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        own=row.requested_by == who.actor.label,
        granted=Money(row.granted_amount_minor, row.currency) if row.granted_amount_minor is not None else None,
        granted_incentive=row.granted_incentive,
        decided_by_name=names.get(row.decided_by) if row.decided_by else None,
        decided_at=row.decided_at,
        comment=row.comment,
        earlier_recoveries=tuple(each for each in earlier if each.issuance_id != row.issuance_id),
        policy=policy.key if policy else None,
        policy_name=policy.name if policy else None,
        level=where.level,
        levels=levels_of(policy),
        fallback=where.fallback,
        fallback_roles=policy.fallback_roles if policy else (),
        level_since_at=where.since_at,
        escalates_at=where.escalates_at if pending else None,
        still_needed=approving.still_needed(policy, votes, where.level) if pending else 0,
        agreed=Money(terms.most_minor, row.currency),
        agreed_incentive=terms.incentive,
        votes=tuple(_vote(vote, names, row.currency) for vote in votes),
        blocked=blocked[who.actor.label],
        stand_ins=tuple(
            StandIn(label=each.label, name=each.name) for each in who.absent if pending and not blocked[each.label]
        ),
        other_incentives=others(known.catalog, row, terms.most_minor, known.now) if pending else (),
    )


def _vote(row: Any, names: Mapping[str, str], currency: str) -> Vote:
    return Vote(
        level=row.level,
        decision=row.decision,
        actor_name=row.actor_name,
        on_behalf_of_name=names.get(row.on_behalf_of, row.on_behalf_of) if row.on_behalf_of else None,
        amount=Money(row.amount_minor, currency) if row.amount_minor is not None else None,
        incentive=row.incentive,
        comment=row.comment,
        at=row.at,
    )


def _blocked(known: _Known, actor: Actor, principal: Actor, row: Any, where: approving.Standing) -> str | None:
    """Return why an actor cannot decide in the right of a principal, who may be themselves; None when they can."""
    labels, email = {actor.label, principal.label}, known.emails.get(row.requested_by)
    same = any(approving.same_mailbox(email, each.email) for each in (actor, principal))
    if row.requested_by in labels or same:
        return OWN
    if not may(actor, "approvals:decide"):
        return NOT_PERMITTED
    if approving.has_voted(known.votes.get(row.id, ()), *labels):
        return VOTED
    policy = known.policies[row.policy_item_id]
    here = principal.location is None or row.location in (None, principal.location)
    turn = approving.may_vote(policy, where, role=principal.role, email=principal.email)
    return None if here and turn else OTHERS_TURN
