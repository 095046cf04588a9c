"""Forget: idempotency keys whose time is over are kept no longer, so that they do not grow without end."""

from datetime import datetime, timedelta

from incentives.kernel import idempotency
from incentives.kernel.core import Core

MOST_AT_ONCE = 500

_REACHED = "idempotency.forgotten"  # in the core's cache: up to when all were forgotten
_SLACK = timedelta(days=1)


def forget_due(*, core: Core) -> int:
    """Forget keys that are older than ``KEPT``, at most ``MOST_AT_ONCE``; call it again until it returns zero.

    Nothing is looked at twice: what stays for good would be gone through each time, and there may be millions of it. A
    day's slack takes in what was claimed by a machine whose clock is behind.
    """
    before = core.clock.now() - idempotency.KEPT
    since: datetime | None = core.cache.get(_REACHED)
    with core.database.write() as tx:
        count = idempotency.forget(tx, since, before, MOST_AT_ONCE)
    if not count:
        core.cache[_REACHED] = before - _SLACK
    return count
