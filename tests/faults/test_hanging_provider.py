"""A provider that does not answer holds up its own messages and nothing else."""

import threading
from datetime import timedelta

import psycopg
import pytest

from incentives.flows.deliver import deliver_next
from incentives.kernel.clock import FixedClock
from tests.faults.sending import at, give_by_email, provider, sending_core, wait_until
from tests.faults.test_killed_workers import statuses
from tests.providers.stand_in import Answer
from tests.races.deeds import give
from tests.world import START


def sessions(url: str) -> list[str]:
    """Return what every other session of a database is doing."""
    query = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query) if row[0]]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_no_connection_is_held_while_the_provider_thinks(database_url: str) -> None:
    with provider().serving() as stand_in:
        core = sending_core(database_url, stand_in.url, clock=FixedClock(START), pool_size=1)
        give_by_email(core, 1)
        stand_in.will(Answer(202, deed="hang"))
        sending = threading.Thread(target=deliver_next, kwargs={"core": core})
        sending.start()
        wait_until(lambda: stand_in.asked)
        assert set(sessions(database_url)) == {"idle"}  # Not "idle in transaction".
        give(core)  # The one connection there is can be had.
        assert statuses(core.database) == {"sending": 1}
        sending.join(timeout=5)
        assert not sending.is_alive()  # The provider's time-out of one second is over.
        assert statuses(core.database) == {"queued": 1}
        assert deliver_next(core=core) is None  # Not at once again.
        deliver_next(core=at(core, START + timedelta(minutes=1)))
        assert statuses(core.database) == {"sent": 1}
        core.database.dispose()
