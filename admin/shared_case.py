"""A case as a link shows it, ``/shared/<token>``: to whoever holds it, without signing in, until the link ends.

Opening it changes nothing. It holds no code, no address and no number, and whoever has no link that works learns
nothing: one that ended, one that was taken back and one that we never made get the same answer.
"""

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from admin import case_view, case_words, guard, pages, words
from admin.case_timeline import Teller
from admin.guard import ANYBODY, page
from incentives.kernel.actors import SYSTEM
from incentives.kernel.throttle import network_of
from incentives.queries import shared_case
from incentives.queries.case_timeline import TimelineItem
from incentives.queries.shared_case import SharedCase

blueprint = Blueprint("staff_shared_case", __name__)

_NOT_FOUND = 404


@blueprint.get("/shared/<token>")
@page(permission=ANYBODY)
def show_it(token: str) -> ResponseReturnValue:
    """Show the case behind a link. Raises ``TooManyRequests`` where many links that do not work come from."""
    found = shared_case.shared_case(core=guard.the_core(), token=token)
    if found is None:
        guard.the_throttle().hit("link-misses", network_of(request.remote_addr))
        return _private(pages.show("shared_gone.html", _NOT_FOUND))
    return _private(pages.show("shared_case.html", **_view(found)))


def _view(found: SharedCase) -> dict[str, Any]:
    """Return what the page shows. What incentives are called is read as the system: whoever looks is nobody to us."""
    core, case, zone = guard.the_core(), found.case, found.time_zone
    now = core.clock.now()
    place = pages.location_name(SYSTEM, case.location) if case.location else None
    parts = (found.customer_name, place, f"opened {words.ago(case.opened_at, now)}")
    what = ", ".join(part for part in parts if part)
    teller = Teller(zone=zone, incentives=case_view.incentive_titles(core, SYSTEM), now=now)
    return {
        "case": {
            "title": found.about,
            "brand": found.brand,
            "what": f"{what[:1].upper()}{what[1:]}",
            "status": case_view.status(case),
            "severity": case_words.severity(case.severity),
            "until": words.instant(found.expires_at, zone),
        },
        "steps": [case_view.step(each, None, now) for each in found.steps if each.status],
        # What was said to the customer calls them by name; that it was said is enough.
        "events": teller.events([_unnamed(each) for each in found.timeline], nobody=found.brand),
    }


def _unnamed(item: TimelineItem) -> TimelineItem:
    return replace(item, text=None) if item.kind == "apology" else item


def _private(answer: Response) -> Response:
    """The address is the key: no other site is told it, our own pages neither."""
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
