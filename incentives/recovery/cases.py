"""The recovery case: every issuance belongs to one, opened with it or before it."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.errors import CaseClosed, CaseOfAnotherCustomer
from incentives.recovery.tables import recovery_cases


@dataclass(frozen=True, slots=True)
class KnownCase:
    """What of a case matters to whoever would add to it."""

    status: str
    customer_id: uuid.UUID | None

    def check(self, customers: Collection[uuid.UUID]) -> None:
        """Refuse what does not belong into the case, with ``CaseClosed`` or ``CaseOfAnotherCustomer``."""
        if self.status == "closed":
            raise CaseClosed(field="case_id")
        if customers and self.customer_id is not None and self.customer_id not in customers:
            raise CaseOfAnotherCustomer(field="case_id")


def existing(tx: Connection, ids: Iterable[uuid.UUID], *, lock: bool = True) -> dict[uuid.UUID, KnownCase]:
    """Return those of the cases that there are, by id; locked, so that none is closed before the deed ends."""
    wanted = set(ids)
    if not wanted:
        return {}
    table = recovery_cases.c
    query = sa.select(table.id, table.status, table.customer_id).where(table.id.in_(wanted)).order_by(table.id)
    rows = tx.execute(query.with_for_update(key_share=True) if lock else query)
    return {row.id: KnownCase(row.status, row.customer_id) for row in rows}
