"""What several processes do to the same vouchers at once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.expire import expire_due
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from tests.crew import Outcome
from tests.races.deeds import MANAGER, TILL

WHY = "A race."


def act(core: Core, job: Any) -> Outcome:
    """Do one of several things to a voucher; a sweep is told at which instant its clock stands."""
    verb, what = job
    return _VERBS[verb](core, what)


def _redeem(core: Core, code: str) -> Outcome:
    return Outcome("Redeemed", redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=code)).amount)


def _void(core: Core, voucher_id: UUID) -> Outcome:
    void_voucher(core=core, actor=MANAGER, command=VoidVoucher(voucher_id=voucher_id, reason=WHY))
    return Outcome("Voided")


def _reissue(core: Core, voucher_id: UUID) -> Outcome:
    command = ReissueVoucher(voucher_id=voucher_id, reason=WHY, channels=())
    return Outcome("Reissued", reissue_voucher(core=core, actor=MANAGER, command=command).voucher.code)


def _adjust(core: Core, what: tuple[UUID, int]) -> Outcome:
    command = AdjustVoucher(voucher_id=what[0], amount_minor=what[1], reason=WHY)
    return Outcome("Adjusted", adjust_voucher(core=core, actor=MANAGER, command=command).amount)


def _expire(core: Core, at: datetime) -> Outcome:
    return Outcome("Swept", expire_due(core=replace(core, clock=FixedClock(at))).vouchers)


_VERBS: dict[str, Callable[[Core, Any], Outcome]] = {
    "redeem": _redeem,
    "void": _void,
    "reissue": _reissue,
    "adjust": _adjust,
    "expire": _expire,
}
