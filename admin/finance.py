"""Finance: what may still be given, what is owed, and whether the books are right."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.guard import page
from admin.pages import show
from incentives.kernel.actors import Actor, may
from incentives.kernel.errors import NoCatalog
from incentives.kernel.money import Money
from incentives.queries import books, budgets, catalog
from incentives.queries.books import Balance
from incentives.queries.budgets import Budget, Counters

blueprint = Blueprint("staff_finance", __name__)

_BAR = 1000
_LOW = 10  # a budget is low when less than a tenth is left
_PERIODS = {
    "none": "in all",
    "day": "each day",
    "week": "each week",
    "month": "each month",
    "quarter": "each quarter",
    "year": "each year",
}


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
    return show(
        "finance.html",
        as_of=words.instant(core.clock.now(), zone),
        budgets=[_budget(each, names) for names in [_names(actor)] for each in _budgets()],
        stats=_stats(balances or []),
        balances=None if balances is None else [_balance(each) for each in balances],
        totals=_totals(balances or []),
        may_check=may(actor, "books:check"),
        checks=None if checks is None else [_check(each) for each in checks],
        checks_hold=checks is not None and all(each.holds for each in checks),
    )


def _budgets() -> list[Budget]:
    try:
        return budgets.list_budgets(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        return []


def _names(actor: Actor) -> dict[str, str]:
    """Return what locations, issue tags and incentives are called, for the budgets that are for one of them."""
    core = guard.the_core()
    if not may(actor, "catalog:read"):
        return {}
    try:
        rows = {f"location:{each.key}": each.name for each in catalog.locations(core=core, actor=actor)}
        rows |= {
            f"issue_tag:{each.key}": pages.english(each.label) for each in catalog.issue_tags(core=core, actor=actor)
        }
        rows |= {
            f"incentive:{each.key}": pages.english(each.title) for each in catalog.incentives(core=core, actor=actor)
        }
    except NoCatalog:
        return {}
    return rows


def _budget(each: Budget, names: dict[str, str]) -> dict[str, Any]:
    counts = each.money if each.money.cap is not None else each.count
    said = _speaker(each, counted=counts is each.count)
    cap = counts.cap
    used = counts.committed + counts.spent
    tone, left = _left(counts, said)
    waiting = f" and {said(counts.held)} waiting for approval" if counts.held else ""
    return {
        "title": each.name,
        "what": _what_for(each, names),
        "tone": tone,
        "left": left,
        **_bar(counts),
        "words": f"{said(used)} given{waiting}{f', of {said(cap)}' if cap is not None else ''}",
    }


def _left(counts: Counters, said: Callable[[int], str]) -> tuple[str, str]:
    """Return how much is left in words, and whether that is worth a warning."""
    if counts.cap is None or counts.available is None:
        return "", "No cap"
    if counts.available == 0:
        return "bad", "Used up"
    return "warn" if counts.available * _LOW < counts.cap else "", f"{said(counts.available)} left"


def _speaker(each: Budget, *, counted: bool) -> Callable[[int], str]:
    """Return how this budget's numbers are said: money, or a number of vouchers."""
    if counted or each.currency is None:
        return lambda number: words.counted(number, "voucher", "vouchers")
    currency = each.currency
    return lambda amount_minor: words.money(Money(amount_minor, currency))


def _what_for(each: Budget, names: dict[str, str]) -> str:
    subject = each.subject
    scope = "whole organization"
    if each.scope != "organization":
        scope = words.in_words(each.scope).lower()
        if subject:
            short = f"…{subject[-4:]}" if each.scope in ("agent", "customer") else subject
            scope = f"{scope} {names.get(f'{each.scope}:{subject}', short)}"
        elif each.scope in ("agent", "customer", "team"):
            scope = f"{scope}: nobody yet"
    until = f", until {words.instant(each.end_at, each.time_zone)}" if each.end_at else ""
    return f"{scope[:1].upper()}{scope[1:]}, {_PERIODS.get(each.period, each.period)}{until}"


def _bar(counts: Counters) -> dict[str, Any]:
    """Return the bar's parts in thousandths, and the same in words for those who cannot see it."""
    cap = counts.cap
    if not cap:
        return {"cap_units": None}
    spent, held = (min(_BAR, number * _BAR // cap) for number in (counts.committed + counts.spent, counts.held))
    share, waits = spent * 100 // _BAR, held * 100 // _BAR
    return {
        "cap_units": _BAR,
        "spent_units": spent,
        "held_units": min(held, _BAR - spent),
        "bar_words": f"{share} percent given, {waits} percent waiting for approval",
    }


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


def _check(each: books.Check) -> dict[str, Any]:
    detail = "; ".join(each.broken) if each.broken else f"{each.examined:,} examined"
    return {"title": f"{each.name[:1].upper()}{each.name[1:]}", "detail": detail, "holds": each.holds}
