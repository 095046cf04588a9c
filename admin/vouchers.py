"""Vouchers after they were given: found by what staff have in hand, one's life on a page, and what may be done."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import finance_words, forms, guard, pages, voucher_words, words
from admin.case_forms import CaseForm
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.adjust import AdjustVoucher, adjust_voucher
from incentives.flows.freeze import FreezeVoucher, UnfreezeVoucher, freeze_voucher, unfreeze_voucher
from incentives.flows.issue import CustomerGiven
from incentives.flows.prolong import ExtendVoucher, extend_voucher
from incentives.flows.reissue import Reissued, ReissueVoucher, reissue_voucher
from incentives.flows.resend import ResendVoucher, resend_voucher
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, NotPermitted, Refusal, VoucherNotFound
from incentives.kernel.money import Money
from incentives.kernel.years import OUTSIDE, within_years
from incentives.queries import voucher_care
from incentives.queries.voucher_care import FoundVoucher, VoucherLife

blueprint = Blueprint("staff_vouchers", __name__)

_READ = "issuances:read"
_OPEN = ("issued", "reserved")
_REASON = {"reason": forms.NOTE_LONGEST}
Sent = Mapping[str, str]
Deed = Callable[[Core, Actor, Sent], object]


def _form(name: str, core_names: Mapping[str, str] | None = None, **more: int) -> CaseForm:
    limits = {**more, **_REASON}
    return CaseForm(name=name, limits=limits, single=tuple(limits), core_names=core_names or {}, keyed=True)


_VOID, _UNFREEZE = _form("void"), _form("unfreeze")
_REISSUE = _form("reissue", {"channels": "told"}, told=20)
_ADDRESS = _form(
    "address", {"customer.email": "email", "customer.phone": "phone", "channels": "email"}, email=320, phone=40
)
_RESEND = _form("resend", {"channels": "reason"})
_EXTEND = _form("extend", days=4)
_ADJUST = _form("adjust", {"amount_minor": "amount"}, amount=forms.AMOUNT_LONGEST)
_FREEZE = _form("freeze", {"until_at": "until"}, until=40)


@blueprint.get("/vouchers")
@page(permission=_READ)
def search() -> ResponseReturnValue:
    """Wait for something to find a voucher by."""
    return show("vouchers.html", typed="", found=None)


@blueprint.post("/vouchers")
@page(permission=_READ)
def find() -> ResponseReturnValue:
    """Find vouchers. What was typed may be a code or an address: it stands in no address and in no log."""
    core, actor = guard.the_core(), guard.the_actor()
    typed = Form(request.form).shown("q")
    try:
        found = voucher_care.find_vouchers(core=core, actor=actor, text=typed)
    except InputInvalid as refusal:
        refused = pages.refused(refusal, {"q": "find-q"})
        return show("vouchers.html", refused.status, refused=refused, errors=refused.errors, typed=typed, found=None)
    if len(found) == 1:
        return redirect(f"/vouchers/{found[0].id}", 303)
    return show("vouchers.html", typed=typed, found=_all_found(found))


def _all_found(found: Sequence[FoundVoucher]) -> list[dict[str, Any]]:
    actor = guard.the_actor()
    zone, names = pages.zone_of(actor), finance_words.names(actor)
    return [_found(each, zone, names) for each in found]


def _found(each: FoundVoucher, zone: str | None, names: Mapping[str, str]) -> dict[str, Any]:
    place = names.get(f"location:{each.location}", each.location)
    title = names.get(f"incentive:{each.incentive}", words.in_words(each.incentive))
    return {
        "href": f"/vouchers/{each.id}",
        "title": f"{title}, {words.money(each.amount)}",
        "what": ", ".join(
            part for part in (f"ends in {each.last4}", words.instant(each.issued_at, zone), place) if part
        ),
        "state": voucher_words.state(each.status, frozen=each.frozen),
    }


@blueprint.get("/vouchers/<uuid:voucher_id>")
@page(permission=_READ)
def one(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Show one voucher."""
    return _show(voucher_id, done=voucher_words.DONE.get(request.args.get("done", "")))


