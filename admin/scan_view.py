"""What stands on the scan page: a voucher that can be used, one that is held, a verdict, and the last scans."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from admin import guard, pages, plain, words
from incentives.flows.redeem import Redeemed
from incentives.flows.reverse import ANNUL_WITHIN
from incentives.kernel.actors import may
from incentives.kernel.errors import (
    AlreadyRedeemed,
    CodeMalformed,
    CodeRetired,
    ConditionNotMet,
    NotCombinable,
    NothingEligible,
    NotUsableHere,
    OrderTooSmall,
    RedeemerNotAllowed,
    Refusal,
    SelfRedemption,
    VoucherExpired,
    VoucherFrozen,
    VoucherNotFound,
    VoucherReplaced,
    VoucherReserved,
    VoucherVoided,
    slug_of,
)
from incentives.kernel.money import Money
from incentives.queries.redemptions import Redemption
from incentives.queries.vouchers import TillVoucher

# What stands on the screen for each reason why a voucher is not taken: tone, sign, title; the refusal knows what next.
_STATES: dict[type[Refusal], tuple[str, str, str]] = {
    AlreadyRedeemed: ("warn", "history", "Used already"),
    VoucherReserved: ("warn", "hourglass", "Held by another till"),
    VoucherExpired: ("bad", "clock", "Expired"),
    VoucherVoided: ("bad", "cross", "Taken back"),
    VoucherReplaced: ("warn", "refresh", "Replaced by a newer one"),
    VoucherFrozen: ("bad", "lock", "Frozen"),
    SelfRedemption: ("warn", "lock", "You gave it yourself"),
    RedeemerNotAllowed: ("warn", "lock", "Redeemed by others"),
    NotUsableHere: ("warn", "place", "Not to be used here"),
    NotCombinable: ("warn", "cross", "Not with the other voucher"),
    ConditionNotMet: ("warn", "alert", "A condition is not met"),
}
VERDICTS = tuple(_STATES)
_BY_SLUG = {slug_of(kind): kind for kind in _STATES}
_SAID: dict[type[Refusal], str] = {
    CodeMalformed: "This code is not a whole one.",
    CodeRetired: "The key that made it was retired.",
    VoucherNotFound: "No voucher has this code.",
}
_UNKNOWN: dict[type[Refusal], tuple[str, str, str]] = {
    CodeMalformed: ("warn", "alert", "Mistyped"),
    CodeRetired: ("bad", "clock", "No longer taken"),
    VoucherNotFound: ("bad", "cross", "Not known"),
}
UNDO_REASONS = ("Scanned by mistake.", "Another voucher was meant.", "The sale was canceled.")
# What is wrong with the sale is said at its form, with the money as people write it.
ABOUT_THE_SALE = (OrderTooSmall, NothingEligible)


def unknown(refusal: Refusal) -> dict[str, Any]:
    """Return the verdict on a code that is none."""
    tone, sign, title = _UNKNOWN[type(refusal)]
    lines = [_SAID[type(refusal)]]
    return {"tone": tone, "sign": sign, "title": title, "lines": lines, "next_step": plain.next_step(refusal)}


def voucher(found: TillVoucher) -> dict[str, Any]:
    """Return a voucher that can be used, or that this till holds."""
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
        "needs_ref": found.needs_order_ref,
        "counts": _counts(found),
        "least": words.money(found.min_order) if found.min_order else "",
        "uses": f"{found.uses_left} of {found.max_redemptions}" if found.max_redemptions > 1 else "",
        "currency": found.amount.currency,
    }


def _counts(found: TillVoucher) -> str:
    """Return what of a sale counts, in words; nothing where all of it does."""
    only = ", ".join((*found.products, *found.collections))
    never = ", ".join(found.excluded_products)
    parts = [f"only {only}" if only else "", f"without {never}" if never else ""]
    return ", ".join(part for part in parts if part)


def held(found: TillVoucher) -> dict[str, Any] | None:
    """Return the hold of this very till, with the minutes that are left of it."""
    hold = found.hold
    if hold is None or not hold.own:
        return None
    now, actor = guard.the_core().clock.now(), guard.the_actor()
    minutes = max(1, -(-int((hold.expires_at - now).total_seconds()) // 60))
    zone = pages.zone_of(actor, hold.location) or found.time_zone
    return {
        "id": str(hold.reservation_id),
        "left": words.counted(minutes, "minute", "minutes"),
        "until": words.instant(hold.expires_at, zone),
    }


def verdict(found: TillVoucher, refusal: Refusal | None = None) -> dict[str, Any]:
    """Return the verdict on a voucher that cannot be redeemed here and now."""
    kind = type(refusal) if refusal is not None else _BY_SLUG[found.reason or ""]
    tone, sign, title = _STATES[kind]
    lines = _lines(found, kind)
    if refusal is not None and kind is ConditionNotMet:
        lines = [plain.detail(refusal) or "; ".join(refusal.facts.get("failed", [])), *lines]
    # Whoever may see what became of a voucher finds it from here.
    life = f"/vouchers/{found.id}" if may(guard.the_actor(), "issuances:read") else ""
    said = {"tone": tone, "sign": sign, "title": title, "lines": lines, "next_step": plain.next_step_of(kind)}
    return {**said, "href": life}


def to_release(found: TillVoucher) -> str | None:
    """Return the hold of another till, where this person may release it."""
    hold = found.hold
    if hold is None or hold.own or not may(guard.the_actor(), "reservations:release"):
        return None
    return str(hold.reservation_id)


def _lines(found: TillVoucher, kind: type[Refusal]) -> list[str]:
    what = f"{_title(found)}, code ending in {found.last4}."
    actor = guard.the_actor()
    if kind is AlreadyRedeemed and found.redeemed_at:
        where = _at(found.redeemed_location)
        zone = pages.zone_of(actor, found.redeemed_location) or found.time_zone
        return [f"On {words.instant(found.redeemed_at, zone)}{where}, by {found.redeemed_by}.", what]
    if kind is VoucherReserved and found.hold:
        zone = pages.zone_of(actor, found.hold.location) or found.time_zone
        until = words.instant(found.hold.expires_at, zone)
        return [f"By {found.hold.held_by}{_at(found.hold.location)}, until {until}.", what]
    if kind is VoucherExpired:
        return [f"It was good until {words.expiry(found.expires_at, found.time_zone)}.", what]
    if kind is NotUsableHere and found.where_to_use:
        return [f"It can be used at {', '.join(found.where_to_use)}.", what]
    return [what]


def _at(location: str | None) -> str:
    return f", at {pages.location_name(guard.the_actor(), location)}" if location else ""


def redeemed(done: Redeemed, found: TillVoucher) -> dict[str, Any]:
    """Return the verdict on a voucher that was just redeemed."""
    lines = [f"{_title(found)}, code ending in {done.last4}."]
    if done.remainder:
        where = done.remainder.code or "the customer gets it by message"
        lines.append(f"The rest, {words.money(done.remainder.amount)}, is on a new voucher: {where}")
    left = found.uses_left - 1
    again = f"It can be used {words.counted(left, 'more time', 'more times')}." if left else ""
    face = found.kind in words.MONEY_KINDS or found.percent is not None
    deed = "Take it off the bill." if face else "Hand it over."
    return {
        "tone": "good",
        "sign": "check",
        "title": "Redeemed",
        "value": words.money(done.amount) if face else "",
        "lines": lines,
        "next_step": f"{deed} {again or 'The code cannot be used again.'}",
    }


def undone(done: Redemption) -> dict[str, Any]:
    """Return the verdict on a scan that was just undone."""
    return {
        "tone": "good",
        "sign": "refresh",
        "title": "Undone",
        "lines": [f"The voucher ending in {done.last4} can be used again."],
        "next_step": "Take the discount off the bill again, or scan the right voucher.",
    }


def released(last4: str) -> dict[str, Any]:
    """Return the verdict on a voucher that was just let go."""
    return {
        "tone": "good",
        "sign": "check",
        "title": "Let go",
        "lines": [f"The voucher ending in {last4} is free: nothing was taken off."],
        "next_step": "Give it back to the customer, or scan it again.",
    }


def last_scans(rows: Iterable[Redemption], now: datetime) -> list[dict[str, Any]]:
    """Return what this till redeemed last, and which of it can be undone yet."""
    actor = guard.the_actor()
    zone = pages.zone_of(actor)
    return [
        {
            "id": str(each.id),
            "last4": each.last4,
            "amount": words.money(each.amount),
            "order_ref": each.order_ref or "",
            "at": words.instant(each.redeemed_at, zone),
            "undone": each.reversal is not None,
            "can_undo": each.reversal is None and now <= each.redeemed_at + ANNUL_WITHIN,
        }
        for each in rows
    ]


def sale_error(refusal: Refusal, found: TillVoucher) -> str:
    """Return what is wrong with a sale, with the money as people write it."""
    least, counted = refusal.facts.get("min_order_minor"), refusal.facts.get("counted_minor")
    if isinstance(refusal, OrderTooSmall) and isinstance(least, int) and isinstance(counted, int):
        missing = words.money(Money(least - counted, found.amount.currency))
        return f"The minimum is {words.money(Money(least, found.amount.currency))}: {missing} is missing."
    counts = _counts(found)
    return f"Nothing of it counts: {counts}." if counts else "Nothing of it counts."


def _title(found: TillVoucher) -> str:
    value = words.worth(found.kind, found.amount, found.percent)[0]
    return f"{value}, {found.title}" if value and value not in found.title else found.title
