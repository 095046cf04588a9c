"""Criteria, to read: the rules in force, what each of them did, and what a threshold would have cost."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, make_response, request
from flask.typing import ResponseReturnValue

from admin import criteria_words as said
from admin import guard, pages, words
from admin.criteria_words import Names
from admin.forms import Form
from admin.guard import page
from admin.pages import show
from incentives.kernel.errors import InputInvalid, NoCatalog
from incentives.kernel.money import Money
from incentives.queries import catalog, criteria
from incentives.queries.criteria import CriterionRow, Done, FiringRow, Version
from incentives.queries.criteria_history import DAYS_MOST, Question, Simulation, Threshold, simulate

blueprint = Blueprint("staff_criteria", __name__)

_READ = "criteria:read"
_CSV_ROWS_MOST = 20_000
_CSV_PAGE = 200
_KEY_LONGEST = 64
_SCORE_MOST = 100
_USUAL = {"scale": "stars_5", "at_most": "2", "days": "28"}
_COLUMNS = ("at", "version", "mode", "outcome", "source", "location", "facts", "actions", "cost_minor", "currency")


@blueprint.get("/criteria")
@page(permission=_READ)
def list_them() -> ResponseReturnValue:
    """Show the criteria in the order in which they are asked."""
    try:
        rows = criteria.list_criteria(core=guard.the_core(), actor=guard.the_actor())
    except NoCatalog:
        rows = []
    names = _names()
    return show("criteria.html", criteria=[_row(each, names) for each in rows])


@blueprint.get("/criteria/<key>")
@page(permission=_READ)
def one(key: str) -> ResponseReturnValue:
    """Show one criterion, its versions and its firings, fifty at a time."""
    core, actor = guard.the_core(), guard.the_actor()
    row, versions = criteria.one_criterion(core=core, actor=actor, key=key)
    after = Form(request.args).cursor("after")
    found = criteria.list_firings(core=core, actor=actor, key=key, after=after.hex if after else None)
    names, zone = _names(), pages.zone_of(actor)
    return show(
        "criterion.html",
        criterion=_row(row, names) | {"limits": said.limits(row), "week": _week(row.week)},
        versions=[_version(each, zone) for each in versions],
        firings=[_firing(each, names, zone) for each in found.items],
        more=f"/criteria/{row.key}?after={found.next}" if found.next else None,
        csv=f"/criteria/{row.key}/firings.csv",
    )


@blueprint.get("/criteria/<key>/firings.csv")
@page(permission=_READ)
def firings_file(key: str) -> ResponseReturnValue:
    """Give the firings as a file, the newest first, with the figures as they are stored."""
    response = make_response(_csv(_all_firings(key)))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="firings.csv"'
    closed: Response = pages.closed(response)
    return closed


@blueprint.get("/criteria/simulate")
@page(permission=_READ)
def simulation() -> ResponseReturnValue:
    """Show what thresholds would have meant over the feedback that is stored."""
    asked = {**_USUAL, **{name: Form(request.args).shown(name) for name in request.args}}
    found, refused = None, None
    try:
        found = simulate(core=guard.the_core(), actor=guard.the_actor(), question=_question(asked))
    except (InputInvalid, NoCatalog) as refusal:
        refused = pages.refused(refusal, {"at_most": "at_most", "days": "days", "scale": "scale"})
    names = _names()
    return show(
        "criteria_simulate.html",
        status=refused.status if refused else 200,
        refused=refused,
        errors=refused.errors if refused else {},
        asked=asked,
        scales=list(said.SCALES.items()),
        tags=[("", "Every issue tag"), *names.tags.items()],
        locations=[("", "Every location"), *names.locations.items()],
        sentence=_sentence(found) if found else None,
        rows=[_threshold(each, found) for each in found.thresholds] if found else [],
        scored=found.scored if found else 0,
        days=found.days if found else 0,
    )


def _question(asked: Mapping[str, str]) -> Question:
    form = Form(asked)
    one_of = {name: form.text(name, _KEY_LONGEST) for name in ("scale", "source", "issue_tag", "location")}
    return Question(
        scale=one_of["scale"],
        at_most=form.number("at_most", _SCORE_MOST),
        days=form.number("days", DAYS_MOST),
        sources=tuple(filter(None, [one_of["source"]])),
        issue_tags=tuple(filter(None, [one_of["issue_tag"]])),
        locations=tuple(filter(None, [one_of["location"]])),
    )


def _names() -> Names:
    core, actor = guard.the_core(), guard.the_actor()
    try:
        return Names(
            tags={each.key: pages.english(each.label) for each in catalog.issue_tags(core=core, actor=actor)},
            locations=pages.location_names(actor),
            incentives={each.key: pages.english(each.title) for each in catalog.incentives(core=core, actor=actor)},
        )
    except NoCatalog:
        return Names()


def _row(row: CriterionRow, names: Names) -> dict[str, Any]:
    tone, sign, mode = said.MODES[row.mode]
    return {
        "key": row.key,
        "href": f"/criteria/{row.key}",
        "title": row.name,
        "priority": row.priority,
        "version": row.version,
        "mode": {"tone": tone, "sign": sign, "words": mode},
        "when": said.conditions(row.when, names),
        "then": said.deeds(row.then, names),
        "did": _did(row.week),
        "tripped": [each.source for each in row.tripped],
    }


def _did(week: Done) -> str:
    """Return in one line what a criterion did in a week."""
    if not week.times:
        return "Has not fired in the last 7 days"
    costs, would = said.money_list(week.costs), said.money_list(week.would_cost)
    parts = (
        f"Fired {words.counted(week.times, 'time', 'times')} in the last 7 days",
        f"promised {costs}" if costs else "",
        f"would have promised {would}" if would else "",
    )
    return ", ".join(part for part in parts if part)


def _week(week: Done) -> dict[str, Any]:
    return {
        "times": week.times,
        "cost": said.money_list(week.costs),
        "would_cost": said.money_list(week.would_cost),
        "outcomes": [
            {
                "tone": said.OUTCOMES[name][0],
                "sign": said.OUTCOMES[name][1],
                "words": f"{said.OUTCOMES[name][2]}: {count:,}",
            }
            for name, count in sorted(week.outcomes.items(), key=lambda each: -each[1])
        ],
    }


def _version(each: Version, zone: str | None) -> dict[str, Any]:
    approved = (
        f"Approved by {each.approved_by_name}, {words.instant(each.approved_at, zone)}"
        if each.approved_at
        else "Never approved"
    )
    return {
        "title": f"Version {each.version}",
        "in_force": each.in_force,
        "what": f"Written by {each.created_by_name}, {words.instant(each.created_at, zone)}. {approved}.",
    }


def _firing(each: FiringRow, names: Names, zone: str | None) -> dict[str, Any]:
    tone, sign, outcome = said.OUTCOMES[each.outcome]
    place = names.locations.get(each.location or "", each.location)
    matched = said.facts(each.facts, names)
    return {
        "at": words.instant(each.at, zone),
        "what": ", ".join(part for part in (each.source, place, matched) if part),
        "results": said.results(each, names),
        "cost": words.money(each.cost) if each.cost else "",
        "tone": tone,
        "sign": sign,
        "outcome": outcome,
        "version": each.version,
        "case": f"/cases/{each.case_id}" if each.case_id else None,
    }


def _sentence(found: Simulation) -> str:
    """Return the chosen threshold in a sentence: ``At 2 or fewer: 14 cases a day, €310.00 a day``."""
    chosen = next(each for each in found.thresholds if each.chosen)
    row = _threshold(chosen, found)
    cost = f", {row['cost']} a day" if row["cost"] else ", nothing that could be given"
    return f"At {chosen.at_most} or fewer: {row['cases']} {'case' if row['cases'] == '1' else 'cases'} a day{cost}."


def _threshold(each: Threshold, found: Simulation) -> dict[str, Any]:
    days = found.days
    costs = [Money((2 * cost.amount_minor + days) // (2 * days), cost.currency) for cost in each.costs]
    return {
        "at_most": each.at_most,
        "chosen": each.chosen,
        "cases": _per_day(each.cases, days),
        "total": f"{each.cases:,}",
        "share": f"{each.cases * 100 // found.scored}%" if found.scored else "",
        "cost": said.money_list(costs),
        "unpriced": f"{each.unpriced:,}" if each.unpriced else "",
    }


def _per_day(count: int, days: int) -> str:
    """Return how many there are a day, to a tenth where there are fewer than ten."""
    tenths = (20 * count + days) // (2 * days)
    return f"{(tenths + 5) // 10:,}" if tenths >= 100 or tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10}"  # noqa: PLR2004


def _all_firings(key: str) -> Iterator[FiringRow]:
    after: str | None = None
    for _ in range(_CSV_ROWS_MOST // _CSV_PAGE):
        found = criteria.list_firings(
            core=guard.the_core(), actor=guard.the_actor(), key=key, limit=_CSV_PAGE, after=after
        )
        yield from found.items
        after = found.next
        if after is None:
            return


def _csv(firings: Iterator[FiringRow]) -> str:
    names = Names()
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow((*_COLUMNS, "feedback_id", "case_id", "issuance_id"))
    for each in firings:
        cost = (each.cost.amount_minor, each.cost.currency) if each.cost else ("", "")
        sheet.writerow(
            (
                each.at.isoformat(),
                each.version,
                each.mode,
                each.outcome,
                _cell(each.source),
                each.location or "",
                _cell(said.facts(each.facts, names)),
                _cell(said.results(each, names)),
                *cost,
                each.feedback_id,
                each.case_id or "",
                each.issuance_id or "",
            )
        )
    return text.getvalue()


def _cell(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
