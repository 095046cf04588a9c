"""Giving by a criterion: within its breaker, its ceiling and its holdout, once a case, and never twice for one piece.

Not a flow: it opens no transaction. Whatever is refused here is undone to the last row, and a person is asked.
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.definitions import OUR_SOURCES
from incentives.deeds import assessment, giving, reviewing
from incentives.deeds.answers import AwaitingApproval, Issued
from incentives.deeds.firing_piece import (
    Firing,
    Piece,
    customer_given,
    leave_task,
    reachable,
    why_unreachable,
)
from incentives.deeds.giving import AUTOMATION_CEILING, RULE_ASKS, IssueVoucher
from incentives.kernel.errors import Refusal
from incentives.kernel.money import Money
from incentives.recovery import breakers, criteria
from incentives.recovery.breakers import Breaker, Hour
from incentives.recovery.criteria import wants
from incentives.recovery.feedback_tables import criteria_firings, feedback
from incentives.recovery.tables import recovery_cases

SAME_TROUBLE = timedelta(days=30)
NOT_SALVAGEABLE = "not-salvageable"
BREAKER_TRIPPED = "breaker-tripped"
UNKNOWN_SOURCES = "unknown-sources"
"""Under this a breaker counts all sources together that the catalog does not name."""


class _Tripped(Exception):
    """The breaker has no room for what was just given."""


def give(tx: Connection, firing: Firing) -> None:
    """Give, unless something stands against it; whatever comes of it, no criterion after this one gives."""
    piece, criterion = firing.piece, firing.rule
    if piece.taken_by is not None:
        firing.outcome = "outranked"
        firing.did("issue", "outranked", by=piece.taken_by)
        return
    piece.taken_by = criterion.key
    if _gave(tx, criterion.key, piece):
        firing.outcome = "already"
        firing.did("issue", "already")
    elif not firing.case.salvageable:
        _refuse(tx, firing, NOT_SALVAGEABLE)
    elif firing.case.held_out_of not in (None, criterion.key):
        firing.outcome = "outranked"
        firing.did("issue", "outranked", by=firing.case.held_out_of)
    elif criteria.held_out(piece.core.keys.codes, criterion.key, _subject(piece), criterion.holdout_percent):
        _hold_out(tx, firing)
    elif why := why_unreachable(piece, criterion.then["issue"]["channels"]):
        _refuse(tx, firing, why)
    else:
        _try_to_give(tx, firing)


def _gave(tx: Connection, key: str, piece: Piece) -> bool:
    """Return whether a criterion gave in a piece's case before, or in one of the customer's that was merged into it."""
    table, case = criteria_firings.c, recovery_cases.c
    merged = sa.select(case.id).where(case.customer_id.in_(piece.people), case.merged_into_id.in_(piece.cases))
    query = sa.select(table.id).where(
        table.criterion == key,
        sa.or_(table.case_id.in_(piece.cases), table.case_id.in_(merged)),
        table.issuance_id.is_not(None),
    )
    return tx.execute(query.limit(1)).first() is not None


def _subject(piece: Piece) -> str:
    """Return whom the holdout's coin is thrown for: the customer, whatever address they use, else the piece itself."""
    return str(piece.people[0] if piece.people else piece.row.id)


def _hold_out(tx: Connection, firing: Firing) -> None:
    firing.mode = firing.outcome = "held_out"
    tx.execute(recovery_cases.update().where(recovery_cases.c.id == firing.case.id).values(held_out_of=firing.rule.key))
    firing.case.held_out_of = firing.rule.key
    firing.did("issue", "held-out")


def _try_to_give(tx: Connection, firing: Firing) -> None:
    """Give within a savepoint, so that a breaker or a budget which says no leaves nothing of it."""
    piece = firing.piece
    hour = Hour.at(firing.rule.key, _answerable(piece), piece.now)
    breaker = Breaker.of(firing.rule.breaker)
    if breakers.is_open(tx, hour, breaker):
        _trip(tx, firing)
        return
    try:
        with tx.begin_nested():
            command, amount = _command(firing)
            given = _given(tx, firing, command)
            _charge(tx, hour, breaker, amount)
    except _Tripped:
        _trip(tx, firing)
    except Refusal as refusal:
        reviewing.remember(tx, piece.core, firing.actor, [refusal], piece.now)
        _refuse(tx, firing, refusal.slug)
    else:
        _note(firing, command, amount, given)


def _answerable(piece: Piece) -> str:
    """Return the source that a gift counts for: its own where the catalog or we ourselves know it, else one for all.

    Whoever may report may make up a source, and one that was new each time would have a new hour's allowance each time.
    """
    named = {name for each in piece.rules for name in each.when.get("sources", ())}
    known = (*piece.catalog.sources, *OUR_SOURCES, *named)
    return piece.row.source if piece.row.source in known else UNKNOWN_SOURCES


def _charge(tx: Connection, hour: Hour, breaker: Breaker, amount: Money) -> None:
    if not breakers.charge(tx, hour, breaker, amount):
        raise _Tripped


def _note(firing: Firing, command: IssueVoucher, amount: Money, given: Issued | AwaitingApproval) -> None:
    firing.cost = amount
    firing.issuance_id = firing.piece.issuance_id = given.id
    if isinstance(given, AwaitingApproval):
        firing.outcome = "asked"
        firing.did("issue", "asked", incentive=command.incentive, reasons=list(given.reasons))
    else:
        firing.did("issue", "issued", incentive=command.incentive)


