"""The scan page: look a code up, redeem or hold it, and say in color, sign and words what came of it."""

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from admin import forms, guard, pages, scan_view, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.commit import CommitReservation, commit_reservation
from incentives.flows.look_up import look_up as flow_look_up
from incentives.flows.redeem import Item, Redeemed, RedeemVoucher, redeem_voucher
from incentives.flows.reserve import ReleaseReservation, ReserveVoucher, release_reservation, reserve_voucher
from incentives.flows.reverse import AnnulRedemption, annul_redemption
from incentives.kernel.errors import (
    AnnulmentTooLate,
    BlockedBySafeguards,
    CodeGone,
    CodeMalformed,
    CodeRetired,
    CurrencyMismatch,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    InputInvalid,
    NotYourRedemption,
    NotYourReservation,
    OrderItemsMissing,
    OrderRefMissing,
    OrderTotalMissing,
    OtherLocation,
    RedeemingStopped,
    RedemptionAlreadyReversed,
    RedemptionNotFound,
    Refusal,
    RemainderUsed,
    ReservationEnded,
    ReservationLapsed,
    ReservationNotFound,
    StepUpRequired,
    StorageUnavailable,
    TooManyRequests,
    VoucherNotFound,
)
from incentives.kernel.money import Money
from incentives.queries import redemptions
from incentives.queries.vouchers import TillVoucher

blueprint = Blueprint("staff_scan", __name__)

_REDEEM = "redemptions:create"
_CODE_LONGEST = 500
_LINK = re.compile(r"/v/([A-Za-z0-9._~-]+)")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}")
_COUNTED = "counter-sale"

# These are about what was typed beside the code: the form is shown again.
_FIELDS = {
    "order_ref": "order_ref",
    "order_total": "order_total",
    "order_total.currency": "order_total",
    "order_total.amount_minor": "order_total",
    "items": "counted",
    "counted": "counted",
    "reason": "reason",
}
_FORM = (
    OrderTotalMissing,
    OrderItemsMissing,
    OrderRefMissing,
    CurrencyMismatch,
    InputInvalid,
    IdempotencyKeyReused,
    RedeemingStopped,
    BlockedBySafeguards,
    StepUpRequired,
    *scan_view.ABOUT_THE_SALE,
)
_NOT_TAKEN: tuple[type[Refusal], ...] = (*_FORM, *scan_view.VERDICTS)
# Of these nobody knows yet what came of it: the same form, sent again, finds out and does nothing twice.
_AGAIN = (IdempotencyKeyInFlight, StorageUnavailable, TooManyRequests)
# The hold is not what the page took it for: looking the voucher up shows what is so now.
_HOLD_OVER = (ReservationLapsed, ReservationEnded, ReservationNotFound, NotYourReservation, OtherLocation)
_NOT_UNDONE = (
    AnnulmentTooLate,
    NotYourRedemption,
    RedemptionAlreadyReversed,
    RedemptionNotFound,
    RemainderUsed,
    CodeGone,
    InputInvalid,
    *_AGAIN,
)
_NOT_RELEASED: tuple[type[Refusal], ...] = (InputInvalid, *_HOLD_OVER)


@blueprint.get("/scan")
@page(permission=_REDEEM)
def scan() -> ResponseReturnValue:
    """Wait for a code, typed or from a scanner that types."""
    return _show()


@blueprint.post("/scan")
@page(permission=_REDEEM)
def look_up() -> ResponseReturnValue:
    """Say what a code is worth and whether it can be used; nothing changes."""
    typed = _sent().shown("code")
    try:
        found = _look_up(_code())
    except InputInvalid as refusal:
        return _code_again(pages.refused(refusal, {"code": "code"}))
    except (CodeMalformed, CodeRetired, VoucherNotFound) as refusal:
        return _unknown(refusal, typed)
    except _AGAIN as refusal:
        refused = replace(pages.refused(refusal), detail="Looking a voucher up changes nothing.")
        return pages.with_wait(_code_again(refused), refusal)
    return _as_it_is(found, typed)


@blueprint.post("/scan/redeem")
@page(permission=_REDEEM)
def redeem() -> ResponseReturnValue:
    """Redeem it. The verdict of a second try says when, where and by which till the first one was."""
    return _deed(_redeem)


@blueprint.post("/scan/hold")
@page(permission=_REDEEM)
def hold() -> ResponseReturnValue:
    """Hold it while the sale is paid, so that no other till takes it."""
    return _deed(_hold)


@blueprint.post("/scan/commit")
@page(permission=_REDEEM)
def commit() -> ResponseReturnValue:
    """Redeem what this till holds."""
    return _deed(_commit)


