"""What becomes of a voucher, in the words of people: its states, its events, and what was done."""

from collections.abc import Mapping
from typing import Any

from admin import case_words, words
from admin.case_words import Sign
from incentives.kernel.money import Money
from incentives.queries.voucher_care import VoucherEvent

FROZEN = Sign("warn", "Frozen", "lock")

DONE: Mapping[str, str] = {
    "void": "It is taken back. The money is free again.",
    "reissue": "This is the new voucher. The old one is good for nothing.",
    "address": "This is the new voucher, on its way to the new address. The old link and code are dead.",
    "resend": "It goes out once more.",
    "extend": "It is good for longer now.",
    "adjust": "It has its new value.",
    "freeze": "Nobody can use it now.",
    "unfreeze": "It can be used again.",
}

_EVENTS: Mapping[str, str] = {
    "voucher.issued": "Given",
    "voucher.redeemed": "Redeemed",
    "voucher.reserved": "Held at a till",
    "voucher.voided": "Taken back",
    "voucher.reissued": "Replaced by a new one",
    "voucher.resent": "Sent again",
    "voucher.extended": "Extended",
    "voucher.adjusted": "Value changed",
    "voucher.frozen": "Frozen",
    "voucher.unfrozen": "Unfrozen",
    "voucher.expired": "Expired",
    "reservation.released": "The till let it go",
    "redemption.reversed": "Redemption reversed",
    "redemption.annulled": "Scan undone",
    "approval.requested": "Asked for",
    "approval.granted": "Agreed to",
    "apology.given": "Apology sent",
}


def state(status: str, *, frozen: bool) -> Sign:
    """Return how a voucher stands."""
    if frozen and status in ("issued", "reserved"):
        return FROZEN
    if status == "issued":
        return Sign("good", "Can be used", "ticket")
    return case_words.GIFTS.get(status, Sign("news", words.in_words(status), "ticket"))


def event(each: VoucherEvent, zone: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return one thing that happened, for the timeline; ``names`` has what issue tags are called."""
    said = _EVENTS.get(each.action, words.in_words(each.action.replace(".", " ")))
    return {
        "words": ", ".join(part for part in (said, _more(each)) if part),
        "at": words.instant(each.at, zone),
        "who": each.actor_name,
        "reason": names.get(f"issue_tag:{each.reason}", each.reason or ""),
    }


def _more(each: VoucherEvent) -> str:
    """Return the figures of an event."""
    facts = each.facts
    minor, currency = facts.get("amount_minor"), facts.get("currency")
    amount = words.money(Money(minor, currency)) if isinstance(minor, int) and isinstance(currency, str) else ""
    if each.action == "voucher.adjusted" and isinstance(facts.get("before_minor"), int) and currency:
        return f"from {words.money(Money(facts['before_minor'], currency))} to {amount}"
    if each.action == "voucher.extended":
        return f"by {words.counted(int(facts.get('days', 0)), 'day', 'days')}"
    if each.action == "voucher.reissued":
        return f"ends in {facts.get('last4')}{', to another address' if facts.get('address_changed') else ''}"
    if each.action.startswith("message."):
        return words.CHANNELS.get(str(facts.get("channel")), ("", ""))[1]
    return amount if each.action in ("voucher.issued", "voucher.redeemed", "voucher.voided", "voucher.expired") else ""
