"""A shop with criteria, and what is reported to it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson

from incentives.flows.respond import Responded, respond_to
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.recovery.feedback_tables import criteria_firings, feedback, feedback_revisions, feedback_tags
from tests.flows.shop import EMAIL, LIMITS, Shop, catalog
from tests.world import publish_catalog

ROBOT: Mapping[str, Any] = {"role": "integrator", "currency": "GBP", "unlimited": True}
DOLLARS: Mapping[str, Any] = {"role": "integrator", "currency": "USD", "unlimited": True}
ISSUE: Mapping[str, Any] = {"channels": ["email"]}
BREAKER: Mapping[str, Any] = {"count_per_hour": 100}

Open = Callable[..., Shop]


def criterion(key: str = "bad", /, **more: Any) -> dict[str, Any]:
    """Return a live criterion that opens a case for a bad score, unless said otherwise."""
    usual = {
        "key": key,
        "name": f"Rule {key}",
        "priority": 100,
        "mode": "live",
        "when": {"score_at_most_pct": 25},
        "then": {"open_case": True},
    }
    made = {**usual, **more}
    if made["mode"] == "live" and "issue" in made["then"]:
        made.setdefault("breaker", BREAKER)
    return made


def giving(key: str = "bad", /, **more: Any) -> dict[str, Any]:
    """Return a live criterion that gives the protocol's default for a bad score, unless said otherwise."""
    issue = more.pop("issue", ISSUE)
    return criterion(key, **{"then": {"issue": issue, **more.pop("also", {})}, **more})


def text_with(*criteria: Mapping[str, Any], limits: Any = (*LIMITS, ROBOT, DOLLARS), **sections: Any) -> str:
    """Return the shop's catalog with criteria, and a robot that may give in pounds and dollars."""
    made = orjson.loads(catalog(*sections.pop("budgets", ()), roomy=sections.pop("roomy", True), limits=limits))
    protocol = sections.pop("protocol", {})
    made["protocols"][0] |= protocol
    return orjson.dumps({**made, "criteria": list(criteria), **sections}).decode()


def change(shop: Shop, *criteria: Mapping[str, Any], **sections: Any) -> None:
    """Put other criteria in force."""
    publish_catalog(shop.core, text_with(*criteria, **sections))


def report(shop: Shop, number: int = 1, **given: Any) -> Any:
    """Write down a piece of feedback, as intake does; return its id. One star for a long wait unless said otherwise."""
    core, now = shop.core, shop.clock.now()
    contact = given.pop("contact", Contact(name="Ana", email=EMAIL))
    tags = given.pop("tags", ("long-wait",))
    # Somebody whose address is known, and whom nobody has recognized.
    stranger = given.pop("encrypted_contact", None)
    row = {
        "id": core.ids.new(now),
        "source": "survey-tool",
        "external_id": f"answer-{number}",
        "kind": "survey",
        "scale": "stars_5",
        "score_given": "1",
        "score_bp": 0,
        "comment": core.contacts.encrypt(given.pop("comment", None)),
        "contact": core.contacts.encrypt(contact.to_text()) if contact else stranger,
        "location": "london",
        "issue_tag": tags[0] if tags else None,
        "occurred_at": now,
        "received_at": now,
        "status": "settling",
        "act_at": now,
        **given,
    }
    if row["score_bp"] is None:
        row |= {"score_given": None, "scale": None}
    with core.database.write() as tx:
        if contact:
            (people,), _ = customers.settle(tx, core, [(contact, None)], now)
            row["customer_id"] = people[0] if people else None
        tx.execute(feedback.insert(), row)
        if tags:
            tx.execute(feedback_tags.insert(), [{"feedback_id": row["id"], "issue_tag": tag} for tag in tags])
    return row["id"]


def revise(shop: Shop, feedback_id: Any, score_bp: int, *, after: timedelta = timedelta()) -> None:
    """Change a piece's score, as intake does when its source says so."""
    now = shop.clock.now()
    with shop.core.database.write() as tx:
        row = tx.execute(feedback.select().where(feedback.c.id == feedback_id)).one()
        versions = [{"revision": row.revision + 1, "score_bp": score_bp, "score_given": str(score_bp)}]
        if row.revision == 1:
            versions.insert(0, {"revision": 1, "score_bp": row.score_bp, "score_given": row.score_given})
        tx.execute(feedback_revisions.insert(), [{"feedback_id": feedback_id, "at": now, **each} for each in versions])
        tx.execute(
            feedback.update()
            .where(feedback.c.id == feedback_id)
            .values(
                revision=row.revision + 1,
                score_bp=score_bp,
                score_given=str(score_bp),
                status="settling",
                act_at=now + after,
            )
        )


def respond(shop: Shop, *feedback_ids: Any) -> Responded:
    """Let the criteria act on pieces; return what became of the last one."""
    return respond_to(core=shop.core, feedback_ids=list(feedback_ids))[-1]


def answer(shop: Shop, number: int = 1, **given: Any) -> Responded:
    """Report something and let the criteria act on it."""
    return respond(shop, report(shop, number, **given))


def firings(shop: Shop) -> list[Any]:
    """Return the firings, in the order in which they were made."""
    return shop.all(criteria_firings)


def fired(shop: Shop) -> list[tuple[str, str]]:
    """Return which criteria fired and with what outcome."""
    return [(each.criterion, each.outcome) for each in firings(shop)]


def results(shop: Shop, number: int = -1) -> dict[str, str]:
    """Return what came of each deed of a firing."""
    return {each["deed"]: each["result"] for each in firings(shop)[number].actions}
