"""The trends: what keeps going wrong, week on week, and what it costs."""

from collections.abc import Sequence

from flask import Blueprint
from flask.typing import ResponseReturnValue

from admin import charts, guard, report_parts
from admin.guard import page
from admin.report_parts import Cell, Section, address, amount, label, number, percent, percent_words
from incentives.queries.reports import costs as cost_queries
from incentives.queries.reports import trends as trend_queries
from incentives.queries.reports.asked import DIMENSIONS, Asked, Window
from incentives.queries.reports.costs import Costs
from incentives.queries.reports.trends import Trend, Trends

blueprint = Blueprint("staff_reports_trends", __name__)

_READ = "reports:read"


@blueprint.get("/reports/trends")
@page(permission=_READ)
def trends() -> ResponseReturnValue:
    """Show what keeps going wrong, week on week, and what it costs."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, by: str) -> tuple[Window, list[Section]]:
        found = trend_queries.trends(core=core, actor=actor, asked=asked, by=by)
        sections = [_lines_section(found), _trend_section(found)]
        if by in cost_queries.BY:
            sections.append(_cost_section(cost_queries.costs(core=core, actor=actor, asked=asked, by=by)))
        return found.window, sections

    offered = trend_queries.dimensions(core=core, actor=actor)
    who = "Teams, places and causes stand here, never people."
    if trend_queries.OWNER in offered:
        who = "By owner it shows whose cases they were: not whose fault."
    return report_parts.show_report("Trends", f"What keeps going wrong, in whole weeks. {who}", offered, build)


def _lines_section(found: Trends) -> Section:
    shown = found.series[: charts.LINES_MOST]
    word = report_parts.WORDS[found.by]
    most = max((max(each.counts) for each in shown), default=0)
    said = "; ".join(f"{each.label}: {each.counts[0]} to {each.counts[-1]} a week" for each in shown)
    return Section(
        key="weeks",
        title=f"The largest, by {word}, week by week",
        columns=(word.capitalize(), *(f"{week:%d %b}" for week in found.weeks)),
        rows=[[label(each.label), *(number(count) for count in each.counts)] for each in found.series] if shown else [],
        chart=charts.lines([each.counts for each in shown], title=f"Trouble a week by {word}", description=said)
        if shown
        else None,
        legend=[(charts.key(at), each.label) for at, each in enumerate(shown)],
        axis={
            "most": f"{most:,} a week",
            "from": report_parts.day(found.weeks[0]),
            "until": report_parts.day(found.weeks[-1]),
        },
        sign="history",
        nothing="No trouble in these weeks",
        teach="Trends need whole weeks, Monday to Sunday, in which somebody reported something.",
    )


def _trend_section(found: Trends) -> Section:
    word = report_parts.WORDS[found.by]
    return Section(
        key="week-on-week",
        title="Week on week",
        note=f"The last whole week against the one before it, by the volume of all feedback. Fewer than "
        f"{found.least} in both weeks are no trend; of those called significant at most one in twenty is so by chance.",
        columns=(word.capitalize(), "Weeks", "In all", "Last week", "Before", "Change", "Verdict"),
        rows=[
            [
                label(each.label, href=address("/reports/funnel", by=None, **{found.by: each.key})
                      if each.key and found.by in DIMENSIONS else None),
                Cell(text="", raw=" ".join(map(str, each.counts)),
                     chart=charts.spark(each.counts, f"{each.counts[0]} to {each.counts[-1]} a week")),
                number(each.total),
                number(each.counts[-1]),
                number(each.counts[-2] if len(each.counts) > 1 else None),
                Cell(text=f"{each.change_permille / 10:+.0f}%" if each.change_permille is not None else "–",
                     raw="" if each.change_permille is None else f"{each.change_permille / 10:.1f}"),
                _verdict(each),
            ]
            for each in found.series
        ],
    )  # fmt: skip


def _verdict(each: Trend) -> Cell:
    if each.new:
        return Cell(text="New", tone="news", sign="info")
    if each.significant:
        worse = (each.change_permille or 1) > 0
        return Cell(
            text="Rising" if worse else "Falling", tone="bad" if worse else "good", sign="alert" if worse else "check"
        )
    return Cell(text="Too few" if each.q_permille is None else "No change")


def _cost_section(found: Costs) -> Section:
    word = report_parts.WORDS[found.by]
    rows: Sequence[Sequence[Cell]] = [
        [
            label(each.label),
            Cell(text="", raw=each.share_bp, chart=charts.bar(
                each.share_bp or 0, f"{percent_words(each.share_bp)} of the cost", running_bp=each.running_bp)),
            amount(each.amount),
            number(each.number),
            percent(each.share_bp),
            percent(each.running_bp),
        ]
        for each in found.rows
    ]  # fmt: skip
    return Section(
        key="cost",
        title=f"What it costs, by {word}",
        note="Incentives that were given in the period, the dearest first. The mark is the share of all down to a row.",
        columns=(word.capitalize(), "Share of the cost", "Cost", "Incentives", "Share", "Running share"),
        rows=rows,
        sign="coins",
        nothing="Nothing was given in this period",
        teach="What incentives cost is counted when they are given.",
    )
