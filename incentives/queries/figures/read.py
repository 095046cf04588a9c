"""Reads all figures at once. One that cannot be read is named, and the others are told all the same."""

import logging

from incentives.kernel.core import Core
from incentives.kernel.database import is_away
from incentives.kernel.errors import StorageUnavailable
from incentives.queries.figures import books, messages, work
from incentives.queries.figures.gauge import Gauge, Part, Sample

DATABASE_UP = Gauge("incentives_database_up", "1 if the database answers; 0 if not, and all that it knows is missing.")
UNREAD = Gauge(
    "incentives_figures_unread",
    "1 for figures that could not be read: a database that is older than this program, or a bug.",
    ("part",),
)
PARTS: tuple[Part, ...] = (messages.PART, books.PART, work.WORK, work.TRAFFIC, work.RULES)

log = logging.getLogger("incentives.figures")


def figures(*, core: Core) -> list[Sample]:
    """Return all figures; only that the database is away, where it is."""
    now = core.clock.now()
    samples: list[Sample] = [(DATABASE_UP, (), 1.0)]
    try:
        with core.database.read() as tx:
            for part in PARTS:
                try:
                    samples += [*list(part.read(tx, now)), (UNREAD, (part.name,), 0.0)]
                except Exception as error:
                    if is_away(error):
                        raise
                    log.exception("the figures of %s cannot be read", part.name)
                    samples.append((UNREAD, (part.name,), 1.0))
    except StorageUnavailable:
        return [(DATABASE_UP, (), 0.0)]
    return samples


def all_gauges() -> tuple[Gauge, ...]:
    """Return every figure that there is."""
    return (DATABASE_UP, UNREAD, *(gauge for part in PARTS for gauge in part.gauges))
