"""Look up: what a till needs to know of a voucher. Nothing changes; a code that nobody was given is counted."""

import logging

from incentives.deeds import guessing, selling
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CodeMalformed, StorageUnavailable, VoucherNotFound
from incentives.queries import vouchers
from incentives.queries.vouchers import TillVoucher

log = logging.getLogger("incentives.look_up")


def look_up(
    *, core: Core, actor: Actor, code: str | None = None, token: str | None = None, locale: str | None = None
) -> TillVoucher:
    """Return what a till needs to know of a voucher.

    A miss is written down for the alarm about unknown codes; what is found costs no statement more. Raises
    ``CodeMalformed``, ``VoucherNotFound``, ``CodeRetired``, ``InputInvalid`` and ``NotPermitted``.
    """
    try:
        return vouchers.lookup(core=core, actor=actor, code=code, token=token, locale=locale)
    except (CodeMalformed, VoucherNotFound):
        try:
            _count_miss(core, actor, code)
        except StorageUnavailable:
            log.warning("a look-up that found nothing was not counted: the records could not be written")
        raise


def _count_miss(core: Core, actor: Actor, code: str | None) -> None:
    """Write a miss down, unless there are enough for the alarm: a flood must not fill the records.

    What is written within a window is so bounded by what rings the alarm: its number, or a fifth of all tries.
    """
    now = core.clock.now()
    with core.database.read() as tx:
        rule = guessing.alarm(tx, core)
        if rule is None or guessing.tried(tx, rule, now).alarms(rule):
            return
    with core.database.write() as tx:
        batch = Batch(core=core, actor=actor, now=now)
        selling.note_attempt(tx, batch, voucher=None, code=code, location=actor.location, outcome=guessing.LOOKED_UP)
