"""Watch the books: they are proved by themselves, and whoever minds the money is told at once when something is wrong.

The worker does it: every hour unless it is told otherwise the invariants and what was sealed since, once a day every
seal there is. What it found is kept, and shown on the finance page and by the health check.

That the books cannot be read is a breach too, or whoever can alter them could blind the watch. A proof that never ended
is begun again when the next one is due, for the worker may have been stopped; two in succession are a breach.
"""

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.books.tables import books_checks
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.kernel.errors import StorageUnavailable
from incentives.messages import outbox
from incentives.queries.books import check_books
from incentives.queries.books_budgets import NO_OLD_HOLD
from incentives.queries.books_proof import NOTHING_STUCK
from incentives.queries.books_verify import Checkpoint, Known, verify_books
from incentives.safeguards import switches

ABOUT = "books_check"
TOLD = ("finance", "auditor", "admin")
WHOLE_EVERY = timedelta(hours=23)  # a little less than a day, so that it stays at its hour
ABANDONED = timedelta(minutes=30)
"""So old a proof that has not ended never will: whoever began it is gone."""

MOST_NAMED = 20
NO_BREACH = (NOTHING_STUCK, NO_OLD_HOLD)
"""Checks that fail when a worker or a provider was away for a while: somebody should look, and nothing is altered."""
_LONGEST = 300
_BREACH = "The books do not hold; see the books check on the finance page."
_NEVER_ENDED = "The last two proofs of the books were begun and never ended."
_DAWN = datetime(2000, 1, 1, tzinfo=UTC)

log = logging.getLogger("incentives.watch_books")


def watch_books(*, core: Core) -> bool | None:
    """Prove the books if that is due; return whether they hold, or None where it is not due or another process does it.

    A breach is written down, told by email to whoever minds the money, and switches issuing off where the settings say
    so. One that was told stays told: the next email goes out once the books have held again.
    """
    now = core.clock.now()
    due_at = _slot(now, core.settings.books_check_minutes)
    with core.database.read() as tx:
        begun = books_checks.c.due_at.between(due_at, now)
        if tx.execute(sa.select(books_checks.c.id).where(begun).limit(1)).first():
            return None
        known, whole = _known(tx), _whole_is_due(tx, now)
    check_id = core.ids.new(now)
    row = {"id": check_id, "due_at": due_at, "started_at": now, "whole": whole}
    with core.database.write() as tx:
        if not insert_unless_there(tx, books_checks, ("due_at",), row):
            return None
        _tell_of_proofs_that_never_ended(tx, core, now)
    switches.forget(core)
    proof = _proof(core, known, only_new=not whole)
    _conclude(core, check_id, proof)
    return not proof.broken


@dataclass(slots=True)
class _Proof:
    """What proving the books has found."""

    broken: list[str] = field(default_factory=list)
    examined: int = 0
    head: Checkpoint | None = None


def _proof(core: Core, known: Known | None, *, only_new: bool) -> _Proof:
    proof = _Proof()
    with _told(proof, "the books cannot be checked"):
        checks = check_books(core=core, actor=SYSTEM)
        proof.broken += [
            f"{each.name}: {line}" for each in checks if each.name not in NO_BREACH for line in each.broken
        ]
        proof.examined += sum(each.examined for each in checks)
    with _told(proof, "the seals cannot be verified"):
        verdict = verify_books(core=core, actor=SYSTEM, known=known, only_new=only_new)
        proof.broken += [fault.words for fault in verdict.faults]
        proof.examined += verdict.rows
        proof.head = verdict.head
    return proof


@contextmanager
def _told(proof: _Proof, what: str) -> Iterator[None]:
    """Let a proof end whatever it meets: what is told is what somebody may have wanted to keep from being told."""
    try:
        yield
    except StorageUnavailable:
        raise
    except Exception as error:
        log.exception("%s", what)
        proof.broken.append(f"{what}: {type(error).__name__}")


def _tell_of_proofs_that_never_ended(tx: Connection, core: Core, now: datetime) -> None:
    """Take two proofs in succession that never ended for a breach, before the next one may end no better."""
    table = books_checks.c
    latest = sa.select(sa.func.max(table.due_at)).where(table.holds.is_not(None), table.due_at <= now).scalar_subquery()
    since = sa.or_(latest.is_(None), table.due_at > latest)
    gone = (table.holds.is_(None), table.started_at <= now - ABANDONED, since)
    found = tx.execute(sa.select(table.id).where(*gone).order_by(table.due_at.desc()).limit(2)).scalars().all()
    if len(found) > 1:
        _end(tx, core, now, found[0], {"holds": False, "broken": [_NEVER_ENDED]})


