"""What staff do with vouchers after they were given, in the words of tests."""

import uuid
from datetime import datetime
from typing import Any

from incentives.deeds.aftercare import Cared
from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.prolong import ExtendVoucher, extend_voucher
from incentives.flows.reissue import Reissued, ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.flows.void import UndoIssuance, Undone, VoidVoucher, undo_issuance, void_voucher
from incentives.kernel.actors import Actor
from tests.flows.shop import Shop

WHY = "The customer asked for it."


class Care:
    """A shop whose manager takes care of vouchers, unless somebody else is named."""

    def __init__(self, shop: Shop) -> None:
        """Take care of a shop's vouchers."""
        self.shop = shop

    def void(self, voucher_id: uuid.UUID, by: Actor | None = None, **more: Any) -> Cared:
        """Take it back."""
        command = VoidVoucher(**{"voucher_id": voucher_id, "reason": WHY, **more})
        return void_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def undo(self, issuance_id: uuid.UUID, by: Actor | None = None) -> Undone:
        """Take back what one gave oneself."""
        command = UndoIssuance(issuance_id=issuance_id)
        return undo_issuance(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def reissue(self, voucher_id: uuid.UUID, by: Actor | None = None, **more: Any) -> Reissued:
        """Replace it."""
        command = ReissueVoucher(**{"voucher_id": voucher_id, "reason": WHY, **more})
        return reissue_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def resend(self, voucher_id: uuid.UUID, by: Actor | None = None, **more: Any) -> Cared:
        """Send it again."""
        command = ResendVoucher(**{"voucher_id": voucher_id, "reason": WHY, **more})
        return resend_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def extend(self, voucher_id: uuid.UUID, days: int = 10, by: Actor | None = None, **more: Any) -> Cared:
        """Let it last longer."""
        command = ExtendVoucher(**{"voucher_id": voucher_id, "days": days, "reason": WHY, **more})
        return extend_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def adjust(self, voucher_id: uuid.UUID, amount_minor: int, by: Actor | None = None, **more: Any) -> Cared:
        """Let it be worth something else."""
        command = AdjustVoucher(**{"voucher_id": voucher_id, "amount_minor": amount_minor, "reason": WHY, **more})
        return adjust_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def freeze(
        self, voucher_id: uuid.UUID, until_at: datetime | None = None, by: Actor | None = None, **more: Any
    ) -> Cared:
        """Freeze it."""
        command = FreezeVoucher(**{"voucher_id": voucher_id, "until_at": until_at, "reason": WHY, **more})
        return freeze_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)

    def unfreeze(self, voucher_id: uuid.UUID, by: Actor | None = None, **more: Any) -> Cared:
        """Unfreeze it."""
        command = UnfreezeVoucher(**{"voucher_id": voucher_id, "reason": WHY, **more})
        return unfreeze_voucher(core=self.shop.core, actor=by or self.shop.manager, command=command)
