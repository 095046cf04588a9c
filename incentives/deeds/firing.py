"""Firing: what a criterion does in a case once it holds, and what it would do while it is in shadow.

Not a flow: it opens no transaction. Responding to feedback fires by it, criterion by criterion, the greatest priority
first. What is refused leaves nothing behind but the firing that says so, and a task for a person.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.catalog.definitions import Criterion
from incentives.deeds import asking, firing_gift, owning
from incentives.deeds.firing_apology import apologize
from incentives.deeds.firing_piece import Firing, Piece
from incentives.kernel.actors import rule
from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from incentives.recovery import criteria
from incentives.recovery.criteria import Match, wants
from incentives.recovery.tables import recovery_cases


def fire(tx: Connection, piece: Piece, match: Match) -> None:
    """Let one criterion act, or write down what it would have done."""
    criterion: Criterion = match.rule
    team = (criterion.then.get("assign") or {}).get("team")
    firing = Firing(
        piece=piece, rule=criterion, matched=match.facts, actor=rule(criterion.key, criterion.name, team=team)
    )
    if criterion.mode == "live":
        _act(tx, firing)
    else:
        _would(tx, firing)
    piece.firings.append(_row(firing))
    if firing.mode != "shadow":
        piece.events.append(_event(firing))


def _act(tx: Connection, firing: Firing) -> None:
    then = firing.rule.then
    firing.did("open_case", "opened" if firing.case.opened_now else "attached")
    if wants(then, "unsalvageable"):
        _unsalvageable(tx, firing)
    if wants(then, "assign"):
        _assign(tx, firing)
    if wants(then, "apologize"):
        apologize(tx, firing)
    if criteria.gives(then):
        firing_gift.give(tx, firing)
    if wants(then, "offer"):
        firing_gift.offer(tx, firing)
    if wants(then, "notify"):
        _notify(tx, firing)
    if wants(then, "resurvey_hours"):
        _ask_again(tx, firing)


def _unsalvageable(tx: Connection, firing: Firing) -> None:
    piece = firing.piece
    changed = tx.execute(
        recovery_cases.update()
        .where(recovery_cases.c.id == firing.case.id, recovery_cases.c.salvageable.is_(sa.true()))
        .values(salvageable=False, changed_at=piece.now)
    ).rowcount
    firing.case.salvageable = False
    firing.did("unsalvageable", "done" if changed else "already")


def _assign(tx: Connection, firing: Firing) -> None:
    """Give the case to whoever the criterion means, unless somebody has it."""
    piece, case, wanted = firing.piece, firing.case, firing.rule.then["assign"]
    if case.owner is not None or (case.owner_team is not None and not case.opened_now):
        firing.did("assign", "already", owner=case.owner, team=case.owner_team)
        return
    agents = (piece.row.agent,) if piece.row.agent else ()
    owner = owning.best_owner(tx, piece.catalog, case, wanted, agents=agents)
    team = wanted.get("team")
    if owner is None and team is None:
        firing.did("assign", "nobody-free")
        return
    by = f"criterion {firing.rule.key}"
    if not owning.assign(tx, piece.core, firing.actor, piece.now, case, owner=owner, team=team, by=by):
        firing.did("assign", "case-closed")
        return
    case.owner, case.owner_team = owner, team
    firing.did("assign", "done", owner=owner, team=team)


# --- telling ----------------------------------------------------------------------------------------------


def _notify(tx: Connection, firing: Firing) -> None:
    """Tell the people of the roles who see the case, each once about it."""
    piece, roles = firing.piece, firing.rule.then["notify"]
    at_home = sa.or_(users.c.location.is_(None), users.c.location == piece.location)
    told = sa.select(outbox_messages.c.user_id).where(
        outbox_messages.c.case_id == firing.case.id, outbox_messages.c.template == "notice-new"
    )
    query = sa.select(users.c.id).where(users.c.role.in_(roles), users.c.disabled_at.is_(None), at_home)
    lately = outbox.told_lately(tx, piece.now, ["notice-new"])
    already = {*tx.execute(told).scalars(), *(each for each in lately if lately[each] >= outbox.MOST_NOTICES)}
    fresh = [each for each in tx.execute(query.order_by(users.c.id)).scalars() if each not in already]
    notices = [
        outbox.notice(core=piece.core, now=piece.now, case_id=firing.case.id, user_id=each, template="notice-new")
        for each in fresh
    ]
    outbox.enqueue(tx, notices)
    firing.did("notify", "done" if fresh else "nobody-new", people=len(fresh))


def _ask_again(tx: Connection, firing: Firing) -> None:
    piece = firing.piece
    hours = firing.rule.then["resurvey_hours"]
    planned = asking.plan(
        tx, piece.core, piece.now, piece.catalog, firing.case, "issue", hours=hours, actor=firing.actor
    )
    firing.did("resurvey_hours", "planned" if planned else "not-asked", hours=hours)


# --- shadow -----------------------------------------------------------------------------------------------


def _would(tx: Connection, firing: Firing) -> None:
    """Write down what a criterion in shadow would have done and cost; nothing but the firing is written."""
    firing.mode, firing.outcome = "shadow", "would_have"
    then = firing.rule.then
    for deed in then:
        if deed not in ("issue", "ask_approval") and wants(then, deed):
            firing.did(deed, "would")
    if criteria.gives(then):
        firing_gift.would_give(tx, firing)


# --- records ----------------------------------------------------------------------------------------------


def _row(firing: Firing) -> dict[str, Any]:
    piece, cost = firing.piece, firing.cost
    return {
        "id": piece.core.ids.new(piece.now),
        "criterion": firing.rule.key,
        "criterion_item_id": piece.current.item_ids["criterion", firing.rule.key],
        "feedback_id": piece.row.id,
        "source": piece.row.source,
        "case_id": piece.case.id if piece.case is not None else None,
        "issuance_id": firing.issuance_id,
        "mode": firing.mode,
        "outcome": firing.outcome,
        "facts": dict(firing.matched),
        "actions": firing.actions,
        "cost_minor": cost.amount_minor if cost else None,
        "currency": cost.currency if cost else None,
        "at": piece.now,
    }


def _event(firing: Firing) -> dict[str, Any]:
    piece = firing.piece
    results = {each["deed"]: each["result"] for each in firing.actions}
    return audit.event(
        core=piece.core,
        actor=firing.actor,
        now=piece.now,
        action="criterion.fired",
        subject_kind="feedback",
        subject_id=piece.row.id,
        case_id=piece.case.id if piece.case is not None else None,
        facts={"criterion": firing.rule.key, "outcome": firing.outcome, "done": results},
    )
