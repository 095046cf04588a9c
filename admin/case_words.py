"""How the pages say what is so with a case: its clocks, steps, outcomes, and what was done in it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from admin import words


class Sign(NamedTuple):
    """What a badge says: its tone, the word, and the sign that says the same without any color."""

    tone: str
    word: str
    sign: str


_SOON = timedelta(minutes=30)
_MINUTE = timedelta(minutes=1)
_MINUTES_MOST, _HOURS_MOST = 120, 48

SEVERITIES = {
    1: Sign("news", "Slight", "info"),
    2: Sign("news", "Annoying", "info"),
    3: Sign("warn", "Serious", "alert"),
    4: Sign("bad", "Grave", "alert"),
}

CLOCKS = {
    "first_contact": "First contact",
    "apology": "Apology",
    "incentive": "Incentive",
    "fix": "Fix",
    "close": "Closing",
}

OUTCOMES = {
    "recovered": Sign("good", "Put right", "check"),
    "not_recovered": Sign("warn", "Not put right", "cross"),
    "unsalvageable": Sign("bad", "Not salvageable", "cross"),
    "no_action": Sign("news", "Nothing to do", "info"),
    "merged": Sign("news", "Part of another case", "case"),
}

OUTCOME_CHOICES = (
    ("", "Choose"),
    ("recovered", "Put right: the customer is content"),
    ("not_recovered", "Not put right: we tried, and they are not content"),
    ("unsalvageable", "Not salvageable: nothing we may give would mend it"),
    ("no_action", "Nothing to do: there was no trouble of ours"),
)

EVIDENCE = {
    "score": "by the customer's own score",
    "uplift": "by how much better the second score is",
    "purchase": "by a later purchase",
    "judgment": "by the judgment of whoever closed it",
}

QUESTIONS = {
    "what": "What happened?",
    "who": "Who was it about, or who served the customer?",
    "when": "When did it happen?",
    "differently": "What should we have done differently?",
}

# What a step is about, and what its button says once it is done.
STEP_HELP = {
    "apologize": ("Say it before anything else, and mean it. An incentive can wait; this cannot.", "Apologize"),
    "review": ("Read what happened and find out how it came about.", "It is reviewed"),
    "fix": ("Put right what went wrong, so that it is right for this customer now.", "It is fixed"),
    "follow_up": ("Ask the customer whether it is right now.", "The customer was asked"),
    "document": ("Name the causes below. What you write when you close the case documents it.", ""),
    "gather": ("Find out what is still missing below. Ask the customer only for that.", "Everything is known"),
    "resolve": ("Put it right, with what the customer needs.", "It is resolved"),
    "survey": ("The customer is asked how it went by itself, some time after the case is closed.", ""),
}
# Closing a case does these.
CLOSING_STEPS = ("document", "survey")
REACHING_STEPS = ("follow_up", "resolve", "fix")

SPOKEN = (("in_person", "Said it in person"), ("phone", "Said it by phone"))
WRITTEN = (("chat", "Wrote it in the chat"), ("letter", "Sent a letter"))
SENT = (("email", "Email, sent now"), ("sms", "SMS, sent now"))
CHANNELS = {
    "email": "by email",
    "sms": "by SMS",
    "phone": "by phone",
    "in_person": "in person",
    "chat": "in the chat",
    "letter": "by letter",
}

TASK_KINDS = (
    ("customer", "The customer: something promised"),
    ("process", "The process: so that it does not happen again"),
    ("employee", "A colleague: something to learn"),
)
TASK_WORDS = {"customer": "For the customer", "process": "For how we work", "employee": "For a colleague to learn"}

SOURCES = {"staff": "Told by staff", "form": "Feedback form", "resurvey": "Asked again", "api": "Feedback"}

LINKS = {"related": "belongs to it", "merged": "put together with it", "split": "split off from it"}

SURVEYS = {
    "planned": "The customer will be asked on",
    "sent": "The customer was asked",
    "answered": "The customer answered",
    "suppressed": "Not asked",
    "withdrawn": "Taken back",
}

RESPONSIBLE = {
    "team": "A team of ours",
    "process": "How we work",
    "vendor": "Somebody we work with",
    "product": "A product",
    "agent": "A colleague",
}

GIFTS = {
    "pending_approval": Sign("warn", "Waiting for approval", "hourglass"),
    "declined": Sign("bad", "Declined", "cross"),
    "withdrawn": Sign("news", "Withdrawn", "cross"),
    "issued": Sign("good", "Given", "ticket"),
    "reserved": Sign("news", "At a till right now", "hourglass"),
    "redeemed": Sign("good", "Redeemed", "check"),
    "voided": Sign("bad", "Taken back", "cross"),
    "expired": Sign("warn", "Ended unspent", "hourglass"),
    "replaced": Sign("news", "Replaced", "refresh"),
}


def ended(outcome: str | None) -> Sign:
    """Return how a case ended."""
    return OUTCOMES.get(outcome or "", Sign("good", "Closed", "check"))


def severity(number: int) -> Sign:
    """Return how bad it is."""
    return SEVERITIES.get(number, SEVERITIES[2])


def how_long(span: timedelta) -> str:
    """Return a span in whole minutes, hours or days, never more than there is: nobody counts on what is not left."""
    minutes = max(1, span // _MINUTE)
    if minutes < _MINUTES_MOST:
        return words.counted(minutes, "minute", "minutes")
    hours = minutes // 60
    if hours < _HOURS_MOST:
        return words.counted(hours, "hour", "hours")
    return words.counted(hours // 24, "day", "days")


def until(due_at: datetime, now: datetime) -> str:
    """Return by when something must have happened: ``due in 12 minutes``, ``3 hours overdue``."""
    return f"{how_long(now - due_at)} overdue" if due_at <= now else f"due in {how_long(due_at - now)}"


def running(clock: str, due_at: datetime, now: datetime) -> Sign:
    """Return a clock that runs: by tone, sign and word, never by color alone."""
    word = f"{CLOCKS.get(clock, words.in_words(clock))} {until(due_at, now)}"
    if due_at <= now:
        return Sign("bad", word, "alert")
    return Sign("warn", word, "hourglass") if due_at - now <= _SOON else Sign("news", word, "clock")


def met(clock: str, due_at: datetime, met_at: datetime) -> Sign:
    """Return a clock that was met, in time or late."""
    name = CLOCKS.get(clock, words.in_words(clock))
    if met_at <= due_at:
        return Sign("good", f"{name} in time", "check")
    return Sign("warn", f"{name} {how_long(met_at - due_at)} late", "check")


def score(score_bp: int | None) -> str:
    """Return a comparable score in words: ``Score 25 of 100``; empty where there is none."""
    return "" if score_bp is None else f"Score {(score_bp + 50) // 100} of 100"


_STARS = 5
SCALES = {"csat": "satisfaction {} of 5", "nps": "would recommend: {} of 10", "ces_7": "ease {} of 7", "percent": "{}%"}


def given_score(given: str | None, scale: str | None) -> str:
    """Return a score as it was given, in words: ``2 of 5 stars``."""
    if not given or not scale:
        return ""
    if scale == "stars_5":
        return f"{given} of {_STARS} stars"
    if not given.isascii() or not given.isdigit():
        return f"Satisfaction: {given}"  # the one scale that has words
    return SCALES.get(scale, "{}").format(given).capitalize()


def source(key: str) -> str:
    """Return where feedback came from."""
    return SOURCES.get(key, words.in_words(key))


def size(size_bytes: int) -> str:
    """Return a file's size as people say it."""
    if size_bytes < 1024:  # noqa: PLR2004 - a kilobyte, as file sizes are counted
        return words.counted(size_bytes, "byte", "bytes")
    kilobytes = size_bytes / 1024
    return f"{kilobytes:,.0f} kB" if kilobytes < 1024 else f"{kilobytes / 1024:,.1f} MB"  # noqa: PLR2004 - as above


def spread(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts that are known, each with its label, fit for a list."""
    return [(label, str(value)) for label, value in facts.items() if value not in (None, "")]


def same_words(words_sent: str, prefilled: str) -> bool:
    """Return whether a text is the one that its form was made with, whatever browsers did to its spaces."""
    return bool(prefilled) and digest_of(words_sent) == prefilled


def digest_of(text: str) -> str:
    """Return the digest of a text, blind to how its words are parted."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def missing(each: Mapping[str, str]) -> tuple[str, str]:
    """Return what is missing before a case can close: the part of its page where it is done, and words."""
    name, _, rest = each["field"].partition(".")
    if name == "steps":
        return "next", f"“{words.STEPS.get(rest, words.in_words(rest))}” is neither done nor left out."
    if name == "causes":
        return "causes", "It says nowhere why it happened. For trouble as bad as this, it must."
    if name == "approvals":
        return "given", "Somebody is still to decide what may be given."
    return f"close-{'note' if name == 'reason' else name}", each["message"]
