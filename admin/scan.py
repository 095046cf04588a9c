"""The scan page: look a code up, redeem it once, and say in color, sign and words what came of it."""

import re
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from admin import forms, guard, pages, plain, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.redeem import Redeemed, RedeemVoucher, redeem_voucher
from incentives.kernel.errors import (
    AlreadyRedeemed,
    CodeMalformed,
    CurrencyMismatch,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    InputInvalid,
    NotUsableHere,
    OrderTotalMissing,
    Refusal,
    StorageUnavailable,
    TooManyRequests,
    VoucherExpired,
    VoucherNotFound,
    VoucherReplaced,
    VoucherReserved,
    VoucherVoided,
)
from incentives.kernel.money import Money
from incentives.queries import vouchers
from incentives.queries.vouchers import TillVoucher

blueprint = Blueprint("staff_scan", __name__)

_REDEEM = "redemptions:create"
_CODE_LONGEST = 500
_LINK = re.compile(r"/v/([A-Za-z0-9._~-]+)")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}")

# What stands on the screen for each state of a voucher: tone, sign, title, and the refusal that knows the next step.
_STATES: dict[str, tuple[str, str, str, type[Refusal]]] = {
    "redeemed": ("warn", "history", "Used already", AlreadyRedeemed),
    "reserved": ("warn", "hourglass", "Held by another till", VoucherReserved),
    "expired": ("bad", "clock", "Expired", VoucherExpired),
    "voided": ("bad", "cross", "Taken back", VoucherVoided),
    "replaced": ("warn", "refresh", "Replaced by a newer one", VoucherReplaced),
    "elsewhere": ("warn", "place", "Not to be used here", NotUsableHere),
}
_UNKNOWN = {
    CodeMalformed: ("warn", "alert", "Mistyped"),
    VoucherNotFound: ("bad", "cross", "Not known"),
}
# These are about what was typed beside the code: the form is shown again.
_FIELDS = {
    "order_ref": "order_ref",
    "order_total": "order_total",
    "order_total.currency": "order_total",
    "order_total.amount_minor": "order_total",
}
_FORM = (OrderTotalMissing, CurrencyMismatch, InputInvalid, IdempotencyKeyReused)
# Only what is so of the voucher itself is a verdict on it.
_VERDICTS = (AlreadyRedeemed, NotUsableHere, VoucherExpired, VoucherReplaced, VoucherReserved, VoucherVoided)
# Of these nobody knows yet what came of it: the same form, sent again, finds out and does nothing twice.
_AGAIN = (IdempotencyKeyInFlight, StorageUnavailable, TooManyRequests)


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
    except (CodeMalformed, VoucherNotFound) as refusal:
        return _unknown(refusal, typed)
    except _AGAIN as refusal:
        refused = replace(pages.refused(refusal), detail="Looking a voucher up changes nothing.")
        return pages.with_wait(_code_again(refused), refusal)
    return _found(found, typed) if found.redeemable else _show(verdict=_verdict_of(found))


@blueprint.post("/scan/redeem")
@page(permission=_REDEEM)
def redeem() -> ResponseReturnValue:
    """Redeem it. The verdict of a second try says when, where and by which till the first one was."""
    typed, found = _sent().shown("code"), None
    try:
        found = _look_up(_code())
        return _redeem(typed, found)
    except InputInvalid as refusal:
        return _code_again(pages.refused(refusal, {"code": "code"}))
    except (CodeMalformed, VoucherNotFound) as refusal:
        return _unknown(refusal, typed)
    except _AGAIN as refusal:
        again = _found(found, typed, key=_key(), refused=pages.refused(refusal), certain=False)
        return pages.with_wait(again, refusal)


def _redeem(typed: str, found: TillVoucher) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    try:
        redeemed = redeem_voucher(core=core, actor=actor, command=_command(typed, found))
    except _FORM as refusal:
        # A key that was refused is free again; one that redeemed something else is not, and a new one is needed.
        key = None if isinstance(refusal, IdempotencyKeyReused) else _key()
        return _found(found, typed, key=key, refused=pages.refused(refusal, _FIELDS))
    except _VERDICTS as refusal:
        return _show(pages.status_of(refusal), verdict=_verdict_of(_look_up(typed), refusal))
    return _show(verdict=_redeemed(redeemed, found))


def secret_of(typed: str) -> dict[str, str]:
    """Return what was scanned as ``code`` or ``token``: a QR code types the voucher's whole address."""
    link = _LINK.search(typed)
    if link:
        return {"token": link[1]}
    return {"token": typed} if _TOKEN.fullmatch(typed) else {"code": typed}


def _look_up(typed: str) -> TillVoucher:
    """Look a voucher up. Misses are counted, so that nobody finds one by trying; a good code is always answered."""
    actor = guard.the_actor()
    try:
        return vouchers.lookup(core=guard.the_core(), actor=actor, **secret_of(typed))
    except VoucherNotFound:
        guard.the_throttle().miss("code-misses", actor.label)
        raise


def _command(typed: str, found: TillVoucher) -> RedeemVoucher:
    sent = _sent()
    text, total = sent.text("order_total", forms.AMOUNT_LONGEST), None
    if text:
        try:
            total = Money(words.amount_minor_of(text, found.amount.currency), found.amount.currency)
        except ValueError:
            raise forms.wrong("order_total", "Write the total in figures, like 80.00.") from None
    return RedeemVoucher(
        **secret_of(typed),
        order_ref=sent.text("order_ref", forms.ORDER_REF_LONGEST) or None,
        order_total=total,
        idempotency_key=sent.key("idempotency_key", guard.the_core().clock.now()),
    )


