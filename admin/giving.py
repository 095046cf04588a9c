"""Step 2 of the tablet: the form as it was typed, the command it means, and what the page shows of the offers."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from admin import case_giving, forms, guard, known, pages, reaching, words
from admin.forms import Form
from admin.pages import Refused
from incentives.flows.issue import IssueVoucher
from incentives.flows.offer import CameBack, CustomerGiven, EarlierRecovery, Offer, Offers, Trouble
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    CaseClosed,
    CaseNotFound,
    CaseOfAnotherCustomer,
    CustomerCapReached,
    EmailInvalid,
    InputInvalid,
    PhoneInvalid,
    Refusal,
    UnknownIssueTag,
    UnknownLocation,
)
from incentives.kernel.money import Money
from incentives.queries import catalog

MISTAKES = (CaseOfAnotherCustomer, EmailInvalid, InputInvalid, PhoneInvalid, UnknownLocation)
"""What offers are refused for that somebody typed; without it there are offers all the same."""
CASE_ENDED = (CaseClosed, CaseNotFound)
"""What offers are refused for where the case takes nothing more: they are shown as if there were none."""

_FIELDS = {
    **{
        name: name
        for name in ("email", "phone", "name", "order_ref", "locale", "location", "note", "message", "offers")
    },
    "customer.email": "email",
    "customer.phone": "phone",
    "customer.name": "name",
    "customer.locale": "locale",
    "channels": "email",
    "severity": "offers",
    "incentive": "offers",
    "override.reason": "override",
}
# Why an offer is none here at all, whoever the customer is: it would only be in the way.
_ELSEWHERE = frozenset({"inactive", "not-at-this-location", "window-closed", "wrong-currency"})
_RECENT = timedelta(days=30)
_SHOWN_RECOVERIES = 4
_SEEN_MOST = 10_000
_MESSAGE_LONGEST = 300
_LONGEST = {
    "incentive": 64,
    "email": 320,
    "phone": 40,
    "name": forms.NAME_LONGEST,
    "order_ref": forms.ORDER_REF_LONGEST,
    "locale": 20,
    "location": 64,
    "note": forms.NOTE_LONGEST,
    "override": forms.NOTE_LONGEST,
    "message": _MESSAGE_LONGEST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveForm:
    """What stands in the form. ``idempotency_key`` was made with the page, so that a page gives once.

    ``case_id`` is the case that it is given in; None opens a new one. ``seen`` and ``warned`` are what the page has
    shown of earlier recoveries and of addresses that were not reached. ``mistakes`` are fields that cannot be used as
    they are; they are shown again and go nowhere else.
    """

    tag: str
    idempotency_key: str
    severity: int | None = None
    incentive: str = ""
    amounts: Mapping[str, str]
    email: str = ""
    phone: str = ""
    name: str = ""
    order_ref: str = ""
    locale: str = ""
    location: str = ""
    note: str = ""
    override: str = ""
    message: str = ""
    screen_only: bool = False
    seen: int = 0
    warned: str = ""
    case_id: uuid.UUID | None = None
    mistakes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def fresh(cls, tag: str, args: Mapping[str, str], core: Core, actor: Actor) -> "GiveForm":
        """Return an empty form with a key of its own; an address may prefill it, from a help desk for instance.

        What a case knows of its customer is filled in, so that nobody asks for it twice. Raises ``CaseNotFound``.
        """
        known: dict[str, Any] = {
            "severity": _severity(args.get("severity")),
            "order_ref": Form(args).shown("order_ref")[: forms.ORDER_REF_LONGEST],
            "locale": next(iter(pages.languages(actor)), ""),
        }
        case_id = Form(args).cursor("case")
        if case_id:
            of_case = case_giving.known_of(core, actor, case_id)
            known |= of_case | {"case_id": case_id, "severity": known["severity"] or of_case["severity"]}
        return cls(tag=tag, idempotency_key=_key(core), amounts={}, **known)

    @classmethod
    def typed(cls, tag: str, form: Mapping[str, str], core: Core, actor: Actor) -> "GiveForm":
        """Return the form as it was sent, trimmed. Only who has no location of their own may name one."""
        sent, now = Form(form), core.clock.now()
        text = {name: sent.shown(name) for name in _LONGEST}
        limits = _LONGEST | {f"amount-{text['incentive']}": forms.AMOUNT_LONGEST}
        mistakes = forms.mistakes(
            *(partial(sent.text, name, longest) for name, longest in limits.items()),
            partial(sent.number, "seen", _SEEN_MOST),
            partial(sent.key, "idempotency_key", now),
            partial(sent.cursor, "case"),
        )
        return cls(
            tag=tag,
            idempotency_key=_key(core) if "idempotency_key" in mistakes else sent.key("idempotency_key", now),
            severity=_severity(form.get("severity")),
            amounts={name.removeprefix("amount-"): sent.shown(name) for name in form if name.startswith("amount-")},
            screen_only=form.get("screen_only") == "yes",
            seen=0 if "seen" in mistakes else sent.number("seen", _SEEN_MOST),
            warned=sent.shown("warned"),
            case_id=None if "case" in mistakes else sent.cursor("case"),
            mistakes=mistakes,
            **(text | {"location": "" if actor.location else text["location"]}),
        )

    @property
    def trouble(self) -> Trouble:
        """Return what went wrong and for whom. Raises ``InputInvalid`` for what cannot be used."""
        if self.mistakes:
            raise _invalid(self.mistakes)
        customer = CustomerGiven(
            name=self.name or None,
            email=self.email or None,
            phone=self.phone or None,
            locale=self.locale or None,
        )
        return Trouble(
            issue_tag=self.tag,
            severity=self.severity,
            customer=customer,
            location=self.location or None,
            order_ref=self.order_ref or None,
            case_id=self.case_id,
        )

    @property
    def anonymous(self) -> "GiveForm":
        """Return the form without what says who the customer is and where."""
        unfit = self.mistakes.keys()
        return replace(
            self,
            mistakes={},
            email="",
            phone="",
            location="",
            name="" if "name" in unfit else self.name,
            order_ref="" if "order_ref" in unfit else self.order_ref,
            locale="" if "locale" in unfit else self.locale,
        )

    def command(self, actor: Actor) -> IssueVoucher:
        """Return what the form asks for. Raises ``InputInvalid`` where it is not whole."""
        mistakes = dict(self.mistakes)
        if not self.incentive:
            mistakes["offers"] = "Choose what to give."
        if not (self.email or self.phone or self.screen_only):
            mistakes["email"] = "Add an email or a phone number, or show it on this screen only."
        if mistakes:
            raise _invalid(mistakes)
        trouble = self.trouble
        return IssueVoucher(
            issue_tag=self.tag,
            incentive=self.incentive,
            amount_minor=self._amount_minor(actor),
            severity=self.severity,
            customer=trouble.customer,
            channels=self.channels,
            location=trouble.location,
            order_ref=trouble.order_ref,
            case_id=self.case_id,
            note=self.note or None,
            override_reason=self.override or None,
            message=self.message or None,
            idempotency_key=self.idempotency_key,
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """Return how the customer is told: by each address that was typed, unless it is shown on the screen only."""
        addresses = (("email", self.email), ("sms", self.phone))
        return () if self.screen_only else tuple(channel for channel, address in addresses if address)

    def _amount_minor(self, actor: Actor) -> int | None:
        text = self.amounts.get(self.incentive, "").strip()
        if not text:
            return None
        rows = catalog.incentives(core=guard.the_core(), actor=actor)
        currency = next((each.currency for each in rows if each.key == self.incentive), None)
        try:
            return words.amount_minor_of(text, currency or "USD")
        except ValueError:
            raise forms.wrong(f"amount-{self.incentive}", "Write the amount in figures, like 25.00.") from None

    def unseen(self, earlier: Sequence[EarlierRecovery]) -> bool:
        """Return whether the customer was helped before in a way that the form did not show.

        What was given after the page was made does not count: it is this very form, sent a second time.
        """
        return len([each for each in earlier if each.requested_at < forms.made_at(self.idempotency_key)]) > self.seen

    def unwarned(self, found: Sequence[CameBack]) -> bool:
        """Return whether it would be sent where the last message did not arrive, and the form did not say so."""
        return any(each.channel in self.channels and each.channel not in self.warned.split("+") for each in found)


def refused(refusal: Refusal, form: GiveForm) -> Refused:
    """Return a refusal with the form's own fields."""
    amount = f"amount-{form.incentive}"
    # Whose case it is shows by the address that was typed.
    whose = {"case_id": "email"} if isinstance(refusal, CaseOfAnotherCustomer) else {}
    found = pages.refused(refusal, {**_FIELDS, **whose, "amount_minor": amount, amount: amount})
    if isinstance(refusal, CustomerCapReached) and not form.override and may(guard.the_actor(), "caps:override"):
        # Whoever leads is not sent to ask somebody who leads.
        said = {"override": "Say why this customer may get more."}
        return replace(found, errors=said, next_step="Write it down, or apologize without an incentive.")
    return found


