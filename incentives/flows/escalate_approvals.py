"""Escalate approvals: requests that have grown old are passed on to the next level, and it is told; the worker looks.

Whoever decides in between finds a request where it would be already: this records it, and tells.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import audit
from incentives.deeds import voting
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.queries.approval_policies import policy_of
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances

MOST_AT_ONCE = 50


def escalate_approvals_due(*, core: Core) -> int:
    """Pass on what is due, at most ``MOST_AT_ONCE``, and return how many; call it again until it is none.

    Two sweeps at once share the work, and each request is passed on, and told of, once.
    """
    now = core.clock.now()
    with core.database.write() as tx:
        due = _due(tx, now)
        for asked in due:
            _pass_on(tx, core, asked, now)
    return len(due)


def _due(tx: Connection, now: datetime) -> list[Any]:
    """Return requests whose level has grown old, locked; one past its time has nobody to be passed on to."""
    table = approvals.c
    query = (
        sa.select(approvals, issuances.c.case_id, issuances.c.location)
        .join(issuances, issuances.c.id == table.issuance_id)
        .where(table.status == "pending", table.escalates_at <= now, table.expires_at > now)
        .order_by(table.escalates_at)
        .limit(MOST_AT_ONCE)
        .with_for_update(of=approvals, skip_locked=True)
    )
    return list(tx.execute(query).all())


def _pass_on(tx: Connection, core: Core, asked: Any, now: datetime) -> None:
    policy = policy_of(tx, core, asked.policy_item_id)
    if policy is None:
        raise AssertionError("a request that no policy fits never grows old")
    to = voting.standing(policy, asked, now)
    voting.move_to(tx, asked, to)
    told = voting.tell_level(tx, core, now, asked, policy, to)
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action="approval.escalated",
        subject_kind="issuance",
        subject_id=asked.issuance_id,
        case_id=asked.case_id,
        reason="The level before did not decide in time.",
        facts={
            "approval_id": str(asked.id),
            "policy": policy.key,
            "from_level": asked.level,
            "level": to.level,
            "fallback": to.fallback,
            "told": told,
        },
    )
