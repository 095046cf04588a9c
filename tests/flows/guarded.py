"""A shop whose catalog says what looks like abuse, and what its people do about it."""

from typing import Any

import orjson

from incentives.flows.review import DecideReview, Reviewed, decide_review
from incentives.kernel.actors import Actor
from incentives.safeguards.tables import reviews
from tests.flows.shop import Shop, catalog


def suspicious(*budgets: Any, limits: Any = None, **signals: dict[str, Any]) -> str:
    """Return the shop's catalog with some signals set."""
    text = orjson.loads(catalog(*budgets) if limits is None else catalog(*budgets, limits=limits))
    text["abuse"] = {"signals": {name: {"count": 1, "minutes": 60, **said} for name, said in signals.items()}}
    return orjson.dumps(text).decode()


def decide(
    shop: Shop, decision: str, by: Actor | None = None, note: str | None = "Looked at.", **more: Any
) -> Reviewed:
    """Decide the one review there is that is open."""
    row = shop.one(reviews, reviews.c.status == "open")
    command = DecideReview(review_id=row.id, decision=decision, note=note, **more)
    return decide_review(core=shop.core, actor=by or shop.manager, command=command)