def _slot(now: datetime, minutes: int) -> datetime:
    """Return the instant since when a check is due: all processes agree on it."""
    every = timedelta(minutes=minutes)
    return _DAWN + every * ((now - _DAWN) // every)


def _known(tx: Connection) -> Known | None:
    """Return the last seal that was verified and held."""
    table = books_checks.c
    held = sa.and_(table.holds.is_(True), table.seal_number.is_not(None))
    query = sa.select(table.seal_number, table.seal_hash).where(held).order_by(table.due_at.desc()).limit(1)
    row = tx.execute(query).one_or_none()
    return Known(row.seal_number, row.seal_hash) if row else None


def _whole_is_due(tx: Connection, now: datetime) -> bool:
    """Return whether no whole verification was begun lately; after a breach each is whole, until the books hold."""
    table = books_checks.c
    lately = (table.whole.is_(True), table.holds.is_not(None), table.due_at.between(now - WHOLE_EVERY, now))
    begun = tx.execute(sa.select(table.id).where(*lately).limit(1)).first() is not None
    return not begun or _held(tx) is False


def _held(tx: Connection) -> bool | None:
    """Return what the latest proof that ended found; None where none did."""
    table = books_checks.c
    query = sa.select(table.holds).where(table.holds.is_not(None)).order_by(table.due_at.desc()).limit(1)
    found: bool | None = tx.execute(query).scalar_one_or_none()
    return found


def _conclude(core: Core, check_id: uuid.UUID, proof: _Proof) -> None:
    now = core.clock.now()
    values: dict[str, Any] = {
        "holds": not proof.broken,
        "examined": proof.examined,
        "broken": [line[:_LONGEST] for line in proof.broken[:MOST_NAMED]],
    }
    with core.database.write() as tx:
        known = _known(tx)
        if proof.head is not None:
            values |= {"seal_number": proof.head.number, "seal_hash": proof.head.hash}
        elif known is not None:  # nothing was sealed since
            values |= {"seal_number": known.number, "seal_hash": known.hash}
        _end(tx, core, now, check_id, values)
    switches.forget(core)


def _end(tx: Connection, core: Core, now: datetime, check_id: uuid.UUID, values: dict[str, Any]) -> None:
    """Write down what a proof came to, and tell of a breach unless that was told."""
    held = _held(tx)
    tx.execute(books_checks.update().where(books_checks.c.id == check_id).values(ended_at=now, **values))
    if not values["holds"] and held is not False:
        _breach(tx, core, now, check_id, values["broken"])


def _breach(tx: Connection, core: Core, now: datetime, check_id: uuid.UUID, broken: Sequence[str]) -> None:
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action="books.broken",
        subject_kind="books_check",
        subject_id=check_id,
        facts={"broken": list(broken)},
    )
    if core.settings.books_breach_stops_issuing:
        _stop_issuing(tx, core, now)
    people = sa.select(users.c.id).where(users.c.role.in_(TOLD), users.c.disabled_at.is_(None)).order_by(users.c.id)
    outbox.enqueue(
        tx,
        [
            outbox.notice_about(
                core=core, now=now, about=ABOUT, about_id=check_id, user_id=each, template=outbox.BOOKS_NOTICE
            )
            for each in tx.execute(people).scalars()
        ],
    )


def _stop_issuing(tx: Connection, core: Core, now: datetime) -> None:
    """Switch issuing off for everybody, unless it is; a person lifts it, as any other switch."""
    switch_id = core.ids.new(now)
    row = {
        "id": switch_id,
        "stops": switches.ISSUING,
        "scope": switches.ORGANIZATION,
        "subject": switches.ORGANIZATION,
        "reason": _BREACH,
        "set_by": SYSTEM.label,
        "set_by_name": SYSTEM.name,
        "set_at": now,
    }
    if switches.add(tx, row):
        audit.record(
            tx,
            core=core,
            actor=SYSTEM,
            now=now,
            action="switch.set",
            subject_kind="switch",
            subject_id=switch_id,
            reason=_BREACH,
            facts={"stops": switches.ISSUING, "scope": switches.ORGANIZATION, "subject": switches.ORGANIZATION},
        )
