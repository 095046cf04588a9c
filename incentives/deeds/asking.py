"""Asking again: a re-survey is planned, its answer is paired with the first score, and what follows from it.

Not a flow: it opens no transaction. Closing, redeeming, giving and responding to feedback ask by it.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Protocol
from incentives.deeds import caring, owning
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.core import Core
from incentives.queries import case_letters
from incentives.recovery import customers, outcome, surveys
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances

NO_ADDRESS = "There is no address to ask at."
NO_CONSENT = "The customer does not want to be asked."
BAD_ANSWER = "The customer was asked again, and the answer is no better."
NOT_TO_BE_ASKED = "A case that ended like this asks nobody."
_ASKED_OUTCOMES = (None, "recovered", "not_recovered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What an answer to a re-survey came to; ``recovered`` and ``evidence`` are None where the case has moved on."""

    survey_id: uuid.UUID
    case_id: uuid.UUID
    first_score_bp: int | None
    answer_score_bp: int
    recovered: bool | None
    evidence: str | None
    reopened: bool


def plan(
    tx: Connection,
    core: Core,
    now: datetime,
    catalog: Catalog,
    case_row: Any,
    after: str,
    *,
    hours: int | None = None,
    actor: Actor = SYSTEM,
) -> uuid.UUID | None:
    """Plan to ask a case's customer again; the id of the survey that will be sent, or None.

    After closing it is also the id of one that an earlier event of the same round has planned or sent.

    ``case_row`` is the case's id, or anything that has an ``id``; the case is read anew, so call it after the change
    (closed, redeemed, issued) is written. ``after`` is ``close``, ``redemption`` or ``issue``: nothing happens unless
    the case's protocol asks after that. ``hours`` (of a criterion's ``resurvey_hours``) asks whatever the protocol
    says, so many hours from now. Where nothing was given, what would be asked after giving or redeeming is asked after
    closing: nothing else will come. A round of a case is asked once. Who cannot be asked gets a survey that is
    suppressed at once, with the reason; what would nag is found out when it is due (``follow_up``), for much can
    happen until then.
    """
    case_id = case_row if isinstance(case_row, uuid.UUID) else case_row.id
    case = tx.execute(sa.select(recovery_cases).where(recovery_cases.c.id == case_id)).one()
    protocol = caring.protocol_of(tx, core, catalog, case)
    if protocol is None or (hours is None and not _asks(tx, protocol, case, after)):
        return surveys.standing(tx, case.id, case.round) if after == "close" else None
    contact = case_letters.reach(tx, core, case)
    reason = _why_not(tx, case, bool(contact.email or contact.phone))
    row = {
        "case_id": case.id,
        "round": case.round,
        "customer_id": case.customer_id,
        "after": after,
        "channel": "sms" if contact.phone and not contact.email else "email",
        "scale": protocol.resurvey_scale,
        "status": "suppressed" if reason else "planned",
        "reason": reason,
        "due_at": now + timedelta(hours=protocol.resurvey_hours if hours is None else hours),
        "first_score_bp": case.first_score_bp,
    }
    survey_id = surveys.plan(tx, core, row, now)
    if survey_id is None:
        return None
    _note(tx, core, actor, now, f"survey.{row['status']}", survey_id, case.id, {"after": after}, reason)
    return None if reason else survey_id


def asks_after(tx: Connection, core: Core, protocol_item_id: uuid.UUID | None, after: str) -> bool:
    """Return whether a version of a protocol asks after something: what hot paths look at first, for nothing."""
    if protocol_item_id is None:
        return False
    return releases.protocol_of(tx, protocol_item_id, core.cache).resurvey_after == after


def asked_after_giving(
    tx: Connection, core: Core, *, fresh: Mapping[uuid.UUID, uuid.UUID | None], before: Collection[uuid.UUID]
) -> list[uuid.UUID]:
    """Return in which cases the protocol asks again after giving; ``fresh`` ones, with theirs, cost no query."""
    asked = [case_id for case_id, item_id in fresh.items() if asks_after(tx, core, item_id, "issue")]
    if before:
        table = recovery_cases.c
        rows = tx.execute(sa.select(table.id, table.protocol_item_id).where(table.id.in_(list(before)))).all()
        asked += [row.id for row in rows if asks_after(tx, core, row.protocol_item_id, "issue")]
    return asked


def given(tx: Connection, core: Core, now: datetime, givers: Mapping[uuid.UUID, Actor]) -> None:
    """Plan to ask again in cases that ask after giving, once it is written; ``givers`` say who gave in which case."""
    if givers:
        catalog = releases.cached_current(tx, core).catalog
        for case_id, actor in givers.items():
            plan(tx, core, now, catalog, case_id, "issue", actor=actor)


