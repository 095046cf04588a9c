"""Criteria in plain words: what must hold, what is done then, what stops it, and what came of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from admin import words
from incentives.kernel.money import Money
from incentives.queries.criteria import CriterionRow, FiringRow

MODES = {
    "live": ("good", "check", "Live"),
    "shadow": ("news", "search", "Shadow"),
    "off": ("warn", "cross", "Off"),
}
OUTCOMES = {
    "acted": ("good", "check", "Done"),
    "asked": ("warn", "hourglass", "Waits for approval"),
    "refused": ("bad", "cross", "Could not give"),
    "tripped": ("bad", "alert", "Breaker tripped"),
    "outranked": ("news", "info", "Another rule went first"),
    "already": ("news", "info", "Had given already"),
    "would_have": ("news", "search", "Would have"),
    "held_out": ("news", "info", "Held out"),
}
KINDS = {
    "survey": "a survey",
    "complaint": "a complaint",
    "employee_report": "a colleague's report",
    "event": "an event",
}
SCALES = {
    "stars_5": "Stars, 1 to 5",
    "csat": "CSAT, 1 to 5",
    "nps": "NPS, 0 to 10",
    "ces_7": "CES, 1 to 7",
    "percent": "Percent, 0 to 100",
}
ROLES_MANY = {
    "frontline": "frontline staff",
    "supervisor": "supervisors",
    "manager": "managers",
    "finance": "finance",
    "auditor": "auditors",
    "till": "tills",
    "integrator": "integrators",
    "admin": "administrators",
}
CHANNELS = {"email": "email", "sms": "SMS"}
_DEEDS = {
    "open_case": "Case",
    "assign": "Assignment",
    "apologize": "Apology",
    "issue": "Incentive",
    "offer": "Offer",
    "notify": "Notices",
    "resurvey_hours": "Asking again",
    "unsalvageable": "Beyond mending",
}
_STARS_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the keys of the catalog are called."""

    tags: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, str] = field(default_factory=dict)
    incentives: Mapping[str, str] = field(default_factory=dict)


def any_of(texts: Iterable[str]) -> str:
    """Return alternatives: ``a, b or c``."""
    *most, last = texts
    return f"{', '.join(most)} or {last}" if most else last


