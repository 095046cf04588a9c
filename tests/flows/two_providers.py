"""A shop with two providers of emails, and what they do there."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from incentives.books.tables import audit_events
from incentives.messages.port import (
    SETTINGS,
    Accepted,
    Letter,
    Outcome,
    ProviderLetter,
    StatusReport,
    TryLater,
    Unsure,
)
from incentives.messages.providers import ILL_FROM
from incentives.messages.tables import message_providers, outbox_messages
from tests.flows.shop import Shop, named
from tests.world import Recording

ILL = TryLater("It has a fault of its own.", None)
WRONG = TryLater("The configuration is wrong: the key is not accepted.", 300.0, SETTINGS)
BROKE = Unsure("The connection broke.")


class Provider(Recording):
    """A sender with a name, which always answers the same until it is told otherwise."""

    def __init__(self, name: str, channel: str = "email") -> None:
        super().__init__(channel)
        self.provider = name
        self.usual: Outcome = Accepted(None)

    def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        return self.outcomes.pop(0) if self.outcomes else self.usual


class Asked(Provider):
    """A provider that says what it has."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.has: list[str] | None = None
        self.questions = 0

    def look_for(self, _letter: Letter, _since: datetime) -> list[str] | None:
        self.questions += 1
        return self.has

    def ask(self, _id: str, _now: datetime) -> StatusReport | None:
        return None


def with_senders(shop: Shop, first: Recording, spare: Recording | None = None) -> Shop:
    senders = {"email": first, "sms": Provider("texts", "sms")}
    return replace(shop, core=replace(shop.core, senders=senders, spares={"email": spare} if spare else {}))


def give(house: Shop, number: int = 1) -> None:
    have = len(house.all(outbox_messages))
    for each in range(have, have + number):
        house.issue(customer=named(f"c{each}@example.com"), channels=("email",))


def fall_ill(house: Shop, first: Provider) -> None:
    """Let the first provider fail until it rests."""
    first.usual = ILL
    give(house, ILL_FROM)
    house.deliver()
    assert state(house, "first").status == "resting"
    first.letters.clear()


def state(house: Shop, name: str) -> Any:
    return house.one(message_providers, message_providers.c.provider == name)


def changes(house: Shop) -> list[tuple[str, datetime]]:
    events = house.all(audit_events, audit_events.c.action.like("provider.%"))
    return [(each.action.partition(".")[2], each.at) for each in events]


def at_rest(house: Shop) -> None:
    """Nothing waits."""
    assert {row.status for row in house.all(outbox_messages)} == {"sent"}


def notices(provider: Provider) -> list[ProviderLetter]:
    """Return what administrators were told by a provider of one that refuses our settings."""
    letters: list[Any] = list(provider.letters)
    return [each for each in letters if isinstance(each, ProviderLetter)]
