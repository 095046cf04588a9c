"""A world to test in, made through the flows: a core with a clock of its own, the demo catalog, people and programs."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from incentives.flows import people, publish
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.clock import Clock, FixedClock
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.kernel.ids import Ids
from incentives.kernel.keys import Keys
from incentives.kernel.settings import Settings
from incentives.messages.port import Captured, Letter, Outcome
from incentives.queries.access import actor_of_api_key
from incentives.queries.people import person_by_email

HOUSE = Path(__file__).resolve().parents[1]
DEMO_CATALOG = HOUSE / "demo" / "catalog.yaml"
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
KEYED = ("CODE", "LINK", "SESSION", "CONTACT", "SEAL")


def key_setting(name: str) -> str:
    """Return a key of the settings that is the same in every process of a test."""
    return f"t:{base64.b64encode(name.encode().ljust(32, b'.')).decode()}"


def environ(database_url: str, **more: str) -> dict[str, str]:
    """Return an environment that a core can be built from."""
    return {
        "INCENTIVES_ENVIRONMENT": "development",
        "INCENTIVES_DATABASE_URL": database_url,
        "INCENTIVES_PUBLIC_URL": "http://127.0.0.1:8000",
        **{f"INCENTIVES_{purpose}_KEYS": key_setting(purpose) for purpose in KEYED},
        **more,
    }


class Recording:
    """A sender that keeps what it was given; ``outcomes`` are answered in turn, then Captured."""

    provider = "recording"

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.letters: list[Letter] = []
        self.outcomes: list[Outcome] = []

    def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        return self.outcomes.pop(0) if self.outcomes else Captured()


def make_core(
    database_url: str, *, clock: Clock | None = None, senders: Mapping[str, Any] | None = None, **more: str
) -> Core:
    """Return a core on a migrated database."""
    settings = Settings.from_environ(environ(database_url, **more))
    return Core(
        settings=settings,
        clock=clock or FixedClock(START),
        ids=Ids(),
        keys=Keys.from_settings(settings),
        database=Database(database_url, pool_size=settings.database_pool_size),
        senders=senders or {channel: Recording(channel) for channel in ("email", "sms")},
    )


def publish_catalog(core: Core, text: str | None = None) -> None:
    """Put a catalog in force: proposed by the system, approved by a second actor."""
    proposed = publish.propose_catalog(
        core=core, actor=SYSTEM, command=publish.ProposeCatalog(text=text or DEMO_CATALOG.read_text(encoding="utf-8"))
    )
    approver = Actor(kind="person", id=core.ids.new(core.clock.now()), name="Approver", role="manager")
    publish.approve_release(core=core, actor=approver, command=publish.ApproveRelease(number=proposed.number))


def person(
    core: Core, role: str, *, email: str | None = None, location: str | None = None, team: str | None = None
) -> Actor:
    """Let a person in and return them as an actor."""
    email = email or f"{role}@example.com"
    command = people.CreateUser(
        email=email, role=role, name=role.title(), location=location, team=team, password=PASSWORD
    )
    people.create_user(core=core, actor=SYSTEM, command=command)
    return person_by_email(core=core, email=email)


def actor(
    core: Core, role: str, *, email: str | None = None, location: str | None = None, team: str | None = None
) -> Actor:
    """Return an actor who is nobody in the database: enough for flows, and without the cost of a password."""
    return Actor(
        kind="person",
        id=core.ids.new(core.clock.now()),
        name=role.title(),
        role=role,
        email=email,
        location=location,
        team=team,
    )


def api_key(core: Core, role: str, *, location: str | None = None) -> tuple[str, Actor]:
    """Let a program in; return its secret and it as an actor."""
    created = people.create_api_key(
        core=core, actor=SYSTEM, command=people.CreateApiKey(name=f"test {role}", role=role, location=location)
    )
    found = actor_of_api_key(core=core, secret=created.secret)
    assert found is not None
    return created.secret, found


def renamed(who: Actor, **values: Any) -> Actor:
    """Return an actor that differs in some parts."""
    return replace(who, **values)
