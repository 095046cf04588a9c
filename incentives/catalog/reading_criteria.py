"""The criteria of the catalog file: what must hold, what is done then, and what stops it from going too far."""

from collections.abc import Callable, Mapping
from typing import Any

from incentives.catalog.definitions import EVENTS, FEEDBACK_KINDS, RESURVEY, Brand, Criterion
from incentives.catalog.fields import Fields
from incentives.catalog.reading_recovery import read_words, source_names
from incentives.kernel.actors import Role
from incentives.kernel.business_hours import WEEKDAYS

MODES = ("live", "shadow", "off")
CHANNELS = ("email", "sms")
ASSIGN_TO = ("team", "same_agent", "supervisor")

_Read = Callable[[Fields, str], Any]

_PRIORITY_MOST = 10_000
_SETTLE_MOST_MINUTES = 10_080
_EARLIER_MOST = 1000
_RESURVEY_MOST_HOURS = 2160
_BREAKER_MOST = 100_000
_HOLDOUT_MOST_PERCENT = 50
_SEVERITY_GRAVEST = 4


def _number(least: int, most: int) -> _Read:
    return lambda fields, name: fields.maybe_number(name, least=least, most=most)


def _some_of(choices: tuple[str, ...]) -> _Read:
    return lambda fields, name: fields.choices(name, choices)


def _keys_of(item_kind: str) -> _Read:
    return lambda fields, name: fields.references(name, item_kind)


def _only_true(fields: Fields, name: str) -> bool:
    if fields.at(name).value is not True:
        fields.wrong(fields.at(name), "Write true, or leave it out.")
    return True


WHEN: Mapping[str, _Read] = {
    "sources": source_names,
    "kinds": _some_of(FEEDBACK_KINDS),
    "events": _some_of(EVENTS),
    "issue_tags": _keys_of("issue_tag"),
    "words": read_words,
    "segments": _keys_of("segment"),
    "locations": _keys_of("location"),
    "weekdays": _some_of(WEEKDAYS),
    "score_at_most_pct": _number(0, 100),
    "score_at_least_pct": _number(0, 100),
    "severity_at_least": _number(1, _SEVERITY_GRAVEST),
    "customer_value_at_least_minor": Fields.amounts_by_currency,
    "earlier_recoveries_at_most": _number(0, _EARLIER_MOST),
    "from_time": Fields.time,
    "until_time": Fields.time,
}
"""What a criterion may ask of a piece of feedback, and how it is read."""


def _assign(fields: Fields, name: str) -> dict[str, Any]:
    to = fields.inside(name)
    to.only(("to",), ("team",), of="an assignment")
    found = {"to": to.choice("to", ASSIGN_TO), "team": to.reference("team", "team")}
    if found["to"] == "team" and not found["team"]:
        fields.wrong(fields.at(name), "Which team? Add “team”.", under="team")
    return {part: value for part, value in found.items() if value}


def _issue(fields: Fields, name: str) -> dict[str, Any]:
    given = fields.inside(name)
    given.only(("channels",), ("incentive", "amount_minor"), of="what a criterion issues")
    found = {
        "channels": given.choices("channels", CHANNELS),
        "incentive": given.reference("incentive", "incentive"),
        "amount_minor": given.maybe_amount("amount_minor"),
    }
    if given.has("amount_minor") and not given.has("incentive"):
        why = "An amount is one of a certain incentive; name it in “incentive”."
        fields.wrong(given.at("amount_minor"), why)
    return {part: value for part, value in found.items() if value}


def _apologize(fields: Fields, name: str) -> dict[str, Any]:
    said = fields.inside(name)
    said.only(("channels",), of="an apology")
    return {"channels": said.choices("channels", CHANNELS)}


THEN: Mapping[str, _Read] = {
    "open_case": _only_true,
    "assign": _assign,
    "issue": _issue,
    "ask_approval": _only_true,
    "offer": _only_true,
    "apologize": _apologize,
    "notify": _some_of(tuple(Role)),
    "resurvey_hours": _number(1, _RESURVEY_MOST_HOURS),
    "unsalvageable": _only_true,
}
"""What a criterion may do, and how it is read."""


