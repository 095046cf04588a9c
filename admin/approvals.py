"""The approvals queue: who asks for what and why, and the decision, which is never the requester's own."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import approval_view, forms, guard, known, pages, plain, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.approve import DecideApproval, Decided, decide_approval, decide_approvals, key_of
from incentives.flows.withdraw_request import WithdrawRequest, withdraw_request
from incentives.kernel.actors import may
from incentives.kernel.errors import (
    AlreadyVoted,
    ApprovalAlreadyDecided,
    ApprovalExpired,
    ApprovalNotFound,
    InputInvalid,
    NoCatalog,
    NotYourLevel,
    Refusal,
    SelfApproval,
    UnknownIssueTag,
    UnknownLocation,
)
from incentives.queries import approvals
from incentives.queries.approval_times import decision_times
from incentives.queries.approvals import Approval, Filters

blueprint = Blueprint("staff_approvals", __name__)

_SHOWN = 50
_DONE = {
    "granted": "Granted. The customer gets the voucher now.",
    "declined": "Declined. The money is free again, and the requester sees your comment.",
    "pending": "You have agreed. Somebody else must agree too.",
    "withdrawn": "Taken back. The money is free again.",
    "many": "Done. What you ticked is decided.",
}
# After these the request is no longer in the queue, or has no form, at which a mistake could be shown.
_GONE = (ApprovalAlreadyDecided, ApprovalExpired, ApprovalNotFound, SelfApproval, AlreadyVoted, NotYourLevel)
_FIELDS = {"amount": "amount", "amount_minor": "amount", "comment": "comment", "incentive": "incentive"}
_OLDER = (("", "Any time"), ("15", "15 minutes"), ("60", "1 hour"), ("240", "4 hours"), ("1440", "1 day"))
_FILTERS = ("show", "location", "tag", "least", "older")


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
        fields = {} if isinstance(refusal, _GONE) else {name: f"{at}-{approval_id}" for name, at in _FIELDS.items()}
        shown = _queue(refused=pages.refused(refusal, fields), typed_for=approval_id)
        return pages.with_wait(shown, refusal)
    return _back(decided.status)


@blueprint.post("/approvals/decisions")
@page(permission="approvals:decide")
def decide_ticked() -> ResponseReturnValue:
    """Grant or decline what was ticked; each by itself, and what is refused is named."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        commands = _commands()
        answers = decide_approvals(core=core, actor=actor, commands=commands)
    except Refusal as refusal:
        return pages.with_wait(_queue(refused=pages.refused(refusal, {"comment": "comment-ticked"})), refusal)
    kept = [
        (command.approval_id, answer)
        for command, answer in zip(commands, answers, strict=True)
        if isinstance(answer, Refusal)
    ]
    if not kept:
        return _back("many")
    return _queue(done=_many(answers), kept=_kept(kept))


