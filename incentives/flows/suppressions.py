"""Suppressions: somebody who knows better lets an address be sent to again."""

import uuid
from dataclasses import dataclass

from incentives.deeds import reasons, suppressing
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import SuppressionNotFound
from incentives.queries import came_back


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftSuppression:
    """Let an address be sent to again, and say why."""

    id: uuid.UUID
    reason: str


def lift_suppression(*, core: Core, actor: Actor, command: LiftSuppression) -> None:
    """Take an address off the list. What happened before is held against it no more; what comes anew is.

    Raises ``SuppressionNotFound``, also for one that is lifted, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, "suppressions:manage")
    now = core.clock.now()
    why = reasons.reason(command.reason)
    with core.database.write() as tx:
        if suppressing.lift(tx, core, actor, command.id, why, now) is None:
            raise SuppressionNotFound
    came_back.forget(core)