def read_criterion(fields: Fields, _brand: Brand) -> Criterion:
    """Read a criterion, and look whether it can be meant."""
    fields.only(
        ("key", "name", "priority", "when", "then"),
        ("mode", "stop", "settle_minutes", "breaker", "ask_above_minor", "holdout_percent"),
        of="a criterion",
    )
    criterion = Criterion(
        key=fields.key(),
        name=fields.text("name"),
        priority=fields.number("priority", least=0, most=_PRIORITY_MOST),
        when=_parts(fields, "when", WHEN, of="what a criterion asks"),
        then=_parts(fields, "then", THEN, of="what a criterion does"),
        mode=fields.choice("mode", MODES, "shadow"),
        stop=fields.flag("stop", default=False),
        settle_minutes=fields.maybe_number("settle_minutes", least=0, most=_SETTLE_MOST_MINUTES),
        breaker=_breaker(fields),
        ask_above_minor=fields.amounts_by_currency("ask_above_minor"),
        holdout_percent=fields.number_or(0, "holdout_percent", least=0, most=_HOLDOUT_MOST_PERCENT),
    )
    _check_when(fields, criterion.when)
    _check_then(fields, criterion)
    return criterion


def _parts(fields: Fields, name: str, known: Mapping[str, _Read], *, of: str) -> dict[str, Any]:
    inside = fields.inside(name)
    inside.only((), known, of=of)
    return {part: read(inside, part) for part, read in known.items() if inside.has(part)}


def _breaker(fields: Fields) -> dict[str, Any]:
    inside = fields.inside("breaker")
    inside.only((), ("count_per_hour", "amount_minor_per_hour"), of="a breaker")
    found = {
        "count_per_hour": inside.maybe_number("count_per_hour", least=1, most=_BREAKER_MOST),
        "amount_minor_per_hour": inside.amounts_by_currency("amount_minor_per_hour"),
    }
    return {part: value for part, value in found.items() if value}


def _check_when(fields: Fields, when: Mapping[str, Any]) -> None:
    inside = fields.inside("when")
    least, most = when.get("score_at_least_pct"), when.get("score_at_most_pct")
    if least is not None and most is not None and least > most:
        why = f"No score is at least {least} and at most {most}; turn the two round."
        fields.wrong(inside.at("score_at_least_pct"), why)
    if when.get("from_time") is not None and when.get("from_time") == when.get("until_time"):
        fields.wrong(inside.at("until_time"), "It ends when it begins, so it never holds; change one of the two.")
    if when.get("events") and when.get("kinds") and "event" not in when["kinds"]:
        fields.wrong(inside.at("kinds"), "Only the kind “event” has an event; add event, or leave this out.")


def _check_then(fields: Fields, criterion: Criterion) -> None:
    then, inside = criterion.then, fields.inside("then")
    issues = "issue" in then
    if "ask_approval" in then and not issues:
        fields.wrong(inside.at("ask_approval"), "What is to be approved? Add “issue” beside it.")
    for name in ("offer", "unsalvageable"):
        if name in then and issues:
            why = f"“{name}” gives nothing and “issue” gives; leave one of the two out."
            fields.wrong(inside.at(name), why)
    for name in ("ask_above_minor", "holdout_percent"):
        if fields.has(name) and not issues:
            fields.wrong(fields.at(name), "This criterion issues nothing; leave this out, or add “issue”.")
    if issues and criterion.mode == "live" and not fields.has("breaker"):
        why = (
            "A live criterion that issues needs a breaker, so that a broken source cannot spend the month: "
            "add {count_per_hour: …, amount_minor_per_hour: {GBP: …}}."
        )
        fields.wrong(fields.node, why, under="breaker")
    if RESURVEY in criterion.when.get("sources", ()):
        for name in ("issue", "resurvey_hours"):
            if name in then:
                why = f"This is a loop: an answer after a recovery would lead to “{name}” and to being asked again."
                fields.wrong(inside.at(name), f"{why} Leave it out, or leave “{RESURVEY}” out of the sources.")
