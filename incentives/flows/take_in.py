"""Take in: whatever a customer, a survey, a colleague or a machine reports is kept as it came, and then understood.

permit → now → begin → understand → keep → write → end → result, for a sequence of pieces at once. What cannot be
understood is kept all the same and waits for a person. Nothing is acted on here: the door lets ``respond`` do that.
"""

import logging
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from incentives.books import audit
from incentives.catalog import releases
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds import reported
from incentives.deeds.taking import Draft, TakenIn, write
from incentives.deeds.understanding import TakeIn, understand
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    EmailInvalid,
    FeedbackNotUnderstood,
    FeedbackNotWaiting,
    InputInvalid,
    NoCatalog,
    PhoneInvalid,
    Refusal,
    UnknownSource,
)
from incentives.recovery import feedback, inbox
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.feedback_tables import EVENTS, KINDS, SCALES
from incentives.recovery.inbox import Raw
from incentives.recovery.scales import score_of

__all__ = [
    "EVENTS",
    "KINDS",
    "SCALES",
    "CustomerGiven",
    "Mending",
    "Raw",
    "TakeIn",
    "TakenIn",
    "Unread",
    "replay",
    "take_in",
    "take_in_raw",
]

log = logging.getLogger("incentives.take_in")

_Write = Callable[[Connection, Core, Sequence[Draft], datetime], None]

