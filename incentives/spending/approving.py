"""Who must agree to a request: which policy fits, which level decides at an instant, who may vote, what completes it.

Nothing here knows a database. A level that has grown old passes the request on by the clock alone; whoever looks
later finds it where it would be, whether anybody swept or not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

GRANT = "grant"
DECLINE = "decline"

MOST_DELEGATED = timedelta(days=92)
"""An absence ends: a right that is handed on for ever is somebody else's right."""

# For whom somebody who arranges others' absences may do so: never for whoever may do more than they.
DELEGATES_FOR: Mapping[str, frozenset[str]] = {
    "supervisor": frozenset({"supervisor"}),
    "manager": frozenset({"supervisor", "manager"}),
    "admin": frozenset({"supervisor", "manager", "finance", "admin"}),
}


class Policy(Protocol):
    """What the approved catalog says of who decides; its items have these members."""

    @property
    def key(self) -> str:
        """Return what it is called for good."""

    @property
    def name(self) -> str:
        """Return what people call it."""

    @property
    def levels(self) -> tuple[Mapping[str, Any], ...]:
        """Return the levels: ``roles``, ``people``, ``needed``, perhaps ``escalate_after_minutes``."""

    @property
    def at_least_minor(self) -> Mapping[str, int]:
        """Return the least amount by currency."""

    @property
    def issue_tags(self) -> tuple[str, ...]:
        """Return the issue tags it is for."""

    @property
    def locations(self) -> tuple[str, ...]:
        """Return the locations it is for."""

    @property
    def incentives(self) -> tuple[str, ...]:
        """Return the incentives it is for."""

    @property
    def fallback_roles(self) -> tuple[str, ...]:
        """Return who may decide too once the last level has grown old."""

    @property
    def lifetime_hours(self) -> int:
        """Return how long a request lives."""


