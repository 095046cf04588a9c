"""Feedback as rows: what was understood is written once, and changes only by a newer version of itself."""

import json
import re
import unicodedata
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.database import insert_new, insert_unless_there
from incentives.recovery.feedback_tables import (
    feedback,
    feedback_inbox,
    feedback_revisions,
    feedback_tags,
    feedback_unmapped,
)

COMMENT_LENGTH_MAX = 10_000
EXTERNAL_ID_LENGTH_MAX = 200
UNMAPPED_LENGTH_MAX = 200

OWN_MARK = "service-recovery"
"""The tag that this program puts on what it writes into others' systems: what comes back with it is its own echo."""


def insert(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> set[uuid.UUID]:
    """Write feedback in one statement; return the ids of what is new. What is there already stays as it is."""
    return insert_new(tx, feedback, ("source", "external_id"), rows)


def tag(tx: Connection, tags: Iterable[tuple[uuid.UUID, Iterable[str]]]) -> None:
    """Write the issue tags of feedback."""
    rows = [{"feedback_id": feedback_id, "issue_tag": key} for feedback_id, keys in tags for key in keys]
    if rows:
        tx.execute(feedback_tags.insert(), rows)


def tag_again(tx: Connection, feedback_id: uuid.UUID, keys: Sequence[str]) -> None:
    """Give a piece of feedback other issue tags."""
    tx.execute(feedback_tags.delete().where(feedback_tags.c.feedback_id == feedback_id))
    tag(tx, [(feedback_id, keys)])


def note_unmapped(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write down what a source said that nothing is named by."""
    if rows:
        tx.execute(feedback_unmapped.insert(), list(rows))


def locked(tx: Connection, source: str, external_id: str) -> Any:
    """Return a piece of feedback as it stands, locked, with the instant at which its newest version came in."""
    table = feedback.c
    mine = sa.and_(table.source == source, table.external_id == external_id)
    # First held, then read: what a statement that had to wait reads besides the row it waited for is as old as itself.
    tx.execute(sa.select(table.id).where(mine).with_for_update())
    newest = sa.select(feedback_inbox.c.received_at).where(feedback_inbox.c.id == table.inbox_id).scalar_subquery()
    return tx.execute(sa.select(feedback, newest.label("newest_received_at")).where(mine)).one()


def standing(tx: Connection, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """Return how far pieces of feedback have come, by their ids."""
    if not ids:
        return {}
    table = feedback.c
    query = sa.select(table.id, table.status, table.act_at, table.reason).where(table.id.in_(ids))
    return {each.id: each for each in tx.execute(query)}


def revise(
    tx: Connection, known: Any, values: Mapping[str, Any], *, inbox_id: uuid.UUID, now: datetime, is_new: bool
) -> None:
    """Change feedback that was locked. With ``is_new`` it is a new version, which is kept beside the earlier ones."""
    table = feedback.c
    step = {"revision": known.revision + 1} if is_new else {}
    tx.execute(feedback.update().where(table.id == known.id).values(inbox_id=inbox_id, **step, **values))
    if not is_new:
        return
    before = known._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    _keep_version(tx, known.id, known.revision, known.inbox_id, known.newest_received_at or known.received_at, before)
    _keep_version(tx, known.id, known.revision + 1, inbox_id, now, {**before, **values})


def _keep_version(
    tx: Connection,
    feedback_id: uuid.UUID,
    revision: int,
    inbox_id: uuid.UUID | None,
    at: datetime,
    values: Mapping[str, Any],
) -> None:
    version = {
        "feedback_id": feedback_id,
        "revision": revision,
        "inbox_id": inbox_id,
        "score_given": values["score_given"],
        "score_bp": values["score_bp"],
        "comment": values["comment"],
        "at": at,
    }
    insert_unless_there(tx, feedback_revisions, ("feedback_id", "revision"), version)


def story_text(story: Mapping[str, str | None]) -> str | None:
    """Return what a colleague reported in the form that is encrypted and kept; None where there is nothing."""
    said = {name: text for name, text in story.items() if text}
    return json.dumps(said, ensure_ascii=False) if said else None


def is_echo(tags: Iterable[str]) -> bool:
    """Return whether feedback is marked as our own doing: acting on it would go round in a circle."""
    return any(re.sub("[_ ]", "-", each.strip().casefold()) == OWN_MARK for each in tags)


def tags_by_words(comment: str, words: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the issue tags whose words a comment has, those with the most first; of equals the first in ``words``."""
    plain = _plain(comment)
    hits = {key: len(_pattern(each).findall(plain)) for key, each in words.items() if each}
    return sorted((key for key, count in hits.items() if count), key=lambda key: -hits[key])


def _plain(text: str) -> str:
    """Return a text fit to look for words in: characters that are not seen would hide them."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return folded
    return "".join(each for each in folded if unicodedata.category(each) != "Cf")


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds any of the words, whole, with any white space where a phrase has a space."""
    found = (r"\s+".join(map(re.escape, _plain(each).split())) for each in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(filter(None, found), key=len, reverse=True)) or '(?!)'})(?!\w)")
