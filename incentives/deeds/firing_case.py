"""Which case a piece of feedback belongs to: the one it came out of, an open one about the same trouble, or a new one.

Not a flow: it opens no transaction. The case is locked until the transaction ends; where there is none yet the
customer is, so that two reports of one trouble that come at the same instant open one case.
"""

import uuid
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import protocols
from incentives.catalog.catalog import Catalog
from incentives.deeds import caring, owning
from incentives.deeds.firing_piece import CaseAtHand, Piece
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.database import insert_unless_there
from incentives.recovery.tables import case_tags, customers, recovery_cases

SAME_TROUBLE = timedelta(days=30)
WORSE = "What was reported has become worse."
_FIELDS = tuple(name for name in CaseAtHand.__dataclass_fields__ if name != "opened_now")


def join_case(tx: Connection, piece: Piece, *, by: Actor) -> None:
    """Give a piece its case, which is opened in an actor's name where there is none.

    Raises ``NoProtocol`` and what else resolving a protocol raises.
    """
    row = _own(tx, piece) or _about_the_same(tx, piece)
    if row is None and piece.people:
        lock_customer(tx, piece)
        row = _about_the_same(tx, piece)
    if row is None:
        _open(tx, piece, by)
    else:
        _join(tx, piece, _open_again(tx, piece, row))


def _open_again(tx: Connection, piece: Piece, row: Any) -> Any:
    """Return a case, open again where a newer version of what it came out of is trouble; answers decide elsewhere."""
    if row.status == "open" or piece.row.revision == 1 or piece.row.survey_id is not None:
        return row
    if caring.reopen(tx, piece.core, SYSTEM, piece.now, piece.current, row, why=WORSE):
        owning.tell(tx, piece.core, piece.now, row.id, [row.owner], "notice-reopened")
    return _locked(tx, recovery_cases.c.id == row.id)


def lock_customer(tx: Connection, piece: Piece) -> None:
    """Let whoever opens a case for the same customer wait; the group's oldest stands for all that they are known as."""
    oldest = sa.select(customers.c.id).where(customers.c.id == piece.people[0])
    tx.execute(oldest.with_for_update(key_share=True))


def keep_with(tx: Connection, piece: Piece) -> None:
    """Let a piece that no criterion acts on stand with the case that it came out of."""
    row = _locked(tx, recovery_cases.c.id == piece.origin.id)
    if row is not None:
        _join(tx, piece, row)


def _own(tx: Connection, piece: Piece) -> Any:
    """Return the case that a piece came out of; what is said about a voucher of a closed case is a new trouble."""
    if piece.origin is None:
        return None
    about_a_voucher = piece.row.case_id is None and piece.row.survey_id is None
    if about_a_voucher:
        return _locked_open(tx, piece.origin.id)
    row = _locked(tx, recovery_cases.c.id == piece.origin.id)
    while row.merged_into_id is not None:  # While we waited: what comes out of it belongs to the other from here on.
        row = _locked(tx, recovery_cases.c.id == row.merged_into_id)
    return row


def _about_the_same(tx: Connection, piece: Piece) -> Any:
    """Return the newest open case of the customer with an issue tag that is the piece's, above it, or below it.

    A case has as many tags as were reported of it, or were merged into it: each is the same trouble.
    """
    if not piece.people or piece.issue_tag is None:
        return None
    catalog, table, tagged = piece.catalog, recovery_cases.c, case_tags.c
    query = (
        sa.select(table.id, tagged.issue_tag)
        .join(case_tags, tagged.case_id == table.id)
        .where(
            table.customer_id.in_(piece.people),
            table.status == "open",
            table.merged_into_id.is_(None),
            table.opened_at > piece.now - SAME_TROUBLE,
        )
    )
    rows = tx.execute(query.order_by(table.opened_at.desc(), table.id.desc())).all()
    near = [row.id for row in rows if _is_near(catalog, piece.issue_tag, row.issue_tag)]
    return next((found for each in dict.fromkeys(near) if (found := _locked_open(tx, each)) is not None), None)


