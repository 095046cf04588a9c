"""Bugs that others have shipped, to be planted into the engine: a simulation that finds none of them proves nothing."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.kernel import idempotency
from incentives.messages import outbox, reports
from incentives.messages.tables import outbox_messages
from incentives.vouchers import lifecycle


def redeem_without_condition(patch: pytest.MonkeyPatch) -> None:
    """Redeem by having looked before: the update asks nothing any more."""
    real = lifecycle.redeem
    patch.setattr(lifecycle, "redeem", lambda tx, voucher_id, _condition: real(tx, voucher_id, sa.true()))

    def redeem_all(tx: Any, weighed: Mapping[Any, Any], _now: Any) -> dict[Any, int]:
        counts = {each: real(tx, each, sa.true()) for each in weighed}
        return {each: used for each, used in counts.items() if used is not None}

    patch.setattr(lifecycle, "redeem_all", redeem_all)


def claim_without_lease(patch: pytest.MonkeyPatch) -> None:
    """Claim a message and leave it to be claimed by anybody else at once."""
    real = outbox.claim_next

    def claim_next(tx: Any, **said: Any) -> Any:
        row = real(tx, **said)
        if row is not None:
            this = outbox_messages.update().where(outbox_messages.c.id == row.id)
            tx.execute(this.values(lease_until_at=said["now"]))
        return row

    patch.setattr(outbox, "claim_next", claim_next)


def forget_keys(patch: pytest.MonkeyPatch) -> None:
    """Write down no idempotency key: whoever asks again is served again."""
    nothing: Callable[..., dict[Any, Any]] = lambda _tx, _ring, _claims, _now: {}  # noqa: E731 - it is a function's body
    patch.setattr(idempotency, "claim", nothing)


def end_without_booking(patch: pytest.MonkeyPatch) -> None:
    """Let one of the vouchers whose time is over end, and do nothing about what it promised."""
    real = lifecycle.expire_due

    def expire_due(tx: Any, now: datetime, most: int) -> list[Any]:
        return real(tx, now, most)[1:]

    patch.setattr(lifecycle, "expire_due", expire_due)


def believe_the_last_report(patch: pytest.MonkeyPatch) -> None:
    """Let a message stand where the report says that came last."""
    real = reports.standing
    patch.setattr(reports, "standing", lambda reported: real([max(reported, key=lambda each: each.id)]))
    patch.setattr(reports, "moves", lambda message, to: message.status != to.status)


ON_SQLITE = (claim_without_lease, forget_keys, end_without_booking, believe_the_last_report)
ON_POSTGRESQL = (redeem_without_condition,)
"""What only two transactions at once can break: where writers queue, whoever looked before is right."""
