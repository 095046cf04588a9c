"""Reports on what it is worth: what each incentive achieves, the return on the money, and who carries how much."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from admin import charts, guard, report_parts
from admin.guard import page
from admin.report_parts import Cell, Section, amount, label, number, percent, percent_words
from incentives.queries.reports import effectiveness as effect_queries
from incentives.queries.reports import load as load_queries
from incentives.queries.reports import returns as return_queries
from incentives.queries.reports.asked import Asked, Window
from incentives.queries.reports.effectiveness import Arm, Effect, Effectiveness, Holdout, Share
from incentives.queries.reports.returns import Paradox, Range, Return, Returns

blueprint = Blueprint("staff_reports_worth", __name__)

_READ = "reports:read"
_WHOLE = (0, 10_000)
_BOTH_WAYS = (-10_000, 10_000)
_FEW = 20
_EFFECT_COLUMNS = (
    *("Incentive", "Recovered, 0 to 100%", "Cases", "Known", "Recovered", "Share", "Over nothing"),
    *("Cost", "Cost of one recovery"),
)
_LOYAL = {
    "recovered": "Let down and recovered",
    "not_recovered": "Let down and not recovered",
    "never_failed": "Never let down",
}


@blueprint.get("/reports/effectiveness")
@page(permission=_READ)
def effectiveness() -> ResponseReturnValue:
    """Show what each incentive achieves, over all and by tag, and what the holdouts say."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, _by: str) -> tuple[Window, list[Section]]:
        found = effect_queries.effectiveness(core=core, actor=actor, asked=asked)
        return found.window, [_overall(found), _holdouts(found.holdouts), _by_tag(found)]

    about = "How many customers each incentive brought back, at what cost, and whether giving made the difference."
    return report_parts.show_report("What works", about, ("issue_tag",), build)