@blueprint.post("/scan/release")
@page(permission=_REDEEM)
def release() -> ResponseReturnValue:
    """Let go what this till holds, or with a reason what another one does."""
    return _deed(_release)


@blueprint.post("/scan/undo")
@page(permission=_REDEEM)
def undo() -> ResponseReturnValue:
    """Undo a mistaken scan of this till."""
    core, actor, sent = guard.the_core(), guard.the_actor(), _sent()
    try:
        redemption_id = sent.cursor("redemption_id")
        if redemption_id is None:
            raise RedemptionNotFound
        reason = sent.text("reason", forms.NOTE_LONGEST) or scan_view.UNDO_REASONS[0]
        command = AnnulRedemption(redemption_id=redemption_id, reason=reason)
        done = annul_redemption(core=core, actor=actor, command=command)
    except _NOT_UNDONE as refusal:
        return pages.with_wait(_show(refused=pages.refused(refusal)), refusal)
    shown = redemptions.one_redemption(core=core, actor=actor, redemption_id=done.redemption_id)
    return _show(verdict=scan_view.undone(shown))


def _deed(do: Callable[[str, TillVoucher], Response]) -> Response:
    """Look the voucher up and do something with it; whatever is refused leaves a page that says what is so."""
    typed, found = _sent().shown("code"), None
    try:
        found = _look_up(_code())
        return do(typed, found)
    except InputInvalid as refusal:
        return _code_again(pages.refused(refusal, {"code": "code"}))
    except (CodeMalformed, CodeRetired, VoucherNotFound) as refusal:
        return _unknown(refusal, typed)
    except _AGAIN as refusal:
        again = _found(found, typed, key=_key(), refused=pages.refused(refusal), certain=False)
        return pages.with_wait(again, refusal)


