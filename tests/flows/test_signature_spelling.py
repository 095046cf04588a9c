"""A seal's signature has one spelling: what was changed in a row, and be it that alone, is told."""

from dataclasses import replace

from incentives.books import seals
from incentives.kernel.keys import decode
from tests.flows.shop import Shop

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_signature_that_is_spelled_otherwise_is_none(shop: Shop) -> None:
    """Base64 lets the last letter vary."""
    ring = shop.core.keys.seals
    made = seals.sign(ring, 1, seals.BEGINNING, shop.clock.now())
    assert seals.is_signed(ring, made)
    twin = LETTERS[LETTERS.index(made.signature[-1]) ^ 1]
    changed = replace(made, signature=made.signature[:-1] + twin)
    assert decode(changed.signature.encode()) == decode(made.signature.encode())  # the very same 64 bytes
    assert not seals.is_signed(ring, changed)
