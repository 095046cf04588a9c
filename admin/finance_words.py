"""How budgets are said on pages: what each is for, how much is left, how far it is used, when it will run dry."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from babel.dates import format_date

from admin import guard, known, pages, words
from incentives.kernel.actors import Actor, may
from incentives.kernel.errors import NoCatalog
from incentives.kernel.money import Money
from incentives.queries import catalog, people
from incentives.queries.budgets import Budget, Counters

_BAR = 1000
_LOW = 10  # a budget is low when less than a tenth is left
PERIODS = {
    "none": "in all",
    "day": "each day",
    "week": "each week",
    "month": "each month",
    "quarter": "each quarter",
    "year": "each year",
}
BASES = {
    "face": "What is promised",
    "expected": "What is expected to be spent",
    "redemption": "What is spent",
}
_SOON = timedelta(days=2)
_ONE_BY_ONE = ("agent", "customer")  # whose budget ends is refused, and no news for anybody else
_GIVEN = {"face": "given", "expected": "expected to be used", "redemption": "spent"}


def names(actor: Actor, *found: Budget) -> dict[str, str]:
    """Return what locations, issue tags and incentives are called, and the agents that the budgets found are for."""
    core = guard.the_core()
    agents = {each.subject for each in found if each.scope == "agent" and each.subject}
    rows = {f"agent:{key}": name for key, name in _agents(actor, agents).items()}
    if not may(actor, "catalog:read"):
        return rows
    try:
        rows |= {f"location:{each.key}": each.name for each in known.locations(actor)}
        rows |= {f"issue_tag:{each.key}": pages.english(each.label) for each in known.issue_tags(actor)}
        rows |= {
            f"incentive:{each.key}": pages.english(each.title) for each in catalog.incentives(core=core, actor=actor)
        }
    except NoCatalog:
        return rows
    return rows


def _agents(actor: Actor, labels: set[str]) -> dict[str, str]:
    if not labels:
        return {}
    return people.names_of(core=guard.the_core(), actor=actor, labels=labels)


def row(each: Budget, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a budget as a row of a list."""
    counts = counters(each)
    said = speaker(each, counted=counts is each.count)
    cap = counts.ceiling
    used = counts.used - (counts.held if each.basis == "face" else 0)
    tone, left = _left(counts, said)
    waiting = f" and {said(counts.held)} waiting for approval" if counts.held and each.basis == "face" else ""
    return {
        "href": address(each),
        "title": each.name,
        "what": what_for(each, names),
        "tone": tone,
        "left": left,
        **_bar(counts),
        "words": f"{said(used)} {_GIVEN[each.basis]}{waiting}{f', of {said(cap)}' if cap is not None else ''}",
        "dry": dry(each) if each.scope not in _ONE_BY_ONE else "",
    }


def _left(counts: Counters, said: Callable[[int], str]) -> tuple[str, str]:
    """Return how much is left in words, and whether that is worth a warning."""
    if counts.ceiling is None or counts.available is None:
        return "", "No cap"
    if counts.available == 0:
        return "bad", "Used up"
    return "warn" if counts.available * _LOW < counts.ceiling else "", f"{said(counts.available)} left"


def fullness(each: Budget) -> float:
    """Return which part of a budget is used; 0 of one without a cap."""
    counts = counters(each)
    return counts.used / counts.ceiling if counts.ceiling else 0.0


def counters(each: Budget) -> Counters:
    """Return what a budget goes by first: its money, where it limits that."""
    return each.money if each.money.cap is not None else each.count


def dry(each: Budget) -> str:
    """Return when a budget will run dry, at how much a day; empty where its period ends first."""
    if each.run_dry_at is None:
        return ""
    at = words.instant(each.run_dry_at, each.time_zone)
    soon = each.run_dry_at - guard.the_core().clock.now() < _SOON
    return f"At {a_day(each)} a day it runs dry on {at if soon else at.rpartition(',')[0]}."


def a_day(each: Budget) -> str:
    """Return how much of a budget is used in a day."""
    if each.currency is not None and each.money.cap is not None:
        return words.money(Money(each.rates.a_day_minor, each.currency))
    return f"{each.rates.a_day_count:g} {'voucher' if each.rates.a_day_count == 1 else 'vouchers'}"


def address(each: Budget, **query: str) -> str:
    """Return the address of a budget's page."""
    asked = f"?{urlencode(query)}" if query else ""
    return f"/finance/budgets/{quote(each.id, safe=':@')}{asked}"


def day(period_key: str) -> str:
    """Return a period's first day as people write it: ``1 Nov 2026``; of what has no periods, that it is for good."""
    if not period_key:
        return "for good"
    return format_date(date.fromisoformat(period_key), "d MMM y", locale=words.LOCALE)


def query(**named: str) -> str:
    """Return what stands behind the question mark of an address."""
    return urlencode(named)


def speaker(each: Budget, *, counted: bool) -> Callable[[int], str]:
    """Return how this budget's numbers are said: money, or a number of vouchers."""
    if counted or each.currency is None:
        return lambda number: words.counted(number, "voucher", "vouchers")
    currency = each.currency
    return lambda amount_minor: words.money(Money(amount_minor, currency))


def what_for(each: Budget, names: Mapping[str, str]) -> str:
    """Return whom a budget is for, how often it begins anew, and until when."""
    subject = each.subject
    scope = "whole organization"
    if each.scope != "organization":
        scope = words.in_words(each.scope).lower()
        if subject:
            short = f"…{subject[-4:]}" if each.scope in ("agent", "customer") else subject
            scope = f"{scope} {names.get(f'{each.scope}:{subject}', short)}"
        elif each.scope in ("agent", "customer", "team"):
            scope = f"{scope}: nobody yet"
    only = [names.get(f"issue_tag:{tag}", tag) for tag in each.issue_tags]
    scope = f"{scope}, for {' and '.join(only)} only" if only else scope
    until = f", until {words.instant(each.end_at, each.time_zone)}" if each.end_at else ""
    return f"{scope[:1].upper()}{scope[1:]}, {PERIODS.get(each.period, each.period)}{until}"


def _bar(counts: Counters) -> dict[str, Any]:
    """Return the bar's parts in thousandths, and the same in words for those who cannot see it."""
    cap = counts.ceiling
    if not cap or cap < 0:
        return {"cap_units": None}
    held_now = counts.held if counts.basis == "face" else 0
    spent, held = (min(_BAR, number * _BAR // cap) for number in (counts.used - held_now, held_now))
    share, waits = spent * 100 // _BAR, held * 100 // _BAR
    return {
        "cap_units": _BAR,
        "spent_units": spent,
        "held_units": min(held, _BAR - spent),
        "bar_words": f"{share} percent given, {waits} percent waiting for approval",
    }
