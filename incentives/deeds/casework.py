"""What all flows that work on a case have in common: it is found and locked, changed, and what was done is written.

Not a flow: it opens no transaction.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.catalog.definitions import QUESTIONS
from incentives.deeds import owning
from incentives.deeds.assessment import SEVERITIES
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseClosed, CaseNotFound, InputInvalid, NotPermitted, Refusal
from incentives.kernel.idempotency import Claim
from incentives.queries.scope import case_seen_by
from incentives.recovery.tables import case_notes, recovery_cases

NOTE_LENGTH = 5000


def work_on(
    tx: Connection, actor: Actor, case_id: uuid.UUID, *, closed_too: bool = False, field: str | None = None
) -> Any:
    """Return the row of a case, locked until the transaction ends, so that two who work on it take turns.

    Raises ``CaseNotFound`` for one that the actor does not see, ``NotPermitted`` for one that is shared with them to
    be looked at only, and ``CaseClosed``. ``field`` is what the request calls it.
    """
    table = recovery_cases.c
    facts = {"field": field} if field else {}
    query = (
        sa.select(recovery_cases, case_seen_by(actor, to_edit=True).label("may_edit"))
        .where(table.id == case_id, case_seen_by(actor))
        .with_for_update(of=recovery_cases, key_share=True)
    )
    case = tx.execute(query).one_or_none()
    if case is None:
        raise CaseNotFound(**facts)
    if not case.may_edit:
        raise NotPermitted("This case is shared with your team to be looked at only.", role=actor.role)
    if case.status == "closed" and not closed_too:
        raise CaseClosed("This recovery case is closed; it can be opened again.", **facts)
    return case


def change(tx: Connection, case_id: uuid.UUID, now: datetime, **values: Any) -> None:
    """Change a case that is locked."""
    tx.execute(recovery_cases.update().where(recovery_cases.c.id == case_id).values(changed_at=now, **values))


def say(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    case_id: uuid.UUID,
    action: str,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write into the audit trail what was done to a case; nothing that somebody wrote."""
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=f"case.{action}",
        subject_kind="case",
        subject_id=case_id,
        case_id=case_id,
        facts=facts,
    )


def note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    case_id: uuid.UUID,
    body: str,
    *,
    note_id: uuid.UUID | None = None,
) -> None:
    """Write a note into a case, encrypted: why somebody did something is what people wrote."""
    row = {
        "id": note_id or core.ids.new(now),
        "case_id": case_id,
        "body": core.contacts.encrypt(body),
        "at": now,
        "actor": actor.label,
        "actor_name": actor.name,
    }
    tx.execute(case_notes.insert(), [row])


def claimed_before(
    tx: Connection,
    core: Core,
    actor: Actor,
    deed: str,
    key: str | None,
    request: Mapping[str, Any],
    result_id: uuid.UUID,
    now: datetime,
) -> uuid.UUID | None:
    """Claim an idempotency key; the id that the first request's deed made, or None when this is the first.

    Raises ``IdempotencyKeyReused`` and ``IdempotencyKeyInFlight``.
    """
    if key is None:
        return None
    claim = Claim(f"{actor.label}:{deed}", key, request, result_id)
    found = idempotency.claim(tx, core.keys.codes, [claim], now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    return found


def text(value: str | None, field: str, *, longest: int = NOTE_LENGTH, needed: str = "") -> str | None:
    """Return a text without the space around it, None for an empty one.

    Raises ``InputInvalid`` for one that is too long, or missing where ``needed`` says why it is needed.
    """
    kept = (value or "").strip()
    if needed and not kept:
        raise InputInvalid(errors=[{"field": field, "message": needed}])
    if len(kept) > longest:
        raise InputInvalid(errors=[{"field": field, "message": f"Use at most {longest} characters."}])
    return kept or None


def one_of(value: str, choices: tuple[str, ...], field: str) -> str:
    """Return a value that is one of the choices, or raise ``InputInvalid`` naming them."""
    if value not in choices:
        raise InputInvalid(errors=[{"field": field, "message": f"Send one of {', '.join(choices)}."}])
    return value


def checked_story(given: Mapping[str, str]) -> dict[str, str]:
    """Return answers without those that say nothing. Raises ``InputInvalid`` for a question that there is not."""
    for name in given:
        one_of(name, QUESTIONS, f"story.{name}")
    answers = {name: text(given.get(name), f"story.{name}") for name in QUESTIONS}
    return {name: answer for name, answer in answers.items() if answer}


def person(tx: Connection, label: str | None, field: str) -> Any:
    """Return the row of a person who could work on a case, by their label; None for none.

    Raises ``InputInvalid`` where there is nobody.
    """
    if label is None:
        return None
    known = users.c.id == owning.person_id(label)
    query = sa.select(users).where(known, users.c.disabled_at.is_(None), users.c.role.in_(owning.WORKERS))
    found = tx.execute(query).one_or_none()
    if found is None:
        raise InputInvalid(errors=[{"field": field, "message": "There is nobody like that who could work on it."}])
    return found


def check_sees(tx: Connection, person: Any, case_id: uuid.UUID) -> None:
    """Refuse with ``InputInvalid`` a person, given as their row, who could not work on a case; None is nobody.

    What is given to somebody who belongs elsewhere would wait for ever: they do not see it.
    """
    if person is None:
        return
    them = Actor(
        kind="person", id=person.id, name=person.name, role=person.role, location=person.location, team=person.team
    )
    query = sa.select(recovery_cases.c.id).where(recovery_cases.c.id == case_id, case_seen_by(them, to_edit=True))
    if tx.execute(query).first() is None:
        wrong = "They do not see this case. Share it with their team first, to work on it."
        raise InputInvalid(errors=[{"field": "owner", "message": wrong}])


def severity(value: int | None) -> int | None:
    """Return a severity that there is, or none; raises ``InputInvalid``."""
    if value is not None and value not in SEVERITIES:
        raise InputInvalid(errors=[{"field": "severity", "message": "A severity is 1 (slight) to 4 (grave)."}])
    return value
