"""Files of a case: photos, documents and texts that show what happened, kept encrypted."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds import casework
from incentives.kernel import scanner
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseFileNotFound, TooManyFiles
from incentives.recovery import files
from incentives.recovery.tables import case_files


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFile:
    """A file with the name and the media type that it came with."""

    case_id: uuid.UUID
    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAdded:
    """The file that is kept; ``repeated`` where the very same was there already."""

    id: uuid.UUID
    media_type: str
    size_bytes: int
    repeated: bool = False


def add_file(*, core: Core, actor: Actor, command: AddFile) -> FileAdded:
    """Keep a file, once however often it is sent, without what a camera wrote into it; also in a closed case.

    Raises ``FileTooLarge``, ``FileTypeRefused``, ``FileUnsafe``, ``ScannerUnavailable``, ``TooManyFiles``,
    ``CaseNotFound``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    content = files.cleaned(command.content, command.media_type)
    scanner.check(core.settings.file_scanner_command, command.content)
    digest = hashlib.sha256(content).hexdigest()
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        known = _known(tx, case.id, digest)
        if known is not None and known.removed_at is None:
            return FileAdded(id=known.id, media_type=known.media_type, size_bytes=known.size_bytes, repeated=True)
        _check_room(tx, case.id)
        row = _row(core, actor, now, command, content, digest)
        if known is not None:
            row["id"] = known.id
            tx.execute(case_files.update().where(case_files.c.id == known.id).values(**row, removed_at=None))
        else:
            tx.execute(case_files.insert(), [row])
        casework.change(tx, case.id, now)
        facts = {"file": str(row["id"]), "media_type": row["media_type"], "sha256": digest}
        casework.say(tx, core, actor, now, case.id, "file-added", facts)
    return FileAdded(id=row["id"], media_type=row["media_type"], size_bytes=row["size_bytes"])


def _known(tx: Connection, case_id: uuid.UUID, digest: str) -> Any:
    table = case_files.c
    query = sa.select(table.id, table.media_type, table.size_bytes, table.removed_at)
    return tx.execute(query.where(table.case_id == case_id, table.sha256 == digest)).one_or_none()


def _check_room(tx: Connection, case_id: uuid.UUID) -> None:
    table = case_files.c
    count = sa.select(sa.func.count()).where(table.case_id == case_id, table.removed_at.is_(None))
    if tx.execute(count).scalar_one() >= files.MOST_FILES:
        raise TooManyFiles(most=files.MOST_FILES)


def _row(core: Core, actor: Actor, now: datetime, command: AddFile, content: bytes, digest: str) -> dict[str, Any]:
    # ``files.cleaned`` let it through, so it is of a kind that is kept.
    media_type = files.sniffed(content) or "text/plain"
    return {
        "id": core.ids.new(now),
        "case_id": command.case_id,
        "name": core.contacts.encrypt(files.named(command.name, media_type)),
        "media_type": media_type,
        "size_bytes": len(content),
        "sha256": digest,
        "content": core.contacts.seal(content),
        "at": now,
        "actor": actor.label,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFile:
    """A file is not to be kept any longer, for a reason that becomes a note."""

    case_id: uuid.UUID
    file_id: uuid.UUID
    reason: str


def remove_file(*, core: Core, actor: Actor, command: RemoveFile) -> None:
    """Forget a file's content for good; that it was there stays.

    Raises ``CaseFileNotFound``, ``InputInvalid``, ``CaseNotFound``, ``NotPermitted``.
    """
    permit(actor, "cases:manage")
    now = core.clock.now()
    reason = casework.text(command.reason, "reason", needed="Say why.") or ""
    table = case_files.c
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        removed = tx.execute(
            case_files.update()
            .where(table.id == command.file_id, table.case_id == case.id, table.removed_at.is_(None))
            .values(removed_at=now, content=b"")
        )
        if removed.rowcount != 1:
            raise CaseFileNotFound
        casework.note(tx, core, actor, now, case.id, reason)
        casework.change(tx, case.id, now)
        casework.say(tx, core, actor, now, case.id, "file-removed", {"file": str(command.file_id)})
