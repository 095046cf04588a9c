"""The customer's links: whether we made one, which needs no database."""

from incentives.kernel.core import Core
from incentives.vouchers import codes


def is_our_link(*, core: Core, token: str) -> bool:
    """Return whether a link carries our signature, whatever has become of its voucher."""
    return codes.voucher_of_token(core.keys.links, codes.token_in(token)) is not None