def view(core: Core, actor: Actor, form: GiveForm, offers: Offers | None, *, ask_again: bool) -> dict[str, Any]:
    """Return what the page of step 2 shows. Raises ``UnknownIssueTag``."""
    labels = {each.key: pages.english(each.label) for each in known.issue_tags(actor)}
    if form.tag not in labels:
        raise UnknownIssueTag(issue_tag=form.tag)
    overrides = may(actor, "caps:override")
    choices = _choices(form, offers, overrides=overrides) if offers else []
    severity = form.severity or (offers.severity if offers else None)
    return {
        "tag": {"key": form.tag, "title": labels[form.tag]},
        "form": form,
        "offers": offers,
        "script": next((each["script"] for each in choices if each["chosen"]), offers.script if offers else ""),
        "protocol_steps": [words.STEPS.get(each, words.in_words(each)) for each in offers.steps] if offers else [],
        "choices": choices,
        "may_override": overrides and any(each["capped"] for each in choices),
        "severities": [
            {
                "value": value,
                "word": word,
                "href": f"/staff/give/{form.tag}?severity={value}{f'&case={form.case_id}' if form.case_id else ''}",
                "current": value == severity,
            }
            for value, word in words.SEVERITIES.items()
        ],
        "earlier": _earlier(core, actor, offers, labels) if offers else None,
        "unreached": _unreached(core, form, offers) if offers else None,
        "ask_again": ask_again,
        "languages": [(each, words.LANGUAGE_WORDS.get(each, each)) for each in pages.languages(actor)],
        "locations": [] if actor.location else [(each.key, each.name) for each in known.locations(actor)],
        "more": bool(form.name or form.order_ref or form.note or form.message or form.location),
    }


