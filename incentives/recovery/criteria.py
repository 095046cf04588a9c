"""Criteria: which rules hold for a piece of feedback. Pure: the same facts and the same rules give the same answer.

Nothing here reads a clock or a database. A rule comes as the catalog has it; only its parts are known here.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from incentives.kernel.keys import KeyRing

BP_PER_PERCENT = 100
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WORD = re.compile(r"\w+")
_HUNDRED = 100
_HOURS = {"from_time": "00:00", "until_time": "24:00"}

RESURVEY = "resurvey"
"""The source of answers after a recovery: only rules that name it act on them, or recovering would feed itself."""


class Rule(Protocol):
    """What of a criterion matters here; ``catalog.definitions.Criterion`` has it."""

    @property
    def key(self) -> str:
        """Return what names it."""

    @property
    def priority(self) -> int:
        """Return its rank: the greatest goes first."""

    @property
    def when(self) -> Mapping[str, Any]:
        """Return the conditions, all of which must hold."""

    @property
    def then(self) -> Mapping[str, Any]:
        """Return the deeds."""

    @property
    def mode(self) -> str:
        """Return live, shadow or off."""

    @property
    def stop(self) -> bool:
        """Return whether no other is asked after it."""


RuleT = TypeVar("RuleT", bound=Rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything about a piece of feedback that a rule may ask for.

    ``issue_tags`` are its tags with all above them. ``words`` is the comment as ``spoken`` writes it. ``weekday`` and
    ``time`` ("HH:MM") are local where it happened. ``score_bp`` is 0 (worst) to 10000. Amounts are minor units of
    ``currency``. ``earlier_recoveries`` counts what the same customer was given before.
    """

    source: str
    kind: str
    weekday: str
    time: str
    event: str | None = None
    score_bp: int | None = None
    scale: str | None = None
    issue_tags: frozenset[str] = frozenset()
    words: str = ""
    segment: str | None = None
    location: str | None = None
    customer_value_minor: int | None = None
    currency: str | None = None
    severity: int | None = None
    earlier_recoveries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A rule that holds, and what of the facts it held for; no word that a customer wrote but the rule's own."""

    rule: Any
    facts: Mapping[str, Any] = field(default_factory=dict)


def spoken(text: str | None) -> str:
    """Return a comment as its words, case folded, each between single spaces: what phrases are looked for in."""
    folded = unicodedata.normalize("NFKC", text or "").casefold()
    if not folded.isascii():  # Characters that nobody sees would part a word, or hide it.
        folded = "".join(each for each in folded if unicodedata.category(each) != "Cf")
    return f" {' '.join(_WORD.findall(folded))} "


def local_time(at: datetime, time_zone: str) -> tuple[str, str]:
    """Return the weekday and the time of day ("HH:MM") of an instant in a zone."""
    local = at.astimezone(ZoneInfo(time_zone))
    return _WEEKDAYS[local.weekday()], f"{local:%H:%M}"


def evaluate(rules: Iterable[RuleT], facts: Facts) -> tuple[Match, ...]:
    """Return the rules that hold, the greatest priority first, up to the first live one that stops.

    Two of the same priority go by their keys, so that the order is the same wherever it is asked. A rule in shadow
    stops nobody: it must change nothing.
    """
    found: list[Match] = []
    for rule in sorted(rules, key=lambda each: (-each.priority, each.key)):
        matched = matches(rule.when, facts) if rule.mode != "off" else None
        if matched is None:
            continue
        found.append(Match(rule=rule, facts=matched))
        if rule.stop and rule.mode == "live":
            break
    return tuple(found)


def matches(when: Mapping[str, Any], facts: Facts) -> dict[str, Any] | None:
    """Return what of the facts the conditions held for; None when one of them does not hold.

    A condition that nobody has written here yet holds never, so that no rule is wider than it was approved.
    """
    matched: dict[str, Any] = {}
    for name, wanted in _conditions(when):
        test = _CONDITIONS.get(name)
        found = test(wanted, facts) if test else None
        if found is None:
            return None
        matched |= found
    return matched


