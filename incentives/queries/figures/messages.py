"""Figures of the messages: what waits to be sent and for how long, what did not arrive, and who carries nothing now."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.messages.outbox import WAITING
from incentives.messages.tables import CHANNELS, delivery_attempts, message_providers, outbox_messages
from incentives.queries import stranded
from incentives.queries.figures.gauge import LATE, SINCE, Gauge, Part, Sample, age, counted, some, word
from incentives.queries.sealed_rows import floor_id

LATELY = timedelta(hours=24)
TRIED = timedelta(minutes=5)
LEFT = timedelta(minutes=5)
"""So long after its lease ended a message that nobody has taken up again is stranded."""

WAITS = Gauge(
    "incentives_outbox_waiting",
    "Messages that wait, of the 10,000 of each status that have waited longest.",
    ("channel", "status"),
)
OLDEST = Gauge(
    "incentives_outbox_oldest_seconds",
    "How long the message that has been due longest has waited; 0 where none is due.",
    ("channel",),
)
STRANDED = Gauge(
    "incentives_outbox_stranded", "Messages whose sender died, and which nobody took up again for 5 minutes."
)
SALVAGED = Gauge(
    "incentives_messages_salvaged",
    "Messages that were missing or held for ever, found within 24 hours, by what became of them; up to 1,000.",
    ("channel", "outcome"),
)
ENDED = Gauge(
    "incentives_messages_not_arrived",
    "Messages that were due within 24 hours and did not arrive; uncertain: may have arrived, a person must ask.",
    ("channel", "outcome"),
)
ATTEMPTS = Gauge(
    "incentives_delivery_attempts",
    "Tries to deliver within the last 5 minutes, by what came of them.",
    ("provider", "outcome"),
)
RESTS = Gauge(
    "incentives_provider_resting",
    "1 while a provider is asked nothing because it did not work.",
    ("channel", "provider"),
)
TO_MEND = Gauge(
    "incentives_provider_to_mend",
    "1 while a provider refuses our settings, until somebody mends them.",
    ("channel", "provider"),
)

_FOUND = 1_000
_OUTCOMES = ("failed", "bounced", "suppressed")
_UNCERTAIN = "uncertain"
_outbox: Any = outbox_messages.c
_tries: Any = delivery_attempts.c
_WHEN = _outbox.available_at.type


def _waiting(status: str) -> Any:
    """What is being sent is due again when its lease ends, what is held is not due."""
    due = {"queued": _outbox.available_at, "sending": _outbox.lease_until_at}.get(status, sa.cast(None, _WHEN))
    rows = some([_outbox.channel, due.label("due")], _outbox.status == word(status), order=_outbox.available_at)
    found: Any = sa.select(sa.literal(status), rows.c.channel, sa.func.count(), sa.func.min(rows.c.due))
    return found.group_by(rows.c.channel)


def _ended(status: str) -> sa.Select[Any]:
    uncertain = sa.case((_outbox.unsure_tries > 0, _UNCERTAIN), else_=status) if status == "failed" else status
    recent = (_outbox.status == word(status), _outbox.available_at > SINCE)
    outcome = sa.literal(uncertain) if isinstance(uncertain, str) else uncertain
    return counted([_outbox.channel, outcome.label("outcome")], *recent, order=_outbox.available_at.desc())


_WAITING = sa.union_all(*(_waiting(status) for status in WAITING))
_ENDED = sa.union_all(*(_ended(status) for status in _OUTCOMES))
_STRANDED = sa.select(sa.func.count()).select_from(
    some([_outbox.id], _outbox.status == word("sending"), _outbox.lease_until_at <= LATE)
)
_ATTEMPTS = counted(
    [_tries.provider, _tries.outcome], _tries.id >= sa.bindparam("above", type_=sa.Uuid()), order=_tries.id.desc()
)
_PROVIDERS = sa.select(*(message_providers.c[name] for name in ("channel", "provider", "status", "to_mend")))


def _read(tx: Connection, now: datetime) -> Iterator[Sample]:
    yield from _outbox_now(tx, now)
    found = Counter(
        (row.facts["channel"], row.facts["status"]) for row in stranded.latest(tx, _FOUND) if row.at > now - LATELY
    )
    salvaged = {(channel, "queued"): 0 for channel in CHANNELS} | found
    yield from ((SALVAGED, labels, count) for labels, count in salvaged.items())
    ended = {(channel, outcome): 0.0 for channel in CHANNELS for outcome in (*_OUTCOMES, _UNCERTAIN)}
    ended |= {(row[0], row[1]): row[2] for row in tx.execute(_ENDED, {"since": now - LATELY})}
    yield from ((ENDED, labels, count) for labels, count in ended.items())
    for provider, outcome, count in tx.execute(_ATTEMPTS, {"above": floor_id(now - TRIED)}):
        yield ATTEMPTS, (provider, outcome), count
    for channel, provider, status, to_mend in tx.execute(_PROVIDERS):
        yield RESTS, (channel, provider), float(status == "resting")
        yield TO_MEND, (channel, provider), float(to_mend)


def _outbox_now(tx: Connection, now: datetime) -> Iterator[Sample]:
    counts = {(channel, status): 0 for channel in CHANNELS for status in WAITING}
    oldest = dict.fromkeys(CHANNELS, 0.0)
    for status, channel, count, since in tx.execute(_WAITING):
        counts[channel, status] = count
        oldest[channel] = max(oldest[channel], age(now, since))
    yield from ((WAITS, labels, count) for labels, count in counts.items())
    yield from ((OLDEST, (channel,), seconds) for channel, seconds in oldest.items())
    yield STRANDED, (), tx.execute(_STRANDED, {"late": now - LEFT}).scalar_one()


PART = Part("messages", (WAITS, OLDEST, STRANDED, SALVAGED, ENDED, ATTEMPTS, RESTS, TO_MEND), _read)