def _choices(form: GiveForm, offers: Offers, *, overrides: bool) -> list[dict[str, Any]]:
    shown = [each for each in offers.offers if not _ELSEWHERE.intersection(each.blocked_reasons)]
    opened = [each for each in shown if each.offerable or _may_fit(each) or (overrides and _capped(each))]
    chosen = next((each for each in opened if each.incentive == form.incentive), None)
    ready = [each for each in opened if each.offerable]
    chosen = chosen or next((each for each in ready if each.is_default), ready[0] if ready else None)
    # What may be given stands before what may not, each in the protocol's own order.
    closed = [each for each in shown if each not in opened]
    return [_choice(each, form, chosen=each is chosen, opened=each in opened) for each in (*opened, *closed)]


def _choice(offer: Offer, form: GiveForm, *, chosen: bool, opened: bool) -> dict[str, Any]:
    value, note = words.worth(offer.kind, offer.amount, offer.percent)
    reasons = list(dict.fromkeys(words.BLOCKED.get(each.reason, each.words) for each in offer.explanations))
    bounds = offer.amount_bounds
    return {
        "key": offer.incentive,
        "title": offer.title,
        "value": value,
        "value_note": note,
        "open": opened,
        "capped": opened and _capped(offer),
        "may_fit": _may_fit(offer),
        "chosen": chosen,
        "ask": offer.approval_required,
        "reasons": reasons or _asks(offer),
        "script": offer.script,
        "adjustable": bounds is not None,
        "currency": offer.amount.currency,
        "amount_text": form.amounts.get(offer.incentive) or words.plain_amount(offer.amount),
        "bounds": " to ".join(words.money(Money(each, offer.amount.currency)) for each in bounds) if bounds else "",
    }


def _may_fit(offer: Offer) -> bool:
    """Return whether a smaller amount could still be given: its default has no room, but staff may choose."""
    return offer.amount_bounds is not None and offer.blocked_reasons == ("budget-exhausted",)


def _capped(offer: Offer) -> bool:
    """Return whether nothing but a customer's cap stands against it: whoever leads may let it pass."""
    return offer.blocked_reasons == ("customer-cap-reached",)


def _asks(offer: Offer) -> list[str]:
    return [f"It is {words.over_limits(offer.approval_reasons, 'your')}."] if offer.approval_reasons else []


def _unreached(core: Core, form: GiveForm, offers: Offers) -> dict[str, Any]:
    """Return what is to be said of addresses to which the last message did not arrive."""
    found = offers.came_back
    channels = [channel for channel, address in (("email", form.email), ("sms", form.phone)) if address]
    return {"notes": reaching.notes(found, core.clock.now(), channels), "key": reaching.key_of(found)}


def _earlier(core: Core, actor: Actor, offers: Offers, labels: Mapping[str, str]) -> dict[str, Any] | None:
    found = offers.earlier_recoveries
    if not found:
        return None
    titles = {each.key: pages.english(each.title) for each in catalog.incentives(core=core, actor=actor)}
    now, zone = core.clock.now(), pages.zone_of(actor)
    lines = [_recovery(each, titles, labels, zone) for each in found[:_SHOWN_RECOVERIES]]
    return {"title": earlier_title(found, now), "lines": lines, "count": len(found)}


def _recovery(each: EarlierRecovery, titles: Mapping[str, str], labels: Mapping[str, str], zone: str | None) -> str:
    amount = f"{words.money(each.amount)} " if each.amount.amount_minor else ""
    parts = (
        f"{amount}{titles.get(each.incentive, each.incentive)}",
        labels.get(each.issue_tag, each.issue_tag),
        words.instant(each.requested_at, zone),
        "waiting for approval" if each.status == "pending_approval" else None,
    )
    return ", ".join(part for part in parts if part)


def earlier_title(found: Sequence[EarlierRecovery], now: datetime) -> str:
    """Return how often a customer was helped: ``This customer got 2 recoveries in 30 days``."""
    recent = [each for each in found if each.requested_at > now - _RECENT]
    number, days = (len(recent), 30) if recent else (len(found), 90)
    return f"This customer got {words.counted(number, 'recovery', 'recoveries')} in {days} days"


def _severity(text: str | None) -> int | None:
    return int(text) if text in {"1", "2", "3", "4"} else None


def _key(core: Core) -> str:
    return str(core.ids.new(core.clock.now()))


def _invalid(mistakes: Mapping[str, str]) -> InputInvalid:
    errors = [{"field": name, "message": message} for name, message in mistakes.items()]
    return InputInvalid(" ".join(mistakes.values()), errors=errors)