AnyPolicy = TypeVar("AnyPolicy", bound=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What policies go by. ``issue_tags`` are the tag and its ancestors."""

    amount_minor: int
    currency: str
    issue_tags: tuple[str, ...]
    location: str | None
    incentive: str | None


def fitting(policies: Iterable[AnyPolicy], wish: Wish) -> AnyPolicy | None:
    """Return the first policy in the file's order that fits; None: one level, whoever may decide."""
    return next((policy for policy in policies if _fits(policy, wish)), None)


def _fits(policy: Policy, wish: Wish) -> bool:
    least = policy.at_least_minor
    return (
        (not least or (wish.currency in least and wish.amount_minor >= least[wish.currency]))
        and (not policy.issue_tags or not set(policy.issue_tags).isdisjoint(wish.issue_tags))
        and (not policy.locations or wish.location in policy.locations)
        and (not policy.incentives or wish.incentive in policy.incentives)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a request stands at an instant. ``level`` counts from 1; with ``fallback`` the last has grown old too.

    ``escalates_at`` is when this level passes it on, None when it never does.
    """

    level: int
    since_at: datetime
    fallback: bool
    escalates_at: datetime | None
    levels: int

    @property
    def stored_level(self) -> int:
        """Return the level as a row keeps it: one more than there are, once the fallback is open."""
        return self.level + 1 if self.fallback else self.level

    @property
    def is_last(self) -> bool:
        """Return whether the level that decides now is the last."""
        return self.level == self.levels


def standing(policy: Policy | None, *, level: int, since_at: datetime, now: datetime) -> Standing:
    """Return where a request stands that came to a level at an instant, as its row says, if nobody voted since."""
    if policy is None:
        return Standing(level=1, since_at=since_at, fallback=False, escalates_at=None, levels=1)
    last = len(policy.levels)
    while level <= last:
        ends_at = escalates_at(policy, level, since_at)
        if ends_at is None or now < ends_at:
            return Standing(level=level, since_at=since_at, fallback=False, escalates_at=ends_at, levels=last)
        level, since_at = level + 1, ends_at
    return Standing(level=last, since_at=since_at, fallback=True, escalates_at=None, levels=last)


def escalates_at(policy: Policy | None, level: int, since_at: datetime) -> datetime | None:
    """Return when a level that a request came to at an instant passes it on; None when it does not.

    The last level passes it on only where there is somebody to pass it on to.
    """
    if policy is None or level > len(policy.levels):
        return None
    minutes = policy.levels[level - 1].get("escalate_after_minutes")
    if minutes is None or (level == len(policy.levels) and not policy.fallback_roles):
        return None
    return since_at + timedelta(minutes=minutes)


def turns(policy: Policy, level: int, now: datetime) -> Iterator[tuple[Standing, datetime, datetime | None]]:
    """Return where requests stand that came to a level, by when that was: at most the first instant, after the second.

    The second is None where there is no such bound. It is ``standing`` the other way around, for lists.
    """
    came_by, last = now, len(policy.levels)
    while level <= last:
        ends_at = escalates_at(policy, level, now)
        came_after = came_by - (ends_at - now) if ends_at else None
        where = Standing(level=level, since_at=came_by, fallback=False, escalates_at=ends_at, levels=last)
        yield where, came_by, came_after
        if came_after is None:
            return
        level, came_by = level + 1, came_after
    yield Standing(level=last, since_at=came_by, fallback=True, escalates_at=None, levels=last), came_by, None


def may_vote(policy: Policy | None, where: Standing, *, role: str | None, email: str | None) -> bool:
    """Return whether somebody of a role, with an address, decides at the level where a request stands."""
    if policy is None:
        return True
    level = policy.levels[where.level - 1]
    people = {each.strip().lower() for each in level.get("people", ())}
    named = email is not None and email.strip().lower() in people
    return named or role in level.get("roles", ()) or (where.fallback and role in policy.fallback_roles)


def roles_at(policy: Policy, where: Standing) -> tuple[str, ...]:
    """Return the roles that decide at the level where a request stands, the fallback's too once it is open."""
    own = tuple(policy.levels[where.level - 1].get("roles", ()))
    return (*own, *(role for role in policy.fallback_roles if role not in own)) if where.fallback else own


def people_at(policy: Policy, where: Standing) -> tuple[str, ...]:
    """Return the people, by their addresses, who decide at the level where a request stands."""
    return tuple(policy.levels[where.level - 1].get("people", ()))


def needed(policy: Policy | None, level: int) -> int:
    """Return how many must grant at a level."""
    return 1 if policy is None else int(policy.levels[level - 1].get("needed", 1))


class Vote(Protocol):
    """What was said before; a row of ``approval_votes`` has it."""

    @property
    def level(self) -> int:
        """Return at which level."""

    @property
    def decision(self) -> str:
        """Return ``grant`` or ``decline``."""

    @property
    def actor(self) -> str:
        """Return who voted."""

    @property
    def on_behalf_of(self) -> str | None:
        """Return for whom."""

    @property
    def amount_minor(self) -> int | None:
        """Return how much they granted."""

    @property
    def incentive(self) -> str | None:
        """Return what they granted, where it is another than was asked for."""


def has_voted(votes: Iterable[Vote], *labels: str | None) -> bool:
    """Return whether one of some people has had a say already, by themselves or by somebody in their place."""
    spoken = {label for vote in votes for label in (vote.actor, vote.on_behalf_of) if label is not None}
    return not spoken.isdisjoint(label for label in labels if label is not None)


def still_needed(policy: Policy | None, votes: Sequence[Vote], level: int) -> int:
    """Return how many more must grant at a level.

    Who chooses another incentive than was on the table begins its count anew: nobody before them agreed to that. What
    an earlier level passed on it has passed on, for another incentive is never dearer.
    """
    granted = 0
    for vote in votes:
        if vote.level == level and vote.decision == GRANT:
            granted = 1 if vote.incentive is not None else granted + 1
    return max(0, needed(policy, level) - granted)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is on the table: how much at most, and of which incentive where another was chosen (None: as asked)."""

    most_minor: int
    incentive: str | None


def terms(requested_minor: int, votes: Iterable[Vote]) -> Terms:
    """Return what the votes so far agree to, by the order in which they were cast: nobody agreed to more.

    The lowest amount stands, and the incentive that was chosen last.
    """
    most, incentive = requested_minor, None
    for vote in votes:
        most = most if vote.amount_minor is None else min(most, vote.amount_minor)
        incentive = vote.incentive or incentive
    return Terms(most, incentive)


def same_mailbox(one: str | None, other: str | None) -> bool:
    """Return whether two addresses are known to lead to one mailbox: case and what follows a plus do not part them."""
    return one is not None and other is not None and _mailbox(one) == _mailbox(other)


def _mailbox(email: str) -> str:
    local, _, host = email.strip().lower().rpartition("@")
    return f"{local.partition('+')[0]}@{host}"
