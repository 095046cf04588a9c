"""How each deed on vouchers is refused; ``test_refusals_leave_nothing`` does them."""

from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.issue import issue_voucher, issue_vouchers
from incentives.flows.look_up import look_up
from incentives.flows.prolong import ExtendVoucher, extend_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.flows.reserve import (
    ExtendReservation,
    ReleaseReservation,
    ReserveVoucher,
    extend_reservation,
    release_reservation,
    reserve_voucher,
)
from incentives.flows.reveal import RevealCode, reveal_code
from incentives.flows.reverse import AnnulRedemption, ReverseRedemption, annul_redemption, reverse_redemption
from incentives.flows.void import UndoIssuance, VoidVoucher, undo_issuance, void_voucher
from incentives.kernel import errors
from incentives.kernel.money import Money
from incentives.recovery.customers import CustomerGiven
from tests.flows.refusal_world import NOBODY, SALE
from tests.flows.refusing import Table, Try, at_till, tries
from tests.flows.shop import named, wish

WHY = "Because."
_SUSPECTED = ("reviews", "audit_events")

VOUCHERS: Table = {
    issue_voucher: (
        tries(errors.NotPermitted, "till", lambda _: wish()),
        tries(errors.AmountOutOfRange, "manager", lambda _: wish(incentive="voucher", amount_minor=9000)),
        tries(errors.EmailInvalid, "manager", lambda _: wish(customer=named("nobody"), idempotency_key="k")),
        tries(
            errors.IncentiveNotOfferable,
            "manager",
            lambda _: wish(incentive="dollars", location="london", idempotency_key="k"),
        ),
        tries(errors.CaseNotFound, "manager", lambda _: wish(case_id=NOBODY, customer=named("new@example.com"))),
        tries(
            errors.BudgetExhausted,
            "admin",
            lambda _: wish(incentive="lean", customer=named("late@example.com"), idempotency_key="k"),
        ),
        Try(
            who="agent",
            refused=errors.BlockedBySafeguards,
            given=lambda _: wish(customer=named("agent@example.com"), idempotency_key="k"),
            leaves=_SUSPECTED,
        ),
        Try(
            who="manager",
            refused=errors.BlockedBySafeguards,
            given=lambda _: wish(customer=named("bad@example.com")),
            leaves=_SUSPECTED,
        ),
    ),
    issue_vouchers: (
        tries(errors.NotPermitted, "till", lambda _: {"commands": [wish()]}),
        tries(errors.AmountOutOfRange, "manager", lambda _: {"commands": [wish(incentive="credit", amount_minor=1)]}),
        tries(
            errors.EmailInvalid,
            "manager",
            lambda _: {"commands": [wish(customer=named(text), idempotency_key=text) for text in ("a", "b")]},
        ),
    ),
    look_up: (
        tries(errors.NotPermitted, "auditor", lambda w: {"code": w.voucher.code}),
        tries(errors.InputInvalid, "till", lambda w: {"code": w.voucher.code, "token": w.voucher.token}),
        at_till(errors.VoucherNotFound, "till", lambda _: {"token": "nobody-made-this"}),
        at_till(errors.CodeMalformed, "till", lambda _: {"code": "hello"}),
    ),
    redeem_voucher: (
        tries(errors.NotPermitted, "finance", lambda w: RedeemVoucher(code=w.voucher.code)),
        at_till(errors.CodeMalformed, "till", lambda _: RedeemVoucher(code="hello", idempotency_key="k")),
        at_till(errors.VoucherNotFound, "till", lambda _: RedeemVoucher(token="nobody-made-this")),
        at_till(errors.AlreadyRedeemed, "till", lambda w: RedeemVoucher(code=w.sold.code, idempotency_key="k")),
        at_till(errors.VoucherExpired, "till", lambda w: RedeemVoucher(code=w.expired.code)),
        at_till(errors.VoucherVoided, "till", lambda w: RedeemVoucher(code=w.voided.code)),
        at_till(errors.VoucherFrozen, "till", lambda w: RedeemVoucher(code=w.frozen.code)),
        at_till(errors.VoucherReserved, "second_till", lambda w: RedeemVoucher(code=w.held.code)),
        at_till(errors.SelfRedemption, "manager", lambda w: RedeemVoucher(code=w.voucher.code)),
        at_till(
            errors.CurrencyMismatch,
            "till",
            lambda w: RedeemVoucher(code=w.voucher.code, order_total=Money(100, "USD"), idempotency_key="k"),
        ),
        at_till(errors.RedeemerNotAllowed, "supervisor", lambda w: RedeemVoucher(code=w.thing.code)),
        at_till(errors.OtherLocation, "till", lambda w: RedeemVoucher(code=w.voucher.code, location="leeds")),
        at_till(errors.InputInvalid, "till", lambda w: RedeemVoucher(code=w.voucher.code, order_total=Money(0, "GBP"))),
    ),
    reserve_voucher: (
        tries(errors.NotPermitted, "finance", lambda w: ReserveVoucher(code=w.voucher.code)),
        tries(errors.InputInvalid, "till", lambda w: ReserveVoucher(code=w.voucher.code, hold_minutes=0)),
        at_till(errors.VoucherReserved, "till", lambda w: ReserveVoucher(code=w.held.code, idempotency_key="k")),
        at_till(errors.VoucherFrozen, "till", lambda w: ReserveVoucher(code=w.frozen.code)),
        at_till(errors.SelfRedemption, "manager", lambda w: ReserveVoucher(code=w.voucher.code)),
        at_till(errors.VoucherExpired, "till", lambda w: ReserveVoucher(code=w.expired.code)),
    ),
    commit_reservation: (
        tries(errors.NotPermitted, "finance", lambda w: CommitReservation(reservation_id=w.hold)),
        tries(errors.ReservationNotFound, "till", lambda _: CommitReservation(reservation_id=NOBODY)),
        tries(
            errors.NotYourReservation,
            "second_till",
            lambda w: CommitReservation(reservation_id=w.hold, order_total=SALE, idempotency_key="k"),
        ),
        at_till(
            errors.CurrencyMismatch,
            "till",
            lambda w: CommitReservation(reservation_id=w.hold, order_total=Money(1, "USD"), idempotency_key="k"),
        ),
        at_till(errors.ReservationEnded, "till", lambda w: CommitReservation(reservation_id=w.ended_hold)),
    ),
    extend_reservation: (
        tries(errors.ReservationNotFound, "till", lambda _: ExtendReservation(reservation_id=NOBODY, minutes=5)),
        tries(errors.NotYourReservation, "second_till", lambda w: ExtendReservation(reservation_id=w.hold, minutes=5)),
        tries(errors.InputInvalid, "till", lambda w: ExtendReservation(reservation_id=w.hold, minutes=24 * 60)),
        tries(errors.ReservationEnded, "till", lambda w: ExtendReservation(reservation_id=w.ended_hold, minutes=5)),
    ),
    release_reservation: (
        tries(errors.NotYourReservation, "second_till", lambda w: ReleaseReservation(reservation_id=w.hold)),
        tries(errors.InputInvalid, "supervisor", lambda w: ReleaseReservation(reservation_id=w.hold)),
        tries(errors.ReservationEnded, "till", lambda w: ReleaseReservation(reservation_id=w.ended_hold)),
    ),
    annul_redemption: (
        tries(errors.NotPermitted, "finance", lambda w: AnnulRedemption(redemption_id=w.redemption, reason=WHY)),
        tries(
            errors.NotYourRedemption,
            "second_till",
            lambda w: AnnulRedemption(redemption_id=w.redemption, reason=WHY, idempotency_key="k"),
        ),
        tries(errors.RedemptionAlreadyReversed, "till", lambda w: AnnulRedemption(redemption_id=w.undone, reason=WHY)),
        tries(errors.RedemptionNotFound, "till", lambda _: AnnulRedemption(redemption_id=NOBODY, reason=WHY)),
    ),
    reverse_redemption: (
        tries(
            errors.NotPermitted,
            "till",
            lambda w: ReverseRedemption(redemption_id=w.redemption, reason=WHY, restore="none"),
        ),
        tries(
            errors.RedemptionAlreadyReversed,
            "finance",
            lambda w: ReverseRedemption(redemption_id=w.undone, reason=WHY, restore="new_code", idempotency_key="k"),
        ),
        tries(
            errors.InputInvalid,
            "finance",
            lambda w: ReverseRedemption(redemption_id=w.redemption, reason="", restore="none"),
        ),
        tries(
            errors.RedemptionNotFound,
            "finance",
            lambda _: ReverseRedemption(redemption_id=NOBODY, reason=WHY, restore="none", idempotency_key="k"),
        ),
    ),
    void_voucher: (
        tries(errors.NotPermitted, "agent", lambda w: VoidVoucher(voucher_id=w.voucher.id, reason=WHY)),
        tries(errors.InputInvalid, "manager", lambda w: VoidVoucher(voucher_id=w.voucher.id, reason=" ")),
        tries(
            errors.VoucherReserved,
            "manager",
            lambda w: VoidVoucher(voucher_id=w.held.id, reason=WHY, idempotency_key="k"),
        ),
        tries(errors.AlreadyRedeemed, "manager", lambda w: VoidVoucher(voucher_id=w.sold.id, reason=WHY)),
        tries(errors.VoucherExpired, "manager", lambda w: VoidVoucher(voucher_id=w.expired.id, reason=WHY)),
        tries(errors.VoucherNotFound, "leeds", lambda _: VoidVoucher(voucher_id=NOBODY, reason=WHY)),
    ),
    undo_issuance: (
        tries(errors.NotPermitted, "till", lambda w: UndoIssuance(issuance_id=w.given.id)),
        tries(errors.IssuanceNotFound, "agent", lambda w: UndoIssuance(issuance_id=w.given.id)),
        tries(errors.UndoOver, "manager", lambda w: UndoIssuance(issuance_id=w.given.id)),
    ),
    reissue_voucher: (
        tries(errors.NotPermitted, "agent", lambda w: ReissueVoucher(voucher_id=w.voucher.id, reason=WHY)),
        tries(
            errors.VoucherFrozen,
            "manager",
            lambda w: ReissueVoucher(voucher_id=w.frozen.id, reason=WHY, idempotency_key="k"),
        ),
        tries(
            errors.EmailInvalid,
            "manager",
            lambda w: ReissueVoucher(voucher_id=w.voucher.id, reason=WHY, customer=CustomerGiven(email="x")),
        ),
        Try(
            who="manager",
            refused=errors.BlockedBySafeguards,
            given=lambda w: ReissueVoucher(
                voucher_id=w.voucher.id, reason=WHY, customer=named("bad@example.com"), idempotency_key="k"
            ),
            leaves=_SUSPECTED,
        ),
        # A customer who is new was met before it is refused.
        tries(
            errors.VoucherVoided,
            "manager",
            lambda w: ReissueVoucher(voucher_id=w.voided.id, reason=WHY, customer=named("other@example.com")),
        ),
    ),
    resend_voucher: (
        tries(errors.NotPermitted, "till", lambda w: ResendVoucher(voucher_id=w.voucher.id, reason=WHY)),
        tries(errors.InputInvalid, "agent", lambda w: ResendVoucher(voucher_id=w.voucher.id, reason=WHY)),
        tries(
            errors.ChannelWithoutAddress,
            "manager",
            lambda w: ResendVoucher(voucher_id=w.voucher.id, reason=WHY, channels=("sms",), idempotency_key="k"),
        ),
    ),
    extend_voucher: (
        tries(errors.NotPermitted, "agent", lambda w: ExtendVoucher(voucher_id=w.voucher.id, days=3, reason=WHY)),
        tries(
            errors.ExtensionTooLong,
            "manager",
            lambda w: ExtendVoucher(voucher_id=w.voucher.id, days=91, reason=WHY, idempotency_key="k"),
        ),
        tries(errors.VoucherExpired, "manager", lambda w: ExtendVoucher(voucher_id=w.expired.id, days=3, reason=WHY)),
    ),
    adjust_voucher: (
        tries(
            errors.NotPermitted, "agent", lambda w: AdjustVoucher(voucher_id=w.voucher.id, amount_minor=600, reason=WHY)
        ),
        tries(
            errors.AmountNotAdjustable,
            "manager",
            lambda w: AdjustVoucher(voucher_id=w.fixed.id, amount_minor=600, reason=WHY, idempotency_key="k"),
        ),
        tries(
            errors.OverLimit,
            "supervisor",
            lambda w: AdjustVoucher(voucher_id=w.lent.id, amount_minor=4500, reason=WHY, idempotency_key="k"),
        ),
        tries(
            errors.AmountOutOfRange,
            "manager",
            lambda w: AdjustVoucher(voucher_id=w.voucher.id, amount_minor=100, reason=WHY),
        ),
    ),
    freeze_voucher: (
        tries(errors.NotPermitted, "agent", lambda w: FreezeVoucher(voucher_id=w.voucher.id, reason=WHY)),
        tries(
            errors.VoucherFrozen,
            "manager",
            lambda w: FreezeVoucher(voucher_id=w.frozen.id, reason=WHY, idempotency_key="k"),
        ),
        tries(
            errors.InputInvalid,
            "manager",
            lambda w: FreezeVoucher(voucher_id=w.voucher.id, reason=WHY, until_at=w.in_days(-1)),
        ),
    ),
    unfreeze_voucher: (
        tries(errors.NotPermitted, "agent", lambda w: UnfreezeVoucher(voucher_id=w.frozen.id, reason=WHY)),
        tries(
            errors.VoucherNotFrozen,
            "manager",
            lambda w: UnfreezeVoucher(voucher_id=w.voucher.id, reason=WHY, idempotency_key="k"),
        ),
        tries(errors.UnderReview, "manager", lambda w: UnfreezeVoucher(voucher_id=w.suspected.id, reason=WHY)),
    ),
    reveal_code: (
        tries(errors.NotPermitted, "till", lambda w: RevealCode(issuance_id=w.given.id)),
        tries(errors.IssuanceNotFound, "agent", lambda w: RevealCode(issuance_id=w.given.id)),
        tries(errors.CodeNotShown, "agent", lambda w: RevealCode(issuance_id=w.not_given)),
        tries(errors.CodeNotShown, "manager", lambda w: RevealCode(issuance_id=w.given.id)),
    ),
}
