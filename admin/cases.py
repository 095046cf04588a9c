"""The queue of cases: whose trouble waits, how bad it is, what is due next, and what is new since one looked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import case_page, case_view, case_words, guard, pages, words
from admin.case_words import Sign
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.queries import cases
from incentives.queries.cases import Case, CaseFilters

blueprint = Blueprint("staff_cases", __name__)

_SHOWN = 50
_SEARCH_LONGEST = 320
_KEY_LONGEST = 64
_OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One way to look at the queue: its name, which cases it holds, and what it says when it holds none."""

    key: str
    word: str
    what: str
    filters: Mapping[str, Any]
    empty: tuple[str, str, str]
    count: str = ""
    works: bool = False


_VIEWS = (
    _View(
        key="mine",
        word="Mine",
        what="What you have taken on, the newest first.",
        filters={"status": "open", "mine": True},
        count="mine",
        works=True,
        empty=("heart", "Nothing is yours right now", "Take on a case that is nobody's yet: whoever takes it helps."),
    ),
    _View(
        key="unowned",
        word="Nobody's",
        what="Nobody looks after these yet.",
        filters={"status": "open", "unowned": True},
        count="unowned",
        empty=("check", "Somebody looks after every case", "New trouble that no rule gives to anybody shows here."),
    ),
    _View(
        key="overdue",
        word="Overdue",
        what="Something in these should have happened by now.",
        filters={"status": "open", "overdue": True},
        count="overdue",
        empty=("check", "Nothing is overdue", "A case shows here when a promised time has passed."),
    ),
    _View(
        key=_OPEN,
        word="All open",
        what="Each customer's trouble being put right, the newest first.",
        filters={"status": "open"},
        count="open",
        empty=(
            "case",
            "No open cases",
            "A case opens when somebody reports trouble, when feedback is bad, or when an incentive is given.",
        ),
    ),
    _View(
        key="closed",
        word="Closed",
        what="How it ended, the newest first.",
        filters={"status": "closed"},
        empty=("book", "No case is closed yet", "A case closes once everything about it is written down."),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What of the queue somebody wants to see, and how they find it again."""

    view: _View
    tag: str = ""
    location: str = ""
    team: str = ""
    search: str = ""
    after: str = ""

    @classmethod
    def of(cls, sent: Form, views: Sequence[_View]) -> "_Asked":
        """Read what an address asks for. Raises ``InputInvalid``."""
        wanted = sent.text("view", _KEY_LONGEST)
        after = sent.cursor("after")
        return cls(
            view=next((each for each in views if each.key == wanted), _by_key(_OPEN)),
            tag=sent.text("tag", _KEY_LONGEST),
            location=sent.text("location", _KEY_LONGEST),
            team=sent.text("team", _KEY_LONGEST),
            search=sent.text("search", _SEARCH_LONGEST),
            after=after.hex if after else "",
        )

    @property
    def filtered(self) -> dict[str, str]:
        """Return what narrows the view."""
        parts = {"search": self.search, "tag": self.tag, "location": self.location, "team": self.team}
        return {name: value for name, value in parts.items() if value}

    def address(self, **more: str) -> str:
        """Return the address of what is shown."""
        view = {} if self.view.key == _OPEN and not self.filtered else {"view": self.view.key}
        parts = view | self.filtered | more
        return f"/cases?{urlencode(parts)}" if parts else "/cases"

    def filters(self) -> CaseFilters:
        """Return what the records are asked for."""
        return CaseFilters(
            **self.view.filters,
            issue_tag=self.tag or None,
            location=self.location or None,
            team=self.team or None,
            q=self.search or None,
        )


def _by_key(key: str) -> _View:
    return next(each for each in _VIEWS if each.key == key)


@blueprint.get("/cases")
@page(permission="cases:read")
def list_them() -> ResponseReturnValue:
    """Show the queue, fifty at a time. What cannot be searched for is said at its field."""
    core, actor = guard.the_core(), guard.the_actor()
    views = [each for each in _VIEWS if not each.works or may(actor, "cases:work")]
    try:
        asked = _Asked.of(Form(request.args), views)
        found = cases.list_cases(
            core=core, actor=actor, limit=_SHOWN, after=asked.after or None, wanted=asked.filters()
        )
    except InputInvalid as refusal:
        if "search" not in {each.get("field") for each in refusal.facts.get("errors", [])}:
            raise
        return _shown(core, actor, views, _Asked(view=_by_key(_OPEN)), (), None, pages.refused(refusal, _SEARCH))
    return _shown(core, actor, views, asked, found.items, found.next)


_SEARCH = {"search": "find-search", "q": "find-search"}


def _shown(
    core: Core,
    actor: Actor,
    views: Sequence[_View],
    asked: _Asked,
    items: Sequence[Case],
    following: str | None,
    refused: Refused | None = None,
) -> ResponseReturnValue:
    now, seen = core.clock.now(), case_page.seen_at()
    # A page that asks for news by itself keeps its rows: what came since then waits until somebody wants to see it.
    known = [each for each in items if seen is None or each.opened_at <= seen]
    new = len(items) - len(known)
    names = _Names(
        tags=case_view.tag_labels(core, actor),
        places=pages.location_names(actor),
        teams=case_view.team_names(core, actor),
    )
    sign, title, teaching = asked.view.empty
    return show(
        "cases.html",
        refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        seen=(seen or now).isoformat(),
        here=asked.address(**({"after": asked.after} if asked.after else {})),
        view={
            "key": asked.view.key,
            "title": "Cases",
            "what": asked.view.what,
            "empty": _empty(asked, sign, title, teaching),
        },
        views=_tabs(core, actor, views, asked),
        filters=_filters(actor, asked, names),
        arrived={"count": new, "words": f"{words.counted(new, 'new case', 'new cases')}." if new else ""},
        cases=[_row(each, actor, names, now) for each in known],
        more=asked.address(after=following) if following else None,
        first=asked.address() if asked.after else None,
        may_report=may(actor, "feedback:create"),
        done=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    tags: Mapping[str, str]
    places: Mapping[str, str]
    teams: Mapping[str, str]


def _empty(asked: _Asked, sign: str, title: str, teaching: str) -> dict[str, str]:
    if asked.filtered:
        return {
            "sign": "search",
            "title": "No case is like that",
            "words": "Look with fewer filters, or among the closed.",
        }
    if asked.view.key == "mine":
        return {
            "sign": sign,
            "title": title,
            "words": teaching,
            "href": "/cases?view=unowned",
            "word": "Nobody's cases",
        }
    return {"sign": sign, "title": title, "words": teaching}


def _tabs(core: Core, actor: Actor, views: Sequence[_View], asked: _Asked) -> list[dict[str, Any]]:
    counts = cases.count_cases(core=core, actor=actor)
    return [
        {
            "href": "/cases" if each.key == _OPEN else f"/cases?view={each.key}",
            "key": each.key,
            "word": each.word,
            "count": getattr(counts, each.count) if each.count else None,
            "current": each.key == asked.view.key,
        }
        for each in views
    ]


def _filters(actor: Actor, asked: _Asked, names: _Names) -> dict[str, Any]:
    any_of = ("", "Any")
    chosen = (names.tags.get(asked.tag), names.places.get(asked.location), names.teams.get(asked.team), asked.search)
    return {
        "used": bool(asked.filtered),
        "words": ", ".join(each for each in chosen if each),
        "search": asked.search or Form(request.args).shown("search"),
        "tag": asked.tag,
        "location": asked.location,
        "team": asked.team,
        "tags": [any_of, *names.tags.items()],
        "locations": [any_of, *names.places.items()] if actor.location is None and names.places else [],
        "teams": [any_of, *names.teams.items()] if names.teams else [],
    }


def _row(case: Case, actor: Actor, names: _Names, now: datetime) -> dict[str, Any]:
    place = names.places.get(case.location or "", case.location)
    order = f"order {case.order_ref}" if case.order_ref else None
    parts = (case.customer_name, order, place, words.ago(case.opened_at, now))
    what = ", ".join(part for part in parts if part)
    return {
        "id": case.id,
        "href": f"/cases/{case.id}",
        "title": names.tags.get(case.issue_tag, words.in_words(case.issue_tag)),
        "what": f"{what[:1].upper()}{what[1:]}",
        "severity": case_words.severity(case.severity),
        "score": case_words.score(case.first_score_bp),
        "badges": [case_view.status(case)] if case.round > 1 and case.status == "open" else [],
        "clock": _clock(case, now),
        "owner": _owner(case, actor, names),
        "take": {"action": f"/cases/{case.id}/take"}
        if case.owner is None and case.status == "open" and may(actor, "cases:work")
        else None,
    }


def _owner(case: Case, actor: Actor, names: _Names) -> str:
    if case.owner == actor.label:
        return "You"
    team = names.teams.get(case.owner_team or "", case.owner_team)
    return case.owner_name or team or "Nobody yet"


def _clock(case: Case, now: datetime) -> Sign:
    if case.status == "closed":
        return case_view.status(case)
    if case.next_due_at is None or case.next_clock is None:
        return case_view.status(case)
    return case_words.running(case.next_clock, case.next_due_at, now)
