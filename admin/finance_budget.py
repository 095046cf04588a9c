"""One budget: what it may hold and why, what is used by each basis, who holds what, and every entry that changed it."""

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import finance_words, guard, pages, words
from admin.forms import Form
from admin.guard import page
from admin.pages import show
from incentives.kernel.actors import may
from incentives.kernel.money import Money
from incentives.queries import budget_history, budget_holds, budgets
from incentives.queries.budget_history import History, Line
from incentives.queries.budget_holds import Hold
from incentives.queries.budgets import BASES, Budget, Counters

blueprint = Blueprint("staff_finance_budget", __name__)

_KEY_LONGEST = 470
_SHOWN = 50
_ALL = 100

_KINDS = {
    "top_up": "Topped up",
    "transfer_in": "Transferred from another budget",
    "transfer_out": "Transferred to another budget",
    "adjustment": "Adjusted",
    "carry_in": "Carried over from the period before",
    "carry_out": "Carried over to a later period",
    "break_glass": "Added in an emergency",
    "override": "Added for one customer, above the cap",
    "restored": "Added for a promise that is kept",
    "hold": "Held for a request",
    "commit": "Given",
    "grant": "Granted",
    "release": "Free again",
    "spend": "Redeemed",
    "breakage": "Expired, and kept as used",
    "restore": "A redemption was undone",
    "adjust": "A voucher's value was changed",
}


@blueprint.get("/finance/budgets/<budget_id>")
@page(permission="budgets:read")
def one(budget_id: str) -> ResponseReturnValue:
    """Show a budget in a period. Its history goes on by ``after``; with ``only`` it is what changed its size."""
    core, actor = guard.the_core(), guard.the_actor()
    sent = Form(request.args)
    period_key = sent.text("period", _KEY_LONGEST) or None
    after = sent.cursor("after")
    only = sent.shown("only") == "size"
    which: dict[str, Any] = {"core": core, "actor": actor, "budget_id": budget_id, "period_key": period_key}
    budget = budgets.one_pot(**which)
    history = budget_history.history_of(
        **which, limit=_SHOWN, after=after.hex if after else None, only_allocations=only
    )
    zone = pages.zone_of(actor) or budget.time_zone
    more = {"period": budget.period_key} if period_key else {}
    more |= {"only": "size"} if only else {}
    return show(
        "finance_budget.html",
        budget=finance_words.row(budget, finance_words.names(actor, budget)),
        units=[_unit(budget, unit) for unit in _units(budget)],
        policy=_policy(budget),
        rate=_rate(budget),
        holds=[_hold(budget, each, zone) for each in budget_holds.holds_of(**which)],
        lines=[_line(budget, each, zone) for each in history.lines],
        agrees=history.agrees,
        sums=_sums(history),
        only=only,
        all_href=finance_words.address(budget, **({"period": budget.period_key} if period_key else {})),
        size_href=finance_words.address(budget, only="size", **({"period": budget.period_key} if period_key else {})),
        more=finance_words.address(budget, **more, after=history.next) if history.next else None,
        change=f"/finance/requests/new?{_asked(budget)}" if may(actor, "budgets:propose") else None,
    )


def _asked(budget: Budget) -> str:
    return finance_words.query(budget=budget.id)


def _units(budget: Budget) -> list[str]:
    """Return what the budget limits, money first; of one that limits nothing, its number."""
    found = [unit for unit in ("money", "count") if getattr(budget, unit).cap is not None]
    return found or ["count"]


def _unit(budget: Budget, unit: str) -> dict[str, Any]:
    """Return one kind of counting as a column of figures, each with what it means."""
    counts: Counters = getattr(budget, unit)
    say = finance_words.speaker(budget, counted=unit == "count")
    allotted = f"{'−' if counts.allotted < 0 else '+'}{say(abs(counts.allotted))}" if counts.allotted else say(0)
    capped = [
        ("Cap in the catalog", say(counts.cap or 0), ""),
        ("Allotted on top", allotted, "top-ups, transfers, adjustments, what was carried over"),
        ("May be used", say(counts.ceiling or 0), ""),
    ]
    left = [("Free", say(counts.available or 0), "")]
    return {
        "title": "Money" if unit == "money" else "Number of vouchers",
        "rows": [
            *(capped if counts.cap is not None else []),
            ("Waiting for approval", say(counts.held), ""),
            ("Promised and unspent", say(counts.committed), ""),
            ("Spent", say(counts.spent), ""),
            *(left if counts.cap is not None else []),
        ],
        "bases": [
            {
                "title": finance_words.BASES[basis] + (f" ({counts.expected_percent}%)" if basis == "expected" else ""),
                "used": say(counts.used_under(basis)),
                "now": basis == counts.basis,
            }
            for basis in BASES
            if basis != "expected" or counts.basis == basis or counts.expected_percent != _ALL
        ],
    }


