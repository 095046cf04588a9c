"""Work on a case: the steps of its protocol, one after the other, and the apology."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import definitions, releases
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds import caring, casework
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import ChannelWithoutAddress, InputInvalid, StepAlreadyDone, StepOutOfOrder
from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from incentives.queries import case_facts, case_letters
from incentives.recovery import steps
from incentives.recovery.tables import APOLOGY_CHANNELS, case_apologies

LANGUAGE_LENGTH = 20
_SENT_BY = {"email": "email", "sms": "phone"}
_APOLOGIZE, _DOCUMENT = "apologize", "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoStep:
    """A step of the protocol was done, or is skipped, which needs a note saying why unless it is optional."""

    case_id: uuid.UUID
    step: str
    status: str = steps.DONE
    channel: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """The step that was written down, and what comes next."""

    case_id: uuid.UUID
    step: str
    status: str
    state: str
    next_step: str | None


def do_step(*, core: Core, actor: Actor, command: DoStep) -> StepDone:
    """Write down that a step was done or skipped, once a round, in the protocol's order.

    Raises ``StepOutOfOrder`` naming the step that comes first, ``StepAlreadyDone``, ``InputInvalid``, ``CaseNotFound``,
    ``CaseClosed``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id)
        catalog = releases.cached_current(tx, core).catalog
        protocol = caring.protocol_of(tx, core, catalog, case)
        order = protocol.steps if protocol else ()
        taken = caring.steps_taken(tx, case)
        note = _check(protocol, taken, command)
        channel = casework.one_of(command.channel, APOLOGY_CHANNELS, "channel") if command.channel else None
        if not caring.take_step(
            tx, core, actor, now, case, command.step, status=command.status, channel=channel, note=note
        ):
            raise StepAlreadyDone(field="step", step=command.step)
        taken[command.step] = command.status
    return StepDone(
        case_id=case.id,
        step=command.step,
        status=command.status,
        state=steps.state(status="open", outcome=None, round_number=case.round, steps=order, taken=taken),
        next_step=steps.next_step(order, taken),
    )