STUMBLED = (
    "It could not be understood because of a mistake in this program. Its log says more, at the time of this piece."
)
ECHO = "It is our own doing, come back from another system."


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """What a person who looked at a waiting piece says of it; None leaves a part as it is.

    With ``accept`` whatever still cannot be used is left out, so that the rest of it counts.
    """

    issue_tags: tuple[str, ...] | None = None
    score: str | None = None
    scale: str | None = None
    accept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A request whose fields are not what the contract says, and why; it is kept for a person all the same."""

    source: str
    raw: Raw
    refusal: InputInvalid


def take_in(*, core: Core, actor: Actor, commands: Sequence[TakeIn | Unread]) -> list[TakenIn | FeedbackNotUnderstood]:
    """Take feedback in, in one transaction; each piece gets its own answer, in order.

    A piece that cannot be understood is kept, and answered with ``FeedbackNotUnderstood``, which names its field and
    its ``inbox_id``. Raises ``NotPermitted`` and ``StorageUnavailable``.
    """
    permit(actor, "feedback:create")
    now = core.clock.now()
    drafts = [_draft(core, each.source, each.raw, now, _itself(each)) for each in commands]
    _take(core, actor, drafts, now)
    return [_answer(draft) for draft in drafts]


def take_in_raw(*, core: Core, actor: Actor, source: str, raw: Raw) -> TakenIn:
    """Take in a request of a source that the catalog has a mapping for; one that cannot be understood waits.

    Raises ``UnknownSource``, ``NotPermitted`` and ``StorageUnavailable``.
    """
    permit(actor, "feedback:create")
    now = core.clock.now()
    mapped = replace(raw, mapped=True)
    draft = _draft(core, source, mapped, now, lambda current: reported.command_of(current.catalog, source, mapped))
    _take(core, actor, [draft], now)
    return _result(draft)


def replay(*, core: Core, actor: Actor, inbox_id: uuid.UUID, mending: Mending | None = None) -> TakenIn:
    """Try to understand a piece that waits once more, with what a person says of it.

    One that still cannot be understood goes on waiting, with the reason. Raises ``FeedbackNotWaiting`` for a piece
    that is not there or does not wait any more, and ``NotPermitted``.
    """
    permit(actor, "feedback:repair")
    now = core.clock.now()
    with core.database.write() as tx:
        piece = inbox.locked(tx, core, inbox_id)
        if piece is None or piece.status != "waiting" or not inbox.is_seen_by(actor, piece):
            raise FeedbackNotWaiting
        draft = _draft_again(core, piece, mending or Mending(), now)
        # It happened where its sender is, whoever looks at it now.
        _understand(core, replace(actor, location=piece.location), _current(tx, core), draft, now)
        if draft.understood is None or draft.understood.echo:
            _put_aside(tx, core, draft, now)
        else:
            inbox.end_waiting(tx, inbox_id, now, status="understood", reason=None, feedback_id=draft.id)
            _carefully(tx, core, [draft], now)
        inbox.change(tx, inbox_id, now, tries=piece.tries + 1)
        _note_replay(tx, core, actor, draft, now, mending)
        return _result(draft)


def _draft_again(core: Core, piece: inbox.Piece, mending: Mending, now: datetime) -> Draft:
    def read(current: CurrentCatalog) -> TakeIn:
        command = reported.command_of(current.catalog, piece.source, piece.raw, piece.command, forgiving=mending.accept)
        said = {
            name: value for name in ("issue_tags", "score", "scale") if (value := getattr(mending, name)) is not None
        }
        command = replace(command, occurred_at=command.occurred_at or piece.received_at, **said)
        if not mending.accept:
            return command
        command = reported.mended(command, received_at=piece.received_at, inbox_id=piece.id)
        return _without_bad_score(current, command)

    return Draft(
        source=piece.source,
        raw=piece.raw,
        read=read,
        id=core.ids.new(now),
        inbox_id=piece.id,
        received_at=piece.received_at,
        tagged_by="person" if mending.issue_tags else None,
        forgiving=mending.accept,
    )


def _without_bad_score(current: CurrentCatalog, command: TakeIn) -> TakeIn:
    source = current.catalog.sources.get(command.source)
    try:
        if command.score is not None:
            score_of(command.score, command.scale or (source.scale if source else None))
    except InputInvalid:
        return replace(command, score=None, scale=None)
    return command


def _note_replay(
    tx: Connection, core: Core, actor: Actor, draft: Draft, now: datetime, mending: Mending | None
) -> None:
    result = _result(draft)
    audit.record(
        tx,
        core=core,
        actor=actor,
        now=now,
        action="feedback.replayed",
        subject_kind="feedback",
        subject_id=result.id or result.inbox_id,
        facts={
            "inbox_id": str(result.inbox_id),
            "source": draft.source,
            "status": result.status,
            "mended": mending is not None and mending != Mending(),
        },
    )


def _draft(core: Core, source: str, raw: Raw, now: datetime, read: Callable[[CurrentCatalog], TakeIn]) -> Draft:
    return Draft(source=source, raw=raw, read=read, id=core.ids.new(now), inbox_id=core.ids.new(now), received_at=now)


def _itself(command: TakeIn | Unread) -> Callable[[CurrentCatalog], TakeIn]:
    def read(_: CurrentCatalog) -> TakeIn:
        if isinstance(command, Unread):
            raise command.refusal
        return command

    return read


def _take(core: Core, actor: Actor, drafts: Sequence[Draft], now: datetime) -> None:
    """Keep and write all of them in one transaction.

    Mostly nothing goes wrong, and then no piece needs a savepoint of its own. If the database refuses one of them,
    nothing was kept yet: then each is written by itself, so that only the one at fault waits.
    """
    for draft in drafts:
        draft.location = actor.location
        draft.sealed = inbox.sealed(core, draft.raw, location=draft.location)
    try:
        with core.database.write() as tx:
            _take_all(tx, core, actor, drafts, now, write)
    except Refusal:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing that was reported is lost
        _log("pieces cannot be written together; each is written by itself", error)
        for draft in drafts:
            draft.result = None
        with core.database.write() as tx:
            _take_all(tx, core, actor, drafts, now, _carefully)


def _take_all(
    tx: Connection, core: Core, actor: Actor, drafts: Sequence[Draft], now: datetime, write_them: _Write
) -> None:
    current = _current(tx, core)
    for draft in drafts:
        _understand(core, actor, current, draft, now)
        if isinstance(draft.refusal, UnknownSource):
            raise draft.refusal
    new = inbox.keep(tx, [_inbox_row(core, actor, current, draft, now) for draft in drafts])
    before = sorted((draft for draft in drafts if draft.inbox_id not in new), key=lambda each: (each.source, each.key))
    known = inbox.before(tx, {(each.source, each.key) for each in before})
    again = [each for each in before if _is_understood_now(tx, each, known[each.source, each.key], now)]
    fresh = [draft for draft in drafts if draft.inbox_id in new]
    for draft in fresh:
        if draft.understood is None or draft.understood.echo:
            status, reason = _kept_as(draft)
            draft.result = TakenIn(id=None, inbox_id=draft.inbox_id, status=status, reason=inbox.short(reason))
    write_them(tx, core, _in_order(each for each in (*fresh, *again) if each.result is None), now)
    _answer_repeated(tx, [each for each in before if each not in again], known, now)


def _in_order(drafts: Iterable[Draft]) -> list[Draft]:
    """Return pieces by their ids, versions of one as they came: so no two sequences wait for each other in a ring."""
    return sorted(drafts, key=lambda each: (each.source, each.command.external_id if each.command else ""))


def _is_understood_now(tx: Connection, draft: Draft, known: Any, now: datetime) -> bool:
    """Return whether a request that waited, and has come again, can be understood by now; then it waits no longer."""
    if known.status != "waiting" or draft.understood is None or draft.understood.echo:
        return False
    draft.inbox_id = known.id
    return inbox.end_waiting(tx, known.id, now, status="understood", reason=None, feedback_id=draft.id)


def _current(tx: Connection, core: Core) -> CurrentCatalog | None:
    try:
        return releases.cached_current(tx, core)
    except NoCatalog:
        return None


def _understand(core: Core, actor: Actor, current: CurrentCatalog | None, draft: Draft, now: datetime) -> None:
    """Find out what a piece means; whatever goes wrong is about this piece alone."""
    try:
        if current is None:
            draft.reason = NoCatalog.title
            return
        draft.command = draft.read(current)
        found = understand(core, current, actor, draft.command, now, forgiving=draft.forgiving)
        draft.understood = replace(found, tagged_by=draft.tagged_by) if draft.tagged_by else found
    except Refusal as refusal:
        draft.refusal, draft.reason = refusal, _in_words(refusal)
    except Exception as error:  # noqa: BLE001 - as in ``_take``
        _log(f"a piece of {draft.source} cannot be understood", error)
        draft.reason = STUMBLED


def _log(what: str, error: Exception) -> None:
    """Say where something broke, without the error's own words: they may be a customer's."""
    log.error("%s: %s\n%s", what, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


def _in_words(refusal: Refusal) -> str:
    """Return why a piece waits; never with what a customer wrote."""
    if isinstance(refusal, EmailInvalid | PhoneInvalid):
        return f"{refusal.facts.get('field')}: {refusal.title}."
    errors = refusal.facts.get("errors") or []
    return " ".join(f"{each['field']}: {each['message']}" for each in errors) or refusal.detail


def _kept_as(draft: Draft) -> tuple[str, str | None]:
    """Return as what a request is kept, and why."""
    if draft.understood is None:
        return "waiting", draft.reason
    return ("ignored", ECHO) if draft.understood.echo else ("understood", None)


def _inbox_row(core: Core, actor: Actor, current: CurrentCatalog | None, draft: Draft, now: datetime) -> dict[str, Any]:
    external_id, order = (draft.command.external_id, draft.command.order) if draft.command else (None, None)
    if draft.command is None and current is not None:
        external_id, order = reported.external_id_of(current.catalog, draft.source, draft.raw)
    # What comes in our own words counts its versions by when they happened; the very same bytes are a repetition.
    order = order if draft.raw.mapped else None
    draft.key = inbox.dedupe_key(core, external_id=external_id, order=order, body=draft.raw.body).replace("\x00", "")
    status, reason = _kept_as(draft)
    if status == "waiting":
        draft.sealed = _sealed_again(core, draft)
    return inbox.row(
        id=draft.inbox_id,
        source=draft.source,
        dedupe_key=draft.key,
        actor=actor.label,
        raw=draft.raw,
        now=now,
        status=status,
        reason=reason,
        feedback_id=draft.id if status == "understood" else None,
        **draft.sealed,
    )


def _sealed_again(core: Core, draft: Draft) -> dict[str, Any]:
    """Return a request's encrypted columns with its command, where no mapping can read that from the body again."""
    kept = reported.to_json(draft.command) if draft.command and not draft.raw.mapped else None
    return inbox.sealed(core, draft.raw, location=draft.location, command=kept)


