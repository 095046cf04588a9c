"""How the catalog's page says what is done about a trouble: by when, who reports it, what happens by itself."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from admin import case_words, criteria_words, pages, words
from incentives.kernel.business_hours import END_OF_DAY, WEEKDAYS
from incentives.kernel.money import Money
from incentives.queries.catalog import ProtocolRow
from incentives.queries.catalog_recovery import PolicyRow, RootCauseRow, SourceRow
from incentives.queries.criteria import CriterionRow

_HOUR_MINUTES = 60
_DAY_HOURS = 24
_ALL_DAY = ("00:00", END_OF_DAY)

_AFTER = {"close": "closing", "redemption": "the voucher is used", "issue": "it is given"}
_KINDS = {
    "survey": "surveys",
    "complaint": "complaints",
    "employee_report": "reports of colleagues",
    "event": "events",
}


def hours(opening: Mapping[str, Sequence[str]]) -> str:
    """Return business hours as people write them: days that are alike together."""
    if not opening:
        return "always open"
    runs = [(times, list(days)) for times, days in groupby(WEEKDAYS, key=lambda day: tuple(opening.get(day, ())))]
    return "; ".join(f"{_days(days)} {_times(times)}" for times, days in runs)


def _days(days: Sequence[str]) -> str:
    first, last = days[0][:3].title(), days[-1][:3].title()
    return first if first == last else f"{first} to {last}"


def _times(times: Sequence[str]) -> str:
    if not times:
        return "closed"
    return "all day" if tuple(times) == _ALL_DAY else " to ".join(times)


def span(minutes: int, *, most: str = "days") -> str:
    """Return a length of time in the greatest unit that says it whole: 90 minutes, 8 hours, 2 days.

    ``most`` "hours" is for business time, whose days have not twenty-four of them.
    """
    if minutes % _HOUR_MINUTES or minutes < 2 * _HOUR_MINUTES:
        return words.counted(minutes, "minute", "minutes")
    hours_ = minutes // _HOUR_MINUTES
    if most == "hours" or hours_ % _DAY_HOURS or hours_ < 2 * _DAY_HOURS:
        return words.counted(hours_, "hour", "hours")
    return words.counted(hours_ // _DAY_HOURS, "day", "days")


def care(protocol: ProtocolRow) -> tuple[str, ...]:
    """Return what a protocol asks for beside giving: its steps, by when, its tasks, and when the customer is asked."""
    steps = [
        words.STEPS.get(each, each) + (" (if need be)" if each in protocol.optional_steps else "")
        for each in protocol.steps
    ]
    clocks = [
        f"{case_words.CLOCKS.get(name, name)} {span(minutes, most='hours')}"
        for name, minutes in protocol.clocks.items()
    ]
    again = _AFTER.get(protocol.resurvey_after or "")
    parts = (
        " → ".join(steps),
        f"Within business hours: {', '.join(clocks)}" if clocks else "",
        f"Follow-up: {', '.join(each['title'] for each in protocol.tasks)}" if protocol.tasks else "",
        f"Asked again {span(protocol.resurvey_hours * _HOUR_MINUTES)} after {again}" if again else "",
    )
    return tuple(part for part in parts if part)


def cause(row: RootCauseRow, names: Mapping[str, str]) -> dict[str, str]:
    """Return a root cause with what stands above it."""
    above = [names.get(key, key) for key in row.path[1:]]
    return {"key": row.key, "title": names[row.key], "under": f"below {', '.join(above)}" if above else ""}


def source(row: SourceRow) -> dict[str, str]:
    """Return a source: what it reports, and which of our fields it fills."""
    what = _KINDS.get(row.kind, row.kind) + (f" on the scale {criteria_words.SCALES[row.scale]}" if row.scale else "")
    filled = ", ".join(each.replace("customer.", "").replace("_", " ") for each in row.fields)
    return {"key": row.key, "title": row.name, "what": what[:1].upper() + what[1:], "fields": f"Tells {filled}"}


def criterion(row: CriterionRow, names: criteria_words.Names) -> dict[str, Any]:
    """Return a criterion: whether it acts, when, and what it does then."""
    tone, sign, word = criteria_words.MODES[row.mode]
    told = (
        f"When {criteria_words.all_of(criteria_words.conditions(row.when, names))}:",
        f"{criteria_words.all_of(criteria_words.deeds(row.then, names))}.",
    )
    return {
        "link": f"/criteria/{row.key}",
        "title": row.name,
        "sign": {"tone": tone, "sign": sign, "word": word},
        "does": " ".join(told),
    }


def _severity(number: int) -> str:
    return words.SEVERITIES.get(number, "").lower()


def policy(row: PolicyRow) -> tuple[str, ...]:
    """Return what holds for every recovery, a sentence each."""
    severity = _severity(row.root_cause_from_severity)
    won_back = (
        f"A customer counts as won back with a score of {row.recovered_score_pct}% or more, one that is "
        f"{row.recovered_uplift_pct} points better than the first, or a purchase within "
        f"{words.counted(row.purchase_within_days, 'day', 'days')}."
    )
    parts = (
        f"A root cause is needed to close what is {severity} or worse.",
        f"Whoever leads is told at once of what is {_severity(row.escalate_from_severity)} or worse.",
        won_back,
        f"Nobody is asked again within {words.counted(row.survey_quiet_days, 'day', 'days')}.",
        f"Above {_amounts(row.automation_ceiling_minor)} a person decides, whatever the rule."
        if row.automation_ceiling_minor
        else "",
        "Trends name teams and causes, never people." if row.blame_free else "Trends may name people.",
    )
    return tuple(part for part in parts if part)


def _amounts(amounts: Mapping[str, int]) -> str:
    return " or ".join(words.money(Money(amount, currency)) for currency, amount in amounts.items())


def names_of(rows: Iterable[RootCauseRow]) -> dict[str, str]:
    """Return what root causes are called."""
    return {each.key: pages.english(each.label) for each in rows}
