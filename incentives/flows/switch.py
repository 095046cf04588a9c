"""Switch: giving or redeeming is stopped, for all or for some, within a second in every process; and goes on again."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import api_keys, users
from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import reasons, same_hands
from incentives.kernel.actors import SYSTEM, Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    InputInvalid,
    OtherLocation,
    OwnSwitch,
    SwitchAlreadyLifted,
    SwitchAlreadySet,
    SwitchNotFound,
)
from incentives.safeguards import switches
from incentives.safeguards.tables import STOPS, SWITCH_SCOPES

_MANAGE = "switches:manage"
_SUBJECT_LONGEST = 120
_LABELS = {"person": "person", "api_key": "key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSwitch:
    """Stop issuing or redeeming for a scope. ``subject`` is a key of the catalog, a source's, or whom it stops.

    A person goes by id, label or email, an API key by id or label; the organization needs no subject. A key of the
    catalog may have left it since.
    """

    stops: str
    scope: str
    reason: str
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchSet:
    """The switch that is set now."""

    id: uuid.UUID
    stops: str
    scope: str
    subject: str
    set_at: datetime


def set_switch(*, core: Core, actor: Actor, command: SetSwitch) -> SwitchSet:
    """Stop something. This process knows of it at once, every other one within half a second.

    Raises ``SwitchAlreadySet`` naming it, ``OtherLocation``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, _MANAGE)
    now = core.clock.now()
    reason = _checked(command)
    with core.database.write() as tx:
        subject, location = _subject(tx, command)
        _at_home(actor, location)
        row: dict[str, Any] = {
            "id": core.ids.new(now),
            "stops": command.stops,
            "scope": command.scope,
            "subject": subject,
            "reason": reason,
            "set_by": actor.label,
            "set_by_name": actor.name,
            "set_at": now,
        }
        if not switches.add(tx, row):
            raise _already(tx, row)
        _note(tx, core, actor, now, "switch.set", row["id"], _facts(row["stops"], row["scope"], row["subject"]), reason)
    switches.forget(core)
    return SwitchSet(id=row["id"], stops=command.stops, scope=command.scope, subject=subject, set_at=now)


def lift_switch(*, core: Core, actor: Actor, switch_id: uuid.UUID, reason: str) -> None:
    """Let what was stopped go on.

    Nobody lifts what stops them, or a key that they made, but what they set themselves; and whoever belongs to one
    place only what somebody of that place has set, or a signal. Raises ``SwitchNotFound``, ``SwitchAlreadyLifted``,
    ``OwnSwitch``, ``OtherLocation``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, _MANAGE)
    now = core.clock.now()
    why = reasons.reason(reason)
    with core.database.write() as tx:
        row = switches.by_id(tx, switch_id)
        if row is None or (actor.location is not None and location_of(tx, row) != actor.location):
            raise SwitchNotFound
        _check_may_lift(tx, core, actor, row)
        values = {
            "lifted_by": actor.label,
            "lifted_by_name": actor.name,
            "lifted_at": now,
            "lift_reason": why,
        }
        if not switches.lift(tx, switch_id, values):
            raise SwitchAlreadyLifted(lifted_at=row.lifted_at.isoformat() if row.lifted_at else None)
        _note(tx, core, actor, now, "switch.lifted", switch_id, _facts(row.stops, row.scope, row.subject), why)
    switches.forget(core)


def _check_may_lift(tx: Connection, core: Core, actor: Actor, row: Any) -> None:
    """Refuse whom a switch stops, with ``OwnSwitch``, and with ``OtherLocation`` whom somebody above them stopped."""
    own_deed = row.set_by == actor.label != row.subject
    if row.scope in _LABELS and not own_deed and same_hands.are_one(tx, core, actor, row.subject):
        raise OwnSwitch
    if actor.location is not None and not own_deed and _place_of(tx, row.set_by) not in (SYSTEM.label, actor.location):
        raise OtherLocation("Somebody of more than this place has set it: ask them.", location=actor.location)


def _place_of(tx: Connection, label: str) -> str | None:
    """Return the place of whoever set a switch, as it is now; the system's own label for what a signal set."""
    scope = {kind: scope for scope, kind in _LABELS.items()}.get(label.partition(":")[0])
    found = _whom(tx, scope, label) if scope else None
    return label if scope is None else found[1] if found else None


