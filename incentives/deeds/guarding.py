"""Guarding: what the switches stop, asked by every deed that gives or redeems.

Not a flow: it opens no transaction. A switch is in effect within a second in every process: each reads what is set
at most every half second, and a deed that waited for its locks asks once more while it holds them.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from incentives.deeds import same_hands
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import IssuingStopped, RedeemingStopped, Refusal
from incentives.safeguards import switches
from incentives.safeguards.switches import ISSUING, ORGANIZATION, REDEEMING, Switch, forget

__all__ = [
    "ISSUING",
    "REDEEMING",
    "Subjects",
    "forget",
    "of_voucher",
    "refuse_stopped",
    "refuse_voucher_stopped",
    "stopped",
]

_REFUSALS: dict[str, type[Refusal]] = {ISSUING: IssuingStopped, REDEEMING: RedeemingStopped}
_ACTOR_SCOPES = {"person": "person", "key": "api_key"}  # by the kind of actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """What a deed is about, as far as switches go.

    ``issue_tags`` are the tag and its ancestors: stopping a tag stops all below it. ``actor`` is a label. Of a voucher
    that is redeemed, ``issued_by`` and ``issued_team`` say who gave it: what a stolen key gave can be stopped too.
    """

    location: str | None = None
    incentive: str | None = None
    issue_tags: tuple[str, ...] = ()
    team: str | None = None
    actor: str | None = None
    source: str | None = None
    issued_by: str | None = None
    issued_team: str | None = None

    @property
    def names(self) -> list[tuple[str, str]]:
        """Return every scope and subject that would stop it, the widest first."""
        found: list[tuple[str, str | None]] = [(ORGANIZATION, ORGANIZATION), ("location", self.location)]
        found += [("team", self.team), ("team", self.issued_team), ("source", self.source)]
        found += [("issue_tag", tag) for tag in self.issue_tags]
        found += [("incentive", self.incentive), *_of_actor(self.actor), *_of_actor(self.issued_by)]
        return [(scope, subject) for scope, subject in found if subject is not None]


def _of_actor(label: str | None) -> list[tuple[str, str | None]]:
    scope = _ACTOR_SCOPES.get((label or "").partition(":")[0])
    return [(scope, label)] if scope else []  # the system and its rules are stopped by all else


def anything_stopped(tx: Connection, core: Core) -> bool:
    """Return whether any switch is set: where none is, nobody need say what a deed is about."""
    return bool(switches.in_force(tx, core))


def refuse_stopped(tx: Connection, core: Core, what: str, subjects: Subjects) -> None:
    """Refuse what is stopped now (``what`` is ``issuing`` or ``redeeming``), naming the widest switch and its reason.

    Raises ``IssuingStopped`` and ``RedeemingStopped``.
    """
    found = _stopping(tx, core, what, subjects)
    if found is not None:
        raise refusal_of(found)


def _stopping(tx: Connection, core: Core, what: str, subjects: Subjects) -> Switch | None:
    """Return the widest switch that stops something, or None.

    Who is stopped from giving does not go on by an API key that they made. From redeeming they do: a shop's tills have
    keys that somebody made who leads there, and they must not all stand still for one person.
    """
    found = switches.in_force(tx, core)
    if not found:
        return None
    names = subjects.names
    if what == ISSUING and any(each.stops == ISSUING and each.scope == "person" for each in found.values()):
        made_by = {
            label for key in (subjects.actor, subjects.issued_by) if key for label in same_hands.hands_of(tx, core, key)
        }
        names += [("person", label) for label in sorted(made_by) if ("person", label) not in names]
    return switches.stopping(found, what, names)


def refusal_of(switch: Switch) -> Refusal:
    """Return the refusal that a switch makes. Whom of the staff it stops is nobody's business at another till."""
    subject = None if switch.scope in _ACTOR_SCOPES.values() else switch.subject
    return _REFUSALS[switch.stops](
        f"Stopped since {switch.set_at.isoformat(timespec='seconds')}: {switch.reason}",
        scope=switch.scope,
        subject=subject,
        reason=switch.reason,
    )


def stopped(tx: Connection, core: Core, what: str, subjects: Subjects) -> tuple[str, ...]:
    """Return why it could not be done now: the refusal's slug, or nothing. Offers tell it beforehand."""
    found = _stopping(tx, core, what, subjects)
    return () if found is None else (refusal_of(found).slug,)


def of_voucher(actor: Actor, voucher: Any, location: str | None, issue_tags: tuple[str, ...]) -> Subjects:
    """Return what redeeming a voucher is about; its row says ``incentive``, ``issued_by``, ``issued_team``, ``source``.

    ``location`` is where it is redeemed: a place that is stopped redeems nothing, and what it gave is good elsewhere.
    """
    return Subjects(
        location=location,
        incentive=voucher.incentive,
        issue_tags=issue_tags,
        team=actor.team,
        actor=actor.label,
        source=voucher.source,
        issued_by=voucher.issued_by,
        issued_team=voucher.issued_team,
    )


def refuse_voucher_stopped(
    tx: Connection, core: Core, actor: Actor, voucher: Any, location: str | None, issue_tags: tuple[str, ...]
) -> None:
    """Refuse to redeem, reserve or commit a voucher that is stopped now. Raises ``RedeemingStopped``."""
    refuse_stopped(tx, core, REDEEMING, of_voucher(actor, voucher, location, issue_tags))
