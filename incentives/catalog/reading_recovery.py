"""What the catalog file says of recoveries: business hours, aliases, clocks and tasks, root causes, the policy."""

import re
from collections.abc import Mapping
from typing import Any

from incentives.catalog.definitions import (
    CLOCKS,
    QUESTIONS,
    SCALES,
    TASK_KINDS,
    Brand,
    RecoveryPolicy,
    RootCause,
)
from incentives.catalog.fields import Fields, hint
from incentives.catalog.yaml_tree import Node
from incentives.kernel.business_hours import END_OF_DAY, WEEKDAYS

RECOVERY_FIELDS = (
    "optional_steps", "questions", "clocks", "guidance", "tasks", "resurvey_after", "resurvey_hours", "resurvey_scale",
)  # fmt: skip
"""The fields of a protocol that are about what comes after giving."""

WORD_LONGEST = 60
ALIAS_LONGEST = 200
CLOSED = "closed"
RESURVEY_AFTER = ("close", "redemption", "issue")

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}(?::[A-Za-z0-9_.-]{1,31})?")
_CLOCK_MOST_MINUTES = 43_200  # 30 days, by day and by night
_TITLE_LONGEST = 120
_GUIDANCE_LONGEST = 2000
_DUE_MOST_HOURS = 8760
_RESURVEY_MOST_HOURS = 2160
_DAYS_MOST = 3650
_SETTLE_MOST_MINUTES = 10_080
_VOLUME_MOST = 100_000
_OPENING_AND_CLOSING = 2


# --- business hours and aliases -------------------------------------------------------------------------------


def read_hours(fields: Fields) -> dict[str, tuple[str, str]]:
    """Read business hours by weekday; a place that is never open is a mistake, for nothing would ever be due there."""
    entries = fields.entries("hours")
    hours: dict[str, tuple[str, str]] = {}
    for day, node in entries.items():
        if day not in WEEKDAYS:
            fields.wrong(node, f"“{day}” is not a weekday; {hint(day, WEEKDAYS)}")
        elif node.value != CLOSED and (open_from_to := _opening(fields, node)):
            hours[day] = open_from_to
    if entries and all(node.value == CLOSED for node in entries.values()):
        fields.wrong(fields.at("hours"), "Every day is closed: nothing would ever be due. Open one, or leave this out.")
    return hours


def _opening(fields: Fields, node: Node) -> tuple[str, str] | None:
    pair = node.value if isinstance(node.value, list) else []
    if len(pair) != _OPENING_AND_CLOSING:
        fields.wrong(node, 'Write when it opens and closes, such as ["08:00", "18:30"], or closed.')
        return None
    opens, closes = fields.time_of(pair[0]), fields.time_of(pair[1], or_else=END_OF_DAY)
    if opens is None or closes is None:
        return None
    if opens >= closes:
        why = f"It opens at {opens}, so it cannot close at {closes}; a night ends at 24:00 and goes on the next day."
        fields.wrong(pair[1], why)
    return opens, closes


def read_aliases(fields: Fields) -> dict[str, tuple[str, ...]]:
    """Read by what values each source means an issue tag."""
    aliases = fields.inside("aliases")
    found: dict[str, tuple[str, ...]] = {}
    for source, node in fields.entries("aliases").items():
        check_source_name(fields, node, source)
        found[source] = tuple(aliases.texts(source, longest=ALIAS_LONGEST))
    return found


def read_words(fields: Fields, name: str) -> tuple[str, ...]:
    """Read words or phrases that are looked for in comments."""
    texts = fields.texts(name, longest=WORD_LONGEST)
    for text, node in texts.items():
        if not any(letter.isalnum() for letter in text):
            fields.wrong(node, f"“{text}” has no letter and no digit, so no comment has it as a word; take it out.")
    return tuple(texts)


def source_names(fields: Fields, name: str) -> tuple[str, ...]:
    """Read the names of sources; one may be of a tool that sends its feedback by itself, so each shape will do."""
    texts = fields.texts(name)
    for text, node in texts.items():
        check_source_name(fields, node, text)
    return tuple(texts)


def check_source_name(fields: Fields, node: Node, name: str) -> None:
    """Note a name that no source can have."""
    if not _SOURCE.fullmatch(name):
        why = "cannot be a source; write it as asknicely, or zendesk:tag for one of its fields."
        fields.wrong(node, f"“{name}” {why}")


