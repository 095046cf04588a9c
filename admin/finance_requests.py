"""Changes of budgets: one person asks, another decides; what was decided stands in the budget's history."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import finance_words, forms, guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.kernel.actors import Actor, may
from incentives.kernel.errors import InputInvalid, NoCatalog, Refusal
from incentives.kernel.money import Money
from incentives.queries import budgets
from incentives.queries.budget_requests import BudgetRequest, list_requests
from incentives.queries.budgets import Budget

blueprint = Blueprint("staff_finance_requests", __name__)

_SHOWN = 50
_ID_LONGEST = 470
_FIELDS = {
    "kind": "kind",
    "budget": "period",
    "budget_period": "period",
    "from_budget": "from_budget",
    "from_budget_period": "from_budget",
    "amount_minor": "amount",
    "amount_count": "number",
    "amount": "amount",
    "number": "number",
    "reason": "reason",
}
_KINDS = {
    "top_up": "Top up",
    "transfer": "Transfer from another budget",
    "more": "Adjust: more",
    "less": "Adjust: less",
    "break_glass": "Add in an emergency (reviewed within a day)",
}
_TITLES = {
    "top_up": "Top-up",
    "transfer": "Transfer",
    "adjustment": "Adjustment",
    "break_glass": "Emergency addition",
}
_STATUSES = {
    "approved": ("good", "check", "Approved"),
    "declined": ("bad", "cross", "Declined"),
    "withdrawn": ("quiet", "cross", "Withdrawn"),
}
_DONE = {
    "pending": "Asked. Somebody else who may approve decides.",
    "approved": "Approved. The budget holds it from now on.",
    "declined": "Declined. Nothing has changed.",
    "withdrawn": "Withdrawn. Nothing has changed.",
}


@blueprint.get("/finance/requests")
@page(permission="budgets:read")
def listed() -> ResponseReturnValue:
    """Show what waits, and what was decided last."""
    return _list(done=_DONE.get(request.args.get("done", "")))


@blueprint.post("/finance/requests/<uuid:request_id>/decision")
@page(permission="budgets:approve")
def decide(request_id: uuid.UUID) -> ResponseReturnValue:
    """Approve or decline, once; a refusal shows the list again."""
    core, actor, sent = guard.the_core(), guard.the_actor(), Form(request.form)
    try:
        decided = decide_budget_request(
            core=core,
            actor=actor,
            command=DecideBudgetRequest(
                request_id=request_id,
                decision=request.form.get("decision", ""),
                comment=sent.text("comment", forms.NOTE_LONGEST) or None,
                idempotency_key=sent.key("idempotency_key", core.clock.now()),
            ),
        )
    except Refusal as refusal:
        shown = _list(pages.refused(refusal, {"comment": f"comment-{request_id}"}), typed_for=request_id)
        return pages.with_wait(shown, refusal)
    return redirect(f"/finance/requests?done={decided.status}", 303)


@blueprint.post("/finance/requests/<uuid:request_id>/withdrawal")
@page(permission="budgets:propose")
def withdraw(request_id: uuid.UUID) -> ResponseReturnValue:
    """Take back what one asked for oneself."""
    try:
        command = WithdrawBudgetRequest(request_id=request_id)
        withdraw_budget_request(core=guard.the_core(), actor=guard.the_actor(), command=command)
    except Refusal as refusal:
        return pages.with_wait(_list(pages.refused(refusal)), refusal)
    return redirect("/finance/requests?done=withdrawn", 303)


def _list(refused: Refused | None = None, *, done: str | None = None, typed_for: uuid.UUID | None = None) -> Response:
    core, actor = guard.the_core(), guard.the_actor()
    after = Form(request.args).cursor("after")
    zone = pages.zone_of(actor)
    try:
        found = list_requests(core=core, actor=actor, limit=_SHOWN, after=after.hex if after else None)
        items, more = found.items, found.next
    except NoCatalog:
        items, more = [], None
    rows = [_row(actor, each, zone) for each in items]
    for row in rows:
        if refused and row["id"] == typed_for:
            row["comment"] = Form(request.form).shown("comment")
            row["comment_error"] = refused.errors.get(f"comment-{row['id']}")
    return show(
        "finance_requests.html",
        refused.status if refused else 200,
        refused=refused,
        done=done,
        waiting=[each for each in rows if each["pending"]],
        decided=[each for each in rows if not each["pending"]],
        may_propose=may(actor, "budgets:propose"),
        more=f"/finance/requests?after={more}" if more else None,
        after=after,
    )


def _row(actor: Actor, each: BudgetRequest, zone: str | None) -> dict[str, Any]:
    now = guard.the_core().clock.now()
    tone, sign, state = _STATUSES.get(each.status, ("", "", ""))
    return {
        "id": each.id,
        "pending": each.status == "pending",
        "title": f"{_TITLES[each.kind]}: {each.pot.name}",
        "amount": _amounts(each),
        "pot": f"/finance/budgets/{each.pot.budget_id}?{finance_words.query(period=each.pot.period_key)}",
        "period": finance_words.day(each.pot.period_key),
        "came_from": _came_from(each),
        "reason": each.reason,
        "requester": "You" if each.own else each.requested_by_name,
        "since": f"{words.instant(each.requested_at, zone)} ({words.ago(each.requested_at, now)})",
        "own": each.own,
        "may_decide": may(actor, "budgets:approve") and not each.own,
        "may_withdraw": each.own and may(actor, "budgets:propose"),
        "status": {"tone": tone, "sign": sign, "words": state},
        "decided": f"{each.decided_by_name}, {words.ago(each.decided_at, now)}" if each.decided_at else None,
        "said": each.comment,
        "idempotency_key": str(guard.the_core().ids.new(now)),
        "comment": "",
        "comment_error": None,
    }


def _came_from(each: BudgetRequest) -> str | None:
    pot = each.from_pot
    return f"{pot.name} ({finance_words.day(pot.period_key)})" if pot else None


def _amounts(each: BudgetRequest) -> str:
    parts = []
    if each.amount_minor and each.currency:
        parts.append(_signed(each.amount_minor, words.money(Money(abs(each.amount_minor), each.currency))))
    if each.amount_count:
        parts.append(_signed(each.amount_count, words.counted(abs(each.amount_count), "voucher", "vouchers")))
    return " and ".join(parts)


def _signed(amount: int, said: str) -> str:
    return f"{'−' if amount < 0 else '+'}{said}"


@blueprint.get("/finance/requests/new")
@page(permission="budgets:propose")
def new() -> ResponseReturnValue:
    """Show the form to ask for a change of the budget that the address names."""
    return _form(Form(request.args).text("budget", _ID_LONGEST))


@blueprint.post("/finance/requests")
@page(permission="budgets:propose")
def propose() -> ResponseReturnValue:
    """Ask for a change; a refusal shows the form again with what was typed."""
    sent = Form(request.form)
    budget_id = sent.text("budget", _ID_LONGEST)
    try:
        pot = budgets.one_pot(core=guard.the_core(), actor=guard.the_actor(), budget_id=budget_id)
        propose_budget_change(core=guard.the_core(), actor=guard.the_actor(), command=_command(sent, pot))
    except Refusal as refusal:
        return pages.with_wait(_form(budget_id, pages.refused(refusal, _FIELDS)), refusal)
    return redirect("/finance/requests?done=pending", 303)


def _command(sent: Form, pot: Budget) -> ProposeBudgetChange:
    """Return what was asked for. Raises ``InputInvalid`` naming everything that cannot be read."""
    now = guard.the_core().clock.now()
    mistakes = forms.mistakes(
        lambda: _amount_minor(sent, pot),
        lambda: _number(sent),
        lambda: sent.text("reason", forms.NOTE_LONGEST),
    )
    if mistakes:
        raise InputInvalid(errors=[{"field": name, "message": said} for name, said in mistakes.items()])
    kind = sent.shown("kind")
    sign = -1 if kind == "less" else 1
    came_from = sent.text("from_budget", _ID_LONGEST) if kind == "transfer" else ""
    return ProposeBudgetChange(
        kind="adjustment" if kind in ("more", "less") else kind,
        pot=_pot_name(pot.id, sent.text("period", _ID_LONGEST) or None),
        from_pot=_pot_name(came_from, None) if came_from else None,
        amount_minor=sign * _amount_minor(sent, pot),
        amount_count=sign * _number(sent),
        reason=sent.text("reason", forms.NOTE_LONGEST),
        idempotency_key=sent.key("idempotency_key", now),
    )


def _pot_name(budget_id: str, period_key: str | None) -> PotName:
    key, _, subject = budget_id.partition(":")
    return PotName(budget=key, subject=subject or None, period_key=period_key)


def _amount_minor(sent: Form, pot: Budget) -> int:
    typed = sent.text("amount", forms.AMOUNT_LONGEST)
    if not typed or pot.currency is None:
        return 0
    try:
        return words.amount_minor_of(typed, pot.currency)
    except ValueError:
        raise forms.wrong("amount", "Write the amount in figures, like 2500 or 1,250.00.") from None


def _number(sent: Form) -> int:
    typed = sent.text("number", forms.AMOUNT_LONGEST).replace(",", "").replace(" ", "")
    if typed and not (typed.isascii() and typed.isdigit() and len(typed) <= 9):  # noqa: PLR2004 - a thousand million
        raise forms.wrong("number", "Write a whole number in figures.")
    return int(typed or 0)


def _form(budget_id: str, refused: Refused | None = None) -> Response:
    core, actor, sent = guard.the_core(), guard.the_actor(), Form(request.form)
    pot = budgets.one_pot(core=core, actor=actor, budget_id=budget_id)
    names = finance_words.names(actor)
    kinds = [(key, said) for key, said in _KINDS.items() if key != "break_glass" or pot.break_glass_percent]
    return show(
        "finance_request_new.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        budget=finance_words.row(pot, names),
        budget_id=pot.id,
        currency=pot.currency if pot.money.cap is not None else None,
        counts=pot.count.cap is not None,
        kinds=kinds,
        periods=_periods(pot),
        sources=_sources(budgets.list_budgets(core=core, actor=actor), pot, names),
        typed={name: sent.shown(name) for name in ("kind", "period", "from_budget", "amount", "number", "reason")},
        idempotency_key=_key(sent),
    )


def _key(sent: Form) -> str:
    now = guard.the_core().clock.now()
    try:
        return sent.key("idempotency_key", now)
    except InputInvalid:
        return str(guard.the_core().ids.new(now))


def _periods(pot: Budget) -> list[tuple[str, str]]:
    """Return the present period and the next one; none where the budget has no periods."""
    if pot.end_at is None:
        return []
    following = budgets.period_after(pot)
    present, soon = finance_words.day(pot.period_key), finance_words.day(following)
    return [("", f"The present one, from {present}"), (following, f"The next one, from {soon}")]


def _sources(found: Sequence[Budget], pot: Budget, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the budgets that a transfer may come from: in the same currency, with something free."""
    rows = [("", "Choose a budget")]
    for each in found:
        row = finance_words.row(each, names)
        alike = each.currency == pot.currency and (each.money.cap is None) == (pot.money.cap is None)
        if each.id != pot.id and alike and finance_words.counters(each).available:
            rows.append((each.id, f"{each.name}, {row['left']}"))
    return rows