def _check(protocol: definitions.Protocol | None, taken: dict[str, str], command: DoStep) -> str | None:
    """Check that the step may be taken now, and return its note."""
    order, optional = (protocol.steps, protocol.optional_steps) if protocol else ((), ())
    casework.one_of(command.step, tuple(order), "step")
    casework.one_of(command.status, (steps.DONE, steps.SKIPPED), "status")
    if command.step in taken:
        raise StepAlreadyDone(field="step", step=command.step, status_before=taken[command.step])
    first = steps.comes_first(order, optional, taken, command.step)
    if first:
        raise StepOutOfOrder(f"The next step is “{first}”.", field="step", step=command.step, comes_first=first)
    needed = ""
    if command.status == steps.SKIPPED and command.step not in optional:
        needed = "Say why this step is skipped."
    elif command.status == steps.DONE and command.step == _DOCUMENT:
        needed = "Say what happened and what was done about it."
    return casework.text(command.note, "note", needed=needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apologize:
    """Apologize to the customer. ``words`` None are the protocol's script, filled; others are one's own.

    ``spoken`` says that it was said already, so that nothing is sent, whatever the channel.
    """

    case_id: uuid.UUID
    channel: str
    words: str | None = None
    language: str | None = None
    spoken: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apologized:
    """The apology that was recorded; ``message_id`` is None where nothing is sent."""

    id: uuid.UUID
    case_id: uuid.UUID
    message_id: uuid.UUID | None
    replayed: bool = False


def apologize_to(*, core: Core, actor: Actor, command: Apologize) -> Apologized:
    """Record an apology, and send it where its channel is email or SMS and it was not said already.

    It goes out by itself and at once, whatever becomes of the incentive. Where apologizing is the next step, it is done
    by this. Raises ``ChannelWithoutAddress``, ``InputInvalid``, ``CaseNotFound``, ``CaseClosed``,
    ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    casework.one_of(command.channel, APOLOGY_CHANNELS, "channel")
    casework.text(command.language, "language", longest=LANGUAGE_LENGTH)
    apology_id = core.ids.new(now)
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "idempotency_key"}
    with core.database.write() as tx:
        before = casework.claimed_before(
            tx, core, actor, "apologies", command.idempotency_key, request, apology_id, now
        )
        if before:
            return _replay(tx, before)
        case = casework.work_on(tx, actor, command.case_id)
        row = _apology(tx, core, actor, command, case, apology_id, now)
        tx.execute(case_apologies.insert(), [row])
        message_id = _send(tx, core, command, case, apology_id, now)
        _move_on(tx, core, actor, command, case, now)
        facts = {"channel": command.channel, "spoken": row["spoken"], "script": row["script"]}
        casework.say(tx, core, actor, now, case.id, "apologized", facts)
    return Apologized(id=apology_id, case_id=case.id, message_id=message_id)


def _replay(tx: Connection, apology_id: uuid.UUID) -> Apologized:
    case_id = tx.execute(sa.select(case_apologies.c.case_id).where(case_apologies.c.id == apology_id)).scalar_one()
    sent = sa.select(outbox_messages.c.id).where(outbox_messages.c.apology_id == apology_id)
    message_id = tx.execute(sent.limit(1)).scalar_one_or_none()
    return Apologized(id=apology_id, case_id=case_id, message_id=message_id, replayed=True)


def _apology(
    tx: Connection, core: Core, actor: Actor, command: Apologize, case: Any, apology_id: uuid.UUID, now: datetime
) -> dict[str, Any]:
    current = releases.cached_current(tx, core)
    language = command.language or case_letters.locale_of(tx, current.catalog, case)
    words = casework.text(command.words, "words")
    script = None if words else _script(tx, core, current, case)
    if script is not None:
        name = actor.name if actor.kind == "person" else None
        words = case_facts.apology_words(
            tx, core, current.catalog, case, script=script, language=language, agent_name=name
        )
    return {
        "id": apology_id,
        "case_id": case.id,
        "script": script.key if script else None,
        "script_item_id": current.item_ids["script", script.key] if script else None,
        "words": core.contacts.encrypt(words),
        "language": language,
        "channel": command.channel,
        "spoken": command.spoken or command.channel not in _SENT_BY,
        "at": now,
        "actor": actor.label,
    }


def _script(tx: Connection, core: Core, current: CurrentCatalog, case: Any) -> definitions.Script:
    protocol = caring.protocol_of(tx, core, current.catalog, case)
    script = current.catalog.scripts.get(protocol.script) if protocol else None
    if script is None:
        raise InputInvalid(errors=[{"field": "words", "message": "There is no script for this; use your own words."}])
    return script


def _send(
    tx: Connection, core: Core, command: Apologize, case: Any, apology_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    part = _SENT_BY.get(command.channel)
    if part is None or command.spoken:
        return None
    if not getattr(case_letters.reach(tx, core, case), part):
        raise ChannelWithoutAddress(
            f"The customer of this case has no {part}.", field="channel", channel=command.channel
        )
    message = outbox.apology(core=core, now=now, case_id=case.id, apology_id=apology_id, channel=command.channel)
    outbox.enqueue(tx, [message])
    message_id: uuid.UUID = message["id"]
    return message_id


def _move_on(tx: Connection, core: Core, actor: Actor, command: Apologize, case: Any, now: datetime) -> None:
    """Let the apology be the protocol's step where that is due, and stop the clocks that it stops."""
    catalog = releases.cached_current(tx, core).catalog
    protocol = caring.protocol_of(tx, core, catalog, case)
    if protocol and _APOLOGIZE in protocol.steps:
        taken = caring.steps_taken(tx, case)
        first = steps.comes_first(protocol.steps, protocol.optional_steps, taken, _APOLOGIZE)
        if first is None and _APOLOGIZE not in taken:
            caring.take_step(tx, core, actor, now, case, _APOLOGIZE, channel=command.channel)
            return
    caring.meet(tx, [case.id], ("apology", "first_contact"), now)
    caring.touch(tx, [case.id], now)
