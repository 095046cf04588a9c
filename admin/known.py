"""What a page asks the catalog many times over, such as what places are called, asked once a request."""

from collections.abc import Callable
from typing import TypeVar, cast

from flask import g

from admin import guard
from incentives.kernel.actors import Actor
from incentives.queries import catalog
from incentives.queries.catalog import BrandRow, IssueTagRow, LocationRow

T = TypeVar("T")


def brand(actor: Actor) -> BrandRow:
    """Return the brand. Raises ``NotPermitted`` and ``NoCatalog``, as all of these do."""
    return _places(actor)[0]


def locations(actor: Actor) -> tuple[LocationRow, ...]:
    """Return every location, in the catalog's order."""
    return _places(actor)[1]


def issue_tags(actor: Actor) -> tuple[IssueTagRow, ...]:
    """Return every issue tag, in the catalog's order."""
    return _once("tags", actor, lambda: catalog.issue_tags(core=guard.the_core(), actor=actor))


def _places(actor: Actor) -> tuple[BrandRow, tuple[LocationRow, ...]]:
    return _once("places", actor, lambda: catalog.brand_and_locations(core=guard.the_core(), actor=actor))


def _once(name: str, actor: Actor, ask: Callable[[], T]) -> T:
    """Return an answer that this request has had already; a refusal is not kept."""
    asked = g.setdefault("asked_once", {})
    if (name, actor.label) not in asked:
        asked[name, actor.label] = ask()
    return cast("T", asked[name, actor.label])
