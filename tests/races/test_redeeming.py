"""A voucher is spent once, whoever else tries at the same instant, and whatever else ends it then."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books.tables import ledger_entries
from incentives.flows.expire import expire_due
from incentives.flows.issue import Issued
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.kernel.core import Core
from incentives.spending.tables import budget_periods
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import redemption_attempts, redemptions, vouchers
from tests.crew import Crew, Outcome, count, flat
from tests.races.conftest import DropConstraint
from tests.races.deeds import MANAGER, broken, counters, give, rows
from tests.small_catalog import PRICE_MINOR, catalog
from tests.world import START, publish_catalog

END = START + timedelta(days=30)
ONE_STANDING = "uq_redemptions_voucher_id_standing"
NOT_NEGATIVE = ("budget_periods", "ck_budget_periods_not_negative")


def redeem(core: Core, code: str) -> Outcome:
    redeemed = redeem_voucher(core=core, actor=MANAGER, command=RedeemVoucher(code=code))
    return Outcome("Redeemed", redeemed.id)


def redeem_or_sweep(core: Core, code: str | None) -> Outcome:
    """Redeem a code; without one, sweep, on a machine whose clock is a little further: there its time is over."""
    if code:
        return redeem(core, code)
    ahead = uuid_free_copy(core, END)
    return Outcome("Swept", expire_due(core=ahead).vouchers)


def uuid_free_copy(core: Core, at: datetime) -> Core:
    raise NotImplementedError
