"""Feedback in the words of the pages: scores, kinds, states, and what a row of a list says."""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from admin import guard, pages, words
from incentives.kernel.errors import NoCatalog, NotPermitted
from incentives.queries import catalog
from incentives.queries.feedback import Piece

KINDS = {
    "survey": "Survey",
    "complaint": "Complaint",
    "employee_report": "A colleague's report",
    "event": "Event",
}
EVENTS = {
    "order_late": "An order is late",
    "canceled": "Something was canceled",
    "refunded": "Something was refunded",
    "outage": "Something does not work",
    "rage_click": "Somebody clicked in anger",
    "abandoned": "Somebody gave up",
    "purchase": "Somebody bought",
    "other": "Something else",
}
SCALES = {
    "stars_5": "Stars, 1 to 5",
    "csat": "Contentment, 1 to 5, or good and bad",
    "nps": "Would recommend, 0 to 10",
    "ces_7": "Ease, 1 to 7",
    "percent": "Percent, 0 to 100",
}
STATUSES = {
    "settling": ("news", "hourglass", "May still change"),
    "acted": ("news", "check", "Looked at"),
    "waiting": ("warn", "alert", "Needs a person"),
    "ignored": ("news", "info", "Not acted on"),
}
TAGGED_BY = {"source": "as the source says", "words": "by words of the comment", "person": "as a colleague says"}
FIELDS = {
    "issue_tags": "issue tag",
    "location": "location",
    "segment": "segment",
    "event": "event",
    "customer.email": "email",
    "customer.phone": "phone",
}
_SCORES = {"stars_5": "{} of 5 stars", "csat": "{} of 5", "nps": "{} of 10", "ces_7": "{} of 7", "percent": "{}%"}
_BAD_PERCENT, _GOOD_PERCENT = 40, 75


def score(given: str | None, scale: str | None) -> str:
    """Return a score as people say it: ``2 of 5 stars``."""
    if given is None:
        return ""
    return given.capitalize() if given.isalpha() else _SCORES.get(scale or "", "{}").format(given)


def tone(percent: Decimal | None) -> str:
    """Return the tone of a score on any scale."""
    if percent is None:
        return "news"
    return "bad" if percent <= _BAD_PERCENT else "good" if percent >= _GOOD_PERCENT else "warn"


def labels() -> Mapping[str, str]:
    """Return the words of all issue tags by their keys; none before the first catalog."""
    try:
        rows = catalog.issue_tags(core=guard.the_core(), actor=guard.the_actor())
    except (NoCatalog, NotPermitted):
        return {}
    return {each.key: pages.english(each.label) for each in rows}


def tag_choices() -> list[tuple[str, str]]:
    """Return the issue tags that are in use, for a list to choose from."""
    try:
        rows = catalog.issue_tags(core=guard.the_core(), actor=guard.the_actor())
    except (NoCatalog, NotPermitted):
        return []
    return sorted(((each.key, pages.english(each.label)) for each in rows if each.active), key=lambda each: each[1])


def row(each: Piece, names: Mapping[str, str], places: Mapping[str, str]) -> dict[str, Any]:
    """Return what a list shows of a piece."""
    now = guard.the_core().clock.now()
    kind = KINDS[each.kind]
    place = places.get(each.location, each.location) if each.location else None
    status = STATUSES[each.status]
    return {
        "href": f"/cases/{each.case_id}" if each.case_id else f"/feedback/{each.id}",
        "own": f"/feedback/{each.id}",
        "case": bool(each.case_id),
        "title": names.get(each.issue_tag, each.issue_tag) if each.issue_tag else EVENTS.get(each.event or "", kind),
        "untagged": each.issue_tag is None and each.kind != "event",
        "what": ", ".join(part for part in (kind, each.source, place, words.ago(each.received_at, now)) if part),
        "comment": each.comment,
        "score": score(each.score, each.scale),
        "tone": tone(each.score_percent),
        "status": ("good", "case", "In a case") if each.case_id else status,
        "quiet": each.status == "acted" and not each.case_id,
    }


def readable(text: str) -> str:
    """Return what a program sent so that a person can read it: without what no page can hold."""
    kept = "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs"))
    return kept.strip() or "(nothing)"
