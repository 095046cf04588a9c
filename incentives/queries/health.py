"""Whether this process can work: the parts it needs, each looked at in a few milliseconds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import seals
from incentives.kernel import migrate
from incentives.kernel.core import Core
from incentives.kernel.database import is_away
from incentives.kernel.errors import StorageUnavailable
from incentives.messages.tables import message_providers, outbox_messages
from incentives.queries import stranded
from incentives.queries.books_seals import latest_checks
from incentives.vouchers import codes
from incentives.vouchers.tables import vouchers

OUTBOX_AGE_MAX = timedelta(minutes=15)
BOOKS_SLACK = timedelta(minutes=15)
"""So much longer than two intervals the last proof of the books may be ago: proving takes its time."""

STRANDED_FOR = timedelta(hours=24)
_STRANDED_COUNTED = 100

_LATE = ", and were not since"

_BOOKS_SINCE = "0005"  # a database that is older has no place for what the worker found

_PROVIDERS_SINCE = "0009"

OK, DEGRADED, FAILING = "ok", "degraded", "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part and how it is: ``ok``; ``degraded``, it works but somebody should look; ``failing``."""

    name: str
    status: str
    detail: str


def readiness(*, core: Core) -> tuple[Part, ...]:
    """Return every part that the database can tell of; only the database itself where that is away."""
    now = core.clock.now()
    try:
        with core.database.read() as tx:
            revision = tx.execute(_REVISION).scalar_one_or_none() if _is_migrated(tx) else None
            parts = [Part(name="database", status=OK, detail="answers"), _migrations(revision)]
            if revision is not None:
                parts += [_keys(tx, core), _outbox(tx, now), _stranded(tx, now)]
                parts += [_books(tx, core, now)] if revision >= _BOOKS_SINCE else []
                parts += [_providers(tx)] if revision >= _PROVIDERS_SINCE else []
            return tuple(parts)
    except StorageUnavailable:
        return (Part(name="database", status=FAILING, detail="does not answer"),)


_REVISION: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(sa.table("alembic_version"))


def _is_migrated(tx: sa.Connection) -> bool:
    return sa.inspect(tx).has_table("alembic_version")


def _migrations(revision: str | None) -> Part:
    head = migrate.head()
    if revision == head:
        return Part(name="migrations", status=OK, detail=f"at {head}")
    # A database that is newer than this program serves the program before it, too: migrations are made so.
    newer = revision is not None and revision > head
    detail = f"at {revision or 'nothing'}, this program was made for {head}"
    return Part(name="migrations", status=OK if newer else FAILING, detail=detail)


def _keys(tx: sa.Connection, core: Core) -> Part:
    """Make the newest voucher's code again: with other keys than those that made it, no voucher could be redeemed.

    That its key is retired is what somebody meant: a key that has leaked is, before anything is made with the next one.
    """
    table = vouchers.c
    newest = tx.execute(
        sa.select(table.id, table.code_key_id, table.code_digest).order_by(table.id.desc()).limit(1)
    ).one_or_none()
    ring = core.keys.codes
    if newest is not None:
        code = codes.code_of(ring, newest.code_key_id, newest.id) if newest.code_key_id in ring.all_ids else ""
        if codes.digest(ring, newest.code_key_id if code else ring.newest_id, code) != newest.code_digest:
            return Part(
                name="keys", status=FAILING, detail="INCENTIVES_CODE_KEYS did not make the vouchers that are out"
            )
    return Part(name="keys", status=OK, detail="fit the vouchers that are out")


def _outbox(tx: sa.Connection, now: datetime) -> Part:
    """Look how long the message that is due has waited: a worker that has stopped is nobody else's fault.

    One whose worker died while it was sent is due again when its lease ends.
    """
    table = outbox_messages.c
    queued = sa.select(sa.func.min(table.available_at)).where(table.status == "queued")
    left = sa.select(sa.func.min(table.lease_until_at)).where(table.status == "sending")
    since = [each for each in tx.execute(sa.union_all(queued, left)).scalars() if each is not None]
    oldest = min(since, default=now)
    waited = max(now - oldest, timedelta())
    status = DEGRADED if waited > OUTBOX_AGE_MAX else OK
    return Part(name="outbox", status=status, detail=f"the oldest message has waited {int(waited.total_seconds())} s")


def _stranded(tx: sa.Connection, now: datetime) -> Part:
    """Say whether messages were missing of late, or held for ever: they were mended, and something made them so."""
    found = [row for row in stranded.latest(tx, _STRANDED_COUNTED) if row.at > now - STRANDED_FOR]
    if not found:
        return Part(name="stranded", status=OK, detail="no message was missing")
    many = f"{len(found)} message{'s were' if len(found) > 1 else ' was'}"
    detail = f"{many} missing or held for ever within a day, and found at last at {found[0].at.isoformat()}"
    return Part(name="stranded", status=DEGRADED, detail=detail)


def _providers(tx: sa.Connection) -> Part:
    """Say which provider does not work; messages go by the other one, or wait."""
    table = message_providers.c
    query = sa.select(table.provider).where(table.status == "resting").order_by(table.provider)
    ill = tx.execute(query).scalars().all()
    if ill:
        return Part(name="providers", status=DEGRADED, detail=f"{', '.join(ill)} did not work when last asked")
    return Part(name="providers", status=OK, detail="work as far as they were asked")


def _books(tx: sa.Connection, core: Core, now: datetime) -> Part:
    """Say what the worker last found of the books. Vouchers are given all the same, unless a switch says otherwise.

    A proof that is old says nothing of today: the worker is away, or something keeps it from proving.
    """
    longest = 2 * timedelta(minutes=core.settings.books_check_minutes) + BOOKS_SLACK
    try:
        status, detail = _proved(tx, now, longest)
    except Exception as error:
        if is_away(error):
            raise
        status, detail = DEGRADED, f"cannot be told of: {type(error).__name__}"
    return Part(name="books", status=status, detail=detail)


def _proved(tx: sa.Connection, now: datetime, longest: timedelta) -> tuple[str, str]:
    found = latest_checks(tx, 1, ended=True)
    if not found:
        waits = sa.exists().where(seals.c.at < now - longest)
        old = tx.execute(sa.select(waits)).scalar_one()
        return DEGRADED if old else OK, "were not proved yet"
    last = found[0]
    word = "held" if last.holds else "did not hold"
    late = last.ended_at is None or abs(now - last.ended_at) > longest
    detail = f"{word} when they were proved at {last.started_at.isoformat()}{_LATE if late else ''}"
    return OK if last.holds and not late else DEGRADED, detail
