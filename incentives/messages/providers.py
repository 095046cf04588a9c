"""Which provider carries a channel's messages: the first, unless it is ill; then the other, until the first is well.

A provider that fails far more often than not rests, and so does one that refuses our settings. Meanwhile the other one
carries everything, but for one message now and then that finds out whether the first works again. What is known of each
is one row that conditional updates change, so that all processes of a house go the same way.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.kernel.core import Core
from incentives.kernel.database import insert_unless_there
from incentives.messages.port import EITHER, PROVIDER, SETTINGS, THEIRS, TryLater, WillNeverWork
from incentives.messages.tables import delivery_attempts, message_providers, outbox_messages

WORKING, RESTING = "working", "resting"

ILL_FROM = 10
"""So many more failures than successes of late make a provider ill: a few failures among many successes never do."""
LATELY = timedelta(minutes=5)
REST = timedelta(minutes=1)
LONGEST_REST = timedelta(minutes=15)
LONGEST_TO_MEND = timedelta(minutes=5)
"""So soon after its settings were mended, and the program started anew, it is asked at the latest."""
CALM_AFTER = timedelta(hours=1)
"""Who has worked for so long begins with the shortest rest again."""
STEADY = timedelta(minutes=1)
"""A provider does not change between working and resting more often: else messages would swing with every gust."""
LONGEST_PAUSE = timedelta(minutes=1)
"""So long at most a channel waits as a whole because of one message; that one waits for as long as it was told."""
HOLD = timedelta(minutes=10)
"""So long what one provider may have taken is kept from the other, where the first cannot tell: its callbacks come."""

ENOUGH_TRIES = 3
"""After so many a message that is refused while others are taken is for a person."""

_REASON_LENGTH = 300
_OF_LATE = 200  # tries, by whomever


@dataclass(frozen=True, slots=True)
class Route:
    """Who carries the next message; nobody just now where ``provider`` is None."""

    provider: str | None
    probes: bool = False  # it rests, and this message finds out whether it works again


def known(tx: Connection) -> dict[str, Any]:
    """Return what is known of each provider that ever failed, by its name."""
    return {row.provider: row for row in tx.execute(_KNOWN)}


_KNOWN = sa.select(message_providers)


def route(names: Sequence[str], states: Mapping[str, Any], now: datetime, passed_over: Collection[str] = ()) -> Route:
    """Return who of a channel's providers, the first one first, carries the next message.

    Where there is one only, it is asked however it does, for each message has its own pauses; but where it refuses our
    settings, one message is enough to find out that it still does.
    """
    if len(names) == 1 and not _is_to_be_mended(states.get(names[0])):
        return Route(None if _pauses(states.get(names[0]), now) else names[0])
    for name in names:
        if name in passed_over:
            continue
        state = states.get(name)
        if state is None or state.status == WORKING:
            return Route(None if _pauses(state, now) else name)
        if state.probe_at is not None and state.probe_at <= now:
            return Route(name, probes=True)
    return Route(None)


def _is_to_be_mended(state: Any) -> bool:
    return state is not None and state.status == RESTING and bool(state.to_mend)


def _pauses(state: Any, now: datetime) -> bool:
    return (
        state is not None and state.paused_until_at is not None and now < state.paused_until_at <= now + LONGEST_PAUSE
    )


def take_probe(tx: Connection, provider: str, now: datetime) -> bool:
    """Let one message be the probe of a provider that rests; False when another one is."""
    table = message_providers.c
    due = (table.provider == provider, table.status == RESTING, table.probe_at <= now)
    return tx.execute(message_providers.update().where(*due).values(probe_at=now + REST)).rowcount == 1


def give_probe_back(tx: Connection, provider: str, now: datetime) -> None:
    """Let another message be the probe: this one was not sent."""
    table = message_providers.c
    mine = (table.provider == provider, table.status == RESTING)
    tx.execute(message_providers.update().where(*mine).values(probe_at=now))


def pause(tx: Connection, core: Core, *, provider: str, channel: str, now: datetime, until_at: datetime) -> None:
    """Let a provider be asked nothing until an instant, for it wants us slower."""
    _be_known(tx, core, provider, channel, now)
    table = message_providers.c
    until_at = min(until_at, now + LONGEST_PAUSE)
    sooner = sa.or_(table.paused_until_at.is_(None), table.paused_until_at < until_at)
    mine = (table.provider == provider, sooner)
    tx.execute(message_providers.update().where(*mine).values(paused_until_at=until_at))


def succeeded(tx: Connection, *, state: Any, was_asked_while_resting: bool, now: datetime) -> bool:
    """Count a success of a provider that failed of late; return whether it works again by that."""
    table = message_providers.c
    mine = table.provider == state.provider
    if state.status == RESTING and was_asked_while_resting:
        calm = (mine, table.status == RESTING, table.changed_at <= now - STEADY)
        well = {"status": WORKING, "changed_at": now, "probe_at": None, "score": 0, "reason": None, "to_mend": False}
        return tx.execute(message_providers.update().where(*calm).values(**well)).rowcount == 1
    if state.score > 0:
        tx.execute(message_providers.update().where(mine, table.score > 0).values(score=table.score - 1))
    return False


def failed(
    tx: Connection, core: Core, *, provider: str, channel: str, reason: str, at_once: bool, now: datetime
) -> Any | None:
    """Count a failure of a provider; return its row if it rests from now on.

    It rests ``at_once`` where nothing can work before somebody mends the settings. Where it rests already, for being
    ill, that is new: nobody was told of it.
    """
    _be_known(tx, core, provider, channel, now)
    table = message_providers.c
    fresh = sa.and_(table.scored_at.is_not(None), table.scored_at > now - LATELY)
    scored = {"score": sa.case((fresh, table.score + 1), else_=1), "scored_at": now}
    mine = table.provider == provider
    row = tx.execute(message_providers.update().where(mine).values(**scored).returning(*table)).one()
    if row.status == RESTING:
        return _is_to_be_mended_too(tx, row, reason, now) if at_once and not row.to_mend else None
    steady = row.changed_at is None or row.changed_at <= now - STEADY
    if not steady or (row.score < ILL_FROM and not at_once):
        return None
    rests = row.rests + 1 if row.changed_at is not None and row.changed_at > now - CALM_AFTER else 1
    begins = {"status": RESTING, "changed_at": now, "probe_at": now + rest(rests, to_mend=at_once), "rests": rests}
    works = (mine, table.status == WORKING)
    said = {**begins, "reason": reason[:_REASON_LENGTH], "to_mend": at_once}
    return tx.execute(message_providers.update().where(*works).values(**said).returning(*table)).one_or_none()


def _is_to_be_mended_too(tx: Connection, row: Any, reason: str, now: datetime) -> Any | None:
    """Let a provider that is ill be known to refuse our settings; None where another process said so first."""
    table = message_providers.c
    ill = (table.provider == row.provider, table.status == RESTING, table.to_mend.is_(False))
    said = {"to_mend": True, "reason": reason[:_REASON_LENGTH], "probe_at": now + rest(row.rests, to_mend=True)}
    return tx.execute(message_providers.update().where(*ill).values(**said).returning(*table)).one_or_none()


def probed_in_vain(tx: Connection, *, provider: str, now: datetime) -> None:
    """Let a provider whose probe has failed rest for longer."""
    table = message_providers.c
    mine = (table.provider == provider, table.status == RESTING)
    longer = message_providers.update().where(*mine).values(rests=table.rests + 1)
    row = tx.execute(longer.returning(table.rests, table.to_mend)).first()
    if row is not None:
        pause = rest(row.rests, to_mend=row.to_mend)
        tx.execute(message_providers.update().where(*mine).values(probe_at=now + pause))


def rest(rests: int, *, to_mend: bool = False) -> timedelta:
    """Return how long the so many-th rest in succession lasts: each twice as long, up to a quarter of an hour."""
    return min(REST * (1 << min(max(rests, 1) - 1, 10)), LONGEST_TO_MEND if to_mend else LONGEST_REST)


def judged(tx: Connection, message: Any, outcome: Any) -> Any:
    """Return an outcome of a message's try that says whose doing it is, where the provider's answer leaves that open.

    The settings are wrong where another message was refused in the same words, and none was taken in between. What is
    refused again after others were taken is this reader's own, and in the end for a person. It never makes a provider
    rest: else one reader would hold up all others, whenever the message is tried again.
    """
    if not isinstance(outcome, TryLater) or outcome.blame != EITHER:
        return outcome
    table = delivery_attempts.c
    state = tx.execute(_KNOWN.where(message_providers.c.provider == message.provider)).first()
    same = (table.message_id == message.id, table.provider == message.provider, table.reason == outcome.reason)
    first = tx.execute(sa.select(table.id).where(*same).order_by(table.id).limit(1)).scalar()
    took, others = _compared(tx, message, outcome.reason)
    if first is not None and took is not None and first < took:
        if message.attempts < ENOUGH_TRIES or (state is not None and state.status == RESTING):
            return replace(outcome, blame=THEIRS)
        return WillNeverWork(f"{outcome.reason} Messages to others were taken meanwhile.")
    return replace(outcome, blame=SETTINGS if others or _is_to_be_mended(state) else THEIRS)


def _compared(tx: Connection, message: Any, reason: str) -> tuple[uuid.UUID | None, bool]:
    """Return the last try that a message's provider took, and whether it refused another since which it had not before.

    The latest tries say it. Of two messages that tell a customer of one thing neither is another.
    """
    late = sa.select(delivery_attempts).order_by(delivery_attempts.c.id.desc()).limit(_OF_LATE).subquery()
    told = outbox_messages.c
    about = sa.func.coalesce(told.issuance_id, told.case_id, told.about_id).label("about")
    tried = sa.select(late.c.id, late.c.outcome, late.c.reason, about).join_from(
        late, outbox_messages, told.id == late.c.message_id
    )
    tries = tx.execute(tried.where(late.c.provider == message.provider).order_by(late.c.id.desc())).all()
    took = next((each.id for each in tries if each.outcome == "accepted"), None)
    refused = [each for each in tries if each.outcome == "try-later" and each.reason == reason]
    since = {each.about for each in refused if took is None or each.id > took}
    before = {each.about for each in refused if took is not None and each.id < took}
    return took, bool(since - before - {message.issuance_id or message.case_id or message.about_id})


def asked_seconds(tx: Connection, outcome: TryLater, provider: str | None, names: Sequence[str]) -> float | None:
    """Return for how long a message must wait at least, as its provider asked.

    Neither wrong settings of one provider hold it up where another carries the channel too, nor, where that one works,
    the illness of the first for longer than the shortest rest.
    """
    others = [name for name in names if name != provider]
    if not others or outcome.after_seconds is None or outcome.blame not in (SETTINGS, PROVIDER):
        return outcome.after_seconds
    if outcome.blame == SETTINGS:
        return None
    states = known(tx)
    is_well = any(name not in states or states[name].status == WORKING for name in others)
    return min(outcome.after_seconds, REST.total_seconds()) if is_well else outcome.after_seconds


def _be_known(tx: Connection, core: Core, provider: str, channel: str, now: datetime) -> None:
    row = {"id": core.ids.new(now), "provider": provider, "channel": channel, "status": WORKING, "score": 0, "rests": 0}
    insert_unless_there(tx, message_providers, ("provider",), row)
