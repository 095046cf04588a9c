"""What all staff pages share: the shell around them, what browsers may do with them, and how a refusal is shown."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Response, current_app, make_response, render_template, request, url_for

from admin import guard, known, plain
from incentives.kernel.actors import Actor, may
from incentives.kernel.errors import IdempotencyKeyInFlight, NoCatalog, NotPermitted, Refusal, StorageUnavailable
from incentives.queries.approvals import count_pending

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place in the navigation, for those who may go there."""

    href: str
    word: str
    icon: str
    permission: str
    current: bool = False
    count: int = 0


PLACES = (
    Place(href="/staff", word="Give", icon="heart", permission="issuances:create"),
    Place(href="/approvals", word="Approvals", icon="approve", permission="approvals:read"),
    Place(href="/scan", word="Scan", icon="scan", permission="redemptions:create"),
    Place(href="/vouchers", word="Vouchers", icon="ticket", permission="issuances:read"),
    Place(href="/feedback", word="Feedback", icon="chat", permission="feedback:read"),
    Place(href="/cases", word="Cases", icon="case", permission="cases:read"),
    Place(href="/finance", word="Finance", icon="chart", permission="budgets:read"),
    Place(href="/reports", word="Reports", icon="balance", permission="reports:read"),
    Place(href="/safeguards", word="Safety", icon="lock", permission="switches:read"),
    Place(href="/catalog", word="Catalog", icon="book", permission="catalog:read"),
    Place(href="/incidents", word="Incidents", icon="alert", permission="cases:read"),
    Place(href="/bulk", word="Give to many", icon="inbox", permission="bulk:create"),
)
"""The places, those of every hour first: a rail or a bar has room for eight; whoever has more finds them under one."""

_ROOM = 8
# Pages that belong to a place without standing below its address.
_BELONGS = {"/criteria": "/catalog"}

# Where a role's day begins; whoever is not named begins at the first place they may go to.
_FIRST = {"supervisor": "/approvals", "finance": "/finance", "auditor": "/finance", "till": "/scan"}

# What a form is told that found no answer: a commit may have gone through before the line broke.
_OPEN = (IdempotencyKeyInFlight, StorageUnavailable)
_UNCERTAIN = "It may or may not have been done."
_PRESS_AGAIN = "Press the button again in a few seconds. That is safe: nothing is done twice."


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refusal as a page says it. ``errors`` maps the id of a field to what is wrong with it."""

    title: str
    detail: str
    next_step: str
    status: int
    errors: Mapping[str, str] = field(default_factory=dict)


def first_place(actor: Actor) -> str:
    """Return the page where a role's day begins."""
    open_to = [place.href for place in PLACES if may(actor, place.permission)]
    wanted = _FIRST.get(actor.role or "", "/staff")
    return wanted if wanted in open_to else (open_to[0] if open_to else "/sessions")


def show(template: str, status: int = HTTPStatus.OK, **context: object) -> Response:
    """Return a page in its shell, closed to other sites and to every cache."""
    actor = guard.anybody()
    nav = _nav(actor) if actor else []
    page = render_template(
        f"admin/{template}",
        actor=actor,
        place=location_name(actor) if actor else None,
        nav=nav[: len(nav) if len(nav) <= _ROOM else _ROOM - 1],
        nav_more=nav[_ROOM - 1 :] if len(nav) > _ROOM else (),
        csrf_token=guard.form_token(),
        development=guard.the_core().settings.development,
        **{"refused": None, "errors": {}, **context},
    )
    return guard.keep_doorstep(closed(make_response(page, status)))


def closed(response: Response) -> Response:
    """Say what browsers may do with a staff page: nothing but what our own files do, and keep nothing of it."""
    headers = response.headers
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    # Not "no-referrer": with it browsers send forms with "Origin: null", which looks like a foreign page.
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    headers["X-Robots-Tag"] = "noindex, nofollow"
    headers["Cache-Control"] = "no-store"
    return response


