"""Reports: what is wrong just now, the funnel, the times, and the trends; each figure leads to what it is made of."""

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from admin import charts, guard, pages, report_parts, words
from admin.forms import Form
from admin.guard import page
from admin.pages import show
from admin.report_parts import Cell, Section, address, label, minutes, number, percent, percent_words
from incentives.kernel.actors import may
from incentives.kernel.errors import NoCatalog
from incentives.queries import catalog
from incentives.queries.reports import alerts as alert_queries
from incentives.queries.reports import funnel as funnel_queries
from incentives.queries.reports import times as time_queries
from incentives.queries.reports import trends as trend_queries
from incentives.queries.reports.alerts import Alert
from incentives.queries.reports.asked import DIMENSIONS, Asked, Window
from incentives.queries.reports.funnel import Funnel
from incentives.queries.reports.times import Times, Timing

blueprint = Blueprint("staff_reports", __name__)

READ = "reports:read"
STEP_WORDS = {
    "eligible": "Let down",
    "case": "Case opened",
    "contacted": "Contacted",
    "apologized": "Apologized to",
    "issued": "Incentive given",
    "delivered": "Delivered",
    "redeemed": "Redeemed",
    "asked": "Asked again",
    "answered": "Answered",
    "recovered": "Recovered",
    "bought": "Bought again",
}
_OF_WORDS = {"eligible": "all let down", "case": "the cases", "issued": "those given", "asked": "those asked"}
_SINCE_WORDS = {"opened": "opening", "closed": "closing", "issued": "giving"}
_TIME_WORDS = {
    "contacted": "First contact",
    "apologized": "Apology",
    "issued": "Incentive",
    "delivered": "Delivery",
    "fixed": "Fix",
    "closed": "Close",
}
_CASES_MOST = 200


@blueprint.get("/reports")
@page(permission=READ)
def overview() -> ResponseReturnValue:
    """Show what spikes, what is new this week, and how far recoveries come."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, _by: str) -> tuple[Window, list[Section]]:
        found = funnel_queries.funnel(core=core, actor=actor, asked=asked)
        return found.window, [_new_this_week(), _funnel_section(found)]

    try:
        spikes = [_alert(each) for each in alert_queries.alerts(core=core, actor=actor)]
    except NoCatalog:
        spikes = []
    return report_parts.show_report(
        "Reports",
        "What is wrong just now, what is new, and how far recoveries come.",
        ("issue_tag",),
        build,
        alerts=spikes,
        may_open=may(actor, "incidents:manage"),
    )


@blueprint.get("/reports/funnel")
@page(permission=READ)
def funnel() -> ResponseReturnValue:
    """Show the funnel of a period, and the same by a dimension."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, by: str) -> tuple[Window, list[Section]]:
        found = funnel_queries.funnel(core=core, actor=actor, asked=asked, by=by)
        return found.window, [_funnel_section(found), _groups_section(found)]

    about = "From being let down to buying again, for those whose cases were opened in the period."
    return report_parts.show_report("The funnel", about, DIMENSIONS, build)