def _given(tx: Connection, firing: Firing, command: IssueVoucher) -> Issued | AwaitingApproval:
    (result,) = giving.give(tx, firing.piece.core, firing.actor, [command], firing.piece.now)
    if isinstance(result, Refusal):
        raise result
    return result


def _command(firing: Firing) -> tuple[IssueVoucher, Money]:
    """Return what is to be given and what it costs, with a person to decide where the rule or the ceiling says so."""
    piece, then = firing.piece, firing.rule.then
    proposal = weigh(firing)
    channels = reachable(piece, then["issue"]["channels"])
    asks = wants(then, "ask_approval")
    command = IssueVoucher(
        issue_tag=proposal.ground.issue_tag,
        incentive=proposal.incentive,
        amount_minor=then["issue"].get("amount_minor"),
        severity=proposal.ground.severity,
        customer=customer_given(piece),
        channels=channels,
        location=piece.location,
        order_ref=piece.row.order_ref,
        case_id=firing.case.id,
        source=piece.row.source,
        metadata={"criterion": firing.rule.key, "feedback_id": str(piece.row.id)},
        approval_required=asks or _above_ceiling(firing, proposal.amount),
        approval_reason=RULE_ASKS if asks else AUTOMATION_CEILING,
    )
    return command, proposal.amount


def weigh(firing: Firing) -> assessment.Proposal:
    """Return what the criterion would give, by the same assessment as issuing. Raises what that raises."""
    piece, issue = firing.piece, firing.rule.then.get("issue") or {}
    trouble = assessment.Trouble(
        issue_tag=piece.issue_tag or "",
        severity=piece.severity,
        customer=customer_given(piece),
        location=piece.location,
        order_ref=piece.row.order_ref,
    )
    ground = assessment.ground(piece.current, firing.actor, trouble)
    key, amount_minor = issue.get("incentive"), issue.get("amount_minor")
    incentive = ground.catalog.incentive(key) if key else assessment.default_incentive(ground, now=piece.now)
    assessment.check_allowed(ground, incentive, amount_minor=amount_minor, now=piece.now)
    return assessment.propose(ground, firing.actor, incentive, amount_minor=amount_minor, customers=piece.people)


def _above_ceiling(firing: Firing, amount: Money) -> bool:
    """Return whether an amount is more than this criterion, or any, gives by itself in its currency."""
    policy = firing.piece.current.catalog.recovery
    ceilings = (policy.automation_ceiling_minor.get(amount.currency), firing.rule.ask_above_minor.get(amount.currency))
    return any(ceiling is not None and amount.amount_minor > ceiling for ceiling in ceilings)


def _trip(tx: Connection, firing: Firing) -> None:
    firing.outcome = "tripped"
    firing.did("issue", BREAKER_TRIPPED)
    leave_task(tx, firing, f"Decide what to give: “{firing.rule.name}” has given all it may in this hour.")


def _refuse(tx: Connection, firing: Firing, slug: str) -> None:
    firing.outcome = "refused"
    firing.did("issue", slug)
    leave_task(tx, firing, f"Decide what to give: “{firing.rule.name}” could not ({slug.replace('-', ' ')}).")


def offer(tx: Connection, firing: Firing) -> None:
    """Put what may be given before a person; who is held out is not given anything by a person either."""
    piece = firing.piece
    if firing.outcome == "held_out" or firing.case.held_out_of is not None or not firing.case.salvageable:
        firing.did("offer", "held-out" if firing.case.salvageable else NOT_SALVAGEABLE)
        return
    try:
        proposal = weigh(firing)
    except Refusal as refusal:
        firing.did("offer", refusal.slug)
        leave_task(tx, firing, "Decide what to give.")
        return
    catalog = piece.current.catalog
    title = catalog.words(proposal.incentive_item.title, catalog.brand.default_language)
    leave_task(tx, firing, f"Send: {title}.")
    firing.did("offer", "done", incentive=proposal.incentive, **proposal.amount.as_json())


def would_give(tx: Connection, firing: Firing) -> None:
    """Say what a criterion in shadow would have given, and what that would have cost; nothing is written."""
    piece, criterion = firing.piece, firing.rule
    if piece.taken_by is not None:
        firing.did("issue", "outranked", by=piece.taken_by)
    elif _would_have_given(tx, firing):
        firing.did("issue", "already")
    elif criteria.held_out(piece.core.keys.codes, criterion.key, _subject(piece), criterion.holdout_percent):
        firing.did("issue", "held-out")
    elif why := why_unreachable(piece, criterion.then["issue"]["channels"]):
        firing.did("issue", why)
    else:
        _price(firing)


def _price(firing: Firing) -> None:
    try:
        proposal = weigh(firing)
    except Refusal as refusal:
        firing.did("issue", refusal.slug)
        return
    firing.cost = proposal.amount
    asks = wants(firing.rule.then, "ask_approval") or _above_ceiling(firing, proposal.amount)
    firing.did("issue", "would-ask" if asks else "would", incentive=proposal.incentive)


def _would_have_given(tx: Connection, firing: Firing) -> bool:
    """Return whether the same trouble of the same customer would have been paid for by this criterion already."""
    piece = firing.piece
    if not piece.people:
        return False
    fired = criteria_firings.c
    query = (
        sa.select(fired.id)
        .join(feedback, feedback.c.id == fired.feedback_id)
        .where(
            fired.criterion == firing.rule.key,
            fired.cost_minor.is_not(None),
            fired.at > piece.now - SAME_TROUBLE,
            feedback.c.customer_id.in_(piece.people),
            feedback.c.issue_tag == piece.row.issue_tag,
        )
    )
    return tx.execute(query.limit(1)).first() is not None
