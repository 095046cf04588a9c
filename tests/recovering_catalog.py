"""The small catalog with all that a recovery can have: a source with a mapping, rules, causes, clocks, asking again."""

from typing import Any

import orjson

from tests.small_catalog import LIMITS, LOCATION, TAG, TEAM, catalog

RUDE = "rude"
TOOL = "survey-tool"
CAUSE = "people"

_RULE: dict[str, Any] = {"settle_minutes": 0, "when": {"score_at_most_pct": 25}}
_CRITERIA = [
    {
        **_RULE,
        "key": "unhappy",
        "name": "Unhappy customers",
        "priority": 20,
        "mode": "live",
        "then": {"assign": {"to": "team", "team": TEAM}, "issue": {"channels": ["email"]}, "notify": ["supervisor"]},
        "breaker": {"count_per_hour": 100},
    },
    {
        **_RULE,
        "key": "thinking",
        "name": "What we think of giving",
        "priority": 10,
        "mode": "shadow",
        "then": {"issue": {"channels": ["sms"]}},
    },
]
_SOURCE = {
    "key": TOOL,
    "name": "A survey tool",
    "kind": "survey",
    "scale": "stars_5",
    "fields": {
        "external_id": ["/id"],
        "revision": ["/version"],
        "score": ["/stars"],
        "comment": ["/words"],
        "issue_tags": ["/themes"],
        "agent": ["/served_by"],
        "order_ref": ["/order"],
        "customer.external_ref": ["/who/id"],
        "customer.name": ["/who/name"],
        "customer.email": ["/who/email"],
        "customer.phone": ["/who/phone"],
    },
}
_PROTOCOL: dict[str, Any] = {
    "steps": ["apologize", "review", "fix", "follow_up", "document"],
    "optional_steps": ["follow_up"],
    "clocks": {"first_contact": 30, "apology": 60, "incentive": 90, "fix": 120, "close": 600},
    "tasks": [{"kind": "process", "title": "Look at the roster", "due_hours": 48}],
    "resurvey_after": "close",
    "resurvey_hours": 24,
    "resurvey_scale": "stars_5",
}


def recovering_catalog() -> str:
    """Return the catalog's text."""
    robot = {"role": "integrator", "currency": "USD", "unlimited": True}
    document = orjson.loads(catalog(limits=(*LIMITS, robot)))
    (protocol,) = document["protocols"]
    protocol |= _PROTOCOL
    document["issue_tags"][0] |= {"aliases": {TOOL: ["Slow"]}}
    document["issue_tags"].append({"key": RUDE, "label": {"en": "Rude"}, "icon": "clock", "severity": 3})
    document["root_causes"] = [{"key": CAUSE, "label": {"en": "People"}}]
    return orjson.dumps(document | {"sources": [_SOURCE], "criteria": _CRITERIA}).decode()


__all__ = ["CAUSE", "LOCATION", "RUDE", "TAG", "TEAM", "TOOL", "recovering_catalog"]