@blueprint.get("/reports/times")
@page(permission=READ)
def times() -> ResponseReturnValue:
    """Show how long the steps took."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, by: str) -> tuple[Window, list[Section]]:
        found = time_queries.times(core=core, actor=actor, asked=asked, by=by)
        return found.window, [_times_section(found), _times_groups(found)]

    about = "How long it took from opening to each step, and how often that was in time."
    return report_parts.show_report("Times", about, ("team", *(each for each in DIMENSIONS if each != "team")), build)


@blueprint.get("/reports/cases")
@page(permission=READ)
def cases() -> ResponseReturnValue:
    """Show the cases that a figure of the funnel is made of, the newest first."""
    core, actor, form = guard.the_core(), guard.the_actor(), Form(request.args)
    step = form.shown("step") if form.shown("step") in funnel_queries.STEPS else "case"
    missing = bool(form.shown("missing"))
    asked, _ = report_parts.asked_for(("issue_tag", *DIMENSIONS))
    total, found = funnel_queries.cases_at(
        core=core, actor=actor, asked=asked, step=step, missing=missing, limit=_CASES_MOST
    )
    labels = {each.key: pages.english(each.label) for each in catalog.issue_tags(core=core, actor=actor)}
    places, now = pages.location_names(actor), core.clock.now()
    rows = [
        {
            "href": f"/cases/{each.id}",
            "title": labels.get(each.issue_tag, each.issue_tag),
            "what": ", ".join(
                filter(None, (places.get(each.location or "", each.location), words.ago(each.opened_at, now)))
            ),
            "open": each.status == "open",
        }
        for each in found
    ]
    return show(
        "report_cases.html",
        title=f"{'Not: ' if missing else ''}{STEP_WORDS[step]}",
        total=total,
        rows=rows,
        back=address("/reports/funnel"),
        other=address("/reports/cases", step=step, missing=None if missing else "1") if step != "case" else None,
        missing=missing,
    )


def _alert(each: Alert) -> dict[str, Any]:
    place = f" at {each.location_name}" if each.location_name else ""
    kind = "Root cause: " if each.kind == "cause" else ""
    within = "in one day" if each.days == 1 else f"within {each.days} days"
    expected = f"{each.expected_tenths // 10}.{each.expected_tenths % 10}"
    keys = {"location": each.location} if each.location else {}
    tag = {"issue_tag": each.what} if each.kind != "cause" else {}
    return {
        "title": f"{kind}{each.label}{place}",
        "what": f"{each.count} {within} until {report_parts.day(each.last_date)}; {expected} would be usual. "
        f"Seen since {report_parts.day(each.since_date)}.",
        "incident": f"/incidents/{each.incident_id}" if each.incident_id else None,
        "fields": {
            "issue_tag": each.what,
            "location": each.location or "",
            "started": each.since_date.isoformat(),
            "title": f"{each.label}{place}"[:200],
        }
        if tag
        else None,
        "href": address("/reports/funnel", from_date=each.since_date.isoformat(), until_date=None, **tag, **keys)
        if tag
        else address("/reports/trends", by="cause"),
    }


def _new_this_week() -> Section:
    """Return what the last whole week brought that the thirteen weeks before it had not."""
    core, actor = guard.the_core(), guard.the_actor()
    found = [
        (by, trend_queries.trends(core=core, actor=actor, asked=Asked(), by=by))
        for by in ("issue_tag", "cause", "product")
    ]
    rows = [
        [
            label(each.label, href=f"/reports/trends?by={by}"),
            Cell(text=report_parts.WORDS[by].capitalize()),
            number(each.counts[-1]),
            Cell(
                text="New" if each.new else "Significant",
                tone="news" if each.new else "warn",
                sign="info" if each.new else "alert",
            ),
        ]
        for by, report in found
        for each in report.series
        if each.new or (each.significant and (each.change_permille or 0) > 0)
    ]
    week = found[0][1].weeks[-1] if found[0][1].weeks else None
    return Section(
        key="new-this-week",
        title="New this week",
        note=f"The week from {report_parts.day(week)}: what is new, and what rose more than chance explains."
        if week
        else "",
        columns=("What", "Kind", "Times", "Why"),
        rows=rows,
        sign="check",
        nothing="Nothing new this week",
        teach="A tag, a cause or a product that turns up for the first time, or rises for good, shows here.",
    )


def _funnel_section(found: Funnel) -> Section:
    most = found.steps[0].count or found.steps[1].count
    rows = []
    for each in found.steps:
        of = _OF_WORDS.get(each.of or "", "")
        share = funnel_queries.share_bp(each.count, most) or 0
        href = address("/reports/cases", step=each.name, by=None) if each.name != "eligible" else None
        since = f"since {_SINCE_WORDS.get(each.since, STEP_WORDS.get(each.since, '').lower())}" if each.since else ""
        rows.append(
            [
                label(STEP_WORDS[each.name], href=href),
                Cell(text="", raw=share, chart=charts.bar(share, f"{percent_words(share)} of all who were let down")),
                number(each.count),
                Cell(
                    text=percent_words(each.share_bp),
                    more=f"of {of}" if each.of else "",
                    raw=percent(each.share_bp).raw,
                ),
                Cell(text=minutes(each.median_minutes).text, more=since, raw=minutes(each.median_minutes).raw),
            ]
        )
    note = (
        f"{words.counted(found.unsalvageable, 'case', 'cases')} could not be salvaged." if found.unsalvageable else ""
    )
    return Section(
        key="funnel",
        title="From let down to bought again",
        note=note,
        columns=("Step", "Of all let down", "Number", "Share", "Median time"),
        rows=rows if most else [],
        sign="case",
        nothing="Nobody was let down in this period",
        teach="As soon as feedback tells of trouble, or a case is opened, it is followed here from step to step.",
    )


def _groups_section(found: Funnel) -> Section:
    names = ("eligible", "case", "contacted", "issued", "redeemed", "answered", "recovered", "bought")
    rows = [
        [
            label(each.label, href=address(**{found.by: each.key}) if each.key else None),
            *(number(each.counts[name]) for name in names),
            percent(funnel_queries.share_bp(each.counts["recovered"] or 0, each.counts["case"] or 0)),
        ]
        for each in found.groups
    ]
    word = report_parts.WORDS[found.by]
    return Section(
        key=f"funnel-by-{word.replace(' ', '-')}",
        title=f"The same by {word}",
        note="A row narrows the whole report to it. Feedback without a case has no team, incentive or channel."
        if found.by not in funnel_queries.ON_FEEDBACK
        else "A row narrows the whole report to it.",
        columns=(word.capitalize(), *(STEP_WORDS[name] for name in names), "Recovered of cases"),
        rows=rows,
        teach="There is nothing to tell apart in this period.",
    )


def _times_section(found: Times) -> Section:
    longest = max((each.wall_minutes[-1] or 0 for each in found.steps), default=0)
    return Section(
        key="times",
        title="From opening to each step",
        note="Half of the cases were faster than the first figure; 95 in 100 were faster than the last. The "
        "line of the chart goes from half to 95 in 100, with a mark at 75; its width is the longest of all steps.",
        columns=(
            *("Step", "Half to 95 in 100", "Cases", "Half", "75 in 100", "90 in 100", "95 in 100"),
            *("Half, in business hours", "90 in 100, in business hours", "In time"),
        ),
        rows=[_times_row(each, longest) for each in found.steps] if found.cases else [],
        sign="clock",
        nothing="No case was opened in this period",
        teach="The clock of a case begins with its opening; protocols say by when each step should be done.",
    )


def _times_row(each: Timing, longest: int) -> list[Cell]:
    half, most, _, nearly_all = (each.wall_minutes[at] or 0 for at in range(4))
    said = f"{minutes(half).text} for half, {minutes(nearly_all).text} for 95 in 100"
    return [
        label(_TIME_WORDS[each.name]),
        Cell(text="", raw="", chart=charts.interval(half, most, nearly_all, (0, longest), said)),
        number(each.count),
        *(minutes(wall) for wall in each.wall_minutes),
        *(minutes(each.business_minutes[at]) for at in (0, 2)),
        Cell(
            text=percent_words(each.in_time_bp),
            more=f"of {each.ended:,}" if each.ended else "no clock",
            raw=percent(each.in_time_bp).raw,
        ),
    ]


def _times_groups(found: Times) -> Section:
    word = report_parts.WORDS[found.by]
    return Section(
        key=f"times-by-{word.replace(' ', '-')}",
        title=f"Median times by {word}",
        columns=(word.capitalize(), "Cases", *_TIME_WORDS.values()),
        rows=[
            [
                label(each.label, href=address(**{found.by: each.key}) if each.key else None),
                number(each.cases),
                *(minutes(each.medians[name]) for name in _TIME_WORDS),
            ]
            for each in found.groups
        ],
    )
