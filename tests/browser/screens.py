"""The screens that pages are looked at on: a tablet both ways and a phone, light and dark."""

from dataclasses import dataclass
from typing import Literal

import pytest


@dataclass(frozen=True, slots=True)
class Screen:
    """A viewport in CSS pixels, and whether its owner likes it dark."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"]

    def __str__(self) -> str:
        """Name it as pytest and screenshots do."""
        return f"{self.name}-{self.scheme}"


_SIZES = (("tablet-landscape", 1180, 820), ("tablet-portrait", 820, 1180), ("phone", 390, 844))
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

SCREENS = tuple(Screen(*size, scheme) for size in _SIZES for scheme in _SCHEMES)
TABLET = SCREENS[0]
PHONE = SCREENS[4]

on_every_screen = pytest.mark.parametrize("screen", SCREENS, ids=str)
"""A test that is marked so and takes ``page`` runs once on each screen."""
