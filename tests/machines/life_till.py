"""What the lives do at tills: hold, commit, let go, redeem; and what no till may ever do is looked for after each."""

from typing import Any

from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.redeem import Item, RedeemVoucher, redeem_voucher
from incentives.flows.reserve import (
    ExtendReservation,
    ReleaseReservation,
    ReserveVoucher,
    extend_reservation,
    lapse_due,
    release_reservation,
    reserve_voucher,
)
from incentives.flows.reverse import AnnulRedemption, ReverseRedemption, annul_redemption, reverse_redemption
from incentives.kernel.money import Money
from incentives.vouchers.tables import redemptions, reservations, vouchers
from tests.machines.life import TILLS, TRIES, LifeBase


class AtTheTill(LifeBase):
    """Deeds of tills."""

    def _order(self, currency: str) -> dict[str, Any]:
        order: dict[str, Any] = {}
        if not self.chance(6):
            order["order_total"] = Money(self.of(1, 299, 300, 500, 997, 1999, 2500, 7777, 30_000), currency)
        if self.chance(3):
            products = [self.of("socks", "shoes", "hat") for _ in range(self.dice.randrange(1, 4))]
            order["items"] = tuple(Item(product=each, amount_minor=self.of(0, 250, 999)) for each in products)
        if self.chance(3):
            order["order_ref"] = f"order-{self.dice.randrange(20)}"
        return order

    def _may_be_spent(self, row: Any, *, reservation_id: Any = None) -> None:
        """Look that what was spent or held could be: free or held by this very hold, not frozen, not over."""
        assert row.expires_at >= self.now, "spent after its time"
        assert row.status in ("issued", "reserved"), f"spent while {row.status}"
        assert row.redeemed_count < row.max_redemptions, "spent more often than allowed"
        frozen = row.frozen_at is not None and (row.frozen_until_at is None or row.frozen_until_at > self.now)
        assert not frozen, "spent while frozen"
        held = row.status == "reserved" and row.reserved_until_at >= self.now
        if reservation_id is None:
            assert not held, "spent while another till holds it"
        else:
            assert held, "committed after its hold was over"
            assert row.reservation_id == reservation_id, "committed while another till holds it"

    def _redeemed(self, row: Any) -> None:
        after = self.shop.one(vouchers, vouchers.c.id == row.id)
        assert after.redeemed_count == row.redeemed_count + 1
        assert after.status == ("redeemed" if after.redeemed_count == after.max_redemptions else "issued")

    def redeem(self) -> None:
        row = self.voucher("issued", "issued", "reserved")
        if row is None:
            return
        command = RedeemVoucher(
            code=self.code(row), location=self.of(None, None, "london"), **self._order(row.currency)
        )
        if self.do("redeem", redeem_voucher, self.of(*TILLS, "leeds_till"), command, leaves=TRIES):
            self._may_be_spent(row)
            self._redeemed(row)

    def redeem_what_is_over(self) -> None:
        """Try a code that was replaced, voided, spent or that expired: it is never good again by itself."""
        row = self.recent(vouchers, vouchers.c.status.in_(("replaced", "voided", "expired", "redeemed")))
        if row is None:
            return
        command = RedeemVoucher(code=self.code(row), order_total=Money(2000, row.currency))
        done = self.do("redeem_what_is_over", redeem_voucher, self.of("till", "manager"), command, leaves=TRIES)
        assert done is None, f"redeemed a voucher that was {row.status}"

    def redeem_unknown(self) -> None:
        command = RedeemVoucher(code=self.of("ABCD-EFGH-JKMN-P", "0000-0000-0000-0", "hello"))
        assert self.do("redeem_unknown", redeem_voucher, "till", command, leaves=TRIES) is None

    def reserve(self) -> None:
        row = self.voucher("issued", "issued", "reserved")
        if row is None:
            return
        command = ReserveVoucher(
            code=self.code(row), hold_minutes=self.of(1, 15, 15, 60 * 24), **self._order(row.currency)
        )
        held = self.do("reserve", reserve_voucher, self.of(*TILLS), command, leaves=TRIES)
        if held:
            self._may_be_spent(row)
            assert held.expires_at <= row.expires_at

    def _hold(self) -> tuple[Any, str]:
        """Return a hold, mostly one that stands, and mostly by whom it is."""
        row = self.recent(reservations, *([] if self.chance(6) else [reservations.c.status == "held"]))
        own = [name for name, each in self.people.items() if row is not None and each.label == row.actor]
        return row, own[0] if own and not self.chance(8) else self.of(*TILLS)

    def commit(self) -> None:
        hold, who = self._hold()
        if hold is None:
            return
        row = self.shop.one(vouchers, vouchers.c.id == hold.voucher_id)
        command = CommitReservation(reservation_id=hold.id, **self._order(hold.currency))
        if self.do("commit", commit_reservation, who, command, leaves=TRIES):
            assert hold.actor == self.people[who].label
            self._may_be_spent(row, reservation_id=hold.id)
            self._redeemed(row)

    def hold_longer(self) -> None:
        hold, who = self._hold()
        if hold is not None:
            command = ExtendReservation(reservation_id=hold.id, minutes=self.of(1, 15, 600))
            self.do("hold_longer", extend_reservation, who, command)

    def release(self) -> None:
        hold, who = self._hold()
        if hold is not None:
            command = ReleaseReservation(reservation_id=hold.id, reason=self.of(None, "The till crashed."))
            self.do("release", release_reservation, who, command)

    def tidy_holds(self) -> None:
        """Let the worker write down which holds have lapsed: nothing depends on it."""
        while lapse_due(core=self.core):
            self.done["tidy_holds"] += 1

    def annul(self) -> None:
        row = self.recent(redemptions, *([] if self.chance(6) else [redemptions.c.reversed_at.is_(None)]))
        if row is not None:
            own = [name for name, each in self.people.items() if each.label == row.actor]
            command = AnnulRedemption(redemption_id=row.id, reason="The wrong code.")
            done = self.do("annul", annul_redemption, self.of(*own, *own, "second_till"), command)
            assert done is None or row.reversed_at is None, "undone twice"

    def reverse(self) -> None:
        row = self.recent(redemptions, *([] if self.chance(6) else [redemptions.c.reversed_at.is_(None)]))
        if row is not None:
            restore = self.of("same_code", "new_code", "none")
            command = ReverseRedemption(redemption_id=row.id, reason="They brought it back.", restore=restore)
            done = self.do("reverse", reverse_redemption, self.of("supervisor", "manager", "finance", "till"), command)
            assert done is None or row.reversed_at is None, "undone twice"
