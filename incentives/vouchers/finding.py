"""Finding vouchers by what somebody typed or scanned, or by their ids: one statement for any number."""

import uuid
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.errors import CodeMalformed, CodeRetired, VoucherNotFound
from incentives.kernel.many import among
from incentives.vouchers import codes
from incentives.vouchers.tables import issuances, vouchers

_WANTED = (
    vouchers,
    issuances.c.incentive,
    issuances.c.location.label("issued_location"),
    issuances.c.case_id,
    issuances.c.customer_id,
    issuances.c.protocol_item_id,
    issuances.c.channels,
    issuances.c.contact,
    issuances.c.locale,
    issuances.c.issue_tag,
    issuances.c.severity,
    issuances.c.source,
    issuances.c.actor.label("issued_by"),
    issuances.c.team.label("issued_team"),
    issuances.c.ip_block.label("issued_ip_block"),
    issuances.c.undo_until_at,
    issuances.c.deliver_after_at,
)


def find(tx: Connection, core: Core, *, code: str | None, token: str | None) -> Any:
    """Return a voucher's row (with what its issuance says) by code or token, as typed or scanned.

    A code field may hold the whole link, since scanners type what the QR says.
    Raises ``CodeMalformed``, ``CodeRetired`` and ``VoucherNotFound``.
    """
    sought = sought_by(core, code=code, token=token)
    row = find_all(tx, [sought]).get(sought)
    if row is None:
        raise VoucherNotFound
    refuse_retired(core, sought, row)
    return row


def refuse_retired(core: Core, sought: "Sought", row: Any) -> None:
    """Refuse a code whose key was retired, by name. Raises ``CodeRetired``."""
    if isinstance(sought, tuple) and row.code_key_id in core.keys.codes.retired:
        raise CodeRetired(last4=row.last4)


Sought = uuid.UUID | tuple[str, ...] | None
"""What a voucher is looked for by: its id, or the digests that its code has under each key; None finds nothing."""


def sought_by(core: Core, *, code: str | None, token: str | None) -> Sought:
    """Return what a code or a token, as typed or scanned, looks for.

    Raises ``CodeMalformed``, and ``CodeRetired`` for a link that a retired key signed.
    """
    if token is None and code is not None and "/v/" in code:
        code, token = None, code
    if token is not None:
        return codes.voucher_of_known_token(core.keys.links, codes.token_in(token))
    return tuple(codes.digests(core.keys.codes, codes.normalized(code or "")))


def find_all(tx: Connection, sought: Iterable[Sought]) -> dict[Sought, Any]:
    """Return vouchers' rows (with what their issuances say) by what they are looked for by; one statement a way."""
    wanted = list(sought)
    by_id = {each: each for each in wanted if isinstance(each, uuid.UUID)}
    by_digest = {digest: each for each in wanted if isinstance(each, tuple) for digest in each}
    rows = {by_digest[row.code_digest]: row for row in _by_digests(tx, list(by_digest))}
    return rows | {by_id[row.id]: row for row in _by_ids(tx, list(by_id))}


def found(tx: Connection, voucher_id: uuid.UUID) -> Any:
    """Return a voucher's row (with what its issuance says) by its id."""
    return _by_ids(tx, [voucher_id])[0]


# Made once: building them costs more than PostgreSQL takes to run them.
_WITH_ISSUANCE = sa.select(*_WANTED).join(issuances, issuances.c.id == vouchers.c.issuance_id)
_BY_DIGEST = _WITH_ISSUANCE.where(vouchers.c.code_digest == sa.bindparam("digest"))


@cache
def _those(dialect: str, column: str) -> sa.Select[Any]:
    """Return the statement that finds many; PostgreSQL looks for each of them by itself.

    Of a table with a few rows it would rather read all, and keeps that plan, however many there are, until it is told
    to analyze the table.
    """
    sought = vouchers.c[column]
    if dialect != "postgresql":
        return _WITH_ISSUANCE.where(among(dialect, sought, "those"))
    those = sa.func.unnest(sa.bindparam("those", type_=postgresql.ARRAY(sought.type)))
    each = sa.select(those.label("that")).subquery("each")
    found = (
        _WITH_ISSUANCE.where(sought == each.c.that).offset(sa.literal_column("0")).lateral("found")
    )  # OFFSET keeps it by itself
    return sa.select(*found.c).select_from(each).join(found, sa.true())


def _by_digests(tx: Connection, digests: list[str]) -> Sequence[Any]:
    if len(digests) == 1:  # One code under one key, as at most tills.
        return tx.execute(_BY_DIGEST, {"digest": digests[0]}).all()
    return tx.execute(_those(tx.dialect.name, "code_digest"), {"those": digests}).all() if digests else ()


def _by_ids(tx: Connection, ids: list[uuid.UUID]) -> Sequence[Any]:
    return tx.execute(_those(tx.dialect.name, "id"), {"those": ids}).all() if ids else ()


def last4_of(code: str | None) -> str | None:
    """Return the last four symbols of what somebody typed, if it could be a code."""
    try:
        return codes.last4(codes.normalized(code)) if code else None
    except CodeMalformed:
        return None