def with_wait(response: Response, refusal: Refusal) -> Response:
    """Say to programs how long to wait, where a refusal knows it."""
    wait_seconds = refusal.facts.get("retry_after_seconds")
    if wait_seconds is not None:
        response.headers["Retry-After"] = str(wait_seconds)
    return response


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal, by the one table that all doors use."""
    return int(current_app.extensions["status_of"](refusal))


def refused(refusal: Refusal, fields: Mapping[str, str] | None = None) -> Refused:
    """Return a refusal for a page; ``fields`` maps the names of fields to the ids they have in its form.

    What is wrong with a field that the form does not have is said above it.
    """
    names = fields or {}
    named = [(each["field"], each["message"]) for each in refusal.facts.get("errors", []) if "field" in each]
    said = plain.detail(refusal)
    if "field" in refusal.facts:
        named.append((str(refusal.facts["field"]), said or f"{plain.title(refusal)}."))
    errors = {names[name]: message for name, message in named if name in names}
    elsewhere = [message for name, message in named if name not in names and message != f"{plain.title(refusal)}."]
    # What stands at a field need not be said a second time above it.
    found = Refused(
        title=plain.title(refusal),
        detail=" ".join(dict.fromkeys(elsewhere or ([] if errors else [said]))),
        next_step=plain.next_step(refusal),
        status=status_of(refusal),
        errors=errors,
    )
    if isinstance(refusal, _OPEN):
        return replace(found, detail=_UNCERTAIN, next_step=_PRESS_AGAIN)
    return found


def english(words: Mapping[str, str]) -> str:
    """Return a text of the catalog in the staff's language, else in the first there is."""
    return words.get("en") or next(iter(words.values()), "")


def languages(actor: Actor) -> tuple[str, ...]:
    """Return the brand's languages; none before the first catalog."""
    try:
        return known.brand(actor).languages
    except (NoCatalog, NotPermitted):
        return ()


def zone_of(actor: Actor, location: str | None = None) -> str | None:
    """Return the time zone of a location (None: the actor's own), else the brand's; None where nobody may know."""
    try:
        zones = {each.key: each.time_zone for each in known.locations(actor)}
        brand = known.brand(actor)
    except (NoCatalog, NotPermitted, StorageUnavailable):
        return None
    return zones.get(location or actor.location or "", brand.time_zone)


def location_names(actor: Actor) -> Mapping[str, str]:
    """Return the names of all locations by their keys; none where nobody may know them, or nobody can be asked."""
    try:
        return {each.key: each.name for each in known.locations(actor)}
    except (NoCatalog, NotPermitted, StorageUnavailable):
        return {}


def location_name(actor: Actor, key: str | None = None) -> str | None:
    """Return the name of a location (None: the actor's own); its key where nobody may know the name."""
    wanted = key or actor.location
    return location_names(actor).get(wanted, wanted) if wanted else None


@cache
def _version(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:10]


def asset(name: str) -> str:
    """Return the address of one of our files; its version is part of it, so that browsers may keep it for good."""
    return url_for("staff_files.static", filename=name, v=_version(name))


def _waiting(actor: Actor) -> int:
    """Return how many requests wait for this person; nobody else needs the number."""
    if not may(actor, "approvals:decide"):
        return 0
    try:
        return count_pending(core=guard.the_core(), actor=actor)
    except StorageUnavailable:
        # The page says so itself, and shows what was typed; a number beside a word must not take that away.
        return 0


def _nav(actor: Actor) -> list[dict[str, Any]]:
    here = "/" + request.path.strip("/").partition("/")[0]
    here = _BELONGS.get(here, here)
    return [
        {
            "href": place.href,
            "word": place.word,
            "icon": place.icon,
            "current": place.href == here,
            "count": _waiting(actor) if place.href == "/approvals" else 0,
        }
        for place in PLACES
        if may(actor, place.permission)
    ]
