"""Finance: what may still be given, what is owed, and whether the books are right."""

from itertools import groupby
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import finance_words, guard, pages, words
from admin.guard import page
from admin.pages import show
from incentives.kernel.actors import Actor, may
from incentives.kernel.errors import NoCatalog
from incentives.kernel.money import Money
from incentives.queries import books, books_seals, budget_alerts, budget_requests, budgets
from incentives.queries.books import Balance
from incentives.queries.budgets import Budget

blueprint = Blueprint("staff_finance", __name__)

_MOST_ALERTS = 100
_ALL, _HALF = 100, 50
_POTS_SHOWN = 3


@blueprint.get("/finance")
@page(permission="budgets:read")
def overview() -> ResponseReturnValue:
    """Show the budgets; to those who may read the books, the balances, and on demand the proof that they hold.

    The proof reads every record there is, so that nobody runs it by merely opening the page.
    """
    core, actor = guard.the_core(), guard.the_actor()
    balances = books.list_balances(core=core, actor=actor) if may(actor, "ledger:read") else None
    checks = (
        books.check_books(core=core, actor=actor) if "check" in request.args and may(actor, "books:check") else None
    )
    zone = pages.zone_of(actor)
    found = _budgets()
    names = finance_words.names(actor, *found)
    return show(
        "finance.html",
        as_of=words.instant(core.clock.now(), zone),
        budgets=_rows(found, names),
        alerts=_alerts(found),
        requests_waiting=_requests_waiting(actor),
        may_propose=may(actor, "budgets:propose"),
        stats=_stats(balances or []),
        balances=None if balances is None else [_balance(each) for each in balances],
        totals=_totals(balances or []),
        may_check=may(actor, "books:check"),
        may_audit=may(actor, "audit:read"),
        checks=None if checks is None else [_check(each) for each in checks],
        sealed=_sealed(actor, zone) if may(actor, "books:check") else None,
        checks_hold=checks is not None and all(each.holds for each in checks),
    )


def _rows(found: list[Budget], names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the budgets as rows; of one with a pot for each, the fullest pots, and the others folded beneath."""
    rows: list[dict[str, Any]] = []
    for key, pots in groupby(found, key=lambda each: each.key):
        several = sorted(pots, key=finance_words.fullness, reverse=True)
        shown = [finance_words.row(each, names) for each in several]
        rows += shown[:_POTS_SHOWN]
        if len(shown) > _POTS_SHOWN:
            rows[-1] |= {"key": key, "others": shown[_POTS_SHOWN:]}
    return rows


def _budgets() -> list[Budget]:
    try:
        return budgets.list_budgets(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return []


def _alerts(found: list[Budget]) -> list[dict[str, Any]]:
    """Return the budgets that have passed a threshold, the fullest first, as the banner says them."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        standing = budget_alerts.list_alerts(core=core, actor=actor, standing=True, limit=_MOST_ALERTS).items
    except NoCatalog:
        return []
    by_id = {each.id: each for each in found}
    return [
        {
            "href": finance_words.address(by_id[each.budget_id]),
            "name": each.name,
            "percent": each.threshold_percent,
            "words": "is used up" if each.threshold_percent >= _ALL else f"is {each.threshold_percent} percent used",
        }
        for each in budget_alerts.worst(list(standing))
        if each.budget_id in by_id and each.threshold_percent > _HALF
    ]


def _requests_waiting(actor: Actor) -> int:
    """Return how many requests to change budgets wait for this person."""
    if not may(actor, "budgets:approve"):
        return 0
    try:
        found = budget_requests.list_requests(core=guard.the_core(), actor=actor, status="pending", limit=_MOST_ALERTS)
    except NoCatalog:
        return 0
    return sum(not each.own for each in found.items)


def _stats(balances: list[Balance]) -> list[dict[str, str]]:
    """Return the liabilities as large numbers, one for each currency; a credit is negative in the books."""
    return [
        {
            "label": f"Open liability in {each.balance.currency}",
            "value": words.money(Money(-each.balance.amount_minor, each.balance.currency)),
            "note": "promised and not spent yet",
        }
        for each in balances
        if each.account == "voucher-liability"
    ]


def _balance(each: Balance) -> dict[str, str]:
    amount_minor, currency = each.balance.amount_minor, each.balance.currency
    text = words.money(Money(abs(amount_minor), currency))
    return {
        "name": each.name,
        "currency": currency,
        "debit": text if amount_minor > 0 else "",
        "credit": text if amount_minor < 0 else "",
    }


def _totals(balances: list[Balance]) -> list[dict[str, str]]:
    currencies = sorted({each.balance.currency for each in balances})
    rows = []
    for currency in currencies:
        amounts = [each.balance.amount_minor for each in balances if each.balance.currency == currency]
        debit = sum(amount for amount in amounts if amount > 0)
        credit = -sum(amount for amount in amounts if amount < 0)
        sides = {"debit": words.money(Money(debit, currency)), "credit": words.money(Money(credit, currency))}
        rows.append({"currency": currency, **sides})
    return rows


def _sealed(actor: Actor, zone: str | None) -> dict[str, Any]:
    """Return how far the books are sealed, and what the worker found when it last proved them."""
    core = guard.the_core()
    seals = books_seals.list_seals(core=core, actor=actor, limit=1).items
    ended = [each for each in books_seals.list_checks(core=core, actor=actor) if each.holds is not None]
    return {
        "number": f"{seals[0].number:,}" if seals else None,
        "hash": seals[0].hash if seals else None,
        "at": words.instant(seals[0].at, zone) if seals else None,
        "checked_at": words.instant(ended[0].started_at, zone) if ended else None,
        "holds": ended[0].holds if ended else None,
        "broken": list(ended[0].broken) if ended else [],
    }


def _check(each: books.Check) -> dict[str, Any]:
    detail = "; ".join(each.broken) if each.broken else f"{each.examined:,} examined"
    return {"title": f"{each.name[:1].upper()}{each.name[1:]}", "detail": detail, "holds": each.holds}
