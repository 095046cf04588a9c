"""The main column of a case's page: what it is about, what comes next, what the customer told, what was given."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from admin import case_words, pages, words
from admin.case_words import Sign
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import NoCatalog, NotPermitted
from incentives.kernel.money import Money
from incentives.queries import catalog
from incentives.queries.case_parts import Clock, StepShown
from incentives.queries.case_screen import CaseScreen
from incentives.queries.case_timeline import TimelineItem
from incentives.queries.cases import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A case with what its page needs to say it in words: who looks, when, and what keys are called."""

    core: Core
    actor: Actor
    screen: CaseScreen
    now: datetime
    zone: str | None
    places: Mapping[str, str]
    teams: Mapping[str, str]
    tags: Mapping[str, str]
    incentives: Mapping[str, str]

    @classmethod
    def of(cls, core: Core, actor: Actor, screen: CaseScreen) -> "Shown":
        """Return a case with the names of what it refers to."""
        return cls(
            core=core,
            actor=actor,
            screen=screen,
            now=core.clock.now(),
            zone=pages.zone_of(actor, screen.case.location),
            places=pages.location_names(actor),
            teams=team_names(core, actor),
            tags=tag_labels(core, actor),
            incentives=incentive_titles(core, actor),
        )

    @property
    def href(self) -> str:
        """Return the address of the case."""
        return f"/cases/{self.screen.case.id}"

    @property
    def open(self) -> bool:
        """Return whether the case is being worked on."""
        return self.screen.case.status == "open"

    @property
    def works(self) -> bool:
        """Return whether whoever looks may work on it now."""
        return self.open and self.screen.may_edit

    def tag(self, key: str) -> str:
        """Return what an issue tag is called."""
        return self.tags.get(key, words.in_words(key))

    def place(self, key: str | None) -> str:
        """Return what a location is called."""
        return self.places.get(key or "", key or "")

    def instant(self, at: datetime) -> str:
        """Return an instant in the case's own zone."""
        return words.instant(at, self.zone)

    def ago(self, at: datetime) -> str:
        """Return how long ago something was."""
        return words.ago(at, self.now)


def tag_labels(core: Core, actor: Actor) -> Mapping[str, str]:
    """Return what the issue tags are called, by key; none before the first catalog."""
    try:
        return {each.key: pages.english(each.label) for each in catalog.issue_tags(core=core, actor=actor)}
    except (NoCatalog, NotPermitted):
        return {}


def team_names(core: Core, actor: Actor) -> Mapping[str, str]:
    """Return what the teams are called, by key; none before the first catalog."""
    try:
        return {each.key: each.name for each in catalog.teams(core=core, actor=actor)}
    except (NoCatalog, NotPermitted):
        return {}


def incentive_titles(core: Core, actor: Actor) -> Mapping[str, str]:
    """Return what the incentives are called, by key; none before the first catalog."""
    try:
        return {each.key: pages.english(each.title) for each in catalog.incentives(core=core, actor=actor)}
    except (NoCatalog, NotPermitted):
        return {}


def view(shown: Shown) -> dict[str, Any]:
    """Return what the head and the main column show."""
    return {
        "case": _case(shown),
        "may": {
            "work": shown.works,
            "note": shown.screen.may_edit,
            "manage": shown.screen.may_manage,
        },
        "clocks": [_clock(shown, each) for each in _clocks_in_order(shown.screen.clocks)] if shown.open else [],
        "next": _next(shown),
        "steps": [step(each, shown.screen.next_step if shown.open else None, shown.now) for each in shown.screen.steps],
        "apology": _apology(shown) if shown.works else None,
        "apologies": [_said(shown, each) for each in shown.screen.timeline if each.kind == "apology"],
        "told": _told(shown),
        "given": _given(shown),
    }


def status(case: Case) -> Sign:
    """Return where a case stands."""
    if case.status == "closed":
        return case_words.ended(case.outcome)
    if case.round > 1:
        return Sign("warn", "Open again", "refresh")
    return Sign("news", "Open", "clock")