def _conditions(when: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return the conditions one by one; the two ends of the hours are one condition together."""
    if "sources" not in when:
        yield "not_resurvey", True
    ends = {name: when[name] for name in _HOURS if name in when}
    if ends:
        yield "hours", tuple({**_HOURS, **ends}.values())
    yield from ((name, wanted) for name, wanted in when.items() if name not in _HOURS)


def held_out(ring: KeyRing, criterion: str, subject: str, percent: int) -> bool:
    """Return whether a customer is in a criterion's holdout arm: the same answer each time, each criterion its own.

    Keyed, so that nobody who knows customers' ids can tell who will be given something; by the first key, so that
    nobody changes sides for a newer one.
    """
    if percent <= 0:
        return False
    mark = ring.mac(ring.oldest_id, b"holdout", f"{criterion}:{subject}".encode())
    return int.from_bytes(hashlib.sha256(mark).digest()[:8], "big") % _HUNDRED < percent


def wants(then: Mapping[str, Any], deed: str) -> bool:
    """Return whether a rule does a deed; what is said to be false is not done."""
    return bool(then.get(deed))


def gives(then: Mapping[str, Any]) -> bool:
    """Return whether a rule gives something by itself, or asks whether it may."""
    return wants(then, "issue") and not wants(then, "unsalvageable")


_Found = dict[str, Any] | None


def _any_of(name: str) -> Callable[[Any, Facts], _Found]:
    def test(wanted: Any, facts: Facts) -> _Found:
        value = getattr(facts, name)
        return {name: value} if value is not None and value in wanted else None

    return test


def _issue_tags(wanted: Any, facts: Facts) -> _Found:
    found = sorted(facts.issue_tags.intersection(wanted))
    return {"issue_tags": found} if found else None


def _words(wanted: Any, facts: Facts) -> _Found:
    found = [phrase for phrase in wanted if spoken(phrase).strip() and spoken(phrase) in facts.words]
    return {"words": found} if found else None


def _score_at_most(wanted: Any, facts: Facts) -> _Found:
    score_bp = facts.score_bp
    held = score_bp is not None and score_bp <= wanted * BP_PER_PERCENT
    return {"score_bp": score_bp, "scale": facts.scale} if held else None


def _score_at_least(wanted: Any, facts: Facts) -> _Found:
    score_bp = facts.score_bp
    held = score_bp is not None and score_bp >= wanted * BP_PER_PERCENT
    return {"score_bp": score_bp, "scale": facts.scale} if held else None


def _severity(wanted: Any, facts: Facts) -> _Found:
    held = facts.severity is not None and facts.severity >= wanted
    return {"severity": facts.severity} if held else None


def _value(wanted: Any, facts: Facts) -> _Found:
    least = wanted.get(facts.currency)
    value = facts.customer_value_minor
    held = least is not None and value is not None and value >= least
    return {"customer_value_minor": value, "currency": facts.currency} if held else None


def _earlier(wanted: Any, facts: Facts) -> _Found:
    return {"earlier_recoveries": facts.earlier_recoveries} if facts.earlier_recoveries <= wanted else None


def _hours(when: Any, facts: Facts) -> _Found:
    """Hold between two local times, the end not included; over midnight where the end is the earlier one."""
    begin, end = when
    inside = begin <= facts.time < end if begin <= end else facts.time >= begin or facts.time < end
    return {"time": facts.time} if inside else None


def _not_resurvey(_: Any, facts: Facts) -> _Found:
    return {} if facts.source != RESURVEY else None


_CONDITIONS: Mapping[str, Callable[[Any, Facts], _Found]] = {
    "sources": _any_of("source"),
    "kinds": _any_of("kind"),
    "events": _any_of("event"),
    "segments": _any_of("segment"),
    "locations": _any_of("location"),
    "weekdays": _any_of("weekday"),
    "issue_tags": _issue_tags,
    "words": _words,
    "score_at_most_pct": _score_at_most,
    "score_at_least_pct": _score_at_least,
    "severity_at_least": _severity,
    "customer_value_at_least_minor": _value,
    "earlier_recoveries_at_most": _earlier,
    "hours": _hours,
    "not_resurvey": _not_resurvey,
}
