"""A switch holds in every process within a second, against a stream that does not pause."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from incentives.flows.switch import SetSwitch, set_switch
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.safeguards import switches
from incentives.safeguards.tables import switches as table
from tests.crew import SIZE, Crew, Outcome, count
from tests.races.deeds import broken, rows
from tests.races.streaming import stop_a_stream
from tests.small_catalog import catalog
from tests.world import publish_catalog

WITHIN_SECONDS = 1.0


@contextmanager
def remembering() -> Iterator[None]:
    """Trust what was read once for a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switches, "FRESH_SECONDS", 60.0)
        yield


def test_no_gift_goes_through_a_second_after_it_was_set(core: Core) -> None:
    publish_catalog(core, catalog())
    found = stop_a_stream(core.settings.database_url)
    assert found.before > 0
    assert found.refused > 0
    assert found.last_seconds < WITHIN_SECONDS
    assert broken(core) == []


def test_no_voucher_is_redeemed_a_second_after_it_was_set(core: Core) -> None:
    publish_catalog(core, catalog())
    found = stop_a_stream(core.settings.database_url, "redeeming", codes=400)
    assert found.before > 0
    assert found.refused > 0
    assert found.last_seconds < WITHIN_SECONDS
    assert broken(core) == []


def test_processes_that_remember_what_they_read_go_on_and_on(core: Core) -> None:
    publish_catalog(core, catalog())
    found = stop_a_stream(core.settings.database_url, twin=remembering)
    assert found.last_seconds > WITHIN_SECONDS


def set_it(core: Core, _turn: int) -> Outcome:
    found = set_switch(core=core, actor=SYSTEM, command=SetSwitch(stops="issuing", scope="organization", reason="Now."))
    return Outcome("Set", found.id)


def test_sixteen_who_set_it_at_once_set_one(crew: Crew, core: Core) -> None:
    publish_catalog(core, catalog())
    (outcomes,) = crew.at_once(set_it, [[1] * SIZE], core.settings.database_url)
    assert count(outcomes) == {"Set": 1, "SwitchAlreadySet": SIZE - 1}
    assert rows(core, table) == 1
