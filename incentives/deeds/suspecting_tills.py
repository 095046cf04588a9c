"""Suspecting at the till: which signals of abuse a redemption shows, and what follows from them.

Not a flow: it opens no transaction. It counts as ``suspecting`` does, by one statement or none.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.safeguarding import AbusePolicy
from incentives.deeds.suspecting import by_list, counting
from incentives.deeds.suspecting_lists import LISTED, Part, digests_of, listed_part, of_actor
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards, StepUpRequired
from incentives.kernel.throttle import block_of
from incentives.safeguards import lists, reviews, signals
from incentives.safeguards.signals import Rule, Suspicion
from incentives.vouchers.tables import redemption_attempts


@dataclass(slots=True)
class Seen:
    """What one sequence has counted of who redeems and where they sit, and whom it has let pass since."""

    counts: dict[tuple[str, str | None], dict[str, int]] = field(default_factory=dict)
    passed: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def counted(self, label: str, block: str | None) -> dict[str, int]:
        """Return the counts of a hand, with what has passed."""
        found = dict(self.counts[label, block])
        for name, key in ((signals.PER_TILL, label), (signals.REDEEMED_PER_IP_BLOCK, block)):
            found[name] = found.get(name, 0) + self.passed[name, key]
        return found

    def let_pass(self, label: str, block: str | None) -> None:
        """Count one that has passed."""
        self.passed[signals.PER_TILL, label] += 1
        self.passed[signals.REDEEMED_PER_IP_BLOCK, block] += 1


def refuse_redeeming(
    tx: Connection,
    core: Core,
    actor: Actor,
    voucher: Any,
    location: str | None,
    policy: AbusePolicy,
    now: datetime,
    *,
    seen: Seen | None = None,
) -> None:
    """Refuse what looks like abuse at a till; ``voucher`` says ``id``, ``issuance_id`` and ``issued_ip_block``.

    Raises ``StepUpRequired`` (whoever decides on reviews may do it) and ``BlockedBySafeguards``; either carries the
    review that is left of it, which the flow writes with ``reviewing.remember`` as it notes the try.
    """
    rules = signals.rules(policy.signals, signals.REDEEMING)
    block = block_of(actor.ip)
    seen = seen or Seen()
    if (actor.label, block) not in seen.counts:
        seen.counts[actor.label, block] = _counts(tx, core, actor, block, rules, now)
    found = _at_till(rules, seen.counted(actor.label, block), block, voucher, now)
    if found.action in (signals.BLOCK, signals.HOLD):
        raise _refused(BlockedBySafeguards(), core, actor, voucher, location, found, policy, now)
    if found.action == signals.STEP_UP and not may(actor, "reviews:decide"):
        raise _refused(StepUpRequired(), core, actor, voucher, location, found, policy, now)
    seen.let_pass(actor.label, block)


def _counts(
    tx: Connection, core: Core, actor: Actor, block: str | None, rules: dict[str, Rule], now: datetime
) -> dict[str, int]:
    values = digests_of(core, of_actor(actor)) if lists.standing(tx, core) else []
    parts = _till_parts(actor, block, rules, now)
    if values:
        parts.append(listed_part(now, set(values)))
    rows = tx.execute(sa.union_all(*parts)).all() if parts else []
    return {row.name: row.number for row in rows}


def refuse_holding(
    tx: Connection, core: Core, actor: Actor, voucher: Any, location: str | None, policy: AbusePolicy, now: datetime
) -> None:
    """Refuse who stands on the deny list to hold a voucher; what signals count is redeemed at committing, once.

    Raises ``BlockedBySafeguards`` as ``refuse_redeeming`` does.
    """
    if not lists.standing(tx, core):
        return
    on = {row.list for row in tx.execute(lists.matching(now, digests_of(core, of_actor(actor))))}
    if "deny" in on:
        found = signals.suspicion([(by_list(signals.DENIED, signals.BLOCK), 1)])
        raise _refused(BlockedBySafeguards(), core, actor, voucher, location, found, policy, now)


def _till_parts(actor: Actor, block: str | None, rules: dict[str, Rule], now: datetime) -> list[Part]:
    table = redemption_attempts.c
    whose = {signals.PER_TILL: table.actor == actor.label}
    if block:
        whose[signals.REDEEMED_PER_IP_BLOCK] = table.ip_block == block
    return [
        counting(
            name, sa.null(), who, table.outcome == "redeemed", table.at > now - timedelta(minutes=rules[name].minutes)
        )
        for name, who in whose.items()
        if name in rules
    ]


def _at_till(
    rules: dict[str, Rule], counts: dict[str, int], block: str | None, voucher: Any, now: datetime
) -> Suspicion:
    if f"{LISTED}deny" in counts:
        return signals.suspicion([(by_list(signals.DENIED, signals.BLOCK), 1)])
    if f"{LISTED}allow" in counts:
        return signals.NOTHING
    found = [(rule, counts[name] + 1) for name, rule in rules.items() if counts.get(name, 0) >= rule.count]
    if f"{LISTED}review" in counts:
        found.append((by_list(signals.REVIEWED, signals.STEP_UP), 1))
    same = rules.get(signals.SAME_DEVICE)
    here = block is not None and voucher.issued_ip_block == block
    if same and here and now - voucher.issued_at <= timedelta(minutes=same.minutes):
        found.append((same, 1))
    return signals.suspicion(found)


def _refused(
    refusal: BlockedBySafeguards | StepUpRequired,
    core: Core,
    actor: Actor,
    voucher: Any,
    location: str | None,
    found: Suspicion,
    policy: AbusePolicy,
    now: datetime,
) -> BlockedBySafeguards | StepUpRequired:
    refusal.review = {
        "stop_actor": found.stop_actor,
        **reviews.opened(
            core=core,
            actor=actor,
            now=now,
            kind="redemption",
            subject_id=voucher.id,
            issuance_id=voucher.issuance_id,
            action=found.action,
            signals=found.shown,
            location=location,
            hours=policy.review_hours,
        ),
    }
    return refusal