# --- protocols ------------------------------------------------------------------------------------------------


def recovery_fields(fields: Fields, brand: Brand, steps: tuple[str, ...]) -> dict[str, Any]:
    """Read a protocol's ``RECOVERY_FIELDS``."""
    _check_resurvey(fields)
    return {
        "optional_steps": _optional_steps(fields, steps),
        "questions": fields.choices("questions", QUESTIONS),
        "clocks": _clocks(fields),
        "guidance": fields.words("guidance", brand.languages, longest=_GUIDANCE_LONGEST, paragraphs=True),
        "tasks": tuple(_task(each) for each in fields.items("tasks")),
        "resurvey_after": fields.choice("resurvey_after", RESURVEY_AFTER) or None,
        "resurvey_hours": fields.number_or(24, "resurvey_hours", least=0, most=_RESURVEY_MOST_HOURS),
        "resurvey_scale": fields.choice("resurvey_scale", SCALES, "stars_5"),
    }


def _optional_steps(fields: Fields, steps: tuple[str, ...]) -> tuple[str, ...]:
    optional = fields.texts("optional_steps")
    for step, node in optional.items():
        if step not in steps:
            fields.wrong(node, f"“{step}” is not among this protocol's steps; {hint(step, steps)}")
    return tuple(optional)


def _clocks(fields: Fields) -> dict[str, int]:
    clocks = fields.inside("clocks")
    clocks.only((), CLOCKS, of="a protocol's clocks")
    read = {name: clocks.maybe_number(name, least=1, most=_CLOCK_MOST_MINUTES) for name in CLOCKS}
    return {name: minutes for name, minutes in read.items() if minutes is not None}


def _task(fields: Fields) -> Mapping[str, Any]:
    fields.only(("kind", "title", "due_hours"), of="a task")
    return {
        "kind": fields.choice("kind", TASK_KINDS),
        "title": fields.text("title", longest=_TITLE_LONGEST),
        "due_hours": fields.number("due_hours", least=1, most=_DUE_MOST_HOURS),
    }


def _check_resurvey(fields: Fields) -> None:
    for name in ("resurvey_hours", "resurvey_scale"):
        if fields.has(name) and not fields.has("resurvey_after"):
            why = "Nobody is asked again without “resurvey_after”; add it (close, redemption or issue)."
            fields.wrong(fields.at(name), why)


# --- root causes and the policy -------------------------------------------------------------------------------


def read_root_cause(fields: Fields, brand: Brand) -> RootCause:
    """Read a root cause."""
    fields.only(("key", "label"), ("parent",), of="a root cause")
    return RootCause(
        key=fields.key(),
        label=fields.words("label", brand.languages, longest=WORD_LONGEST),
        parent=fields.reference("parent", "root_cause"),
    )


_POLICY_NUMBERS = {
    "root_cause_from_severity": (1, 4),
    "escalate_from_severity": (1, 4),
    "recovered_score_pct": (1, 100),
    "recovered_uplift_pct": (1, 100),
    "purchase_within_days": (1, _DAYS_MOST),
    "survey_quiet_days": (0, _DAYS_MOST),
    "settle_minutes": (0, _SETTLE_MOST_MINUTES),
    "trend_volume_least": (1, _VOLUME_MOST),
}
_POLICY_AMOUNTS = ("automation_ceiling_minor", "customer_value_minor", "handling_cost_minor")


def read_policy(fields: Fields) -> RecoveryPolicy:
    """Read what holds for every recovery; what is absent has its default."""
    fields.only((), (*_POLICY_NUMBERS, *_POLICY_AMOUNTS, "blame_free"), of="the recovery policy")
    default = RecoveryPolicy()
    numbers: dict[str, Any] = {
        name: fields.number_or(getattr(default, name), name, least=least, most=most)
        for name, (least, most) in _POLICY_NUMBERS.items()
    }
    amounts: dict[str, Any] = {name: fields.amounts_by_currency(name) for name in _POLICY_AMOUNTS}
    return RecoveryPolicy(**numbers, **amounts, blame_free=fields.flag("blame_free", default=default.blame_free))
