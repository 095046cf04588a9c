"""One file of a case, for whoever may see the case."""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseFileNotFound
from incentives.queries.scope import case_seen_by
from incentives.recovery.tables import case_files, recovery_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file as it was kept. It is for downloading: no page shows it as a part of itself."""

    name: str
    media_type: str
    content: bytes


def one_file(*, core: Core, actor: Actor, case_id: uuid.UUID, file_id: uuid.UUID) -> StoredFile:
    """Return a file, or raise ``CaseFileNotFound``: also for one of a case that the actor does not see."""
    permit(actor, "cases:read")
    table = case_files.c
    query = (
        sa.select(table.name, table.media_type, table.content)
        .join(recovery_cases, recovery_cases.c.id == table.case_id)
        .where(table.id == file_id, table.case_id == case_id, table.removed_at.is_(None), case_seen_by(actor))
    )
    with core.database.read() as tx:
        row = tx.execute(query).one_or_none()
    if row is None:
        raise CaseFileNotFound
    return StoredFile(
        name=core.contacts.decrypt(row.name) or "file",
        media_type=row.media_type,
        content=core.contacts.open(row.content),
    )
