"""What the lives do to vouchers after giving them: take back, replace, extend, adjust, freeze, send again."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.prolong import ExtendVoucher, extend_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.flows.review import DecideReview, decide_review
from incentives.flows.void import UndoIssuance, VoidVoucher, undo_issuance, void_voucher
from incentives.recovery.customers import CustomerGiven
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import issuances, vouchers
from tests.machines.life import LifeBase
from tests.machines.lives_catalog import ADJUSTABLE

_CARERS = ("supervisor", "supervisor", "manager", "manager", "manager", "admin", "agent", "finance", "key")


class Aftercare(LifeBase):
    """Deeds of whoever looks after what was given."""

    def _open(self) -> Any:
        return self.voucher("issued", "issued", "reserved")

    def void(self) -> None:
        row = self._open()
        if row is not None:
            done = self.do("void", void_voucher, self.of(*_CARERS), VoidVoucher(voucher_id=row.id, reason="A mistake."))
            assert done is None or self.shop.one(vouchers, vouchers.c.id == row.id).status == "voided"

    def undo(self) -> None:
        given = self.recent(issuances, *([] if self.chance(4) else [issuances.c.undo_until_at.is_not(None)]))
        if given is not None:
            own = [name for name, each in self.people.items() if each.label == given.actor]
            self.do("undo", undo_issuance, self.of(*own, *own, "agent"), UndoIssuance(issuance_id=given.id))

    def extend(self) -> None:
        row = self._open()
        if row is not None:
            command = ExtendVoucher(voucher_id=row.id, days=self.of(1, 3, 30, 91), reason="They were ill.")
            self.do("extend", extend_voucher, self.of(*_CARERS), command)

    def freeze(self) -> None:
        row = self._open()
        if row is not None:
            until_at = self.of(None, self.now + timedelta(minutes=5), self.now + timedelta(days=2), self.now)
            command = FreezeVoucher(voucher_id=row.id, reason="It looks odd.", until_at=until_at)
            self.do("freeze", freeze_voucher, self.of(*_CARERS), command)

    def unfreeze(self) -> None:
        row = self.recent(vouchers, *([] if self.chance(8) else [vouchers.c.frozen_at.is_not(None)]))
        if row is not None:
            command = UnfreezeVoucher(voucher_id=row.id, reason="It was nothing.")
            self.do("unfreeze", unfreeze_voucher, self.of(*_CARERS), command)

    def reissue(self) -> None:
        row = self._open()
        if row is not None:
            email = f"customer{self.dice.randrange(12)}@example.com"
            address = CustomerGiven(email=email) if self.chance(3) else None
            channels = self.of((), None, None, ("email",))
            command = ReissueVoucher(voucher_id=row.id, reason="It is lost.", channels=channels, customer=address)
            done = self.do("reissue", reissue_voucher, self.of(*_CARERS), command)
            assert done is None or self.shop.one(vouchers, vouchers.c.id == row.id).status == "replaced"

    def adjust(self) -> None:
        row = self._adjustable() if not self.chance(6) else self._open()
        if row is not None:
            command = AdjustVoucher(
                voucher_id=row.id, amount_minor=self.dice.randrange(400, 8200), reason="It was worse than we thought."
            )
            self.do("adjust", adjust_voucher, self.of(*_CARERS), command)

    def _adjustable(self) -> Any:
        given = sa.select(issuances.c.id).where(issuances.c.incentive.in_(ADJUSTABLE))
        return self.recent(vouchers, vouchers.c.status == "issued", vouchers.c.issuance_id.in_(given))

    def review(self) -> None:
        row = self.recent(reviews, *([] if self.chance(6) else [reviews.c.status == "open"]))
        if row is not None:
            decision = self.of("release", "block", "note")
            command = DecideReview(review_id=row.id, decision=decision, note=self.of(None, "I called them."))
            self.do("review", decide_review, self.of("supervisor", "manager", "finance", "agent"), command)

    def resend(self) -> None:
        row = self._open()
        if row is not None:
            command = ResendVoucher(voucher_id=row.id, reason="It got lost.", channels=self.of((), ("email",)))
            self.do("resend", resend_voucher, self.of(*_CARERS), command)
