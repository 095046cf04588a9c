"""The whole life of a voucher: at least one row in every table of it, and a value in every column that it brought.

What older tables can be without stands in ``live``; what they cannot, because the books tell of it, in ``book``.
"""

import uuid
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from incentives.access.tables import users
from incentives.books.tables import ledger_entries, ledger_postings
from incentives.catalog.tables import catalog_items, catalog_releases
from incentives.kernel.core import Core
from incentives.messages.tables import delivery_attempts, outbox_messages
from incentives.recovery.tables import incidents
from incentives.safeguards.tables import listed_values, reviews, switches
from incentives.spending.tables import (
    COUNTERS,
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
from tests.world import START

Row = dict[str, Any]

ANA, BEA = "person:ana", "person:bea"
WHY = "A test."
LATER = START + timedelta(hours=1)
NETWORK = "203.0.113.0/24"
LONG_AGO = START - timedelta(days=9000)
FAR_AHEAD = START + timedelta(days=9000)

ENDED = {"ended_at": LATER, "ended_by": BEA, "end_reason": WHY}
TILL = {"actor": ANA, "actor_name": "Ana"}
SALE = {
    "order_ref": "A-1",
    "order_total_minor": 900,
    "order_initial_minor": 1000,
    "order_items": [{"sku": "tea"}],
    "metadata": {"lane": 4},
}
DECIDED = {"decided_by": BEA, "decided_at": LATER}


class Pen:
    """Writes rows, new ones and others' likenesses, within one transaction."""

    def __init__(self, core: Core, tx: sa.Connection) -> None:
        self._core = core
        self._tx = tx

    def new(self) -> uuid.UUID:
        return self._core.ids.new(START)

    def first(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> Row:
        """Return the oldest row, of those that are so."""
        found = self._tx.execute(sa.select(table).where(*where).order_by(*table.primary_key).limit(1))
        return dict(found.mappings().one())

    def add(self, table: sa.Table, **values: Any) -> uuid.UUID:
        row_id = self.new()
        self._tx.execute(table.insert().values(**({"id": row_id} if "id" in table.c else {}), **values))
        return row_id

    def another(self, table: sa.Table, row: Row, **values: Any) -> uuid.UUID:
        """Add a row like one that is there, but for some values."""
        return self.add(table, **{name: value for name, value in (row | values).items() if name != "id"})

    def change(self, table: sa.Table, row: Row, **values: Any) -> None:
        self._tx.execute(table.update().where(table.c.id == row["id"]).values(**values))

    def voucher(self, like: Row, **values: Any) -> uuid.UUID:
        """Add a voucher in the place of another, with a code of its own."""
        return self.another(vouchers, like, code_digest=self.new().hex, number=like["number"] + 1, **values)

    def entry(self, kind: str, voucher_id: uuid.UUID, *accounts: str) -> None:
        """Book a cent from one account to another."""
        told = {"kind": kind, "source_id": self.new(), "at": LATER, "actor": ANA, "reason": WHY}
        entry_id = self.add(ledger_entries, voucher_id=voucher_id, **told)
        for account, amount_minor in zip(accounts, (1, -1), strict=True):
            self.add(ledger_postings, entry_id=entry_id, account=account, amount_minor=amount_minor, currency="USD")


def live(core: Core) -> None:
    """Write what older tables can be without."""
    with core.database.write() as tx:
        pen = Pen(core, tx)
        give_to_many(pen)
        hold(pen)
        allot(pen)
        approve(pen)
        watch(pen)
        schedule(pen)
        tell(pen)


def give_to_many(pen: Pen) -> None:
    """Give by a file, and try again what it refused."""
    sums = {"rows_total": 2, "rows_checked": 2, "rows_refused": 1, "rows_issued": 1, "rows_pending": 1}
    times = {"created_at": START, "checked_at": START, "started_at": START, "ended_at": LATER, "lease_until_at": LATER}
    form = {"status": "done", "mode": "best_effort", "dry_run": False, "format": "csv", "file_name": "late.csv"}
    made = {"location": "here", "reason": WHY, "stopped_by": BEA, "lease_id": pen.new(), "totals": {"USD": 100}}
    job = {**sums, **times, **form, **made, **TILL, "file_digest": "0" * 64}
    job_id = pen.add(bulk_jobs, **job, incident_id=pen.first(incidents)["id"])
    pen.add(bulk_jobs, **job, retry_of_id=job_id)
    given = pen.first(issuances)
    row = {"job_id": job_id, "request": "secret", "verdict": {"would": "issue"}}
    pen.add(bulk_rows, **row, line=1, status="issued", issuance_id=given["id"])
    pen.add(bulk_rows, **row, line=2, status="refused", problem={"code": "budget_exhausted"})
    asked = {
        "message": "secret",
        "source": "survey-tool",
        "ip_block": NETWORK,
        "undo_until_at": LATER,
        "deliver_after_at": LATER,
    }
    pen.change(issuances, given, job_id=job_id, **asked)


def hold(pen: Pen) -> None:
    """Hold vouchers at a till, one in the place of another, and let one go on as what was left of it."""
    money = {"amount_minor": 70, "currency": "USD"}
    sale = {**money, **SALE, **TILL, "location": "here", "reserved_at": START, "expires_at": LATER}
    used = pen.first(vouchers, vouchers.c.status == "redeemed")
    redemption = pen.first(redemptions, redemptions.c.voucher_id == used["id"])
    committed = {"voucher_id": used["id"], "status": "committed", "redemption_id": redemption["id"]}
    told = {**{name: SALE[name] for name in ("order_initial_minor", "order_items", "metadata")}, "settled_minor": 70}
    told["remainder_id"] = pen.voucher(used, amount_minor=used["amount_minor"] - 70, status="issued", redeemed_count=0)
    pen.change(redemptions, redemption, reservation_id=pen.add(reservations, **committed, **sale, **ENDED), **told)

    gone = pen.first(vouchers, vouchers.c.status == "expired")
    pen.change(vouchers, gone, frozen_at=START, frozen_until_at=LATER)
    reserved = {"status": "reserved", "reservation_id": pen.new(), "reserved_until_at": LATER}
    shown = {"shown_to": "person:00000000-0000-0000-0000-000000000001"}
    voucher_id = pen.voucher(gone, **reserved, replaces_id=gone["id"], max_redemptions=3, extended_days=7, **shown)
    pen.add(reservations, voucher_id=voucher_id, status="held", **sale)
    tried = {"voucher_id": voucher_id, "outcome": "voucher_reserved", "ip_block": NETWORK}
    pen.add(redemption_attempts, **tried, actor=ANA, at=START)


def allot(pen: Pen) -> None:
    """Allot more to a budget, tell of it, and pass one that is charged by what is redeemed."""
    pot = pen.first(budget_periods, budget_periods.c.cap_minor.is_not(None))
    pen.change(budget_periods, pot, allotted_minor=500, allotted_count=2)
    place = {name: pot[name] for name in ("budget", "subject", "period_key")}
    more = {"amount_minor": 500, "amount_count": 2, "reason": WHY}
    wish = {**place, **more, "status": "approved", "currency": "USD", "requested_at": START, **DECIDED, "comment": WHY}
    asking = {"requested_by": ANA, "requested_by_name": "Ana"}
    request_id = pen.add(budget_requests, kind="top_up", **wish, **asking)
    others = {f"from_{name}": value for name, value in place.items()}
    pen.add(budget_requests, kind="transfer", **wish, **asking, **others)
    by = {"budget_period_id": pot["id"], "actor": ANA, "approved_by": BEA, "at": LATER}
    pen.add(budget_allocations, kind="top_up", source_id=request_id, **more, **by)
    used = {"threshold_percent": 80, "used_minor": 400, "used_count": 4}
    pen.add(budget_alerts, budget_period_id=pot["id"], **used, at=START, rearmed_at=LATER)
    passed = {"basis": "redemption", "expected_percent": 80, "rollover": "carry_over", "period_key": "passed"}
    used_up = dict.fromkeys(COUNTERS, 0) | {"cap_minor": 100, "cap_count": 1, "spent_minor": 150, "spent_count": 2}
    pen.another(budget_periods, pot, **passed, **used_up, allotted_minor=0, allotted_count=0)


def approve(pen: Pen) -> None:
    """Say yes in somebody's place; another request is taken back by the one who made it."""
    first = pen.first(approvals)
    policy = {"policy_item_id": pen.first(catalog_items)["id"], "level": 2, "granted_incentive": "dollar"}
    pen.change(approvals, first, **policy, level_since_at=LATER, escalates_at=LATER)
    vote = {"decision": "grant", "on_behalf_of": ANA, "amount_minor": 100, "incentive": "dollar", "comment": WHY}
    pen.add(approval_votes, approval_id=first["id"], level=1, **vote, actor=BEA, actor_name="Bea", at=LATER)
    given = pen.first(issuances, issuances.c.id == first["issuance_id"])
    taken_back = pen.another(issuances, given, status="withdrawn")
    by = {"requested_by": ANA, "decided_by": ANA, "granted_amount_minor": None}
    pen.another(approvals, first, issuance_id=taken_back, status="withdrawn", **by)
    ana, lena = (pen.first(users, users.c.email.like(f"{name}@%"))["id"] for name in ("ana", "lena"))
    away = {"starts_at": START, "ends_at": LATER, "reason": WHY, "created_by": ANA, "created_at": START}
    pen.add(delegations, from_user_id=ana, to_user_id=lena, **away, revoked_by=BEA, revoked_at=LATER)


def watch(pen: Pen) -> None:
    """Stop something, list somebody, and look at what was odd."""
    lifted = {"lifted_by": BEA, "lifted_by_name": "Bea", "lifted_at": LATER, "lift_reason": WHY}
    stop = {"stops": "issuing", "scope": "organization", "subject": "organization", "reason": WHY}
    pen.add(switches, **stop, set_by=ANA, set_by_name="Ana", set_at=START, **lifted)
    value = {"list": "deny", "kind": "email", "digest": "0" * 64, "hint": "e…@customer.example", "reason": WHY}
    value["identity_digest"] = "1" * 64
    times = {"added_at": START, "expires_at": LATER, "removed_by": BEA, "removed_at": LATER}
    pen.add(listed_values, **value, added_by=ANA, added_by_name="Ana", **times)
    given = pen.first(issuances)["id"]
    odd = {"kind": "issuance", "status": "noted", "subject_id": str(given), "issuance_id": given, "action": "hold"}
    what = {"signals": [{"signal": "velocity"}], "location": "here", "amount_minor": 100, "currency": "USD"}
    pen.add(
        reviews, **odd, **what, **TILL, opened_at=START, due_at=LATER, **DECIDED, decided_by_name="Bea", note="secret"
    )


def schedule(pen: Pen) -> None:
    """Let a release come into force by its day, whoever noticed, and let another wait for its own."""
    first = pen.first(catalog_releases, catalog_releases.c.status == "approved")
    pen.change(catalog_releases, first, effective_at=LONG_AGO)
    planned = {"status": "scheduled", "reason": WHY}
    due_at = LONG_AGO + timedelta(days=1)
    pen.another(catalog_releases, first, **planned, number=101, rollback_of_number=1, effective_at=due_at)
    pen.another(catalog_releases, first, **planned, number=102, effective_at=FAR_AHEAD)


def tell(pen: Pen) -> None:
    """Send a message again, and tell somebody of a budget."""
    again = pen.first(outbox_messages, outbox_messages.c.issuance_id.is_not(None))
    notice = {"template": "notice-budget", "about": "budget", "about_id": pen.first(budget_alerts)["id"]}
    nothing = dict.fromkeys(("issuance_id", "voucher_id", "case_id", "apology_id", "survey_id"))
    copies = (
        pen.another(outbox_messages, again, copy=1),
        pen.another(outbox_messages, again, **nothing, **notice, user_id=pen.first(users)["id"]),
    )
    for message_id in copies:
        tried = {"number": 1, "provider": "recording", "started_at": START, "ended_at": START, "outcome": "captured"}
        pen.add(delivery_attempts, message_id=message_id, **tried)


def book(core: Core) -> None:
    """Write what older tables cannot hold: what was undone, voided, used twice, frozen, held by a job, put back."""
    with core.database.write() as tx:
        pen = Pen(core, tx)
        used = pen.first(vouchers, vouchers.c.status == "redeemed")
        pen.entry("voucher-voided", used["id"], "voucher-liability", "recovery-expense")
        undo(pen, used)
        use_twice(pen, pen.first(vouchers, vouchers.c.status == "expired"))
        pot, job = pen.first(budget_periods), pen.first(bulk_jobs)
        of_job, of_gift = {"job_id": job["id"]}, {"issuance_id": used["issuance_id"]}
        for of, kind, held_minor in ((of_job, "hold", 5), (of_job, "release", -5), (of_gift, "adjust", 0)):
            by = {"budget_period_id": pot["id"], "source_id": pen.new(), "at": START, "actor": ANA}
            pen.add(budget_movements, **of, kind=kind, held_minor=held_minor, **by)


def undo(pen: Pen, used: Row) -> None:
    """Undo a redemption."""
    redemption = pen.first(redemptions, redemptions.c.voucher_id == used["id"])
    pen.change(redemptions, redemption, reversed_at=LATER)
    back = {"kind": "reversal", "restore": "new_code", "amount_minor": 1, "currency": "USD", "reason": WHY, "at": LATER}
    pen.add(redemption_reversals, redemption_id=redemption["id"], voucher_id=used["id"], **back, **TILL)
    pen.entry("redemption-reversed", used["id"], "redemption-settlement", "voucher-liability")


def use_twice(pen: Pen, like: Row) -> None:
    """Redeem a voucher two times of three, and freeze it then."""
    times = {"max_redemptions": 3, "redeemed_count": 2, "number": 9, "frozen_at": LATER, "status": "issued"}
    voucher_id = pen.another(vouchers, like | {"code_digest": pen.new().hex}, **times)
    for use_number in (1, 2):
        worth = {"amount_minor": 30, "settled_minor": 30, "currency": "USD", "use_number": use_number}
        pen.add(redemptions, voucher_id=voucher_id, **worth, **TILL, redeemed_at=START)