def _is_near(catalog: Catalog, one: str, other: str) -> bool:
    return one in catalog.lineage(other) or other in catalog.lineage(one)


def _locked_open(tx: Connection, case_id: uuid.UUID) -> Any:
    """Return a case, locked; None where it was closed while we waited, and then it is not locked any more.

    PostgreSQL keeps the lock of a row that turns out not to be wanted. Whoever kept that and waited for the next case
    could wait in a ring with somebody who merges the two, so it is given back with a savepoint.
    """
    savepoint = tx.begin_nested()
    found = _locked(tx, sa.and_(recovery_cases.c.id == case_id, recovery_cases.c.status == "open"))
    if found is None:
        savepoint.rollback()
    else:
        savepoint.commit()
    return found


def _locked(tx: Connection, this: sa.ColumnElement[bool]) -> Any:
    return tx.execute(sa.select(recovery_cases).where(this).with_for_update(key_share=True)).one_or_none()


def _join(tx: Connection, piece: Piece, row: Any) -> None:
    """Put a piece to a case that there is."""
    piece.case = CaseAtHand(**{name: getattr(row, name) for name in _FIELDS})
    for tag in piece.tags:
        insert_unless_there(tx, case_tags, ("case_id", "issue_tag"), {"case_id": row.id, "issue_tag": tag})
    table = recovery_cases.c
    first = sa.case((table.first_score_bp.is_(None), piece.row.score_bp), else_=table.first_score_bp)
    answers = piece.row.survey_id is not None
    tx.execute(
        recovery_cases.update()
        .where(table.id == row.id)
        .values(changed_at=piece.now, **({} if answers else {"first_score_bp": first}))
    )
    if piece.row.case_id != row.id:
        facts = {"source": piece.row.source, "score_bp": piece.row.score_bp}
        _note(piece, "feedback.joined", facts, by=SYSTEM)


def _open(tx: Connection, piece: Piece, by: Actor) -> None:
    catalog, row = piece.catalog, piece.row
    segment = row.segment if row.segment in catalog.segments else None
    found = protocols.resolve(
        catalog,
        issue_tag=piece.issue_tag or "",
        severity=piece.severity,
        location=piece.location,
        segment=segment,
    )
    laid = caring.lay_out(
        piece.core,
        by,
        piece.now,
        piece.current,
        caring.NewCase(
            issue_tag=piece.issue_tag or "",
            severity=found.severity,
            protocol=found.protocol,
            issue_tags=piece.tags,
            customer_id=piece.people[0] if piece.people else None,
            contact=piece.contact,
            locale=row.locale,
            segment=segment,
            location=piece.location,
            order_ref=row.order_ref,
            product=row.product,
            source=row.source,
            occurred_at=row.occurred_at,
            first_score_bp=row.score_bp,
            story=_story(piece),
        ),
    )
    caring.write(tx, [laid])
    piece.case = CaseAtHand(**{name: laid.case.get(name, 1) for name in _FIELDS}, opened_now=True)
    _note(piece, "case.opened", {"source": row.source}, by=by)


def _story(piece: Piece) -> dict[str, str]:
    """Return what of the intake's questions the piece answers already, so that nobody asks the customer twice."""
    local = piece.row.occurred_at.astimezone(ZoneInfo(piece.catalog.time_zone(piece.location)))
    answers = {"what": piece.comment, "who": piece.row.agent, "when": f"{local:%Y-%m-%d %H:%M}"}
    return {**{name: text for name, text in answers.items() if text}, **caring.story_of(piece.core, piece.row.story)}


def _note(piece: Piece, action: str, facts: dict[str, Any], *, by: Actor) -> None:
    if piece.case is None:
        raise AssertionError("a piece has no case to note anything on")
    piece.events.append(
        audit.event(
            core=piece.core,
            actor=by,
            now=piece.now,
            action=action,
            subject_kind="feedback",
            subject_id=piece.row.id,
            case_id=piece.case.id,
            facts=facts,
        )
    )
