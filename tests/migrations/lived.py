"""The whole life of a voucher: at least one row in every table of it, and a value in every column that it added."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import ledger_entries, ledger_postings
from incentives.catalog.tables import catalog_items, catalog_releases
from incentives.kernel.core import Core
from incentives.messages.tables import delivery_attempts, outbox_messages
from incentives.recovery.tables import incidents
from incentives.safeguards.tables import listed_values, reviews, switches
from incentives.spending.tables import (
    approval_votes,
    approvals,
    budget_alerts,
    budget_allocations,
    budget_movements,
    budget_periods,
    budget_requests,
    delegations,
)
from incentives.vouchers.bulk_tables import bulk_jobs, bulk_rows
from incentives.vouchers.tables import (
    issuances,
    redemption_attempts,
    redemption_reversals,
    redemptions,
    reservations,
    vouchers,
)
from incentives.access.tables import users
from tests.world import START

Row = Mapping[str, Any]

ANA, BEA = "person:ana", "person:bea"
WHY = "Because of a test."
LATER = START + timedelta(hours=1)


def live(core: Core) -> None:
    """Write what older tables can be without."""
    ids = core.ids
    with core.database.write() as tx:
        life = _Life(tx, lambda: ids.new(START))
        life.job()
        life.given()
        life.held()
        life.remainder()
        life.budgets()
        life.approvers()
        life.safeguards()
        life.releases()
        life.messages()


def book(core: Core) -> None:
    """Write what older tables cannot hold, and the books do not forget."""
    ids = core.ids
    with core.database.write() as tx:
        life = _Life(tx, lambda: ids.new(START))
        life.undone()
        life.used_several_times()
        life.frozen()
        life.moved()


class _Life:
    """What is written, in the order of a life."""

    def __init__(self, tx: sa.Connection, new: Any) -> None:
        self.tx = tx
        self.new = new

    def job(self) -> None:
        """A file was given by, and again for what it was refused; an attempt came from a network."""
        self.job_id = self.add(
            bulk_jobs,
            status="done",
            mode="best_effort",
            dry_run=False,
            file_name="late.csv",
            file_digest="0" * 64,
            format="csv",
            incident_id=self.first(incidents)["id"],
            actor=ANA,
            actor_name="Ana",
            location="here",
            rows_total=2,
            rows_checked=2,
            rows_refused=1,
            rows_issued=1,
            rows_pending=1,
            totals={"USD": 100},
            reason=WHY,
            created_at=START,
            checked_at=START,
            started_at=START,
            ended_at=LATER,
            stopped_by=BEA,
            lease_id=self.new(),
            lease_until_at=LATER,
        )
        self.another(bulk_jobs, self.one(bulk_jobs, self.job_id), retry_of_id=self.job_id)