@blueprint.post("/approvals/<uuid:approval_id>/withdrawal")
@page(permission="issuances:create")
def withdraw(approval_id: uuid.UUID) -> ResponseReturnValue:
    """Take a request back: one's own, or with a reason another's."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        sent = Form(request.form)
        reason = sent.text("reason", forms.NOTE_LONGEST) or None
        command = WithdrawRequest(approval_id=approval_id, reason=reason)
        done = withdraw_request(core=core, actor=actor, command=command)
    except Refusal as refusal:
        if not may(actor, "approvals:read"):
            raise
        shown = _queue(refused=pages.refused(refusal, {"reason": f"reason-{approval_id}"}), typed_for=approval_id)
        return pages.with_wait(shown, refusal)
    if request.form.get("to") == "given":
        return redirect(f"/staff/given/{done.issuance_id}", 303)
    return _back("withdrawn")


def _back(done: str) -> ResponseReturnValue:
    """Return to the queue as it was filtered, at the request that came after this one."""
    following = _uuid(request.form.get("next", ""))
    place = {name: value for name in (*_FILTERS, "after") if (value := request.form.get(f"at-{name}", ""))}
    query = {"done": done, **place, **({"next": str(following)} if following else {})}
    anchor = f"#request-{following}" if following else ""
    return redirect(f"/approvals?{urlencode(query)}{anchor}", 303)


def _command(asked: Approval) -> DecideApproval:
    """Return the decision that was sent. Raises ``InputInvalid``."""
    sent = Form(request.form)
    granted = request.form.get("decision") == "grant"
    return DecideApproval(
        approval_id=asked.id,
        decision=request.form.get("decision", ""),
        amount_minor=_amount_minor(asked) if granted else None,
        incentive=(sent.text("incentive", 64) or None) if granted else None,
        comment=sent.text("comment", forms.NOTE_LONGEST) or None,
        on_behalf_of=sent.text("on_behalf_of", 64) or None,
        idempotency_key=sent.key("idempotency_key", guard.the_core().clock.now()),
    )


def _amount_minor(asked: Approval) -> int | None:
    """Return the amount that was typed, where there is one to choose; None for the usual one.

    What stands in the field unchanged is not the amount of another incentive that was chosen beside it.
    """
    text = Form(request.form).text("amount", forms.AMOUNT_LONGEST)
    other = bool(request.form.get("incentive"))
    if not text or (asked.least_minor == asked.agreed.amount_minor and not other):
        return None
    try:
        amount_minor = words.amount_minor_of(text, asked.amount.currency)
    except ValueError:
        raise forms.wrong("amount", "Write the amount in figures, like 25.00.") from None
    return None if other and amount_minor == asked.agreed.amount_minor else amount_minor


def _commands() -> list[DecideApproval]:
    """Return a decision for each request that was ticked. Raises ``InputInvalid``."""
    sent = Form(request.form)
    key = sent.key("idempotency_key", guard.the_core().clock.now())
    ticked = [found for each in request.form.getlist("ticked") if (found := _uuid(each))]
    if not ticked:
        raise forms.wrong("ticked", "Tick at least one request.")
    comment = sent.text("comment", forms.NOTE_LONGEST) or None
    return [
        DecideApproval(
            approval_id=each,
            decision=request.form.get("decision", ""),
            comment=comment,
            idempotency_key=key_of(key, each),
        )
        for each in dict.fromkeys(ticked)
    ]


def _many(answers: Sequence[Decided | Refusal]) -> str:
    done = [answer for answer in answers if isinstance(answer, Decided)]
    return f"{words.counted(len(done), 'request is', 'requests are')} decided." if done else ""


def _kept(refused: Sequence[tuple[uuid.UUID, Refusal]]) -> list[dict[str, str]]:
    """Return why what was ticked was not decided, each with what it is."""
    core, actor = guard.the_core(), guard.the_actor()
    found = []
    for approval_id, refusal in refused:
        try:
            asked = approvals.one_approval(core=core, actor=actor, approval_id=approval_id)
            what = f"{asked.title}, {words.money(asked.amount)}, {asked.requested_by_name}"
        except ApprovalNotFound:
            what = "A request"
        found.append({"what": what, "why": f"{plain.title(refusal)}. {plain.next_step(refusal)}"})
    return found


def _queue(
    *,
    done: str | None = None,
    refused: Refused | None = None,
    typed_for: uuid.UUID | None = None,
    kept: Sequence[Mapping[str, str]] = (),
) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    sent = {name: _shown(name) for name in (*_FILTERS, "after")}
    mistakes = forms.mistakes(lambda: _filters(sent))
    filters = _filters(sent) if not mistakes else Filters(mine=sent["show"] == "mine")
    after = _uuid(sent["after"])
    if sent["after"] and after is None:
        raise InputInvalid(errors=[{"field": "after", "message": "There is no such place in the queue."}])
    try:
        found = approvals.waiting(core=core, actor=actor, filters=filters, limit=_SHOWN, after=after)
    except (UnknownIssueTag, UnknownLocation):
        found = approvals.waiting(core=core, actor=actor, limit=_SHOWN, after=after)
    rows = _rows(found.items)
    for each in rows:
        if refused and each["id"] == typed_for:
            each.update(_typed(each, refused))
    return show(
        "approvals.html",
        refused.status if refused else 200,
        requests=rows,
        done=done,
        kept=kept,
        refused=refused,
        errors={**mistakes, **(refused.errors if refused else {})},
        focus=_focus(rows) if done and not refused else None,
        pace=approval_view.pace(decision_times(core=core, actor=actor)),
        tabs=_tabs(sent["show"]),
        at={name: value for name, value in sent.items() if value},
        filters=_choices(sent),
        ticked={"key": str(core.ids.new(core.clock.now())), "comment": Form(request.form).shown("comment")},
        may_tick=sum(1 for each in rows if each["in_own_name"] and not each["blocked"]) > 1,
        after=after.hex if after else "",
        more=f"/approvals?{urlencode({**_place(sent), 'after': found.next})}" if found.next else None,
        first=f"/approvals?{urlencode(_place(sent))}",
    )


def _shown(name: str) -> str:
    """Return a filter: of the address, or as the form that was sent kept it."""
    return Form(request.values).shown(f"at-{name}" if request.method == "POST" else name)


def _place(sent: Mapping[str, str]) -> dict[str, str]:
    return {name: sent[name] for name in _FILTERS if sent[name]}


def _filters(sent: Mapping[str, str]) -> Filters:
    """Return which requests are wanted. Raises ``InputInvalid``."""
    least, older = sent["least"], sent["older"]
    try:
        least_minor = words.amount_minor_of(least, known.brand(guard.the_actor()).currency) if least else None
    except (ValueError, NoCatalog):
        raise forms.wrong("filter-least", "Write the amount in figures, like 25.00.") from None
    return Filters(
        mine=sent["show"] == "mine",
        location=sent["location"] or None,
        issue_tag=sent["tag"] or None,
        amount_at_least_minor=least_minor,
        older_than_minutes=int(older) if older in dict(_OLDER) and older else None,
    )


def _choices(sent: Mapping[str, str]) -> dict[str, Any]:
    actor = guard.the_actor()
    try:
        tags = [(each.key, pages.english(each.label)) for each in known.issue_tags(actor)]
    except NoCatalog:
        tags = []
    places = pages.location_names(actor)
    return {
        **sent,
        "used": any(sent[name] for name in _FILTERS[1:]),
        "tags": [("", "Anything"), *tags],
        "locations": [("", "Anywhere"), *places.items()] if actor.location is None and places else [],
        "older_than": _OLDER,
    }


def _tabs(shown: str) -> list[dict[str, Any]]:
    actor = guard.the_actor()
    both = (("", "All that wait"), ("mine", "My turn"))
    if not may(actor, "approvals:decide"):
        return []
    return [
        {"key": key or "all", "word": word, "href": f"/approvals?show={key}" if key else "/approvals",
         "current": key == (shown if shown == "mine" else "")}
        for key, word in both
    ]  # fmt: skip


def _rows(items: Sequence[Approval]) -> list[dict[str, Any]]:
    core, actor = guard.the_core(), guard.the_actor()
    if not items:
        return []
    labels = {each.key: pages.english(each.label) for each in known.issue_tags(actor)}
    on = approval_view.Ground(
        core=core,
        actor=actor,
        now=core.clock.now(),
        zone=pages.zone_of(actor),
        labels=labels,
        places=pages.location_names(actor),
    )
    rows = [approval_view.row(each, on) for each in items]
    for each, following in zip(rows, [*rows[1:], None], strict=True):
        each["next"] = following["id"] if following else None
    return rows


def _focus(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the request that the focus goes to after a decision: the one that came next, else the first there is."""
    wanted = _uuid(request.args.get("next", ""))
    return next((each["id"] for each in rows if each["id"] == wanted), rows[0]["id"] if rows else None)


def _typed(row: Mapping[str, Any], refused: Refused) -> dict[str, Any]:
    """Return what was sent for a request, to stand in its form again, with the key of the page it came from."""
    sent, errors = Form(request.form), refused.errors
    try:
        key = sent.key("idempotency_key", guard.the_core().clock.now())
    except InputInvalid:
        key = row["idempotency_key"]
    return {
        "comment": sent.shown("comment"),
        "incentive": sent.shown("incentive"),
        "on_behalf_of": sent.shown("on_behalf_of"),
        "reason": sent.shown("reason"),
        "amount_text": sent.shown("amount") or row["amount_text"],
        "error": errors.get(f"amount-{row['id']}"),
        "comment_error": errors.get(f"comment-{row['id']}"),
        "incentive_error": errors.get(f"incentive-{row['id']}"),
        "reason_error": errors.get(f"reason-{row['id']}"),
        "idempotency_key": key,
    }


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
