"""The approvals queue: who asks for what and why, and the decision, which is never the requester's own."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import forms, giving, guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.offer import EarlierRecovery
from incentives.kernel.actors import may
from incentives.kernel.errors import (
    ApprovalAlreadyDecided,
    ApprovalExpired,
    ApprovalNotFound,
    InputInvalid,
    Refusal,
    SelfApproval,
)
from incentives.kernel.money import Money
from incentives.queries import approvals, catalog
from incentives.queries.approvals import Approval

blueprint = Blueprint("staff_approvals", __name__)

_SHOWN = 50
_DONE = {
    "granted": "Granted. The customer gets the voucher now.",
    "declined": "Declined. The money is free again, and the requester sees your comment.",
}
# After these the request is no longer in the queue, so that there is no form to show them at.
_GONE = (ApprovalAlreadyDecided, ApprovalExpired, ApprovalNotFound, SelfApproval)


@blueprint.get("/approvals")
@page(permission="approvals:read")
def queue() -> ResponseReturnValue:
    """Show what waits, the longest first."""
    return _queue(done=_DONE.get(request.args.get("done", "")))


@blueprint.post("/approvals/<uuid:approval_id>/decision")
@page(permission="approvals:decide")
def decide(approval_id: uuid.UUID) -> ResponseReturnValue:
    """Grant or decline, once; a refusal shows the queue again with what was typed."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        asked = approvals.one_approval(core=core, actor=actor, approval_id=approval_id)
        decided = decide_approval(core=core, actor=actor, command=_command(asked))
    except Refusal as refusal:
        names = {"amount": "amount", "amount_minor": "amount", "comment": "comment"}
        fields = {} if isinstance(refusal, _GONE) else {name: f"{at}-{approval_id}" for name, at in names.items()}
        shown = _queue(refused=pages.refused(refusal, fields), typed_for=approval_id)
        return pages.with_wait(shown, refusal)
    after = request.form.get("after", "")
    return redirect(f"/approvals?{urlencode({'done': decided.status} | ({'after': after} if after else {}))}", 303)


def _command(asked: Approval) -> DecideApproval:
    """Return the decision that was sent. Raises ``InputInvalid``."""
    sent = Form(request.form)
    return DecideApproval(
        approval_id=asked.id,
        decision=request.form.get("decision", ""),
        amount_minor=_amount_minor(asked),
        comment=sent.text("comment", forms.NOTE_LONGEST) or None,
        idempotency_key=sent.key("idempotency_key", guard.the_core().clock.now()),
    )


def _amount_minor(asked: Approval) -> int | None:
    """Return the amount that was typed, where it may be lowered and is granted; None for what was asked for."""
    text = Form(request.form).text("amount", forms.AMOUNT_LONGEST)
    if not text or request.form.get("decision") != "grant" or asked.least_minor == asked.amount.amount_minor:
        return None
    try:
        return words.amount_minor_of(text, asked.amount.currency)
    except ValueError:
        raise forms.wrong("amount", "Write the amount in figures, like 25.00.") from None


def _queue(*, done: str | None = None, refused: Refused | None = None, typed_for: uuid.UUID | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    after = Form(request.values).cursor("after")
    found = approvals.waiting(core=core, actor=actor, limit=_SHOWN, after=after)
    labels = (
        {each.key: pages.english(each.label) for each in catalog.issue_tags(core=core, actor=actor)}
        if found.items
        else {}
    )
    zone, places = pages.zone_of(actor), pages.location_names(actor)
    rows = [_row(each, labels, places, zone) for each in found.items]
    for row in rows:
        if refused and row["id"] == typed_for:
            row.update(_typed(row, refused))
    return show(
        "approvals.html",
        refused.status if refused else 200,
        requests=rows,
        done=done,
        refused=refused,
        after=after.hex if after else "",
        more=f"/approvals?after={found.next}" if found.next else None,
    )


def _typed(row: Mapping[str, Any], refused: Refused) -> dict[str, Any]:
    """Return what was sent for a request, to stand in its form again, with the key of the page it came from."""
    sent = Form(request.form)
    try:
        key = sent.key("idempotency_key", guard.the_core().clock.now())
    except InputInvalid:
        key = row["idempotency_key"]
    return {
        "comment": sent.shown("comment"),
        "amount_text": sent.shown("amount") or row["amount_text"],
        "error": refused.errors.get(f"amount-{row['id']}"),
        "comment_error": refused.errors.get(f"comment-{row['id']}"),
        "idempotency_key": key,
    }


def _row(each: Approval, labels: Mapping[str, str], places: Mapping[str, str], zone: str | None) -> dict[str, Any]:
    core, actor = guard.the_core(), guard.the_actor()
    now = core.clock.now()
    place = places.get(each.location, each.location) if each.location else None
    severity = words.SEVERITIES.get(each.severity, "").lower()
    trouble = ", ".join(part for part in (labels.get(each.issue_tag, each.issue_tag), severity, each.order_ref) if part)
    earlier = each.earlier_recoveries
    return {
        "id": each.id,
        "title": each.title,
        "trouble": trouble,
        "value": words.money(each.amount),
        "requester": ", ".join(part for part in ("You" if each.own else each.requested_by_name, place) if part),
        "since": words.ago(each.requested_at, now),
        "until": f"{words.instant(each.expires_at, zone)} ({words.ago(each.expires_at, now)})",
        "why": words.over_limits(each.reasons, "the requester's").capitalize(),
        "note": each.note,
        "earlier": giving.earlier_title(earlier, now) if earlier else None,
        "earlier_worth": _worth_of(earlier),
        "case": f"/cases/{each.case_id}",
        "blocked": _blocked(own=each.own, may_decide=may(actor, "approvals:decide")),
        "adjustable": each.least_minor < each.amount.amount_minor,
        "currency": each.amount.currency,
        "amount_text": words.plain_amount(each.amount),
        "bounds": f"{words.money(Money(each.least_minor, each.amount.currency))} to {words.money(each.amount)}",
        "idempotency_key": str(core.ids.new(now)),
        "comment": "",
        "error": None,
        "comment_error": None,
    }


def _worth_of(earlier: Sequence[EarlierRecovery]) -> str:
    sums: dict[str, int] = {}
    for each in earlier:
        sums[each.amount.currency] = sums.get(each.amount.currency, 0) + each.amount.amount_minor
    return " and ".join(words.money(Money(total, currency)) for currency, total in sums.items())


def _blocked(*, own: bool, may_decide: bool) -> dict[str, str] | None:
    if own:
        return {
            "title": "You asked for this yourself",
            "words": "Somebody else with the right to approve must decide.",
        }
    if not may_decide:
        return {"title": "You may look, not decide", "words": "Supervisors, managers and finance decide."}
    return None
