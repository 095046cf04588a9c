"""The equal parts of a voucher that is redeemed several times: to the last minor unit they sum to its worth."""


def share_minor(amount_minor: int, uses: int, number: int) -> int:
    """Return what the ``number``-th of so many redemptions settles (from 1), in minor units.

    Parts that cannot be equal differ by one unit at most.
    """
    return used_minor(amount_minor, uses, number) - used_minor(amount_minor, uses, number - 1)


def used_minor(amount_minor: int, uses: int, count: int) -> int:
    """Return what so many redemptions have settled of a voucher's worth."""
    return amount_minor * count // uses


def left_minor(amount_minor: int, uses: int, count: int) -> int:
    """Return what a voucher is still worth after so many redemptions: what is owed for it."""
    return amount_minor - used_minor(amount_minor, uses, count)