def _policy(budget: Budget) -> list[tuple[str, str]]:
    glass = f"Up to {budget.break_glass_percent}% of the cap in a period, with a second person and a review."
    return [
        ("Counted as used", f"{finance_words.BASES[budget.basis]}."),
        ("What a period leaves", "Goes to the next one." if budget.rollover == "carry_over" else "Ends with it."),
        ("What expires", "Stays used." if budget.on_expiry == "keep" else "Is free again."),
        ("In an emergency", glass if budget.break_glass_percent else "Nothing may be added without a top-up."),
    ]


def _rate(budget: Budget) -> str:
    """Return what the present rate means, in a sentence."""
    if not budget.rates.a_day_minor and not budget.rates.a_day_count:
        return "Nothing was used within the last 28 days."
    if budget.run_dry_at is not None:
        return finance_words.dry(budget)
    counts = finance_words.counters(budget)
    a_day = f"{finance_words.a_day(budget)} a day within the last 28 days."
    if counts.available == 0:
        return f"It is used up. {a_day}"
    ends = " At this rate it lasts until its period ends." if budget.end_at and counts.cap is not None else ""
    return f"{a_day}{ends}"


def _hold(budget: Budget, each: Hold, zone: str) -> dict[str, Any]:
    now = guard.the_core().clock.now()
    amount = words.money(Money(each.amount_minor, budget.currency)) if budget.currency else ""
    return {
        "what": "A request over a limit" if each.kind == "approval" else "A bulk job",
        "owner": each.owner_name,
        "amount": amount or words.counted(each.count, "voucher", "vouchers"),
        "since": f"{words.instant(each.since_at, zone)} ({words.ago(each.since_at, now)})",
        "until": words.ago(each.until_at, now) if each.until_at else "when the job ends",
        "case": f"/cases/{each.case_id}" if each.case_id else None,
        "approval": f"/approvals#approval-{each.approval_id}" if each.approval_id else None,
    }


def _line(budget: Budget, each: Line, zone: str) -> dict[str, Any]:
    """Return an entry as people read it: what happened, by how much, and what was free after it."""
    size = {unit: each.changes[f"allotted_{unit}"] for unit in ("minor", "count")}
    moved = _said(budget, size, signed=True) if any(size.values()) else _moved(budget, each)
    who = each.actor_name + (f", approved by {each.approved_by_name}" if each.approved_by_name else "")
    return {
        "what": _KINDS.get(each.kind, words.in_words(each.kind)),
        "amount": moved,
        "who": who,
        "at": words.instant(each.at, zone),
        "reason": each.reason,
        "free": _free(budget, each),
    }


def _moved(budget: Budget, each: Line) -> str:
    """Return by how much a movement changed what is promised or spent, the greatest of them."""
    unit = "minor" if budget.currency else "count"
    changes = [each.changes[f"{state}_{unit}"] for state in ("spent", "committed", "held")]
    amount = max(changes, key=abs)
    return _said(budget, {unit: abs(amount)})


def _said(budget: Budget, amounts: dict[str, int], *, signed: bool = False) -> str:
    parts = []
    for unit, amount in amounts.items():
        if amount:
            sign = ("+" if amount > 0 else "−") if signed else ""
            parts.append(sign + finance_words.speaker(budget, counted=unit == "count")(abs(amount)))
    return " and ".join(parts) or "0"


def _free(budget: Budget, each: Line) -> str:
    """Return what was free after an entry, by the cap and the basis of today."""
    name, unit = ("money", "minor") if budget.money.cap is not None else ("count", "count")
    counts: Counters = getattr(budget, name)
    if counts.cap is None:
        return ""
    then = Counters(
        cap=counts.cap,
        allotted=each.after[f"allotted_{unit}"],
        basis=counts.basis,
        expected_percent=counts.expected_percent,
        **{state: each.after[f"{state}_{unit}"] for state in ("held", "committed", "spent")},
    )
    return f"{finance_words.speaker(budget, counted=unit == 'count')(then.available or 0)} free after it"


def _sums(history: History) -> str:
    """Return the sum of all entries in words, so that anybody can add them up."""
    budget = history.budget
    name, unit = ("money", "minor") if budget.money.cap is not None else ("count", "count")
    say = finance_words.speaker(budget, counted=unit == "count")
    counts: Counters = getattr(budget, name)
    if counts.cap is None:
        return ""
    sums = history.sums
    allotted = sums[f"allotted_{unit}"]
    sign = "−" if allotted < 0 else "+"
    used = counts.used
    return (
        f"Cap {say(counts.cap)} {sign} allotted {say(abs(allotted))} − used {say(used)} = {say(counts.available or 0)}"
        f" {'free' if (counts.ceiling or 0) >= used else 'free, for more is used than may be'}"
    )