def _answer_repeated(
    tx: Connection, drafts: Sequence[Draft], known: Mapping[tuple[str, str], Any], now: datetime
) -> None:
    """Answer requests that came before with how far they have come since."""
    ids = {known[each.source, each.key].feedback_id for each in drafts}
    stand = feedback.standing(tx, ids - {None})
    for draft in drafts:
        before = known[draft.source, draft.key]
        found = stand.get(before.feedback_id)
        draft.inbox_id = before.id
        draft.result = TakenIn(
            id=before.feedback_id,
            inbox_id=before.id,
            status=found.status if found else before.status,
            act_now=found is not None and found.status == "settling" and found.act_at <= now,
            repeated=True,
            reason=before.reason or (found.reason if found else None),
        )


def _carefully(tx: Connection, core: Core, drafts: Sequence[Draft], now: datetime) -> None:
    """Write pieces one by one, each in a savepoint: one that the database refuses goes back to waiting."""
    for draft in drafts:
        try:
            with tx.begin_nested():
                write(tx, core, [draft], now)
        except OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - as in ``_take``
            _log(f"a piece of {draft.source} cannot be written", error)
            draft.understood, draft.reason = None, STUMBLED
            _put_aside(tx, core, draft, now)


def _put_aside(tx: Connection, core: Core, draft: Draft, now: datetime) -> None:
    """Leave a kept request for a person, or for nobody when it is our own echo."""
    status, reason = _kept_as(draft)
    # One that has waited before has its command beside it already.
    headers = {"headers": _sealed_again(core, draft)["headers"]} if draft.sealed else {}
    inbox.change(tx, draft.inbox_id, now, status=status, reason=inbox.short(reason), feedback_id=None, **headers)
    draft.result = TakenIn(id=None, inbox_id=draft.inbox_id, status=status, reason=reason)


def _result(draft: Draft) -> TakenIn:
    if draft.result is None:
        raise AssertionError("a piece was taken in and nobody said what became of it")
    return draft.result


def _answer(draft: Draft) -> TakenIn | FeedbackNotUnderstood:
    result = _result(draft)
    return _not_understood(draft) if result.id is None and result.status == "waiting" else result


def _not_understood(draft: Draft) -> FeedbackNotUnderstood:
    """Return the answer to whoever sent what cannot be understood: the field at fault, and that it was kept."""
    refusal, result = draft.refusal, _result(draft)
    facts = refusal.facts if refusal else {}
    named = {name: facts[name] for name in ("field", "errors") if name in facts}
    if "errors" in named and "field" not in named:
        named["field"] = named["errors"][0]["field"]
    return FeedbackNotUnderstood(result.reason or "", inbox_id=str(result.inbox_id), **named)
