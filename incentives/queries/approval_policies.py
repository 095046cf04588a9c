"""Which policy says who decides on a request: the very version that a request pins, and what one would come under."""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.safeguarding import ApprovalPolicy
from incentives.catalog.tables import catalog_items
from incentives.kernel.actors import PERMISSIONS, Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.spending import approving

_POLICY = "catalog.approval_policy"
LIFETIME_HOURS = 72
"""How long a request lives that no policy fits."""

DECIDERS = tuple(role for role, permissions in PERMISSIONS.items() if "approvals:decide" in permissions)
"""The roles that decide where no policy says who does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of who must agree: ``needed`` of these. It passes the request on after so many minutes, or never."""

    number: int
    roles: tuple[str, ...]
    people: tuple[str, ...]
    needed: int
    escalate_after_minutes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldDecide:
    """Who would decide on a request. ``policy`` None: no policy fits, and whoever may decide at all does."""

    policy: str | None
    name: str | None
    levels: tuple[Level, ...]
    fallback_roles: tuple[str, ...]
    lifetime_hours: int
    amount: Money


def policy_of(tx: Connection, core: Core, item_id: uuid.UUID | None) -> ApprovalPolicy | None:
    """Return the version of a policy that a request pins, whatever the catalog says today; None for none.

    Versions never change, so each is read once.
    """
    if item_id is None:
        return None
    known = core.cache.get(f"{_POLICY}:{item_id}")
    if isinstance(known, ApprovalPolicy):
        return known
    query = sa.select(catalog_items.c.definition).where(catalog_items.c.id == item_id)
    policy = ApprovalPolicy.from_definition(tx.execute(query).scalar_one())
    core.cache[f"{_POLICY}:{item_id}"] = policy
    return policy


def levels_of(policy: ApprovalPolicy | None) -> tuple[Level, ...]:
    """Return a policy's levels, the first first; without a policy the one that every decider makes up."""
    if policy is None:
        return (Level(number=1, roles=DECIDERS, people=(), needed=1, escalate_after_minutes=None),)
    return tuple(
        Level(
            number=number,
            roles=tuple(each.get("roles", ())),
            people=tuple(each.get("people", ())),
            needed=approving.needed(policy, number),
            escalate_after_minutes=each.get("escalate_after_minutes"),
        )
        for number, each in enumerate(policy.levels, start=1)
    )


def simulate(
    *,
    core: Core,
    actor: Actor,
    amount_minor: int,
    currency: str | None = None,
    issue_tag: str | None = None,
    location: str | None = None,
    incentive: str | None = None,
) -> WouldDecide:
    """Return who would decide on a request of an amount, by the catalog in force; it says nothing of any limit.

    Left out, the currency is the location's. Raises ``UnknownIssueTag``, ``UnknownLocation``, ``UnknownIncentive``.
    """
    permit(actor, "approvals:read")
    with core.database.read() as tx:
        catalog = releases.cached_current(tx, core).catalog
    if incentive is not None:
        catalog.incentive(incentive)
    usual_currency = catalog.currency(location)  # it says too whether there is such a place
    wish = approving.Wish(
        amount_minor=amount_minor,
        currency=currency or usual_currency,
        issue_tags=catalog.lineage(catalog.issue_tag(issue_tag).key) if issue_tag else (),
        location=location,
        incentive=incentive,
    )
    policy = approving.fitting(catalog.approval_policies.values(), wish)
    return WouldDecide(
        policy=policy.key if policy else None,
        name=policy.name if policy else None,
        levels=levels_of(policy),
        fallback_roles=policy.fallback_roles if policy else (),
        lifetime_hours=policy.lifetime_hours if policy else LIFETIME_HOURS,
        amount=Money(amount_minor, wish.currency),
    )
