"""The rows of a bulk job in the database: added in batches, read in their order, and what became of each."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.many import insert_many, update_many
from incentives.vouchers.bulk_reading import Row, addressed, checked
from incentives.vouchers.bulk_tables import bulk_jobs, bulk_rows

_FACTS_KEPT = (
    "field",
    "errors",
    "budget",
    "scope",
    "blocked_reasons",
    "case_id",
    "least_minor",
    "most_minor",
    "currency",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A row as it is kept: its line, and what it asks for, still encrypted."""

    line: int
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a row."""

    line: int
    status: str
    issuance_id: uuid.UUID | None = None
    problem: Mapping[str, Any] | None = None


def add(tx: Connection, core: Core, job_id: uuid.UUID, rows: Iterable[Row], defaults: Mapping[str, Any]) -> int:
    """Keep rows, each with what was said for all of them where it does not say it itself; return how many."""
    made = [
        {
            "job_id": job_id,
            "line": row.line,
            "status": "waiting",
            "request": core.contacts.encrypt(orjson.dumps(_with(defaults, row.body)).decode()),
        }
        for row in rows
    ]
    insert_many(tx, bulk_rows, made)
    return len(made)


def _with(defaults: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **body}
    if isinstance(body.get("customer"), Mapping) and "customer" in defaults:
        merged["customer"] = {**defaults["customer"], **body["customer"]}
    return merged


def opened(core: Core, kept: Kept) -> dict[str, Any]:
    """Return what a kept row asks for. Raises ``InputInvalid`` naming its fields."""
    body: dict[str, Any] = orjson.loads(core.contacts.decrypt(kept.sealed) or "{}")
    return addressed(checked(body))


def waiting(tx: Connection, job_id: uuid.UUID, *, after: int, most: int, lease: bool = False) -> list[Kept]:
    """Return rows that wait, in their order, behind a line.

    With ``lease`` they are locked until the transaction ends, and those that another worker has are passed over.
    SQLAlchemy leaves the lock clause out on SQLite, where writers queue anyway.
    """
    table = bulk_rows.c
    query = (
        sa.select(table.line, table.request)
        .where(table.job_id == job_id, table.status == "waiting", table.line > after)
        .order_by(table.line)
        .limit(most)
    )
    found = tx.execute(query.with_for_update(skip_locked=True) if lease else query)
    return [Kept(line, request) for line, request in found]


def any_waiting(tx: Connection, job_id: uuid.UUID) -> bool:
    """Return whether any row waits, whoever may be at it."""
    table = bulk_rows.c
    return (
        tx.execute(sa.select(table.line).where(table.job_id == job_id, table.status == "waiting").limit(1)).first()
        is not None
    )


def settle(tx: Connection, job_id: uuid.UUID, fates: Sequence[Fate]) -> None:
    """Write what became of rows."""
    rows = [{"job_id": job_id, **{name: getattr(each, name) for name in ("line", *_FATE)}} for each in fates]
    update_many(tx, bulk_rows, rows, by=("job_id", "line"), to=_FATE)


_FATE = ("status", "issuance_id", "problem")


def judge(tx: Connection, job_id: uuid.UUID, verdicts: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Write what would become of rows."""
    rows = [{"job_id": job_id, "line": line, "verdict": verdict} for line, verdict in verdicts]
    update_many(tx, bulk_rows, rows, by=("job_id", "line"), to=("verdict",))


def problem_of(core: Core, refusal: Refusal) -> dict[str, Any]:
    """Return a refusal as a row keeps it: all but its name encrypted, for it quotes what stood in the wrong column."""
    facts = {name: refusal.facts[name] for name in _FACTS_KEPT if name in refusal.facts}
    said = orjson.dumps({**facts, "detail": refusal.detail}).decode()
    return {"slug": refusal.slug, "said": core.contacts.encrypt(said)}


def told(core: Core, kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a problem or a verdict with what it said; None where there is none."""
    if kept is None:
        return None
    said: dict[str, Any] = orjson.loads(core.contacts.decrypt(kept.get("said")) or "{}")
    return {**{name: value for name, value in kept.items() if name != "said"}, **said}


def count(tx: Connection, job_id: uuid.UUID, fates: Sequence[Fate]) -> bool:
    """Count what became of rows on their job; False when the job is not going on any more."""
    table = bulk_jobs.c
    columns = {"issued": table.rows_issued, "pending_approval": table.rows_pending, "refused": table.rows_refused}
    sums = {column.name: column + sum(each.status == status for each in fates) for status, column in columns.items()}
    going_on = (table.id == job_id) & table.status.in_(("running", "stopping"))
    return tx.execute(bulk_jobs.update().where(going_on).values(**sums)).rowcount == 1
