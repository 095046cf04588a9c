"""Understanding: what a reported piece means under the catalog in force, and whether anything could follow from it.

Not a flow: it opens no transaction and asks no database. Taking in, replaying and trying a mapping out share it.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Criterion, FeedbackSource
from incentives.catalog.releases import CurrentCatalog
from incentives.deeds import assessment
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import EmailInvalid, InputInvalid, PhoneInvalid
from incentives.recovery import criteria, mapping
from incentives.recovery.customers import Contact, CustomerGiven, checked
from incentives.recovery.feedback import (
    COMMENT_LENGTH_MAX,
    EXTERNAL_ID_LENGTH_MAX,
    UNMAPPED_LENGTH_MAX,
    is_echo,
    tags_by_words,
)
from incentives.recovery.feedback_tables import EVENTS, KINDS
from incentives.recovery.inbox import Raw
from incentives.recovery.scales import Score, score_of

AHEAD = timedelta(days=1)
"""How far clocks may differ: what is said to happen later than this has not happened."""
TOLERANCE = timedelta(days=31)
"""Older than this no criterion acts, where the catalog says nothing about the source."""

LONGEST: Mapping[str, int] = {
    "external_id": EXTERNAL_ID_LENGTH_MAX, "source": 64, "comment": COMMENT_LENGTH_MAX, "agent": 200, "order_ref": 200,
    "product": 64, "currency": 3,
}  # fmt: skip
_LOCALE_LENGTH_MAX = 20
_TAGS_MAX = 20

# Our own sources, and what only our own pages put into a command: what others report cannot pass for it.
_OURS = {"staff": "story", "form": "form_id", "voucher-form": "voucher_id", criteria.RESURVEY: "survey_id"}

# What of a rule can be told without the clock and the customer's past. Whoever responds asks for the rest.
_SURE = (
    "sources", "kinds", "events", "issue_tags", "words", "segments", "locations", "score_at_most_pct",
    "score_at_least_pct",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeIn:
    """A piece of feedback as its source reports it; what nobody said is None.

    ``score`` stands on ``scale`` (the source's own where none is said). ``order`` is how the source counts the
    versions of this piece. ``story`` is ``what``, ``who``, ``when`` and ``differently``, as a colleague tells it.
    ``open_case`` asks for a case whatever the criteria say.
    """

    source: str
    external_id: str
    raw: Raw
    kind: str = "survey"
    event: str | None = None
    score: Decimal | int | str | None = None
    scale: str | None = None
    comment: str | None = None
    choices: Mapping[str, Any] | Sequence[str] | None = None
    issue_tags: tuple[str, ...] = ()
    customer: CustomerGiven = field(default_factory=CustomerGiven)
    agent: str | None = None
    order_ref: str | None = None
    product: str | None = None
    location: str | None = None
    occurred_at: datetime | None = None
    amount_minor: int | None = None
    currency: str | None = None
    customer_value_minor: int | None = None
    consent: bool | None = None
    severity: int | None = None
    order: int | None = None
    story: Mapping[str, str | None] = field(default_factory=dict)
    open_case: bool = False
    survey_id: uuid.UUID | None = None
    form_id: uuid.UUID | None = None
    voucher_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a piece means. ``issue_tags`` are in use, the first is its own; ``unmapped`` are (field, value).

    ``late`` says why no criterion may act on it. ``rules`` are the criteria that could hold. ``echo`` says that it is
    our own doing, come back.
    """

    command: TakeIn
    score: Score | None
    issue_tags: tuple[str, ...]
    tagged_by: str | None
    location: str | None
    segment: str | None
    locale: str | None
    contact: Contact
    currency: str
    event: str | None
    occurred_at: datetime
    late: str | None
    rules: tuple[Criterion, ...]
    settle: timedelta
    unmapped: tuple[tuple[str, str], ...]
    echo: bool

    @property
    def needs_response(self) -> bool:
        """Return whether anything could follow from it: a rule, a case, an answer to a question of ours."""
        command = self.command
        return bool(
            self.rules
            or command.open_case
            or command.survey_id
            or (self.event == "purchase" and self.contact != Contact())
        )


def understand(
    core: Core, current: CurrentCatalog, actor: Actor, command: TakeIn, now: datetime, *, forgiving: bool = False
) -> Understood:
    """Return what a piece means.

    Raises ``InputInvalid``, ``EmailInvalid``, ``PhoneInvalid`` and ``OtherLocation``, each naming its field; with
    ``forgiving`` an address that cannot be used is left out instead.
    """
    catalog = current.catalog
    source = catalog.sources.get(command.source)
    _check(command, now)
    unmapped: list[tuple[str, str]] = []
    keys, tagged_by = _tags(core, current, command, source, unmapped)
    location = _location(catalog, actor, command, unmapped)
    segment = _named(command.customer.segment, catalog.segments, "segment", unmapped)
    score = _score(command, source)
    event = command.event if command.event in EVENTS else _other(command.event, unmapped)
    occurred_at = min(command.occurred_at or now, now)
    rules = _rules(catalog, command, event, score, keys, segment, location)
    return Understood(
        command=command,
        score=score,
        issue_tags=keys,
        tagged_by=tagged_by,
        location=location,
        segment=segment,
        locale=_locale(command.customer.locale),
        contact=_contact(catalog, command, location, unmapped, forgiving=forgiving or command.raw.mapped),
        currency=command.currency or catalog.currency(location),
        event=event,
        occurred_at=occurred_at,
        late=_late(source, occurred_at, now),
        rules=rules,
        settle=_settle(catalog, rules),
        unmapped=tuple((name, _short(value)) for name, value in unmapped),
        echo=is_echo(command.issue_tags),
    )


def _check(command: TakeIn, now: datetime) -> None:
    """Refuse what no field of ours can hold."""
    customer = command.customer
    texts = {name: getattr(command, name) for name in LONGEST}
    people = {f"customer.{name}": getattr(customer, name) for name in customer.__dataclass_fields__}
    for name, text in {**texts, **people, **{f"story.{part}": text for part, text in command.story.items()}}.items():
        if text is not None and "\x00" in text:
            raise wrong(name, "This has the character NUL, which cannot be kept.")
        if text is not None and len(text) > LONGEST.get(name, COMMENT_LENGTH_MAX):
            raise wrong(name, f"Send at most {LONGEST.get(name, COMMENT_LENGTH_MAX):,} characters.")
    if command.source in _OURS and not getattr(command, _OURS[command.source]):
        raise wrong("source", f"“{command.source}” is a source of our own; report under another name.")
    if not command.external_id.strip():
        raise wrong("external_id", "Without an id of the source's own nobody could tell it from a repetition.")
    if command.kind not in KINDS:
        raise wrong("kind", f"A kind is one of {', '.join(KINDS)}.")
    if command.severity is not None and command.severity not in assessment.SEVERITIES:
        raise wrong("severity", "A severity is 1 (slight) to 4 (grave).")
    if command.occurred_at is not None and command.occurred_at > now + AHEAD:
        raise wrong("occurred_at", "This has not happened yet: it is more than a day in the future.")


def _score(command: TakeIn, source: FeedbackSource | None) -> Score | None:
    if command.score is None or str(command.score).strip() == "":
        return None
    return score_of(command.score, command.scale or (source.scale if source else None))


def _other(event: str | None, unmapped: list[tuple[str, str]]) -> str | None:
    if event is None:
        return None
    unmapped.append(("event", event))
    return "other"


def _tags(
    core: Core,
    current: CurrentCatalog,
    command: TakeIn,
    source: FeedbackSource | None,
    unmapped: list[tuple[str, str]],
) -> tuple[tuple[str, ...], str | None]:
    """Return the issue tags that the source names, else those whose words the comment has, and who said so."""
    names = tag_names(core, current, command.source, source)
    found: list[str] = []
    for each in command.issue_tags[:_TAGS_MAX]:
        key = names.get(mapping.fold(each))
        if key is None:
            unmapped.append(("issue_tags", each))
        else:
            found.append(key)
    if found:
        return tuple(dict.fromkeys(found)), "source"
    if not command.comment:
        return (), None
    words = {each.key: each.words for each in current.catalog.issue_tags.values() if each.active and each.words}
    spoken = tags_by_words(command.comment, words) if words else []
    return tuple(spoken), "words" if spoken else None


def tag_names(core: Core, current: CurrentCatalog, key: str, source: FeedbackSource | None) -> Mapping[str, str]:
    """Return the issue tags in use by every name that a source has for them, folded; a key is a name too."""
    tags = [each for each in current.catalog.issue_tags.values() if each.active]
    spoken = {alias for each in tags for alias in each.aliases}
    wanted = {source.tag_source or source.key if source else key, key}
    heard = tuple(sorted(each for each in spoken if each in wanted or each.partition(":")[0] in wanted))
    kept = core.cache.get(f"feedback.names:{heard}")
    if kept is not None and kept[0] == current.release_id:
        names: Mapping[str, str] = kept[1]
        return names
    names = {mapping.fold(alias): each.key for each in tags for name in heard for alias in each.aliases.get(name, ())}
    names |= {mapping.fold(each.key): each.key for each in tags}
    core.cache[f"feedback.names:{heard}"] = (current.release_id, names)
    return names


def _location(catalog: Catalog, actor: Actor, command: TakeIn, unmapped: list[tuple[str, str]]) -> str | None:
    """Return where it happened: the source's place, else the actor's own. Raises ``OtherLocation``."""
    named = _named(command.location, catalog.locations, "location", unmapped)
    if named is None and command.location:
        by_name = {mapping.fold(each.name): each.key for each in catalog.locations.values()}
        named = by_name.get(mapping.fold(command.location))
        if named:
            unmapped.pop()
    assessment.at_home(actor, named)
    return named or (actor.location if actor.location in catalog.locations else None)


def _named(value: str | None, known: Iterable[str], name: str, unmapped: list[tuple[str, str]]) -> str | None:
    if not value or value in known:
        return value or None
    unmapped.append((name, value))
    return None


def _contact(
    catalog: Catalog, command: TakeIn, location: str | None, unmapped: list[tuple[str, str]], *, forgiving: bool
) -> Contact:
    region = catalog.location(location).country if location else None
    given = command.customer
    try:
        return checked(given, region=region)
    except (EmailInvalid, PhoneInvalid) as refusal:
        if not forgiving:
            raise
        bad = str(refusal.facts["field"]).removeprefix("customer.")
        # What was meant for an address may still say who somebody is: that it was there is all that is noted.
        unmapped.append((f"customer.{bad}", "cannot be used"))
        rest = {name: getattr(given, name) for name in given.__dataclass_fields__ if name != bad}
        fewer = TakeIn(source=command.source, external_id="-", raw=command.raw, customer=CustomerGiven(**rest))
        return _contact(catalog, fewer, location, unmapped, forgiving=True)


def _locale(text: str | None) -> str | None:
    return text if text and len(text) <= _LOCALE_LENGTH_MAX else None


def _late(source: FeedbackSource | None, occurred_at: datetime, now: datetime) -> str | None:
    tolerance = timedelta(hours=source.tolerance_hours) if source else TOLERANCE
    if occurred_at >= now - tolerance:
        return None
    hours = int(tolerance.total_seconds() // 3600)
    said = f"{hours // 24} days" if hours % 24 == 0 and hours >= 48 else f"{hours} hours"  # noqa: PLR2004 - two days
    return f"It came more than {said} after it happened, so no criterion acts on it."


def _rules(
    catalog: Catalog,
    command: TakeIn,
    event: str | None,
    score: Score | None,
    keys: Sequence[str],
    segment: str | None,
    location: str | None,
) -> tuple[Criterion, ...]:
    """Return the criteria that could hold: none of what is sure about the piece speaks against them."""
    live = [each for each in catalog.criteria.values() if each.mode != "off"]
    if not live:
        return ()
    facts = criteria.Facts(
        source=command.source,
        kind=command.kind,
        weekday="",
        time="",
        event=event,
        score_bp=score.bp if score else None,
        scale=score.scale if score else None,
        issue_tags=frozenset(above for key in keys for above in catalog.lineage(key)),
        words=criteria.spoken(command.comment) if any("words" in each.when for each in live) else "",
        segment=segment,
        location=location,
    )
    return tuple(each for each in live if criteria.matches(_sure(each.when), facts) is not None)


def _sure(when: Mapping[str, Any]) -> dict[str, Any]:
    return {name: when[name] for name in _SURE if name in when}


def _settle(catalog: Catalog, rules: Sequence[Criterion]) -> timedelta:
    usual = catalog.recovery.settle_minutes
    minutes = (usual if each.settle_minutes is None else each.settle_minutes for each in rules if each.mode == "live")
    return timedelta(minutes=max(minutes, default=0))


def _short(value: str) -> str:
    return value.replace("\x00", "")[:UNMAPPED_LENGTH_MAX]


def wrong(name: str, message: str) -> InputInvalid:
    """Return the refusal of one field."""
    return InputInvalid(message, errors=[{"field": name, "message": message}])