def _case(shown: Shown) -> dict[str, Any]:
    case, screen = shown.screen.case, shown.screen
    order = f"order {case.order_ref}" if case.order_ref else None
    parts = (screen.customer_name, order, shown.place(case.location), f"opened {shown.ago(case.opened_at)}")
    return {
        "id": case.id,
        "href": shown.href,
        "title": shown.tag(case.issue_tag),
        "customer": screen.customer_name or "",
        "what": _sentence(", ".join(part for part in parts if part)),
        "status": status(case),
        "severity": case_words.severity(case.severity),
        "clock": _nearest(shown) if shown.open else None,
        "badges": [Sign("news", shown.tag(each), "case") for each in screen.tags if each != case.issue_tag],
        "guidance": screen.protocol.guidance if screen.protocol and shown.open else "",
        "moved": _moved(shown),
        "incident": f"/incidents/{case.incident_id}"
        if case.incident_id and may(shown.actor, "incidents:manage")
        else "",
        "contact": _contact(screen),
        "facts": case_words.spread(
            {
                "Product": case.product,
                "Source": _source(case),
                "Opened": f"{shown.instant(case.opened_at)}, by {case.opened_by_name}",
                "Language": words.LANGUAGE_WORDS.get(screen.locale, screen.locale),
                "Round": f"{case.round}, for it was opened again" if case.round > 1 else None,
            }
        ),
    }


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _source(case: Case) -> str | None:
    return None if case.source == "staff" else case_words.source(case.source)


def _contact(screen: CaseScreen) -> list[tuple[str, str]]:
    return case_words.spread({"Email": screen.contact.email, "Phone": screen.contact.phone})


def _moved(shown: Shown) -> dict[str, str] | None:
    into = shown.screen.case.merged_into_id
    if into is None:
        return None
    other = next((each for each in shown.screen.linked if each.id == into), None)
    said = f"{shown.tag(other.issue_tag)}, opened {shown.ago(other.opened_at)}" if other else "Go on there."
    return {"title": "This case goes on in another one", "words": said, "href": f"/cases/{into}"}


def _clocks_in_order(clocks: Sequence[Clock]) -> list[Clock]:
    """Return those that run before those that were met, the nearest first."""
    return sorted(clocks, key=lambda each: (each.met_at is not None, each.due_at))


def _clock(shown: Shown, each: Clock) -> dict[str, str]:
    if each.met_at:
        return {**case_words.met(each.clock, each.due_at, each.met_at)._asdict(), "when": ""}
    said = case_words.running(each.clock, each.due_at, shown.now)
    when = f"{shown.instant(each.due_at)}{', told to whoever leads' if each.escalated_at else ''}"
    return {**said._asdict(), "when": when}


def _nearest(shown: Shown) -> Sign | None:
    """Return the clock that runs out next."""
    running = [each for each in _clocks_in_order(shown.screen.clocks) if each.met_at is None]
    return case_words.running(running[0].clock, running[0].due_at, shown.now) if running else None


def _next(shown: Shown) -> dict[str, Any] | None:
    key = shown.screen.next_step
    if key is None or not shown.open:
        return None
    helped, did = case_words.STEP_HELP.get(key, ("", "It is done"))
    channels = [("", "Not at all"), *((name, said.capitalize()) for name, said in case_words.CHANNELS.items())]
    return {
        "key": key,
        "word": words.STEPS.get(key, words.in_words(key)),
        "help": helped,
        "did": did,
        "by_closing": key in case_words.CLOSING_STEPS,
        "channels": channels if key in case_words.REACHING_STEPS else [],
    }


def step(each: StepShown, next_step: str | None, now: datetime) -> dict[str, Any]:
    """Return one step: what became of it, who did it and when."""
    state = each.status or ("next" if each.step == next_step else "later")
    signs = {"done": "check", "skipped": "cross"}
    verb = "left out" if state == "skipped" else "done"
    channel = f" {case_words.CHANNELS.get(each.channel, each.channel)}" if each.channel else ""
    name = f" by {each.actor_name}" if each.actor_name else ""
    said = f"{verb}{channel}{name}, {words.ago(each.at, now)}" if each.at else ""
    if not each.status and not each.required:
        said = "may be left out"
    return {
        "word": words.STEPS.get(each.step, words.in_words(each.step)),
        "state": state,
        "sign": signs.get(state, ""),
        "said": said,
        "note": each.note or "",
    }


