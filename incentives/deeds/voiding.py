"""Voiding: what was owed by a voucher is owed no more. Whoever takes one back, and who blocks one, do it here.

Not a flow: it opens no transaction.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import ledger
from incentives.deeds import aftercare as care
from incentives.deeds import unneeded
from incentives.deeds.aftercare import Cared
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.messages import outbox
from incentives.vouchers import aftercare, lifecycle

_TAKEN_BACK = "The voucher was taken back."


def void(
    tx: Connection, core: Core, actor: Actor, row: Any, reason: str, now: datetime, *, undone: bool = False
) -> Cared:
    """Take a voucher back, whose row ``care.take`` has locked; what it held of its budgets is free again.

    ``undone`` says that its giver took it back at once. Raises what ``care.check`` raises, for frozen ones nothing.
    """
    care.check(tx, row, now, frozen=True)
    care.changed(aftercare.void(tx, row.id, now))
    care.lapse_hold(tx, row)
    outbox.withdraw(tx, [(row.issuance_id, row.id)], now, _TAKEN_BACK)
    batch = Batch(core=core, actor=actor, now=now)
    left_minor = care.outstanding_minor(row)
    if lifecycle.has_siblings(row):
        lifecycle.lock_issuance(tx, row.issuance_id)
    batch.entries.append(
        ledger.voided(core, voucher_id=row.id, currency=row.currency, amount_minor=left_minor, now=now)
    )
    pots, freed = care.let_go(tx, batch, row, aftercare.siblings(tx, row.issuance_id))
    facts = {"amount_minor": left_minor, "freed": freed, "undone": undone}
    allocations = unneeded.take_back(tx, batch, {row.issuance_id: row.id}, pots)
    care.note(batch, row, "voucher.voided", reason, {**facts, "allocations": allocations} if allocations else facts)
    batch.write(tx, pots.values())
    return care.cared(care.find(tx, actor, row.id), now)