def _redeem(typed: str, found: TillVoucher) -> Response:
    try:
        command = RedeemVoucher(**secret_of(typed), **_order(found), idempotency_key=_new_key())
        done = redeem_voucher(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except _NOT_TAKEN as refusal:
        return _refused(typed, found, refusal)
    return _done(done, found)


def _hold(typed: str, found: TillVoucher) -> Response:
    try:
        command = ReserveVoucher(**secret_of(typed), **_order(found), idempotency_key=_new_key())
        reserve_voucher(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except _NOT_TAKEN as refusal:
        return _refused(typed, found, refusal)
    return _as_it_is(_look_up(typed), typed)


def _commit(typed: str, found: TillVoucher) -> Response:
    try:
        command = CommitReservation(reservation_id=_held(), **_order(found), idempotency_key=_new_key())
        done = commit_reservation(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except _NOT_TAKEN as refusal:
        return _refused(typed, found, refusal)
    except _HOLD_OVER as refusal:
        return _as_it_is(_look_up(typed), typed, pages.refused(refusal))
    return _done(done, found)


def _release(typed: str, found: TillVoucher) -> Response:
    try:
        reason = _sent().text("reason", forms.NOTE_LONGEST) or None
        command = ReleaseReservation(reservation_id=_held(), reason=reason)
        release_reservation(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except _NOT_RELEASED as refusal:
        return _as_it_is(_look_up(typed), typed, pages.refused(refusal, _FIELDS))
    return _show(verdict=scan_view.released(found.last4))


def _done(done: Redeemed, found: TillVoucher) -> Response:
    return _show(verdict=scan_view.redeemed(done, found))


def _refused(typed: str, found: TillVoucher, refusal: Refusal) -> Response:
    """Show the form again, where what was typed is at fault; else what is so of the voucher."""
    if not isinstance(refusal, _FORM):
        return _show(pages.status_of(refusal), verdict=scan_view.verdict(_look_up(typed), refusal))
    # A key that was refused is free again; one that redeemed something else is not, and a new one is needed.
    key = None if isinstance(refusal, IdempotencyKeyReused) else _key()
    refused = pages.refused(refusal, _FIELDS)
    if isinstance(refusal, scan_view.ABOUT_THE_SALE):
        at = "counted" if found.needs_items else "order_total"
        refused = replace(refused, detail="", errors={at: scan_view.sale_error(refusal, found)})
    return _found(found, typed, key=key, refused=refused)


def secret_of(typed: str) -> dict[str, Any]:
    """Return what was scanned as ``code`` or ``token``: a QR code types the voucher's whole address."""
    link = _LINK.search(typed)
    if link:
        return {"token": link[1]}
    return {"token": typed} if _TOKEN.fullmatch(typed) else {"code": typed}


def _look_up(typed: str) -> TillVoucher:
    """Look a voucher up. Misses are counted, so that nobody finds one by trying; a good code is always answered."""
    actor = guard.the_actor()
    try:
        return flow_look_up(core=guard.the_core(), actor=actor, **secret_of(typed))
    except VoucherNotFound:
        guard.the_throttle().miss("code-misses", actor.label)
        raise


def _order(found: TillVoucher) -> dict[str, Any]:
    """Return what was typed of the sale. What counts of it is one sum: who stands at the till has no list of it."""
    sent = _sent()
    total, counted = _amount("order_total", found), _amount("counted", found)
    items = None
    if counted is not None and found.needs_items:
        named = found.products[0] if found.products else _COUNTED
        collection = None if found.products or not found.collections else found.collections[0]
        items = (Item(product=named, collection=collection, amount_minor=counted.amount_minor),)
    order_ref = sent.text("order_ref", forms.ORDER_REF_LONGEST) or None
    return {"order_ref": order_ref, "order_total": total, "items": items}


def _amount(field: str, found: TillVoucher) -> Money | None:
    text = _sent().text(field, forms.AMOUNT_LONGEST)
    if not text:
        return None
    try:
        return Money(words.amount_minor_of(text, found.amount.currency), found.amount.currency)
    except ValueError:
        raise forms.wrong(field, "Write the amount in figures, like 80.00.") from None


def _held() -> uuid.UUID:
    held = _sent().cursor("reservation_id")
    if held is None:
        raise ReservationNotFound
    return held


def _sent() -> Form:
    return Form(request.form)


def _code() -> str:
    """Return what was scanned. Raises ``InputInvalid`` for nothing, and for what no scanner types."""
    typed = _sent().text("code", _CODE_LONGEST)
    if not typed:
        raise forms.wrong("code", "Scan the QR code or type the code first.")
    return typed


def _new_key() -> str:
    return _sent().key("idempotency_key", guard.the_core().clock.now())


def _key() -> str | None:
    """Return the key that the form carried; None for one that no page of ours had."""
    try:
        return _new_key()
    except InputInvalid:
        return None


def _code_again(refused: Refused) -> Response:
    return _show(refused=refused, form={"code": _sent().shown("code")})


def _as_it_is(found: TillVoucher, typed: str, refused: Refused | None = None) -> Response:
    """Show a voucher as it stands: to be used, held by this till, or not to be taken and why."""
    if found.redeemable or scan_view.held(found):
        return _found(found, typed, refused=refused)
    release = scan_view.to_release(found)
    form = {"code": "", "held_code": typed if release else "", "reservation_id": release}
    return _show(verdict=scan_view.verdict(found), refused=refused, form=form)


def _show(status: int = 200, **context: object) -> Response:
    refused = context.get("refused")
    errors, status = (refused.errors, refused.status) if isinstance(refused, Refused) else ({}, status)
    nothing = {"verdict": None, "voucher": None, "held": None, "form": {}, "errors": errors}
    return show(
        "scan.html", status, **(nothing | {"scans": _last_scans(), "reasons": scan_view.UNDO_REASONS} | context)
    )


def _last_scans() -> list[dict[str, Any]]:
    try:
        rows = redemptions.last_redemptions(core=guard.the_core(), actor=guard.the_actor())
    except StorageUnavailable:
        return []  # The page says so itself, and must show what was typed.
    return scan_view.last_scans(rows, guard.the_core().clock.now())


def _fresh_key() -> str:
    core = guard.the_core()
    return str(core.ids.new(core.clock.now()))


def _found(
    found: TillVoucher | None,
    typed: str,
    *,
    key: str | None = None,
    refused: Refused | None = None,
    certain: bool = True,
) -> Response:
    """Show the form that redeems; None for a voucher that could not be looked up just now."""
    sent = _sent()
    form = {
        "code": typed,
        "order_total": sent.shown("order_total"),
        "order_ref": sent.shown("order_ref"),
        "counted": sent.shown("counted"),
        "idempotency_key": key or _fresh_key(),
    }
    voucher = scan_view.voucher(found) if found else {"value": "Redeem this voucher"}
    held = scan_view.held(found) if found else None
    return _show(voucher=voucher | {"certain": certain}, held=held, form=form, refused=refused)


def _unknown(refusal: Refusal, typed: str) -> Response:
    # A mistyped code stays in the field to be mended; a link would only be in the way.
    again = typed if isinstance(refusal, CodeMalformed) and "code" in secret_of(typed) else ""
    return _show(pages.status_of(refusal), verdict=scan_view.unknown(refusal), form={"code": again})
