"""The shop with sources that report to it: two survey tools with mappings, tags with aliases and words, criteria."""

from datetime import datetime
from typing import Any

import orjson

from incentives.flows.take_in import CustomerGiven, Raw, TakeIn
from tests.flows.shop import SHOP

ASKNICELY: dict[str, Any] = {
    "key": "asknicely",
    "name": "AskNicely",
    "kind": "survey",
    "scale": "nps",
    "fields": {
        "external_id": ["/question/id"],
        "revision": ["/count"],
        "score": ["/question/score"],
        "comment": ["/question/comment"],
        "occurred_at": ["/question/responded"],
        "issue_tags": ["/question/theme"],
        "customer.external_ref": ["/person/id"],
        "customer.name": ["/person/name"],
        "customer.email": ["/person/email"],
        "customer.segment": ["/person/segment"],
    },
    "values": {"customer.segment": {"VIP": "gold"}},
    "tolerance_hours": 24,
}
STELLA: dict[str, Any] = {
    "key": "stella-connect",
    "name": "Stella Connect",
    "kind": "survey",
    "scale": "stars_5",
    "tag_source": "stella:tag",
    "fields": {
        "external_id": ["/uuid"],
        "revision": ["/sequence_id"],
        "score": [
            "/answers/agent_star_rating/selected_options/integer_value",
            "/answers/agent_star_rating/selected_options/0/integer_value",
        ],
        "comment": ["/answers/agent_star_rating/comment"],
        "occurred_at": ["/response_received_at"],
        "issue_tags": ["/tags"],
        "agent": ["/employee/custom_id", "/employee/email"],
        "order_ref": ["/ext_interaction_id"],
        "location": ["/custom_properties/store"],
        "customer.email": ["/customer/email"],
    },
    "values": {"location": {"LHR": "london"}},
}
CRITERIA = [
    {
        "key": "unhappy",
        "name": "Unhappy customers",
        "priority": 10,
        "mode": "live",
        "when": {"score_at_most_pct": 40},
        "then": {"open_case": True},
    },
]


def catalog(*, criteria: list[dict[str, Any]] | None = None, sources: tuple[Any, ...] = (ASKNICELY, STELLA)) -> str:
    """Return the shop's catalog with sources and criteria."""
    text = orjson.loads(SHOP)
    for tag in text["issue_tags"]:
        if tag["key"] == "long-wait":
            tag |= {"aliases": {"asknicely": ["Waiting"], "stella:tag": ["slow"]}, "words": ["waited", "too long"]}
        if tag["key"] == "odd":
            tag |= {"words": ["strange"]}
    text["sources"] = list(sources)
    text["criteria"] = CRITERIA if criteria is None else criteria
    return orjson.dumps(text).decode()


def piece(external_id: str = "one", **changes: Any) -> TakeIn:
    """Return a piece of feedback: two stars, reported by a till."""
    values = {"source": "till", "kind": "survey", "score": 2, "scale": "stars_5", **changes}
    body = orjson.dumps({"external_id": external_id, **values}, default=str)
    raw = values.pop("raw", Raw(body=body, headers={"Authorization": "Bearer secret", "User-Agent": "till/1"}))
    return TakeIn(external_id=external_id, raw=raw, **values)


def asknicely(*, count: int = 1, score: Any = 3, responded: Any = None, **question: Any) -> dict[str, Any]:
    """Return what AskNicely pushes when somebody answers: ``count`` is 1 at first, more for an update."""
    return {
        "count": count,
        "person": {"id": "p-77", "name": "Ana López", "email": "ana.lopez@example.com", "segment": "VIP"},
        "question": {
            "id": "q-4711",
            "score": score,
            "comment": "We waited for an hour.",
            "responded": responded,
            "deliverymethod": "email",
            "theme": "Waiting",
            **question,
        },
    }


def stella(
    *, sequence_id: int = 880_000_000_001, stars: int = 1, at: datetime | None = None, **more: Any
) -> dict[str, Any]:
    """Return a row of Stella Connect's data feed."""
    return {
        "uuid": "0b6f7c1e-3a1d-4f55-9a44-4d1f6f9a1b11",
        "sequence_id": sequence_id,
        "is_recovery": False,
        "parent_uuid": None,
        "ext_interaction_id": "MA 482",
        "channel": "phone",
        "tags": ["slow", "vip lounge"],
        "response_received_at": at.isoformat() if at else None,
        "employee": {"custom_id": "e-9", "email": "finn@example.com"},
        "team_leader": {"custom_id": "e-1"},
        "customer": {"email": "ana.lopez@example.com", "name": "Ana"},
        "custom_properties": {"store": "lhr"},
        "answers": {"agent_star_rating": {"selected_options": {"integer_value": stars}, "comment": "Nobody came."}},
        "reward_eligible": True,
        **more,
    }


def raw(document: Any) -> Raw:
    """Return a JSON document as it comes over the wire."""
    return Raw(body=orjson.dumps(document), headers={"X-Api-Key": "ik_secret", "Content-Type": "application/json"})


ANA = CustomerGiven(email="ana.lopez@example.com", name="Ana")