@blueprint.post("/vouchers/<uuid:voucher_id>/void")
@page(permission="vouchers:void")
def void(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Take it back."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = VoidVoucher(voucher_id=voucher_id, reason=sent["reason"], idempotency_key=sent["idempotency_key"])
        void_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _VOID, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/reissue")
@page(permission="vouchers:reissue")
def reissue(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Put a new one in its place; the code is shown here once where the customer stands at the desk."""

    def act(core: Core, actor: Actor, sent: Sent) -> Reissued:
        if sent["told"] not in ("before", "screen"):
            raise forms.wrong("told", "Choose how the customer gets it.")
        command = ReissueVoucher(
            voucher_id=voucher_id,
            reason=sent["reason"],
            channels=() if sent["told"] == "screen" else None,
            idempotency_key=sent["idempotency_key"],
        )
        return reissue_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _REISSUE, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/address")
@page(permission="vouchers:reissue")
def address(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Send a new one to another address."""

    def act(core: Core, actor: Actor, sent: Sent) -> Reissued:
        customer = CustomerGiven(email=sent["email"] or None, phone=sent["phone"] or None)
        channels = (("email", sent["email"]), ("sms", sent["phone"]))
        command = ReissueVoucher(
            voucher_id=voucher_id,
            reason=sent["reason"],
            customer=customer,
            channels=tuple(channel for channel, typed in channels if typed),
            idempotency_key=sent["idempotency_key"],
        )
        if not command.channels:
            raise forms.wrong("customer.email", "Type the new email or phone number.")
        return reissue_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _ADDRESS, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/resend")
@page(permission="vouchers:resend")
def resend(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Send it again."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = ResendVoucher(voucher_id=voucher_id, reason=sent["reason"], idempotency_key=sent["idempotency_key"])
        resend_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _RESEND, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/extend")
@page(permission="vouchers:extend")
def extend(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Let it last longer."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        if not (sent["days"].isascii() and sent["days"].isdigit()):
            raise forms.wrong("days", "Write a number of days.")
        command = ExtendVoucher(
            voucher_id=voucher_id,
            days=int(sent["days"]),
            reason=sent["reason"],
            idempotency_key=sent["idempotency_key"],
        )
        extend_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _EXTEND, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/adjust")
@page(permission="vouchers:adjust")
def adjust(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Let it be worth more or less."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        currency = voucher_care.one_voucher(core=core, actor=actor, voucher_id=voucher_id).amount.currency
        try:
            amount_minor = words.amount_minor_of(sent["amount"], currency)
        except ValueError:
            raise forms.wrong("amount", "Write the amount in figures, like 25.00.") from None
        command = AdjustVoucher(
            voucher_id=voucher_id,
            amount_minor=amount_minor,
            reason=sent["reason"],
            idempotency_key=sent["idempotency_key"],
        )
        adjust_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _ADJUST, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/freeze")
@page(permission="vouchers:freeze")
def freeze(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Let nobody use it for now."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        zone = voucher_care.one_voucher(core=core, actor=actor, voucher_id=voucher_id).time_zone
        command = FreezeVoucher(
            voucher_id=voucher_id,
            reason=sent["reason"],
            until_at=_instant(sent["until"], zone) if sent["until"] else None,
            idempotency_key=sent["idempotency_key"],
        )
        freeze_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _FREEZE, act)


@blueprint.post("/vouchers/<uuid:voucher_id>/unfreeze")
@page(permission="vouchers:freeze")
def unfreeze(voucher_id: uuid.UUID) -> ResponseReturnValue:
    """Let it be used again."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        command = UnfreezeVoucher(voucher_id=voucher_id, reason=sent["reason"], idempotency_key=sent["idempotency_key"])
        unfreeze_voucher(core=core, actor=actor, command=command)

    return _send(voucher_id, _UNFREEZE, act)


def _instant(typed: str, zone: str) -> datetime:
    """Return what a field of day and time means in a zone. Raises ``InputInvalid``."""
    try:
        at = datetime.fromisoformat(typed).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        raise forms.wrong("until", "Choose a day and a time.") from None
    if not within_years(at):
        raise forms.wrong("until", OUTSIDE)
    return at


def _send(voucher_id: uuid.UUID, form: CaseForm, act: Deed) -> ResponseReturnValue:
    """Do what a form asks and lead back to the voucher; a refusal shows it again, with what was typed."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        result = act(core, actor, form.read())
    except (VoucherNotFound, NotPermitted):
        raise
    except Refusal as refusal:
        return pages.with_wait(_show(voucher_id, refused=pages.refused(refusal, form.ids()), form=form.name), refusal)
    if isinstance(result, Reissued) and result.shown:
        return _show(result.voucher.id, done=voucher_words.DONE[form.name], code=result.voucher.code)
    at = result.voucher.id if isinstance(result, Reissued) else voucher_id
    return redirect(f"/vouchers/{at}?done={form.name}", 303)


def _show(
    voucher_id: uuid.UUID,
    *,
    done: str | None = None,
    refused: Refused | None = None,
    form: str = "",
    code: str | None = None,
) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    found = voucher_care.one_voucher(core=core, actor=actor, voucher_id=voucher_id)
    sent, now, names = Form(request.form), core.clock.now(), finance_words.names(actor)

    def said(name: str, field: str, otherwise: object = "") -> str:
        return sent.shown(field) if form and name == form else str(otherwise)

    def key(name: str) -> str:
        typed = name == form and not forms.mistakes(lambda: sent.key("idempotency_key", now))
        return sent.key("idempotency_key", now) if typed else str(core.ids.new(now))

    return show(
        "voucher.html",
        refused.status if refused else 200,
        refused=refused,
        refused_form=form,
        wrong=lambda name, field: refused.errors.get(f"{name}-{field}", "") if refused else "",
        said=said,
        key=key,
        done=done,
        code=code,
        voucher=_voucher(found, actor),
        may=_may(found, actor),
        chain=[_chained(each, found) for each in found.chain],
        messages=[_message(each, found.time_zone, now) for each in found.messages],
        events=[voucher_words.event(each, found.time_zone, names) for each in found.events],
    )


def _may(found: VoucherLife, actor: Actor) -> dict[str, bool]:
    """Return what may be done with a voucher as it stands, by whoever looks."""
    is_open, free = found.status in _OPEN, found.status == "issued"
    usable = free and not found.frozen
    so = {
        "void": free,
        "reissue": usable,
        "resend": usable and bool(found.channels),
        "extend": is_open and found.extended_days < found.most_extend_days,
        "adjust": usable and found.amount_bounds is not None and not found.redeemed_count,
        "freeze": is_open and not found.frozen,
        "unfreeze": is_open and found.frozen,
    }
    permission = {"unfreeze": "freeze"}
    return {name: fits and may(actor, f"vouchers:{permission.get(name, name)}") for name, fits in so.items()}


def _voucher(found: VoucherLife, actor: Actor) -> dict[str, Any]:
    bounds, currency = found.amount_bounds, found.amount.currency
    left_days = found.most_extend_days - found.extended_days
    place = pages.location_name(actor, found.location) if found.location else ""
    until = words.instant(found.frozen_until_at, found.time_zone) if found.frozen_until_at else ""
    address = {"Email": found.contact.email, "Phone": found.contact.phone}
    facts = {
        "Good until": words.expiry(found.expires_at, found.time_zone),
        "Left": words.money(found.left) if found.left.amount_minor not in (0, found.amount.amount_minor) else None,
        "Uses": f"{found.redeemed_count} of {found.max_redemptions}" if found.max_redemptions > 1 else None,
        "Given": f"{words.instant(found.issued_at, found.time_zone)}, by {found.issued_by_name}",
        "Where": place,
        "Customer": found.contact.name,
        **address,
        "Extended": words.counted(found.extended_days, "day", "days") if found.extended_days else None,
    }
    return {
        "href": f"/vouchers/{found.id}",
        "case": f"/cases/{found.case_id}" if may(actor, "cases:read") else "",
        "title": pages.english(found.title),
        "value": words.money(found.amount),
        "last4": found.last4,
        "state": voucher_words.state(found.status, frozen=found.frozen),
        "frozen_until": until,
        "facts": [(name, said) for name, said in facts.items() if said],
        "told": [(name, said) for name, said in address.items() if said],
        "days_left": left_days,
        "amount": words.plain_amount(Money(found.amount.amount_minor // found.max_redemptions, currency)),
        "bounds": " to ".join(words.money(Money(each, currency)) for each in bounds) if bounds else "",
        "currency": currency,
        "held": found.status == "reserved",
    }


def _chained(each: voucher_care.ChainedVoucher, found: VoucherLife) -> dict[str, Any]:
    return {
        "href": "" if each.id == found.id else f"/vouchers/{each.id}",
        "words": f"{words.money(each.amount)}, ends in {each.last4}",
        "at": words.instant(each.issued_at, found.time_zone),
        "state": voucher_words.state(each.status, frozen=each.frozen),
    }


def _message(each: voucher_care.VoucherMessage, zone: str, now: datetime) -> dict[str, Any]:
    tone, sign, word = words.delivery(each.status, each.reason)
    icon, channel = words.CHANNELS[each.channel]
    copy = f", copy {each.copy}" if each.copy else ""
    when = (
        f"not before {words.instant(each.available_at, zone)}"
        if each.status == "queued" and each.available_at > now
        else ""
    )
    return {"icon": icon, "words": f"{channel}{copy}", "tone": tone, "sign": sign, "status": word,
            "why": each.reason or when}  # fmt: skip