def all_of(texts: Iterable[str]) -> str:
    """Return what belongs together: ``a, b and c``."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def conditions(when: Mapping[str, Any], names: Names) -> list[str]:
    """Return each condition as a sentence without its subject: ``scored 25% or less (2 stars)``."""
    said = [_condition(name, wanted, names) for name, wanted in when.items() if name not in ("from_time", "until_time")]
    begin, end = when.get("from_time"), when.get("until_time")
    if begin or end:
        said.append(f"it happened from {begin or '0:00'} to {end or 'midnight'}, local time")
    return said


def _condition(name: str, wanted: Any, names: Names) -> str:
    tellers: Mapping[str, Callable[[], str]] = {
        "sources": lambda: f"it comes from {any_of(wanted)}",
        "kinds": lambda: f"it is {any_of(KINDS.get(each, each) for each in wanted)}",
        "events": lambda: f"what happened is: {any_of(words.in_words(each).lower() for each in wanted)}",
        "issue_tags": lambda: f"it is about {any_of(names.tags.get(each, each) for each in wanted)}, or anything below",
        "words": lambda: f"the comment has the words {any_of(f'“{each}”' for each in wanted)}",
        "segments": lambda: f"the customer is {any_of(wanted)}",
        "locations": lambda: f"it happened at {any_of(names.locations.get(each, each) for each in wanted)}",
        "weekdays": lambda: f"it happened on a {any_of(each.capitalize() for each in wanted)}",
        "score_at_most_pct": lambda: f"it scored {wanted}% or less ({_stars_at_most(wanted)})",
        "score_at_least_pct": lambda: f"it scored {wanted}% or more",
        "severity_at_least": lambda: f"it is {words.SEVERITIES.get(wanted, str(wanted)).lower()} or worse",
        "customer_value_at_least_minor": lambda: f"the customer is worth {any_of(_amounts(wanted))} or more",
        "earlier_recoveries_at_most": lambda: (
            f"the customer was given something {words.counted(wanted, 'time', 'times')} at most before"
        ),
    }
    return tellers.get(name, lambda: f"{words.in_words(name)}: {wanted}")()


def _stars_at_most(percent: int) -> str:
    """Return the most stars of five that are so many percent: the worst score, 1 star, is 0."""
    stars = 1 + percent * (_STARS_MOST - 1) // 100
    return "1 star of 5" if stars == 1 else f"{stars} stars of 5"


def _amounts(amounts_minor: Mapping[str, int]) -> list[str]:
    return [words.money(Money(amount, currency)) for currency, amount in amounts_minor.items()]


def deeds(then: Mapping[str, Any], names: Names) -> list[str]:
    """Return what a criterion does, each deed a sentence."""
    tellers: Mapping[str, Callable[[Any], str]] = {
        "open_case": lambda _: "open a case, or join the customer's open one",
        "assign": _assignment,
        "issue": lambda wanted: _gift(wanted, then, names),
        "offer": lambda _: "put the protocol's incentive before whoever works on the case",
        "apologize": lambda wanted: f"apologize by {all_of(CHANNELS[each] for each in wanted['channels'])}",
        "notify": lambda wanted: f"tell {all_of(ROLES_MANY.get(each, each) for each in wanted)}",
        "resurvey_hours": lambda wanted: f"ask again after {words.counted(wanted, 'hour', 'hours')}",
        "unsalvageable": lambda _: "say that no incentive can mend it, so that none is given",
    }
    return [tellers[name](wanted) for name, wanted in then.items() if name in tellers and wanted]


def _assignment(wanted: Mapping[str, Any]) -> str:
    to = {"same_agent": "the agent who served", "supervisor": "a supervisor"}.get(wanted["to"])
    team = f"the team {wanted['team']}" if wanted.get("team") else None
    return f"give it to {any_of(each for each in (to, team) if each)}"


def _gift(wanted: Mapping[str, Any], then: Mapping[str, Any], names: Names) -> str:
    key = wanted.get("incentive")
    what = names.incentives.get(key, key) if key else "the protocol's default incentive"
    by = all_of(CHANNELS[each] for each in wanted["channels"])
    asks = ", once somebody has agreed" if then.get("ask_approval") else ""
    return f"send {what} by {by}{asks}"


def limits(row: CriterionRow) -> list[str]:
    """Return what keeps a criterion from going too far."""
    hourly = [f"{row.breaker['count_per_hour']:,} vouchers"] if row.breaker.get("count_per_hour") else []
    hourly += _amounts(row.breaker.get("amount_minor_per_hour") or {})
    above = any_of(_amounts(row.ask_above_minor)) if row.ask_above_minor else ""
    said = (
        f"At most {all_of(hourly)} within an hour for each source; a person decides about the rest." if hourly else "",
        f"Above {above} a person decides." if above else "",
        f"{row.holdout_percent}% of customers get no incentive by it, so that its effect can be measured."
        if row.holdout_percent
        else "",
        f"Acts when a rating has stood for {words.counted(row.settle_minutes, 'minute', 'minutes')}."
        if row.settle_minutes
        else "",
        "No other rule is asked after it." if row.stop else "",
    )
    return [each for each in said if each]


def facts(found: Mapping[str, Any], names: Names) -> str:
    """Return the facts that a firing matched, in one line."""
    parts = []
    for name, value in found.items():
        if name == "score_bp":
            parts.append(f"score {value // 100}%")
        elif name == "issue_tags":
            parts.append(all_of(names.tags.get(each, each) for each in value))
        elif name == "words":
            parts.append(all_of(f"“{each}”" for each in value))
        elif name == "location":
            parts.append(names.locations.get(value, value))
        elif name == "customer_value_minor":
            parts.append(f"worth {words.money(Money(value, found['currency']))}")
        elif name not in ("scale", "currency"):
            parts.append(f"{words.in_words(name).lower()} {value}")
    return ", ".join(parts)


def results(firing: FiringRow, names: Names) -> str:
    """Return what came of each deed of a firing, in one line."""
    return "; ".join(_result(each, names) for each in firing.actions)


def _result(action: Mapping[str, Any], names: Names) -> str:
    what = _DEEDS.get(action["deed"], words.in_words(action["deed"]))
    title = names.incentives.get(action.get("incentive", ""), action.get("incentive"))
    return f"{what}: {words.in_words(action['result']).lower()}{f' ({title})' if title else ''}"


def money_list(amounts: Iterable[Money]) -> str:
    """Return amounts in several currencies: ``$310.00 and £20.00``; nothing where there are none."""
    said = [words.money(each) for each in amounts]
    return all_of(said) if said else ""
