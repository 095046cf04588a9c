"""Refusals in the words of people: the core names fields and keys for programs, and pages have neither."""

import math
from collections.abc import Callable

from admin import words
from incentives.kernel import errors
from incentives.kernel.errors import Refusal
from incentives.kernel.money import Money

_MINUTE = 60
_HOUR = 3600

# What to do next on a page, where the core's own words are for programs.
_NEXT_STEPS: dict[type[Refusal], str] = {
    errors.AmountNotAdjustable: "Leave the amount as it is, or choose another offer.",
    errors.ApprovalNotFound: "Look at the queue: it may have been decided or have ended.",
    errors.CaseClosed: "Whoever leads can open it again. Or begin again with what went wrong: that opens a new case.",
    errors.CaseNotFound: "Look for it in the list of cases.",
    errors.CaseOfAnotherCustomer: "Look which case it is. What went wrong for another customer is a case of their own.",
    errors.ContactCap: "Show it on this screen or print it: leave sending it out.",
    errors.ChannelWithoutAddress: "Add the customer's email or phone, or show it on this screen only.",
    errors.FileTypeRefused: "Choose a photo (JPEG, PNG or WebP), a PDF or a plain text.",
    errors.IdempotencyKeyInFlight: "Wait a moment and send it again; it is not given twice.",
    errors.IdempotencyKeyReused: "Begin again with what went wrong. What this page gave before still holds.",
    errors.InputInvalid: "Correct what is named and send it again.",
    errors.IssuanceNotFound: "Only the person who gave it sees it here. The list of cases shows what was given.",
    errors.NotAuthenticated: "Sign in, then do it again. Nothing was done.",
    errors.NotUsableHere: "Send the customer to one of these places.",
    errors.OrderRefMissing: "Type the order reference: only one voucher of this kind goes with an order.",
    errors.OrderItemsMissing: "Type how much of the bill counts for this voucher.",
    errors.OrderTotalMissing: "Type the order total: the discount is a part of it.",
    errors.CodeGone: "Ask a supervisor or finance to reverse the redemption with a new code.",
    errors.RemainderUsed: "Ask a supervisor or finance to reverse the redemption with a new code.",
    errors.ReservationLapsed: "Look at the voucher: if it is still good, redeem it or hold it again.",
    errors.ReservationEnded: "Look at your last scans: it may have been redeemed.",
    errors.ReservationNotFound: "Scan the voucher again.",
    errors.RedemptionNotFound: "Look at your last scans.",
    errors.RedemptionAlreadyReversed: "Nothing needs to be done: scan the voucher again if it is to be used.",
    errors.SessionNotFound: "Look at the list: it may have ended already.",
    errors.StorageUnavailable: "Try again in a few seconds. What you sent may have gone through: send it again as it "
    "is, nothing is ever given twice.",
    errors.UnknownIncentive: "Choose one of the offers.",
    errors.UnknownIssueTag: "Begin again with what went wrong; the catalog may have changed.",
    errors.UnknownLocation: "Choose one of the locations in the list.",
}
_TITLES: dict[type[Refusal], str] = {
    errors.IdempotencyKeyInFlight: "The first try is still running",
    errors.IdempotencyKeyReused: "This form was sent already, with something else in it",
    errors.InputInvalid: "Something is missing or cannot be used",
}


def title(refusal: Refusal) -> str:
    """Return what is so."""
    return _TITLES.get(type(refusal), refusal.title)


def detail(refusal: Refusal) -> str:
    """Return a sentence about this very case; empty where the title has said it."""
    said = _DETAILS.get(type(refusal))
    if said:
        return said(refusal)
    return "" if refusal.detail.rstrip(".") == refusal.title else refusal.detail


def next_step(refusal: Refusal) -> str:
    """Return what to do about it."""
    wait_seconds = refusal.facts.get("retry_after_seconds")
    if isinstance(refusal, errors.TooManyRequests) and isinstance(wait_seconds, int):
        minutes = math.ceil(wait_seconds / _MINUTE)
        return f"Wait {words.counted(minutes, 'minute', 'minutes')}, then try again."
    if isinstance(refusal, errors.ContactCap) and isinstance(wait_seconds, int):
        hours = math.ceil(wait_seconds / _HOUR)
        wait = f"Or wait {words.counted(hours, 'hour', 'hours')}, then send it."
        return f"{next_step_of(type(refusal))} {wait}"
    return next_step_of(type(refusal))


def next_step_of(kind: type[Refusal]) -> str:
    """Return what to do about a kind of refusal, whatever the case."""
    return _NEXT_STEPS.get(kind, kind.next_step)


def _bounds(refusal: Refusal) -> str:
    facts = refusal.facts
    ends = [facts.get("least_minor"), facts.get("most_minor")]
    currency = facts.get("currency")
    if not isinstance(currency, str):
        return ""
    said = [words.money(Money(end, currency)) for end in ends if isinstance(end, int)]
    return f"It may be {' to '.join(said)}." if len(said) > 1 else f"It may be {said[0]} at most." if said else ""


def _first(refusal: Refusal) -> str:
    step = str(refusal.facts.get("comes_first") or "")
    return f"“{words.STEPS.get(step, words.in_words(step))}” comes first." if step else ""


def _nothing(_refusal: Refusal) -> str:
    return ""


_DETAILS: dict[type[Refusal], Callable[[Refusal], str]] = {
    errors.AmountAboveProtocol: _bounds,
    errors.AmountOutOfRange: _bounds,
    errors.ApprovalAmountInvalid: _bounds,
    errors.ApproverLimitExceeded: _bounds,
    errors.StepOutOfOrder: _first,
    errors.TooManyRequests: _nothing,
}