def answered(tx: Connection, core: Core, now: datetime, catalog: Catalog, feedback_row: Any) -> Answered | None:
    """Pair an answer with the score that opened its case, decide whether the customer was recovered, reopen if not.

    Call it for each piece of feedback with a ``survey_id`` (needs also ``score_bp``), criteria or not; a piece that
    is revised comes again. None when there is nothing new: no survey, no score, the same answer once more, or one that
    comes after the window in which it may be changed.
    """
    if feedback_row.survey_id is None or feedback_row.score_bp is None:
        return None
    # The case first, as everywhere: who reopens it locks it before its surveys.
    case = _case_now(tx, surveys.case_of(tx, feedback_row.survey_id))
    survey = surveys.answer(tx, feedback_row.survey_id, feedback_row.score_bp, now)
    if survey is None:
        return None
    moved_on = survey.status == "withdrawn" or case.round != survey.round or case.id != survey.case_id
    recovered, evidence = outcome.decide(
        first_bp=survey.first_score_bp, answer_bp=survey.answer_score_bp, policy=catalog.recovery
    )
    if moved_on or recovered is None or evidence is None:
        recovered = evidence = None
    else:
        settle(tx, core, now, case.id, recovered=recovered, evidence=evidence)
    facts = {
        "first_score_bp": survey.first_score_bp,
        "answer_score_bp": survey.answer_score_bp,
        "recovered": recovered,
        "evidence": evidence,
    }
    _note(tx, core, SYSTEM, now, "survey.answered", survey.id, case.id, facts)
    bad = outcome.reopens(first_bp=survey.first_score_bp, answer_bp=survey.answer_score_bp, recovered=recovered)
    reopened = False
    if bad and not moved_on:
        current = releases.cached_current(tx, core)
        reopened = caring.reopen(tx, core, SYSTEM, now, current, case, why=BAD_ANSWER)
    if bad:
        owning.tell(tx, core, now, case.id, [case.owner], "notice-bad-answer")
    return Answered(
        survey_id=survey.id,
        case_id=case.id,
        first_score_bp=survey.first_score_bp,
        answer_score_bp=survey.answer_score_bp,
        recovered=recovered,
        evidence=evidence,
        reopened=reopened,
    )


def settle(
    tx: Connection,
    core: Core,
    now: datetime,
    case_id: uuid.UUID,
    *,
    recovered: bool,
    evidence: str,
    actor: Actor = SYSTEM,
) -> bool:
    """Say whether a case's customer was recovered, and by what that is known; False when better is known already.

    Who closes a case says by it what staff think (``evidence="judgment"``), which never replaces an answer.
    """
    table = recovery_cases.c
    weaker = sa.or_(table.recovered_evidence.is_(None), table.recovered_evidence.in_(outcome.gives_way_to(evidence)))
    changed = tx.execute(
        recovery_cases.update()
        .where(table.id == case_id, weaker)
        .values(recovered=recovered, recovered_evidence=evidence, recovered_at=now, changed_at=now),
    ).rowcount
    if changed:
        facts = {"recovered": recovered, "evidence": evidence}
        audit.record(
            tx,
            core=core,
            actor=actor,
            now=now,
            action="case.recovered" if recovered else "case.not-recovered",
            subject_kind="case",
            subject_id=case_id,
            case_id=case_id,
            facts=facts,
        )
    return bool(changed)


def bought_again(
    tx: Connection, core: Core, now: datetime, catalog: Catalog, customer_id: uuid.UUID | None, at: datetime
) -> Collection[uuid.UUID]:
    """Note that a customer bought something; the ids of the cases of theirs which that shows to be recovered.

    Call it for an event ``purchase``, and for a redemption that names an order. It counts for cases that were closed
    before, by no more days than the policy says, and about which nothing stronger is known.
    """
    if customer_id is None:
        return []
    table, policy = recovery_cases.c, catalog.recovery
    query = sa.select(table.id).where(
        table.customer_id.in_(customers.together(tx, [customer_id])),
        table.status == "closed",
        table.outcome.not_in(("merged", "no_action")),
        table.closed_at <= at,
        table.closed_at > at - timedelta(days=policy.purchase_within_days),
        sa.or_(table.recovered_evidence.is_(None), table.recovered_evidence == "judgment"),
    )
    recovered, evidence = outcome.decide(first_bp=None, answer_bp=None, policy=policy, bought_again=True)
    if recovered is None or evidence is None:
        raise AssertionError("a purchase is evidence")
    # In the order of their ids, so that two purchases at once do not wait for each other in a ring.
    ids = list(tx.execute(query.order_by(table.id)).scalars())
    return [each for each in ids if settle(tx, core, now, each, recovered=recovered, evidence=evidence)]


def _asks(tx: Connection, protocol: Protocol, case: Any, after: str) -> bool:
    if protocol.resurvey_after is None:
        return False
    if protocol.resurvey_after == after:
        return True
    return after == "close" and not _was_given(tx, case.id)


def _was_given(tx: Connection, case_id: uuid.UUID) -> bool:
    given = sa.select(issuances.c.id).where(issuances.c.case_id == case_id, issuances.c.status == "issued").limit(1)
    return tx.execute(given).first() is not None


def _why_not(tx: Connection, case: Any, has_address: bool) -> str | None:  # noqa: FBT001 - of this file only
    """Return why the customer cannot be asked, or None."""
    if case.outcome not in _ASKED_OUTCOMES or not case.salvageable:
        return NOT_TO_BE_ASKED
    if not has_address:
        return NO_ADDRESS
    said = feedback.c
    latest = sa.select(said.consent).where(said.case_id == case.id, said.consent.is_not(None))
    consent = tx.execute(latest.order_by(said.received_at.desc()).limit(1)).scalar_one_or_none()
    return NO_CONSENT if consent is False else None


def _case_now(tx: Connection, case_id: uuid.UUID) -> Any:
    """Return the case, locked, or the one into which it was merged; where that is long so, the other is not locked."""
    table = recovery_cases.c
    query = sa.select(recovery_cases).with_for_update(key_share=True)
    into = tx.execute(sa.select(table.merged_into_id).where(table.id == case_id)).scalar_one()
    case = tx.execute(query.where(table.id == (into or case_id))).one()
    while case.merged_into_id is not None:
        case = tx.execute(query.where(table.id == case.merged_into_id)).one()
    return case


def _note(
    tx: Connection,
    core: Core,
    actor: Actor,
    now: datetime,
    action: str,
    survey_id: uuid.UUID,
    case_id: uuid.UUID,
    facts: dict[str, Any],
    reason: str | None = None,
) -> None:
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action=action,
        subject_kind="survey",
        subject_id=survey_id,
        case_id=case_id,
        reason=reason,
        facts=facts,
    )
