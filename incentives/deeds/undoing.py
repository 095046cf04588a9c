"""Undoing: what of a redemption is to be undone, and how; and what that is worth while its rows are locked.

Not a flow: it opens no transaction.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incentives.catalog.incentive import Incentive, IncentiveKind
from incentives.vouchers import shares

SAME_CODE, NEW_CODE, NONE = "same_code", "new_code", "none"
RESTORES = (SAME_CODE, NEW_CODE, NONE)
REVERSAL, ANNULMENT = "reversal", "annulment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """What is to be undone, and how. ``good_until_at`` is until when what is given back is good at least."""

    id: uuid.UUID
    kind: str
    restore: str
    reason: str
    redemption: Any
    incentive: Incentive
    good_until_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What stands while the rows are locked. ``rest_minor`` lies on a remainder that nobody has used (``rest``)."""

    undoing: Undoing
    voucher: Any
    rest_minor: int
    rest: Any = None

    @property
    def ends_at(self) -> datetime:
        """Return the later end of the voucher and of what is gathered in: a rest that was extended stays so."""
        latest: datetime = max(each.expires_at for each in (self.voucher, self.rest) if each is not None)
        return latest

    @property
    def extended_days(self) -> int:
        """Return by how many days it was extended so far: what comes in its place is not extended from none again."""
        return max(int(each.extended_days) for each in (self.voucher, self.rest) if each is not None)

    @property
    def spent_minor(self) -> int:
        """Return what the sale took."""
        return int(self.undoing.redemption.amount_minor)

    @property
    def settled_minor(self) -> int:
        """Return what of the voucher's worth the redemption used up, the lapsed part included."""
        return int(self.undoing.redemption.settled_minor)

    @property
    def worth_minor(self) -> int:
        """Return what the customer has again, in the voucher's minor units."""
        if self.undoing.restore == NONE:
            return 0
        if self.undoing.restore == NEW_CODE:
            return self.settled_minor + self.rest_minor
        worth = (self.voucher.amount_minor, self.voucher.max_redemptions)
        count = int(self.voucher.redeemed_count)
        return shares.left_minor(*worth, count - 1) - shares.left_minor(*worth, count)

    @property
    def owed_again_minor(self) -> int:
        """Return by how much more is owed: what lies on a remainder was owed all the while."""
        return self.worth_minor - self.rest_minor if self.undoing.restore != NONE else 0

    @property
    def unlapsed_minor(self) -> int:
        """Return what was breakage and is none any more."""
        percent = self.undoing.incentive.kind == IncentiveKind.PERCENT_OFF
        return 0 if percent or self.undoing.restore == NONE else self.settled_minor - self.spent_minor
