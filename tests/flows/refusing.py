"""What the tables of refusals consist of: who tries what, and what it is refused as."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from incentives.kernel.errors import Refusal
from tests.dump import TRIED
from tests.flows.refusal_world import World

Given = Callable[[World], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Somebody tries a deed. ``given`` is its command, or its other arguments by name; ``leaves`` are tables."""

    who: str
    refused: type[Refusal]
    given: Given
    leaves: tuple[str, ...] = ()


Table = Mapping[Callable[..., Any], tuple[Try, ...]]


def tries(refused: type[Refusal], who: str, given: Given) -> Try:
    """Return a try that leaves nothing at all."""
    return Try(who=who, refused=refused, given=given)


def at_till(refused: type[Refusal], who: str, given: Given) -> Try:
    """Return a try at a till, which is written down."""
    return Try(who=who, refused=refused, given=given, leaves=TRIED)
