"""Respond: the criteria in force act on a piece of feedback, once, whoever dies meanwhile.

permit nobody (criteria were approved by two) → now → begin → claim → understand → find or open the case → fire, one
criterion after another → audit → end. Everything is one transaction a piece: what was not committed was not done,
and the piece is due again.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.deeds import asking, firing
from incentives.deeds.firing_case import join_case, keep_with
from incentives.deeds.firing_piece import Piece, piece_of
from incentives.kernel.actors import SYSTEM, Actor, rule
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal, StorageUnavailable
from incentives.queries import letters
from incentives.recovery import criteria
from incentives.recovery.criteria import Match
from incentives.recovery.feedback_tables import criteria_firings, feedback, feedback_inbox, feedback_revisions

log = logging.getLogger("incentives.respond")

PUT_OFF = timedelta(minutes=1)
NO_TAG = "It says no issue tag, and a case is to be opened: name what went wrong."
STUMBLED = "No rule could act on it. Somebody who looks after the system must look into its log."


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """What became of a piece: ``status`` is settling while it may still change, waiting while a person is needed."""

    feedback_id: uuid.UUID
    status: str
    case_id: uuid.UUID | None = None
    issuance_id: uuid.UUID | None = None
    fired: tuple[str, ...] = ()


def respond_to(*, core: Core, feedback_ids: Sequence[uuid.UUID]) -> list[Responded]:
    """Let the criteria act on those of the pieces that are due, each in a transaction of its own, in order.

    Raises nothing that is about one piece: one that nobody could act on waits for a person, and one that the database
    was too busy for is done by the worker.
    """
    return [_respond_to_one(core, each) for each in feedback_ids]


def respond_due(*, core: Core, limit: int = 100) -> int:
    """Act on at most so many pieces whose settle window is over, those that wait longest first; return how many.

    Any number may do so at once: each passes over what another has claimed. Raises ``StorageUnavailable``.
    """
    for done in range(limit):
        if not _respond_next(core):
            return done
    return limit


def _respond_to_one(core: Core, feedback_id: uuid.UUID) -> Responded:
    now = core.clock.now()
    try:
        with core.database.write() as tx:
            row = claim(tx, feedback_id, now)
            return _act(tx, core, row, now) if row is not None else _as_it_stands(tx, feedback_id)
    except StorageUnavailable:
        return Responded(feedback_id=feedback_id, status="settling")
    except Exception as error:  # noqa: BLE001 - whatever it is, the piece is neither lost nor tried for ever
        return _set_aside(core, feedback_id, error)


def _respond_next(core: Core) -> bool:
    """Act on the piece that has waited longest; False when none is due."""
    now = core.clock.now()
    due_id: uuid.UUID | None = None
    try:
        with core.database.write() as tx:
            due_id = _due(tx, now)
            row = None if due_id is None else claim(tx, due_id, now)
            if row is not None:
                _act(tx, core, row, now)
    except StorageUnavailable:
        if due_id is None:
            raise
        _put_off(core, due_id, now)
    except Exception as error:
        if due_id is None:
            raise
        _set_aside(core, due_id, error)
    return due_id is not None


def _put_off(core: Core, feedback_id: uuid.UUID, now: datetime) -> None:
    """Let a piece that the database was too busy for come later: tried first each time, it would hold up all others.

    Raises ``StorageUnavailable`` where it is the database itself that cannot be reached.
    """
    table = feedback.c
    mine = sa.and_(table.id == feedback_id, table.status == "settling", table.act_at <= now)
    with core.database.write() as tx:
        tx.execute(feedback.update().where(mine).values(act_at=now + PUT_OFF))


def _due(tx: Connection, now: datetime) -> uuid.UUID | None:
    table = feedback.c
    query = sa.select(table.id).where(table.status == "settling", table.act_at <= now)
    first = query.order_by(table.act_at, table.id).limit(1).with_for_update(skip_locked=True)
    return tx.execute(first).scalar_one_or_none()


def claim(tx: Connection, feedback_id: uuid.UUID, now: datetime) -> Any:
    """Take a piece that is due, by one conditional update; its row, or None when it is not due or somebody took it."""
    table = feedback.c
    return tx.execute(
        feedback.update()
        .where(table.id == feedback_id, table.status == "settling", table.act_at <= now)
        .values(status="acted", acted_at=now)
        .returning(*table)
    ).one_or_none()


def _set_aside(core: Core, feedback_id: uuid.UUID, error: Exception) -> Responded:
    """Let a piece that no rule could act on wait for a person: trying it for ever would hold up all behind it."""
    reason = str(error.title) if isinstance(error, Refusal) else STUMBLED
    if not isinstance(error, Refusal):
        log.error("feedback %s could not be acted on", feedback_id, exc_info=error)
    table = feedback.c
    with core.database.write() as tx:
        tx.execute(
            feedback.update()
            .where(table.id == feedback_id, table.status == "settling")
            .values(status="waiting", reason=reason)
        )
        return _as_it_stands(tx, feedback_id)


def _as_it_stands(tx: Connection, feedback_id: uuid.UUID) -> Responded:
    """Return what became of a piece that somebody else acted on, or nobody yet."""
    row = tx.execute(sa.select(feedback.c.status, feedback.c.case_id).where(feedback.c.id == feedback_id)).one()
    fired = criteria_firings.c
    found = tx.execute(
        sa.select(fired.criterion, fired.issuance_id, fired.mode)
        .where(fired.feedback_id == feedback_id)
        .order_by(fired.at, fired.id)
    ).all()
    return Responded(
        feedback_id=feedback_id,
        status=row.status,
        case_id=row.case_id,
        issuance_id=next((each.issuance_id for each in found if each.issuance_id), None),
        fired=tuple(each.criterion for each in found if each.mode != "shadow"),
    )


def _act(tx: Connection, core: Core, row: Any, now: datetime) -> Responded:
    """Act on a piece that was claimed just now."""
    current = releases.cached_current(tx, core)
    asking.answered(tx, core, now, current.catalog, row)
    piece = piece_of(tx, core, now, current, row)
    fired = _fired_before(tx, row.id) if row.revision > 1 else {}
    # A newer version of a piece that was given something for is given nothing more, by whichever criterion.
    piece.taken_by = next((key for key, gave in fired.items() if gave), None)
    found = [each for each in criteria.evaluate(piece.rules, piece.facts) if each.rule.key not in fired]
    opener = _opener(tx, piece, found)
    if opener is not None and piece.issue_tag is None:
        _note_purchase(tx, piece)
        return _leave(tx, piece, status="waiting", reason=NO_TAG)
    if opener is not None:
        join_case(tx, piece, by=opener)
    elif piece.origin is not None:
        keep_with(tx, piece)
    _note_purchase(tx, piece)
    _note_revision(tx, piece)
    _fire(tx, piece, found)
    return _leave(tx, piece, status="acted", reason=None)


def _opener(tx: Connection, piece: Piece, found: Sequence[Match]) -> Actor | None:
    """Return in whose name a case is opened: the first criterion's that acts, or the reporter's who asks for one."""
    acting = next((each.rule for each in found if each.rule.mode == "live"), None)
    if acting is not None:
        return rule(acting.key, acting.name)
    if not piece.row.open_case:
        return None
    query = sa.select(feedback_inbox.c.actor).where(feedback_inbox.c.id == piece.row.inbox_id)
    label = tx.execute(query).scalar_one_or_none() or SYSTEM.label
    kind, _, actor_id = label.partition(":")
    return Actor(kind=kind, id=uuid.UUID(actor_id), name=letters.actor_names(tx, {label}).get(label, label))


def _note_purchase(tx: Connection, piece: Piece) -> None:
    """Note a purchase after the piece has its case: open cases are locked before closed ones, as merging does it."""
    row = piece.row
    if row.event == "purchase":
        asking.bought_again(tx, piece.core, piece.now, piece.catalog, row.customer_id, row.occurred_at)


def _fired_before(tx: Connection, feedback_id: uuid.UUID) -> Mapping[str, bool]:
    """Return the criteria that acted on an earlier version, and whether each gave: they never act on it again."""
    table = criteria_firings.c
    query = sa.select(table.criterion, table.issuance_id).where(table.feedback_id == feedback_id).order_by(table.id)
    return {row.criterion: row.issuance_id is not None for row in tx.execute(query)}


def _fire(tx: Connection, piece: Piece, found: Sequence[Match]) -> None:
    for match in found:
        firing.fire(tx, piece, match)
    if piece.firings:
        tx.execute(criteria_firings.insert(), piece.firings)
    audit.record_all(tx, piece.events)


def _note_revision(tx: Connection, piece: Piece) -> None:
    """Say on its case that a score became better or worse after something was done; what was given stays given."""
    if piece.row.revision == 1 or piece.case is None or piece.case.opened_now:
        return
    table = feedback_revisions.c
    before = tx.execute(
        sa.select(table.score_bp)
        .where(table.feedback_id == piece.row.id, table.revision < piece.row.revision)
        .order_by(table.revision.desc())
        .limit(1)
    ).scalar_one_or_none()
    after = piece.row.score_bp
    if before is None or after is None or before == after:
        return
    piece.events.append(
        audit.event(
            core=piece.core,
            actor=SYSTEM,
            now=piece.now,
            action="feedback.better" if after > before else "feedback.worse",
            subject_kind="feedback",
            subject_id=piece.row.id,
            case_id=piece.case.id,
            facts={"before_bp": before, "after_bp": after},
        )
    )


def _leave(tx: Connection, piece: Piece, *, status: str, reason: str | None) -> Responded:
    case_id = piece.case.id if piece.case is not None else piece.row.case_id
    tx.execute(
        feedback.update()
        .where(feedback.c.id == piece.row.id)
        .values(status=status, reason=reason, case_id=case_id, acted_at=piece.now if status == "acted" else None)
    )
    return Responded(
        feedback_id=piece.row.id,
        status=status,
        case_id=case_id,
        issuance_id=piece.issuance_id,
        fired=tuple(each["criterion"] for each in piece.firings if each["mode"] != "shadow"),
    )