def _sent() -> Form:
    return Form(request.form)


def _code() -> str:
    """Return what was scanned. Raises ``InputInvalid`` for nothing, and for what no scanner types."""
    typed = _sent().text("code", _CODE_LONGEST)
    if not typed:
        raise forms.wrong("code", "Scan the QR code or type the code first.")
    return typed


def _key() -> str | None:
    """Return the key that the form carried; None for one that no page of ours had."""
    try:
        return _sent().key("idempotency_key", guard.the_core().clock.now())
    except InputInvalid:
        return None


def _code_again(refused: Refused) -> Response:
    return _show(refused=refused, form={"code": _sent().shown("code")})


def _show(status: int = 200, **context: object) -> Response:
    refused = context.get("refused")
    errors, status = (refused.errors, refused.status) if isinstance(refused, Refused) else ({}, status)
    nothing = {"verdict": None, "voucher": None, "form": {}, "errors": errors}
    return show("scan.html", status, **(nothing | context))


def _found(
    found: TillVoucher | None,
    typed: str,
    *,
    key: str | None = None,
    refused: Refused | None = None,
    certain: bool = True,
) -> Response:
    """Show the form that redeems; None for a voucher that could not be looked up just now."""
    core, sent = guard.the_core(), _sent()
    form = {
        "code": typed,
        "order_total": sent.shown("order_total"),
        "order_ref": sent.shown("order_ref"),
        "idempotency_key": key or str(core.ids.new(core.clock.now())),
    }
    voucher = _voucher(found) if found else {"value": "Redeem this voucher"}
    return _show(voucher=voucher | {"certain": certain}, form=form, refused=refused)


def _voucher(found: TillVoucher) -> dict[str, Any]:
    value, note = words.worth(found.kind, found.amount, found.percent)
    return {
        "value": value or found.title,
        "title": found.title if value else "",
        "note": note if value else "",
        "last4": found.last4,
        "expires": words.expiry(found.expires_at, found.time_zone),
        "where": ", ".join(found.where_to_use),
        "terms": found.terms,
        "needs_total": found.needs_order_total,
        "currency": found.amount.currency,
    }


def _unknown(refusal: Refusal, typed: str) -> Response:
    tone, sign, title = _UNKNOWN[type(refusal)]
    lines = ["This code is not a whole one."] if isinstance(refusal, CodeMalformed) else ["No voucher has this code."]
    verdict = {"tone": tone, "sign": sign, "title": title, "lines": lines, "next_step": plain.next_step(refusal)}
    # A mistyped code stays in the field to be mended; a link would only be in the way.
    again = typed if isinstance(refusal, CodeMalformed) and "code" in secret_of(typed) else ""
    return _show(pages.status_of(refusal), verdict=verdict, form={"code": again})


def _verdict_of(found: TillVoucher, refusal: Refusal | None = None) -> dict[str, Any]:
    """Return the verdict on a voucher that cannot be redeemed here and now."""
    state = found.status if found.status in _STATES else "elsewhere"
    if refusal is not None:
        state = next(name for name, shown in _STATES.items() if shown[-1] is type(refusal))
    tone, sign, title, kind = _STATES[state]
    return {
        "tone": tone,
        "sign": sign,
        "title": title,
        "lines": _lines(found, state),
        "next_step": plain.next_step_of(kind),
    }


def _lines(found: TillVoucher, state: str) -> list[str]:
    what = f"{_title(found)}, code ending in {found.last4}."
    if state == "redeemed" and found.redeemed_at:
        actor = guard.the_actor()
        place = pages.location_name(actor, found.redeemed_location) if found.redeemed_location else None
        where = f", at {place}" if place else ""
        zone = pages.zone_of(actor, found.redeemed_location) or found.time_zone
        return [f"On {words.instant(found.redeemed_at, zone)}{where}, by {found.redeemed_by}.", what]
    if state == "expired":
        return [f"It was good until {words.expiry(found.expires_at, found.time_zone)}.", what]
    if state == "elsewhere" and found.where_to_use:
        return [f"It can be used at {', '.join(found.where_to_use)}.", what]
    return [what]


def _redeemed(redeemed: Redeemed, found: TillVoucher) -> dict[str, Any]:
    lines = [f"{_title(found)}, code ending in {redeemed.last4}."]
    if redeemed.remainder:
        lines.append(
            f"The rest, {words.money(redeemed.remainder.amount)}, is on a new voucher: {redeemed.remainder.code}"
        )
    face = found.kind in words.MONEY_KINDS or found.percent is not None
    return {
        "tone": "good",
        "sign": "check",
        "title": "Redeemed",
        "value": words.money(redeemed.amount) if face else "",
        "lines": lines,
        "next_step": "Take it off the bill. The code cannot be used again."
        if face
        else "Hand it over. The code cannot be used again.",
    }


def _title(found: TillVoucher) -> str:
    value = words.worth(found.kind, found.amount, found.percent)[0]
    return f"{value}, {found.title}" if value and value not in found.title else found.title
