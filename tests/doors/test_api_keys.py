"""Whose an API key is, as the API's door keeps it in mind."""

from typing import Any

import pytest

from api import authentication
from api.authentication import KNOWN_FOR_SECONDS, KnownKeys
from incentives.access.tables import api_keys
from incentives.flows.people import CreateApiKey, create_api_key, revoke_api_key
from incentives.kernel.actors import SYSTEM
from incentives.queries.access import actor_of_api_key
from tests.world import make_core


class Seconds:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_revoked_key_is_good_for_a_moment_and_no_longer(database_url: str) -> None:
    core, seconds = make_core(database_url), Seconds()
    known = KnownKeys(seconds=seconds)
    created = create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="till", role="till"))
    found = known.actor(core, created.secret)
    assert found is not None
    assert found.id == created.id
    revoke_api_key(core=core, actor=SYSTEM, key_id=created.id)
    seconds.now += KNOWN_FOR_SECONDS - 0.001
    assert known.actor(core, created.secret) == found  # Being asked does not make it known for longer.
    seconds.now += 0.001
    assert known.actor(core, created.secret) is None
    assert KNOWN_FOR_SECONDS < 1
    core.database.dispose()


def test_an_answer_that_took_its_time_is_as_old_as_the_question(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, seconds = make_core(database_url), Seconds()
    known = KnownKeys(seconds=seconds)
    created = create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="till", role="till"))

    def slowly(**asked: Any) -> Any:
        found = actor_of_api_key(**asked)
        seconds.now += 0.4
        return found

    monkeypatch.setattr(authentication, "actor_of_api_key", slowly)
    assert known.actor(core, created.secret) is not None
    revoke_api_key(core=core, actor=SYSTEM, key_id=created.id)
    seconds.now += KNOWN_FOR_SECONDS - 0.4
    assert known.actor(core, created.secret) is None
    core.database.dispose()


def test_a_role_that_changes_is_seen_a_moment_later(database_url: str) -> None:
    core, seconds = make_core(database_url), Seconds()
    known = KnownKeys(seconds=seconds)
    created = create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="till", role="till"))
    assert known.actor(core, created.secret) is not None
    with core.database.write() as tx:
        tx.execute(api_keys.update().values(role="auditor"))
    seconds.now += KNOWN_FOR_SECONDS
    found = known.actor(core, created.secret)
    assert found is not None
    assert found.role == "auditor"
    core.database.dispose()


def test_a_key_that_is_not_known_is_not_kept(database_url: str) -> None:
    core = make_core(database_url)
    known = KnownKeys(seconds=Seconds())
    assert known.actor(core, "ik_nobody") is None
    created = create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="till", role="till"))
    assert known.actor(core, created.secret) is not None
    assert known.actor(core, f"{created.secret} ") is None
    core.database.dispose()
