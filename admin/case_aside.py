"""The side of a case's page: whose it is, earlier recoveries, causes, tasks, notes, files, closing, other cases."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from admin import case_view, case_words, words
from admin.case_view import Shown
from admin.case_words import Sign
from incentives.kernel.actors import may
from incentives.queries import case_work
from incentives.queries.case_earlier import EarlierCase
from incentives.queries.case_parts import ShareShown, Task
from incentives.queries.case_work import Colleague

LINK_DAYS = {"1": "For a day", "3": "For three days", "7": "For a week", "30": "For a month"}

_CHOOSE = ("", "Choose")
_OPEN = Sign("news", "Open", "clock")
_IN_TWO_DAYS = timedelta(days=2)
_CAUSES_SHOWN = 3
_EARLIER_SHOWN = 6
_SUGGESTED_SHOWN = 3
_FILE_TYPES = ".jpg,.jpeg,.png,.webp,.pdf,.txt"


def view(shown: Shown) -> dict[str, Any]:
    """Return what the side shows."""
    people = _people(shown)
    return {
        "owner": _owner(shown, people),
        "shares": _shares(shown),
        "earlier": _earlier(shown),
        "causes": _causes(shown),
        "responsible": _responsible(shown),
        "tasks": _tasks(shown),
        "notes": _notes(shown),
        "files": _files(shown),
        "closing": _closing(shown),
        "related": _related(shown),
    }


def _people(shown: Shown) -> Sequence[Colleague]:
    """Return who may be given the case, for whoever may give it to them."""
    if not (shown.works and shown.screen.may_manage):
        return ()
    return case_work.people_to_assign(core=shown.core, actor=shown.actor, case_id=shown.screen.case.id)


def _owner(shown: Shown, people: Sequence[Colleague]) -> dict[str, Any]:
    case, own = shown.screen.case, shown.actor.label
    teams = shown.teams
    team = teams.get(case.owner_team or "", case.owner_team)
    name = "You" if case.owner == own else case.owner_name or team or "Nobody yet"
    persons = [(each.label, _person(each)) for each in people if each.label != own]
    choices = [
        ("", [_CHOOSE, (own, "Me")]),
        *([("People", persons)] if persons else []),
        *([("Teams", [(f"team:{key}", word) for key, word in teams.items()])] if teams else []),
    ]
    return {
        "name": name,
        "what": team
        if case.owner and team
        else ""
        if case.owner or team
        else "Whoever takes it will call the customer.",
        "may_take": shown.works and case.owner is None,
        "may_assign": shown.works and shown.screen.may_manage,
        "choices": choices,
        "self": own,
    }


def _person(each: Colleague) -> str:
    return f"{each.name} ({words.counted(each.open_cases, 'open case', 'open cases')})"


def _shares(shown: Shown) -> dict[str, Any]:
    teams = shown.teams
    rows = [each for each in shown.screen.shares if not each.ended]
    shared = {each.team for each in rows}
    return {
        "rows": [_share(shown, each, teams) for each in rows],
        "said": f" ({len(rows)})" if rows else "",
        "may_share": shown.screen.may_edit and bool(teams.keys() - shared),
        "may_link": shown.screen.may_edit and shown.screen.may_manage,
        "choices": [_CHOOSE, *((key, name) for key, name in teams.items() if key not in shared)],
        "times": list(LINK_DAYS.items()),
    }


def _share(shown: Shown, each: ShareShown, teams: Mapping[str, str]) -> dict[str, Any]:
    ends = f"until {shown.instant(each.expires_at)}" if each.expires_at else "until somebody ends it"
    may_end = shown.screen.may_edit and (each.team is not None or shown.screen.may_manage)
    return {
        "id": each.id,
        "title": teams.get(each.team, each.team) if each.team else "A link",
        "what": f"{'may work on it' if each.may_edit else 'may look'}, {ends}",
        "url": each.url or "",
        "end": f"{shown.href}/shares/{each.id}/end" if may_end else "",
    }


def _earlier(shown: Shown) -> dict[str, Any] | None:
    found = shown.screen.earlier
    if not found.count:
        return None
    recovered = f"{found.recovered} of them put right. " if found.recovered else ""
    return {
        "title": f"Helped {words.counted(found.count, 'time', 'times')} before",
        "total": case_view.sums(found.cost),
        "said": recovered,
        "rows": [_earlier_row(shown, each) for each in found.cases[:_EARLIER_SHOWN]],
    }


def _earlier_row(shown: Shown, each: EarlierCase) -> dict[str, str]:
    parts = (shown.ago(each.opened_at), case_view.sums(each.given))
    said = case_words.ended(each.outcome) if each.status == "closed" else _OPEN
    return {
        "title": shown.tag(each.issue_tag),
        "what": ", ".join(part for part in parts if part),
        "href": f"/cases/{each.id}" if each.may_open else "",
        **_badge(said),
    }


def _badge(said: Sign) -> dict[str, str]:
    return {"tone": said.tone, "status": said.word, "sign": said.sign}


def _causes(shown: Shown) -> dict[str, Any]:
    screen = shown.screen
    chosen = [{"key": each.cause, "weight": each.weight} for each in screen.causes[:_CAUSES_SHOWN]]
    needed = any(each["field"] == "causes" for each in screen.missing)
    return {
        "rows": [{"word": each.label, "weight": each.weight, "note": each.note or ""} for each in screen.causes],
        "needed": shown.open and needed,
        "suggested": ", ".join(each.label for each in screen.suggested_causes[:_SUGGESTED_SHOWN]),
        "choices": [("", [("", "None"), *((each.key, each.label) for each in screen.all_causes)])]
        if screen.all_causes
        else [],
        "chosen": [*chosen, *({"key": "", "weight": ""} for _ in range(_CAUSES_SHOWN - len(chosen)))],
        "note": next((each.note for each in screen.causes if each.note), "") or "",
    }


def _responsible(shown: Shown) -> dict[str, Any]:
    screen = shown.screen
    kind, text = screen.responsible_kind or "", screen.responsible or ""
    said = ": ".join(
        part for part in (case_words.RESPONSIBLE.get(kind, words.in_words(kind)) if kind else "", text) if part
    )
    return {
        "seen": screen.may_see_responsible,
        "words": said or "Not said yet",
        "may_name": shown.works and screen.may_see_responsible and may(shown.actor, "cases:work"),
        "kinds": [("", "Nobody"), *case_words.RESPONSIBLE.items()],
        "kind": kind,
        "name": text,
    }


def _tasks(shown: Shown) -> dict[str, Any]:
    local = (shown.now + _IN_TWO_DAYS).astimezone(ZoneInfo(shown.zone or "UTC"))
    return {
        "rows": [_task(shown, each) for each in shown.screen.tasks],
        "kinds": list(case_words.TASK_KINDS),
        "due": local.replace(minute=0).strftime("%Y-%m-%dT%H:%M"),
        "zone": f"{(shown.zone or 'UTC').rpartition('/')[2].replace('_', ' ')} time",
    }


def _task(shown: Shown, each: Task) -> dict[str, Any]:
    whose = (
        "you"
        if each.owner == shown.actor.label
        else each.owner_name or shown.teams.get(each.owner_team or "", each.owner_team) or "nobody yet"
    )
    if each.done_at:
        said = Sign("good", "Done", "check")
        when = f"done {shown.ago(each.done_at)} by {each.done_by_name}"
    else:
        due = case_words.until(each.due_at, shown.now).capitalize()
        said = Sign("bad", due, "alert") if each.overdue else Sign("news", due, "clock")
        when = shown.instant(each.due_at)
    return {
        "title": each.title,
        "what": f"{case_words.TASK_WORDS.get(each.kind, each.kind)}, {whose}, {when}",
        "result": each.result or "",
        **_badge(said),
        "form": f"task-{each.id}",
        "done": f"{shown.href}/tasks/{each.id}/done" if shown.screen.may_edit and not each.done_at else "",
    }


def _notes(shown: Shown) -> list[dict[str, str]]:
    return [
        {"body": each.text or "", "who": each.actor_name or "", "at": shown.instant(each.at)}
        for each in shown.screen.timeline
        if each.kind == "note"
    ]


def _files(shown: Shown) -> dict[str, Any]:
    may_remove = shown.screen.may_manage and shown.screen.may_edit
    return {
        "rows": [
            {
                "name": each.name,
                "what": f"{case_words.size(each.size_bytes)}, {each.actor_name}, {shown.instant(each.at)}",
                "href": f"{shown.href}/files/{each.id}",
                "remove": f"{shown.href}/files/{each.id}/remove" if may_remove else "",
            }
            for each in shown.screen.files
        ],
        "accept": _FILE_TYPES,
        "help": "A photo, a PDF or a plain text, up to 5 MB. Where a photo was taken is removed from it.",
    }


def _closing(shown: Shown) -> dict[str, Any]:
    screen, case = shown.screen, shown.screen.case
    if not shown.open:
        return {"closed": True, "facts": _ending(shown), "may_reopen": screen.may_manage and case.outcome != "merged"}
    checks = [
        {"words": said, "done": False, "href": f"#{place}"}
        for place, said in (case_words.missing(each) for each in screen.missing)
    ]
    return {
        "closed": False,
        "checks": checks,
        "ready": not checks,
        "may_close": shown.works,
        "outcomes": list(case_words.OUTCOME_CHOICES),
    }


def _ending(shown: Shown) -> list[tuple[str, str]]:
    case, screen = shown.screen.case, shown.screen
    outcome = case_words.OUTCOMES.get(case.outcome or "")
    decided = None if case.recovered is None else "Yes" if case.recovered else "No"
    evidence = case_words.EVIDENCE.get(case.recovered_evidence or "", "")
    return case_words.spread(
        {
            "Outcome": outcome.word if outcome else None,
            "Recovered": f"{decided}, {evidence}" if decided else None,
            "Closed": shown.instant(case.closed_at) if case.closed_at else None,
            "In the record": screen.closing_note,
            "Asked again": _survey(shown),
        }
    )


def _survey(shown: Shown) -> str | None:
    survey = shown.screen.survey
    if survey is None:
        return None
    said = case_words.SURVEYS.get(survey.status, words.in_words(survey.status))
    if survey.status == "planned":
        return f"{said} {shown.instant(survey.due_at)}"
    return f"{said}: {survey.reason}" if survey.reason else said


def _related(shown: Shown) -> dict[str, Any]:
    rows = []
    for each in shown.screen.linked:
        said = case_words.ended(each.outcome) if each.status == "closed" else _OPEN
        kind = case_words.LINKS.get(each.kind, each.kind)
        rows.append(
            {
                "title": shown.tag(each.issue_tag),
                "what": f"{kind}, opened {shown.ago(each.opened_at)}",
                "href": f"/cases/{each.id}",
                **_badge(said),
            }
        )
    return {
        "rows": rows,
        "may_link": shown.works,
        "may_manage": shown.works and shown.screen.may_manage,
        "tags": [_CHOOSE, *shown.tags.items()],
    }
