"""The timeline of a case in words: everything that was said and done, the oldest first."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from admin import case_words, words
from incentives.kernel.money import Money
from incentives.queries.case_timeline import TimelineItem

# What only the audit trail knows. Whoever adds an action that is about a case adds its words here.
DEEDS = {
    "voucher.adjusted": "The voucher's value was changed",
    "voucher.extended": "The voucher was extended",
    "voucher.frozen": "The voucher was frozen",
    "voucher.reissued": "The voucher was replaced by a new one",
    "voucher.resent": "The voucher was sent again",
    "voucher.unfrozen": "The voucher was unfrozen",
    "voucher.voided": "The voucher was taken back",
    "case.attached-to-incident": "It was found to be one of many: an incident",
    "case.answered": "Answers were written down",
    "case.assigned": "The case was given to somebody",
    "case.causes-named": "The causes were named",
    "case.closed": "The case was closed",
    "case.escalated": "Whoever leads was told that it is late",
    "case.file-removed": "A file was taken away",
    "case.linked": "Another case was named",
    "case.merged": "The case was put into another one",
    "case.merged-with": "Another case was put into this one",
    "case.not-recovered": "It counts as not put right",
    "case.opened": "The case was opened",
    "case.recovered": "It counts as put right",
    "case.reopened": "The case was opened again",
    "case.responsible-named": "Who is responsible was named",
    "case.salvageable": "It can be put right after all",
    "case.share-ended": "Somebody does not see the case any more",
    "case.shared": "The case was shared with a team",
    "case.shared-by-link": "A link to the case was made",
    "case.split": "Another trouble became a case of its own",
    "case.task-due": "A task is due",
    "case.unowned": "Nobody has taken the case on yet, and whoever leads was told",
    "case.unsalvageable": "Nothing we may give would put it right",
    "criterion.fired": "A rule acted",
    "feedback.better": "The customer changed their mind to the better",
    "feedback.ignored": "Feedback was set aside",
    "feedback.joined": "Feedback was added to the case",
    "feedback.replayed": "Feedback was read again",
    "feedback.tagged": "Feedback was given its issue tags",
    "feedback.worse": "The customer changed their mind to the worse",
    "voucher.expired": "The voucher expired unspent",
}

_APPROVALS = {
    "pending": "Somebody else must agree to {}",
    "granted": "The request for {} was granted",
    "declined": "The request for {} was declined",
    "expired": "Nobody decided in time about {}",
    "withdrawn": "The request for {} was taken back",
}

_TEMPLATES = {"voucher": "The voucher", "apology": "The apology", "survey": "The question how it was"}

_SURVEYS = {
    "planned": "The customer will be asked again",
    "sent": "The customer was asked again",
    "answered": "The customer said how it is now",
    "suppressed": "The customer is not asked again",
    "withdrawn": "Asking again was taken back",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """What it takes to tell a timeline: what keys are called, and in which zone."""

    zone: str | None
    incentives: Mapping[str, str]
    now: datetime

    def events(self, items: Iterable[TimelineItem], nobody: str = "the system") -> list[dict[str, Any]]:
        """Return what happened, in words; ``nobody`` is who did what nobody is named for."""
        shown = [each for each in items if not _said_already(each)]
        return [self._event(each, nobody) for each in sorted(shown, key=_when)]

    def _event(self, item: TimelineItem, nobody: str) -> dict[str, Any]:
        said = _WORDS.get(item.kind, _deed)(self, item)
        return {
            "words": said,
            "at": words.instant(_when(item)[0], self.zone),
            "who": item.actor_name or ("the customer" if item.kind == "feedback" else nobody),
            "reason": _text(item),
        }

    def title(self, incentive: str) -> str:
        """Return what an incentive is called."""
        return self.incentives.get(incentive, words.in_words(incentive))


def _when(item: TimelineItem) -> tuple[datetime, int]:
    """Return when something happened, and its place in that instant: a case is opened before anything is in it.

    A voucher that somebody had to agree to was given after they did.
    """
    issued_at = item.facts.get("issued_at") if item.kind == "voucher" else None
    return (issued_at or item.at, -1 if item.title == "case.opened" else int(issued_at is not None))


def _said_already(item: TimelineItem) -> bool:
    """Return whether another line says the same, or nobody on this page needs to know."""
    apologized = item.kind == "step" and item.title == "apologize" and item.facts.get("status") == "done"
    return item.kind == "notice" or (apologized and not item.text)


def _text(item: TimelineItem) -> str:
    """Return what somebody wrote or said, where the line itself does not say it."""
    if item.kind in ("task", "file"):
        return str(item.facts.get("result") or "")
    if item.kind == "approval" and not item.text:
        reasons = item.facts.get("reasons") or ()
        return words.over_limits(reasons, "the requester's").capitalize() if reasons else ""
    return item.text or ""


def _feedback(_: Teller, item: TimelineItem) -> str:
    score = case_words.given_score(item.facts.get("score_given"), item.facts.get("scale"))
    event = item.facts.get("event")
    what = score or (words.in_words(str(event)) if event else "")
    source = case_words.source(item.title)
    return f"{source}: {what}" if what else source


def _apology(_: Teller, item: TimelineItem) -> str:
    channel = case_words.CHANNELS.get(str(item.facts.get("channel")), "")
    return f"We apologized {channel}".strip()


def _message(_: Teller, item: TimelineItem) -> str:
    what = _TEMPLATES.get(item.title, words.in_words(item.title))
    channel = case_words.CHANNELS.get(str(item.facts.get("channel")), "")
    status, reason = str(item.facts.get("status")), item.facts.get("reason")
    word = words.delivery(status, reason)[2].lower() if status in words.DELIVERIES else ""
    return f"{what} {channel}: {word}"


def _step(_: Teller, item: TimelineItem) -> str:
    step = words.STEPS.get(item.title, words.in_words(item.title))
    channel = case_words.CHANNELS.get(str(item.facts.get("channel")), "")
    if item.facts.get("status") == "skipped":
        return f"Left out: {step}"
    return f"Done{f' {channel}' if channel else ''}: {step}"


def _note(_: Teller, __: TimelineItem) -> str:
    return "A note"


def _voucher(teller: Teller, item: TimelineItem) -> str:
    amount = item.facts.get("amount")
    value = words.money(amount) if isinstance(amount, Money) and amount.amount_minor else ""
    what = ", ".join(part for part in (teller.title(item.title), value) if part)
    if not item.facts.get("voucher_status") and item.facts.get("status") == "issued":
        return f"An apology was given: {what}"
    return f"{'A voucher was given' if item.facts.get('status') == 'issued' else 'A voucher was asked for'}: {what}"


def _approval(teller: Teller, item: TimelineItem) -> str:
    amount = item.facts.get("amount")
    value = words.money(amount) if isinstance(amount, Money) and amount.amount_minor else "it"
    said = _APPROVALS.get(item.title, words.in_words(item.title)).format(value)
    return f"{said}: {teller.title(str(item.facts.get('incentive') or ''))}"


def _redemption(_: Teller, item: TimelineItem) -> str:
    amount = item.facts.get("amount")
    value = f": {words.money(amount)}" if isinstance(amount, Money) and amount.amount_minor else ""
    verb = "The redemption was undone" if item.title == "reversed" else "The voucher was redeemed"
    return f"{verb}{value}"


def _task(_: Teller, item: TimelineItem) -> str:
    return f"{'A task was done' if item.title == 'done' else 'A task'}: {item.text or ''}"


def _file(_: Teller, item: TimelineItem) -> str:
    gone = " (taken away since)" if item.facts.get("removed_at") else ""
    return f"A file: {item.text or ''}{gone}"


def _survey(teller: Teller, item: TimelineItem) -> str:
    said = _SURVEYS.get(item.title, words.in_words(item.title))
    if item.title == "planned":
        return f"{said} {words.ago(item.facts['due_at'], teller.now)}"
    answer = case_words.score(item.facts.get("answer_score_bp"))
    reason = item.facts.get("reason")
    return f"{said}: {answer or reason}" if answer or reason else said


def _assignment(_: Teller, item: TimelineItem) -> str:
    name = item.facts.get("owner_name")
    if name and name == item.actor_name:
        return "Taken on"
    team = item.facts.get("owner_team") or item.facts.get("team")
    whom = name or (words.in_words(str(team)) if team else "nobody")
    return f"Taken from somebody who left, given to {whom}" if item.facts.get("by") == "left" else f"Given to {whom}"


def _deed(_: Teller, item: TimelineItem) -> str:
    said = DEEDS.get(item.title, words.in_words(item.title.rpartition(".")[2]))
    clock = str(item.facts.get("clock") or "")
    if clock:
        said = f"{said}: {case_words.CLOCKS.get(clock, clock)}"
    outcome = case_words.OUTCOMES.get(str(item.facts.get("outcome") or ""))
    return f"{said}: {outcome.word}" if outcome else said


_WORDS: Mapping[str, Callable[[Teller, TimelineItem], str]] = {
    "feedback": _feedback,
    "apology": _apology,
    "message": _message,
    "step": _step,
    "note": _note,
    "voucher": _voucher,
    "approval": _approval,
    "redemption": _redemption,
    "task": _task,
    "file": _file,
    "survey": _survey,
    "assignment": _assignment,
    "deed": _deed,
}