def location_of(tx: Connection, row: Any) -> str | None:
    """Return the place that a switch belongs to as a whole; None where it stops more than one place."""
    if row.scope == "location":
        return str(row.subject)
    if row.scope == "team":
        return (releases.definition_before(tx, "team", row.subject) or {}).get("location")
    if row.scope in _LABELS:
        found = _whom(tx, row.scope, row.subject)
        return found[1] if found else None
    return None


def _checked(command: SetSwitch) -> str:
    mistakes = []
    if command.stops not in STOPS:
        mistakes.append({"field": "stops", "message": "Send issuing or redeeming."})
    if command.scope not in SWITCH_SCOPES:
        mistakes.append({"field": "scope", "message": f"Send one of {', '.join(SWITCH_SCOPES)}."})
    elif (command.scope == switches.ORGANIZATION) != (command.subject in (None, "", switches.ORGANIZATION)):
        mistakes.append({"field": "subject", "message": "Say whom or what it stops; the organization needs none."})
    if mistakes:
        raise InputInvalid(errors=mistakes)
    return reasons.reason(command.reason)


def _subject(tx: Connection, command: SetSwitch) -> tuple[str, str | None]:
    """Return what a switch stops, as records name it, and the place that this belongs to as a whole."""
    scope, subject = command.scope, (command.subject or "").strip()
    if scope == switches.ORGANIZATION:
        return switches.ORGANIZATION, None
    if scope in _LABELS:
        found = _whom(tx, scope, subject)
        if found is None:
            raise _unknown()
        return found
    if scope == "source":
        # A source that the catalog does not name can report too, and must be stopped all the same.
        if len(subject) > _SUBJECT_LONGEST or not subject.isprintable():
            raise _unknown()
        return subject, None
    # What has left the catalog too: its vouchers can be redeemed, and must be stopped all the same.
    item = releases.definition_before(tx, scope, subject)
    if item is None:
        raise _unknown()
    return subject, {"location": subject, "team": item.get("location")}.get(scope)


def _whom(tx: Connection, scope: str, subject: str) -> tuple[str, str | None] | None:
    """Return a person's or key's label and place, by id, label or email."""
    kind = _LABELS[scope]
    table = users if scope == "person" else api_keys
    try:
        condition: sa.ColumnElement[bool] = table.c.id == uuid.UUID(subject.removeprefix(f"{kind}:"))
    except ValueError:
        if scope != "person":
            return None
        condition = users.c.email == subject.casefold()
    row = tx.execute(sa.select(table.c.id, table.c.location).where(condition)).one_or_none()
    return (f"{kind}:{row.id}", row.location) if row else None


def _unknown() -> InputInvalid:
    return InputInvalid(errors=[{"field": "subject", "message": "There is nothing and nobody of that name."}])


def _at_home(actor: Actor, location: str | None) -> None:
    """Refuse whoever belongs to one place and would stop more than that place, with ``OtherLocation``."""
    if actor.location is not None and location != actor.location:
        raise OtherLocation(
            f"You may stop “{actor.location}”, its teams, people and keys.", field="subject", location=actor.location
        )


def _already(tx: Connection, row: dict[str, Any]) -> SwitchAlreadySet:
    found = switches.named(tx, (row["stops"], row["scope"], row["subject"]))
    if found is None:
        return SwitchAlreadySet()
    return SwitchAlreadySet(
        switch_id=str(found.id), reason=found.reason, set_at=found.set_at.isoformat(), set_by=found.set_by_name
    )


def _facts(stops: str, scope: str, subject: str) -> dict[str, str]:
    return {"stops": stops, "scope": scope, "subject": subject}


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    switch_id: uuid.UUID,
    facts: dict[str, str],
    reason: str,
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=action,
        subject_kind="switch",
        subject_id=switch_id,
        reason=reason,
        facts=facts,
    )