@blueprint.get("/reports/return")
@page(permission=_READ)
def returned() -> ResponseReturnValue:
    """Show the return on the money with its uncertainty, and the recovery paradox."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, _by: str) -> tuple[Window, list[Section]]:
        found = return_queries.returns(core=core, actor=actor, asked=asked)
        loyalty = return_queries.paradox(core=core, actor=actor)
        return found.window, [_return(found), _paradox(loyalty)]

    about = "What kept customers are worth, less what it cost to keep them: a range, never one number."
    return report_parts.show_report("Return", about, ("issue_tag",), build)


@blueprint.get("/reports/load")
@page(permission=load_queries.LEAD)
def load() -> ResponseReturnValue:
    """Show leaders who carries how much."""
    core, actor = guard.the_core(), guard.the_actor()

    def build(asked: Asked, _by: str) -> tuple[Window, list[Section]]:
        found = load_queries.load(core=core, actor=actor, asked=asked)
        rows = [
            [
                label(each.name),
                Cell(text="", raw=each.share_bp, chart=charts.bar(
                    each.share_bp or 0, f"{percent_words(each.share_bp)} of the cases")),
                number(each.cases),
                number(each.open),
                number(each.grave),
                Cell(text=percent_words(each.in_time_bp), more=f"of {each.ended:,}", raw=percent(each.in_time_bp).raw),
            ]
            for each in found.owners
        ]  # fmt: skip
        section = Section(
            key="load",
            title="Cases by owner",
            note="To share work fairly. What a case takes differs: the serious ones stand apart.",
            columns=("Owner", "Share of the cases", "Cases", "Still open", "Serious or grave", "Clocks in time"),
            rows=rows,
            sign="person",
            nothing="No case was opened in this period",
            teach="Once cases have owners, this shows who carries how much.",
        )
        return found.window, [section]

    return report_parts.show_report("Load", "Who carries how much, for those who assign.", ("issue_tag",), build)


def _overall(found: Effectiveness) -> Section:
    return Section(
        key="effect",
        title="What each incentive achieves",
        note="Of cases in which it is known how they ended. The line is where the true share lies in 95 of 100 such "
        "reports. “Over nothing” compares with cases where nothing was given: people chose those; a holdout proves it.",
        columns=_EFFECT_COLUMNS,
        rows=[_effect(each, each.incentive_label) for each in found.overall],
        sign="heart",
        nothing="No case was opened in this period",
        teach="Once cases are closed and customers answer, this shows what brings them back.",
    )  # fmt: skip


def _by_tag(found: Effectiveness) -> Section:
    rows = [
        [label(each.issue_tag_label), *_effect(each, each.incentive_label)]
        for each in found.by_tag
        if each.decided >= _FEW
    ]
    return Section(
        key="effect-by-tag",
        title="The same by issue tag",
        note=f"Where at least {_FEW} endings are known.",
        columns=("Issue tag", *_EFFECT_COLUMNS),
        rows=rows,
        nothing="Not enough is known yet",
        teach=f"An incentive shows here for a tag once {_FEW} such cases have a known ending.",
    )  # fmt: skip


def _effect(each: Effect, name: str) -> list[Cell]:
    return [
        label(name),
        _interval(each.share, _WHOLE, "recovered"),
        number(each.cases),
        number(each.decided),
        number(each.recovered),
        _share(each.share),
        _share(each.over_nothing, sign=True),
        amount(each.cost),
        amount(each.per_recovery),
    ]


def _holdouts(found: tuple[Holdout, ...]) -> Section:
    def arm(each: Arm) -> Cell:
        return (
            Cell(text=percent_words(each.share.value_bp), more=f"of {each.decided:,}") if each.share else Cell(text="–")
        )

    rows = [
        [
            label(each.criterion),
            _interval(each.difference, _BOTH_WAYS, "more recovered where something was given"),
            arm(each.given),
            arm(each.held_out),
            _share(each.difference, sign=True),
            _proof(each.difference),
        ]
        for each in found
    ]
    return Section(
        key="holdouts",
        title="Holdouts",
        note="By lot some customers get no incentive from a criterion: the difference is what giving did. The line "
        "goes from −100% to +100%.",
        columns=("Criterion", "Difference", "Given", "Held out", "In numbers", "Verdict"),
        rows=rows,
        sign="balance",
        nothing="No holdout runs",
        teach="Give a criterion a holdout_percent in the catalog: so many customers get nothing by lot, and what "
        "incentives do can be told from what would have happened anyway.",
    )


def _proof(difference: Share | None) -> Cell:
    if difference is None:
        return Cell(text="Too early")
    if difference.low_bp > 0:
        return Cell(text="Giving works", tone="good", sign="check")
    if difference.high_bp < 0:
        return Cell(text="Giving harms", tone="bad", sign="alert")
    return Cell(text="Not proved")


def _return(found: Returns) -> Section:
    return Section(
        key="return",
        title="The return",
        note=_return_note(found.rows),
        columns=("Currency", "Given in", "Kept", "Worth of one", "Incentives", "Handling", "Retained", "Net return"),
        rows=[
            [
                label(each.currency),
                Cell(text=f"{each.given:,}", more=f"of {each.cases:,} cases", raw=each.given),
                Cell(text=f"{each.kept[1]:,}", more=f"{each.kept[0]:,} to {each.kept[2]:,}",
                     raw=f"{each.kept[0]} to {each.kept[2]}"),
                amount(each.worth),
                amount(each.cost),
                amount(each.handling),
                _range(each.retained),
                _range(each.net),
            ]
            for each in found.rows
        ],
        sign="coins",
        nothing="No case was opened in this period",
        teach="Say in the catalog’s recovery section what a kept customer is worth (customer_value_minor) and what "
        "working on a case costs (handling_cost_minor).",
    )  # fmt: skip


def _return_note(rows: tuple[Return, ...]) -> str:
    basis = (
        "Only as many count as kept as came back more than in the holdout."
        if any(each.by_holdout for each in rows)
        else "Nobody was held out, so all who were recovered count, also those who would have come back anyway: this "
        "is the most that can be claimed."
    )
    if any(each.worth is None for each in rows):
        basis += " The catalog does not say what a kept customer is worth in every currency."
    return f"{basis} Small below: the bounds of 95 in 100."


def _paradox(found: Paradox) -> Section:
    first, last = report_parts.day(found.window.from_date), report_parts.day(found.window.until_date)
    said = f" Recovered less never let down: {_said(found.difference)}." if found.difference else ""
    return Section(
        key="loyalty",
        title="Does putting it right make loyal customers?",
        note=f"Who bought again within {found.within_days} days. Counted from {first} to {last}, so that everybody has "
        f"had that long.{said}",
        columns=("Customers", "Bought again, 0 to 100%", "Number", "Bought again", "Share", "Mean score since"),
        rows=[
            [
                label(_LOYAL[each.kind]),
                _interval(each.share, _WHOLE, "bought again"),
                number(each.customers),
                number(each.bought),
                _share(each.share),
                Cell(text=percent_words(each.mean_score_bp), raw=percent(each.mean_score_bp).raw),
            ]
            for each in found.groups
        ]
        if any(each.customers for each in found.groups)
        else [],
        sign="refresh",
        nothing="It is too early to say",
        teach="This needs purchases (feedback events) and cases that were closed long enough ago.",
    )


def _interval(share: Share | None, bounds: tuple[int, int], what: str) -> Cell:
    if share is None:
        return Cell(text="–", raw="")
    bounds_said = f"between {percent_words(share.low_bp)} and {percent_words(share.high_bp)}"
    said = f"{percent_words(share.value_bp)} {what}, {bounds_said}"
    return Cell(
        text="",
        raw=f"{share.low_bp / 100:.2f} to {share.high_bp / 100:.2f}",
        chart=charts.interval(share.low_bp, share.value_bp, share.high_bp, bounds, said),
    )


def _share(share: Share | None, *, sign: bool = False) -> Cell:
    if share is None:
        return Cell(text="–", raw="")
    parts = (percent_words(each, sign=sign) for each in (share.value_bp, share.low_bp, share.high_bp))
    value, low, high = parts
    return Cell(text=value, more=f"{low} to {high}", raw=f"{share.value_bp / 100:.2f}")


def _said(difference: Share) -> str:
    cell = _share(difference, sign=True)
    return f"{cell.text} ({cell.more})"


def _range(found: Range | None) -> Cell:
    if found is None:
        return Cell(text="–", raw="")
    low, value, high = (amount(each).text for each in (found.low, found.value, found.high))
    return Cell(text=value, more=f"{low} to {high}", raw=f"{amount(found.low).raw} to {amount(found.high).raw}")
