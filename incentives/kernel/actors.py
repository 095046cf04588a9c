"""Who does it, and what each role may do. Deny by default: what is not in the table is not permitted."""

import uuid
from dataclasses import dataclass, field
from enum import StrEnum

from incentives.kernel.errors import NotPermitted


class Role(StrEnum):
    """The roles that a person or an API key has exactly one of."""

    FRONTLINE = "frontline"
    SUPERVISOR = "supervisor"
    MANAGER = "manager"
    FINANCE = "finance"
    AUDITOR = "auditor"
    TILL = "till"
    INTEGRATOR = "integrator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does a deed: a person, an API key, or the system itself (whose role is None)."""

    kind: str
    id: uuid.UUID
    name: str
    role: str | None = None
    location: str | None = None
    team: str | None = None
    email: str | None = None
    request_id: str | None = None
    ip: str | None = None
    label: str = field(init=False, repr=False)
    """How records name the actor: its kind and its id, never a name that may change."""

    def __post_init__(self) -> None:
        """Write the label once: a deed names its actor a dozen times."""
        object.__setattr__(self, "label", f"{self.kind}:{self.id}")

    def asking(self, *, request_id: str | None, ip: str | None) -> "Actor":
        """Return the same actor in one request of theirs; each request needs one, so it is copied as it stands."""
        copied = object.__new__(Actor)
        for name in Actor.__slots__:
            object.__setattr__(copied, name, getattr(self, name))
        object.__setattr__(copied, "request_id", request_id)
        object.__setattr__(copied, "ip", ip)
        return copied


SYSTEM = Actor(kind="system", id=uuid.UUID(int=0), name="the system")
_RULES = uuid.UUID(
    "6f1d6f0e-2c55-5f0b-9f1e-3a8f6c1b7d24"
)  # a namespace of ours, so that a rule's id follows from its key


def rule(key: str, name: str, *, team: str | None = None) -> Actor:
    """Return a criterion as the actor that gives in its own name, within the limits of a program."""
    return Actor(kind="rule", id=uuid.uuid5(_RULES, key), name=name, role=Role.INTEGRATOR, team=team)


# Every role knows the places: where a voucher was spent, and in which zone it ends, is for everybody to say.
_GIVE = {
    "locations:read",
    "catalog:read",
    "offers:read",
    "issuances:create",
    "issuances:read",
    "cases:read",
    "cases:work",
    "feedback:create",
    "feedback:read",
    "vouchers:lookup",
}
# Whoever leads others: assigns, merges, reopens, shares outside, mends what was not understood, sees who was at fault.
_LEAD = {"cases:manage", "cases:responsible", "criteria:read", "feedback:repair", "forms:manage", "incidents:manage"}
# What becomes of a voucher after it was given.
_AFTERCARE = {
    "vouchers:void",
    "vouchers:reissue",
    "vouchers:resend",
    "vouchers:extend",
    "redemptions:reverse",
}
# What keeps an eye on others, and stops them.
_GUARD = {
    "vouchers:adjust",
    "vouchers:freeze",
    "reservations:release",
    "caps:override",
    "reviews:read",
    "reviews:decide",
    "switches:read",
    "switches:manage",
    "approvals:delegate",
}
_SEE_BOOKS = {"locations:read", "budgets:read", "ledger:read", "books:check", "reports:read", "audit:read"}
_REDEEM = {"locations:read", "vouchers:lookup", "redemptions:create"}

PERMISSIONS: dict[str, frozenset[str]] = {
    Role.FRONTLINE: frozenset(_GIVE | {"redemptions:create", "vouchers:resend"}),
    Role.SUPERVISOR: frozenset(
        _GIVE
        | _REDEEM
        | _LEAD
        | _AFTERCARE
        | _GUARD
        | {"bulk:create"}
        | {"approvals:read", "approvals:decide", "budgets:read", "reports:read"}
    ),
    Role.MANAGER: frozenset(
        _GIVE
        | _REDEEM
        | _LEAD
        | _AFTERCARE
        | _GUARD
        | {"approvals:read", "approvals:decide", "budgets:read", "reports:read", "catalog:propose", "catalog:approve"}
        | {"bulk:create", "budgets:propose", "lists:manage", "suppressions:manage"},
    ),
    Role.FINANCE: frozenset(
        _SEE_BOOKS
        | {
            "catalog:read",
            "catalog:approve",
            "criteria:read",
            "feedback:read",
            "issuances:read",
            "cases:read",
            "approvals:read",
            "approvals:decide",
            "vouchers:lookup",
            "vouchers:void",
            "vouchers:freeze",
            "redemptions:reverse",
            "budgets:propose",
            "budgets:approve",
            "reviews:read",
            "reviews:decide",
            "switches:read",
            "switches:manage",
            "lists:manage",
        },
    ),
    Role.AUDITOR: frozenset(
        _SEE_BOOKS
        | {
            "approvals:read",
            "cases:read",
            "cases:responsible",
            "catalog:read",
            "criteria:read",
            "feedback:read",
            "issuances:read",
            "reviews:read",
            "switches:read",
        }
    ),
    Role.TILL: frozenset(_REDEEM),
    Role.INTEGRATOR: frozenset(_GIVE | _AFTERCARE | {"budgets:read", "bulk:create"}),
    Role.ADMIN: frozenset(
        _GIVE
        | _REDEEM
        | _SEE_BOOKS
        | _LEAD
        | _AFTERCARE
        | _GUARD
        | {"approvals:read", "approvals:decide", "catalog:propose", "catalog:approve", "people:manage"}
        | {"bulk:create", "budgets:propose", "budgets:approve", "lists:manage", "suppressions:manage"},
    ),
}


def may(actor: Actor, permission: str) -> bool:
    """Return whether an actor may do something; the system may do everything."""
    return actor.kind == "system" or permission in PERMISSIONS.get(actor.role or "", frozenset())


def permit(actor: Actor, permission: str) -> None:
    """Let an actor pass, or raise ``NotPermitted`` naming the permission that is missing."""
    if not may(actor, permission):
        raise NotPermitted(permission=permission, role=actor.role)
