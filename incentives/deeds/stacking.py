"""Stacking: what a case and a customer have open already, where the catalog lets them have only so much.

Of one exclusive group a case has one open incentive; of an incentive with ``most_open_per_customer`` a customer has no
more than that. Open is what waits for an approval, and a voucher that can still be used. Whoever gives holds the case's
row and the customer's until the transaction ends, so that two who give at once see each other.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds.assessment import Proposal
from incentives.kernel.errors import ExclusiveGroupTaken, Refusal, TooManyOpen
from incentives.recovery.tables import customers
from incentives.vouchers.tables import issuances, vouchers


@dataclass(frozen=True, slots=True)
class _Open:
    """One incentive that is open: of which case, for which customers."""

    issuance_id: uuid.UUID
    incentive: str
    case_id: uuid.UUID | None
    customers: frozenset[uuid.UUID]


@dataclass(slots=True)
class Stack:
    """What is open among the cases and customers of one transaction; ``add`` keeps it true while it gives."""

    open: list[_Open]

    def refusal(self, proposal: Proposal, case_id: uuid.UUID | None) -> Refusal | None:
        """Return why an incentive may not be laid on top of what is open, or None."""
        return next(iter(self.refusals(proposal, case_id)), None)

    def refusals(self, proposal: Proposal, case_id: uuid.UUID | None) -> list[Refusal]:
        """Return every reason why an incentive may not be laid on top of what is open."""
        incentive, found = proposal.incentive_item, list[Refusal]()
        group = _alike(proposal) if case_id else frozenset()
        there = (each for each in self.open if each.case_id == case_id and each.incentive in group) if group else ()
        other = next(iter(there), None)
        if other is not None:
            found.append(
                ExclusiveGroupTaken(
                    exclusive_group=incentive.exclusive_group,
                    incentive=other.incentive,
                    issuance_id=str(other.issuance_id),
                )
            )
        most = incentive.most_open_per_customer
        if most is None:
            return found
        theirs = [
            each for each in self.open if each.incentive == incentive.key and each.customers & set(proposal.customers)
        ]
        if len(theirs) >= most:
            found.append(TooManyOpen(incentive=incentive.key, most=most))
        return found

    def add(self, proposal: Proposal, case_id: uuid.UUID, issuance_id: uuid.UUID) -> None:
        """Count what was just given."""
        self.open.append(_Open(issuance_id, proposal.incentive, case_id, frozenset(proposal.customers)))


def stack(
    tx: Connection, wishes: Sequence[tuple[Proposal, uuid.UUID | None]], now: datetime, *, lock: bool = True
) -> Stack:
    """Return what is open of what proposals (each with its case, if it has one) may not be laid on.

    It asks nothing where no incentive is limited. ``lock`` holds the customers; their cases are held already.
    """
    grouped = [
        (proposal, case_id) for proposal, case_id in wishes if case_id and proposal.incentive_item.exclusive_group
    ]
    counted = [proposal for proposal, _ in wishes if _counts(proposal)]
    if not grouped and not counted:
        return Stack([])
    people = {each for proposal in counted for each in proposal.customers}
    if lock and people:
        _hold(tx, counted)
    keys = {key for proposal, _ in grouped for key in _alike(proposal)}
    conditions = [
        issuances.c.case_id.in_({case_id for _, case_id in grouped}) & issuances.c.incentive.in_(keys),
        issuances.c.customer_id.in_(people) & issuances.c.incentive.in_({each.incentive for each in counted}),
    ]
    return Stack(_rows(tx, sa.or_(*conditions), counted, now))


def _counts(proposal: Proposal) -> bool:
    return proposal.incentive_item.most_open_per_customer is not None and bool(proposal.customers)


def _alike(proposal: Proposal) -> frozenset[str]:
    """Return the incentives of the same exclusive group, under the catalog in force."""
    group = proposal.incentive_item.exclusive_group
    if group is None:
        return frozenset()
    return frozenset(each.key for each in proposal.ground.catalog.incentives.values() if each.exclusive_group == group)


def _hold(tx: Connection, counted: Iterable[Proposal]) -> None:
    """Lock the oldest of each group of customers who are the same people: one row stands for all of them."""
    oldest = sorted({min(proposal.customers) for proposal in counted})
    query = sa.select(customers.c.id).where(customers.c.id.in_(oldest)).order_by(customers.c.id)
    tx.execute(query.with_for_update(key_share=True)).all()


def _rows(tx: Connection, condition: sa.ColumnElement[bool], counted: Sequence[Proposal], now: datetime) -> list[_Open]:
    usable = (vouchers.c.status.in_(("issued", "reserved"))) & (vouchers.c.expires_at >= now)
    query = (
        sa.select(issuances.c.id, issuances.c.incentive, issuances.c.case_id, issuances.c.customer_id)
        .where(
            condition,
            (issuances.c.status == "pending_approval")
            | sa.exists().where(vouchers.c.issuance_id == issuances.c.id, usable),
        )
        .distinct()
    )
    together = {each: frozenset(proposal.customers) for proposal in counted for each in proposal.customers}
    return [
        _Open(row.id, row.incentive, row.case_id, together.get(row.customer_id, frozenset({row.customer_id})))
        for row in tx.execute(query)
    ]
