"""The tray that a flow carries: everything it may reach, and nothing that it reaches by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from incentives.kernel.clock import Clock
from incentives.kernel.database import Database
from incentives.kernel.ids import Ids
from incentives.kernel.keys import ContactCipher, Keys
from incentives.kernel.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Core:
    """Settings, clock, ids, keys, database and the senders that reach the outside, wired once at start."""

    settings: Settings
    clock: Clock
    ids: Ids
    keys: Keys
    database: Database
    senders: Mapping[str, Any] = field(default_factory=dict)  # channel -> incentives.messages.port.Sender
    spares: Mapping[str, Any] = field(default_factory=dict)  # channel -> who carries its messages while that one is ill
    cache: dict[str, Any] = field(default_factory=dict)  # what approved versions were read already

    def carriers(self, channel: str) -> tuple[Any, ...]:
        """Return who can carry a channel's messages, the one first that does unless it is ill."""
        return tuple(each[channel] for each in (self.senders, self.spares) if channel in each)

    @cached_property
    def meetings(self) -> dict[str, Any]:
        """Return where requests of this process meet to share a transaction, by what they ask; no other core has it."""
        return {}

    @cached_property
    def contacts(self) -> ContactCipher:
        """Return the cipher for customers' names and addresses, made at first use."""
        return ContactCipher(self.keys.contacts)