def _apology(shown: Shown) -> dict[str, Any]:
    screen = shown.screen
    script = screen.protocol.script if screen.protocol and screen.protocol.script else ""
    addresses = dict(_contact(screen))
    sent = [each for each, address in zip(case_words.SENT, ("Email", "Phone"), strict=True) if address in addresses]
    spoken = (*case_words.SPOKEN, *case_words.WRITTEN)
    groups = [("Send it now", sent), ("It was said already", spoken)] if sent else [("", spoken)]
    languages = [(each, words.LANGUAGE_WORDS.get(each, each)) for each in pages.languages(shown.actor)]
    return {
        "script": script,
        "prefilled": case_words.digest_of(script) if script else "",
        "hint": "The protocol's words. Make them your own; left as they are, they are said in the language you choose."
        if script
        else "Say what went wrong, and that you are sorry.",
        "channels": groups,
        "channel": groups[0][1][0][0],
        "languages": languages or [("en", "English")],
        "language": screen.locale,
    }


def _said(shown: Shown, each: TimelineItem) -> dict[str, str]:
    channel = case_words.CHANNELS.get(str(each.facts.get("channel", "")), "")
    return {
        "how": f"{each.actor_name} {channel}, {shown.instant(each.at)}".replace(" ,", ","),
        "words": each.text or "",
        "language": str(each.facts.get("language") or "en"),
    }


def _told(shown: Shown) -> dict[str, Any]:
    screen = shown.screen
    rows = [
        {
            "key": each.key,
            "question": case_words.QUESTIONS.get(each.key, words.in_words(each.key)),
            "answer": each.answer or "",
            "needed": each.required,
        }
        for each in screen.questions
    ]
    return {
        "feedback": [feedback(shown, each) for each in screen.timeline if each.kind == "feedback"],
        "answers": [each for each in rows if each["answer"]],
        "missing": [each for each in rows if not each["answer"]],
        "asked": shown.works and bool(rows) and all(each["answer"] for each in rows),
    }


def feedback(shown: Shown, each: TimelineItem) -> dict[str, str]:
    """Return one piece of feedback as it was given."""
    facts = each.facts
    event = facts.get("event")
    parts = (words.in_words(str(event)) if event else "", f"served by {facts['agent']}" if facts.get("agent") else "")
    return {
        "how": f"{case_words.source(each.title)}, {shown.instant(each.at)}",
        "score": case_words.given_score(facts.get("score_given"), facts.get("scale")),
        "comment": each.text or "",
        "more": ", ".join(part for part in (*parts, *(facts.get("choices") or ())) if part),
    }


def _given(shown: Shown) -> dict[str, Any]:
    gifts = [each for each in shown.screen.timeline if each.kind == "voucher"]
    case = shown.screen.case
    may_give = shown.works and may(shown.actor, "issuances:create")
    return {
        "rows": [_gift(shown, each) for each in gifts],
        "total": sums(each.facts["amount"] for each in gifts if each.facts.get("voucher_status") in _WORTH),
        "help": "The apology comes first; then give what the protocol allows." if may_give else "",
        "href": f"/staff/give/{case.issue_tag}?case={case.id}" if may_give else "",
        "salvageable": case.salvageable,
    }


def sums(amounts: Iterable[Money]) -> str:
    """Return amounts, summed by currency: ``£25.00 and $10.00``."""
    found: dict[str, int] = {}
    for each in amounts:
        found[each.currency] = found.get(each.currency, 0) + each.amount_minor
    return " and ".join(words.money(Money(minor, currency)) for currency, minor in found.items() if minor)


# A voucher in one of these states has cost us something, or still may.
_WORTH = ("issued", "reserved", "redeemed")


def _gift(shown: Shown, each: TimelineItem) -> dict[str, Any]:
    facts = each.facts
    value = words.money(facts["amount"]) if facts["amount"].amount_minor else ""
    title = shown.incentives.get(each.title, words.in_words(each.title))
    status = str(facts["status"] if facts["status"] != "issued" else facts.get("voucher_status") or "issued")
    said = case_words.GIFTS.get(status, Sign("news", words.in_words(status), "ticket"))
    return {
        "title": ", ".join(part for part in (title, value) if part),
        "what": f"{each.actor_name}, {shown.instant(each.at)}",
        "tone": said.tone,
        "status": said.word,
        "sign": said.sign,
        "href": f"/vouchers/{facts['voucher_id']}"
        if facts.get("voucher_id") and may(shown.actor, "issuances:read")
        else "",
    }
