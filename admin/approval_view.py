"""How the approvals queue shows a request: what it is, whose turn it is, how long it has waited, who has agreed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from admin import giving, words
from incentives.flows.offer import EarlierRecovery
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.queries.approval_policies import Level
from incentives.queries.approval_times import DecisionTimes
from incentives.queries.approvals import Approval, OtherIncentive, Vote

_HALF, _NEARLY = 0.5, 0.9
_ROLES = {"supervisor": "supervisors", "manager": "managers", "finance": "finance", "admin": "administrators"}
_BLOCKED = {
    "own": ("You asked for this yourself", "Somebody else with the right to approve must decide."),
    "not-permitted": ("You may look, not decide", "Supervisors, managers and finance decide."),
    "voted": ("You have had your say", "Somebody else must agree too."),
    "others-turn": ("Others decide on this now", "It says above who, and when it is passed on."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all rows of a page are shown with."""

    core: Core
    actor: Actor
    now: datetime
    zone: str | None
    labels: Mapping[str, str]
    places: Mapping[str, str]


def row(each: Approval, on: Ground) -> dict[str, Any]:
    """Return what the page shows of one request."""
    place = on.places.get(each.location, each.location) if each.location else None
    severity = words.SEVERITIES.get(each.severity, "").lower()
    trouble = ", ".join(
        part for part in (on.labels.get(each.issue_tag, each.issue_tag), severity, each.order_ref) if part
    )
    earlier = each.earlier_recoveries
    return {
        "id": each.id,
        "title": each.title,
        "trouble": trouble,
        "value": words.money(each.amount),
        "requester": ", ".join(part for part in ("You" if each.own else each.requested_by_name, place) if part),
        "why": words.over_limits(each.reasons, "the requester's").capitalize(),
        "note": each.note,
        "earlier": giving.earlier_title(earlier, on.now) if earlier else None,
        "earlier_worth": _worth_of(earlier),
        "case": f"/cases/{each.case_id}",
        "clock": _clock(each, on),
        "turn": _turn(each),
        # One level of whoever may decide at all is no news to somebody who may.
        "turn_matters": len(each.levels) > 1 or each.levels[0].needed > 1 or bool(each.blocked or each.policy),
        "votes": [_vote(vote, on) for vote in each.votes],
        "agreed": words.money(each.agreed) if each.agreed != each.amount else None,
        **_form(each, on),
    }


def _form(each: Approval, on: Ground) -> dict[str, Any]:
    """Return what the form of a request is made of, or why there is none."""
    agreed, least = each.agreed, each.least_minor
    blocked = _BLOCKED.get(each.blocked or "")
    others = [_option(other) for other in each.other_incentives]
    own = [("", "Your own name")] if each.blocked is None else []
    stand_ins = [*own, *((other.label, other.name) for other in each.stand_ins)]
    taking_back = each.own or (each.blocked in ("voted", "others-turn") and may(on.actor, "issuances:create"))
    return {
        "blocked": {"title": blocked[0], "words": blocked[1]} if blocked and not each.stand_ins else None,
        "in_own_name": each.blocked is None,
        "stand_ins": stand_ins if each.stand_ins else [],
        "adjustable": least < agreed.amount_minor,
        "currency": agreed.currency,
        "amount_text": words.plain_amount(agreed),
        "bounds": f"{words.money(Money(least, agreed.currency))} to {words.money(agreed)}",
        "others_open": bool(each.agreed_incentive),
        "others": [("", _as_asked(each)), *others] if others else [],
        "taking_back": {"own": each.own} if taking_back else None,
        "idempotency_key": str(on.core.ids.new(on.now)),
        "incentive": "",
        "on_behalf_of": "",
        "comment": "",
        "reason": "",
        "error": None,
        "comment_error": None,
        "incentive_error": None,
        "reason_error": None,
    }


def _as_asked(each: Approval) -> str:
    chosen = next((other.title for other in each.other_incentives if other.key == each.agreed_incentive), None)
    return f"As the others agreed: {chosen}" if chosen else f"As asked: {each.title}"


def _option(other: OtherIncentive) -> tuple[str, str]:
    return other.key, f"{other.title}, {words.money(other.amount)}"


def _worth_of(earlier: Sequence[EarlierRecovery]) -> str:
    sums: dict[str, int] = {}
    for each in earlier:
        sums[each.amount.currency] = sums.get(each.amount.currency, 0) + each.amount.amount_minor
    return " and ".join(words.money(Money(total, currency)) for currency, total in sums.items())


def _clock(each: Approval, on: Ground) -> dict[str, str]:
    """Return how long it has waited, and what happens when, the nearer the graver."""
    now = on.now
    ends_at = min(each.escalates_at or each.expires_at, each.expires_at)
    whole = (ends_at - each.level_since_at).total_seconds() or 1
    used = (now - each.level_since_at).total_seconds() / whole
    tone = "bad" if used >= _NEARLY else "warn" if used >= _HALF else "news"
    passed_on = each.escalates_at is not None and each.escalates_at < each.expires_at
    first = f"Passed on {words.ago(ends_at, now)}, over" if passed_on else f"Over {words.ago(ends_at, now)},"
    left = f"{first} {words.instant(each.expires_at, on.zone)}"
    return {"tone": tone, "waited": f"Waiting {words.lasting(now - each.requested_at)}", "left": left}


def _turn(each: Approval) -> str:
    """Return who decides now, in one sentence or two."""
    level = each.levels[each.level - 1]
    number = f"Level {level.number} of {len(each.levels)}. " if len(each.levels) > 1 else ""
    extra = [role for role in each.fallback_roles if role not in level.roles] if each.fallback else []
    missing = f" {each.still_needed} more must agree." if level.needed > 1 else ""
    return f"{number}{who(level, extra)}.{missing}"


def who(level: Level, extra: Iterable[str] = ()) -> str:
    """Return who decides at a level: ``2 of: supervisors, managers``."""
    number = "One" if level.needed == 1 else str(level.needed)
    return f"{number} of: {', '.join(filter(None, (roles((*level.roles, *extra)), *level.people)))}"


def roles(keys: Iterable[str]) -> str:
    """Return roles in words: ``supervisors, managers``."""
    return ", ".join(_ROLES.get(key, key) for key in keys)


def _vote(vote: Vote, on: Ground) -> dict[str, str]:
    name = vote.actor_name + (f", in the place of {vote.on_behalf_of_name}" if vote.on_behalf_of_name else "")
    said = "agreed" if vote.decision == "grant" else "declined"
    amount = f" to {words.money(vote.amount)}" if vote.amount and vote.decision == "grant" else ""
    return {"words": f"{name} {said}{amount}", "when": words.ago(vote.at, on.now), "comment": vote.comment or ""}


def pace(times: DecisionTimes) -> str:
    """Return how long decisions take, as it was; nothing where there were none."""
    if times.median_seconds is None:
        return ""
    took = words.lasting(timedelta(seconds=times.median_seconds))
    lapsed = f" {words.counted(times.lapsed, 'request', 'requests')} ran out of time." if times.lapsed else ""
    of = "The only decision" if times.decided == 1 else f"Half of {times.decided:,} decisions"
    return f"{of} in 30 days took {took}{'' if times.decided == 1 else ' or less'}.{lapsed}"
