"""Who must agree to what, and what is suspicious: the approved policies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from incentives.catalog.definitions import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy(Definition):
    """Who decides on a request, in levels. Of several that fit the first in the file holds.

    It fits requests of at least ``at_least_minor`` (by currency; empty: of any amount; a currency that is absent where
    others are named: of none) for one of ``issue_tags`` (with all below), ``locations`` and ``incentives``; an empty
    tuple is any.

    Each level is {"roles": (…), "people": (emails), "needed": n, "escalate_after_minutes": m?}: n of those must grant;
    one who declines ends it. A level that has not decided after so many minutes passes the request to the next one,
    which then decides in its place; after the last level ``fallback_roles`` may decide too. A granted level asks the
    next one. After ``lifetime_hours`` the request lapses.
    """

    item_kind: ClassVar[str] = "approval_policy"

    key: str
    name: str
    levels: tuple[Mapping[str, Any], ...]
    at_least_minor: Mapping[str, int] = field(default_factory=dict)
    issue_tags: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    incentives: tuple[str, ...] = ()
    fallback_roles: tuple[str, ...] = ()
    lifetime_hours: int = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class AbusePolicy(Definition):
    """What is suspicious, and what happens then; a signal that is absent has its default, one with count 0 is off.

    Each signal is {"count": n, "minutes": m, "action": "allow" | "step_up" | "hold" | "block", "stop_actor": bool}; the
    names and their defaults stand in ``incentives.safeguards.signals``. With ``stop_actor`` whoever is blocked is
    stopped until somebody who leads lifts that. What is held waits ``review_hours`` at most before it is late.
    """

    item_kind: ClassVar[str] = "abuse_policy"

    signals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    review_hours: int = 24

    @property
    def key(self) -> str:
        """Return the one key that a catalog's one policy has."""
        return "abuse"
