"""What all reports are made of: the question in the address, sections with a chart and its numbers, and their CSV."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from babel.dates import format_date
from flask import Response, make_response, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from admin import guard, pages, words
from admin.forms import Form, wrong
from admin.pages import show
from incentives.kernel.actors import may
from incentives.kernel.errors import InputInvalid, NoCatalog
from incentives.kernel.money import Money
from incentives.kernel.sheet import csv_text
from incentives.queries import catalog
from incentives.queries.reports.asked import DIMENSIONS, Asked, Window

KEY_LONGEST = 64
WORDS = {
    "issue_tag": "issue tag",
    "cause": "root cause",
    "location": "location",
    "team": "team",
    "owner": "owner",
    "source": "source",
    "product": "product",
    "incentive": "incentive",
    "severity": "severity",
    "segment": "segment",
    "channel": "channel",
}
"""What the dimensions are called."""

TABS = (
    ("/reports", "Overview", "reports:read"),
    ("/reports/funnel", "Funnel", "reports:read"),
    ("/reports/times", "Times", "reports:read"),
    ("/reports/trends", "Trends", "reports:read"),
    ("/reports/effectiveness", "What works", "reports:read"),
    ("/reports/return", "Return", "reports:read"),
    ("/reports/load", "Load", "cases:manage"),
    ("/criteria", "Rules", "criteria:read"),
)

_PERIODS = ((30, "30 days"), (90, "90 days"), (364, "A year"))
_FIELDS = {name: name for name in ("from_date", "until_date", "by")}
_MINUTES_A_DAY, _MINUTES_AN_HOUR = 1440, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in one place of a table, ``more`` small below it; ``raw`` is what stands there in the CSV."""

    text: str
    more: str = ""
    raw: object = None
    href: str | None = None
    chart: Markup | None = None
    tone: str = ""
    sign: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One figure: what it shows, the chart, and the numbers as a table, whose first column names each row."""

    key: str
    title: str
    note: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    chart: Markup | None = None
    legend: Sequence[tuple[Markup, str]] = ()
    axis: Mapping[str, str] = field(default_factory=dict)
    sign: str = "chart"
    nothing: str = "Nothing to show yet"
    teach: str = ""
    csv: str = ""


Build = Callable[[Asked, str], tuple[Window, list[Section]]]
"""Asks for a report and lays out its sections."""


def asked_for(by: Sequence[str]) -> tuple[Asked, str]:
    """Return what the address asks for, and by which dimension. Raises ``InputInvalid``."""
    form = Form(request.args)
    kept = {name: form.text(name, KEY_LONGEST) for name in DIMENSIONS if form.shown(name)}
    chosen = form.shown("by") or by[0]
    if chosen not in by:
        raise wrong("by", "Choose one of the list.")
    return Asked(from_date=_day(form, "from_date"), until_date=_day(form, "until_date"), **kept), chosen


def show_report(title: str, about: str, by: Sequence[str], build: Build, **more: object) -> ResponseReturnValue:
    """Show a report, or one of its tables as CSV; what cannot be asked is said, and the usual is shown."""
    refused = None
    shell: dict[str, Any] = {"title": title, "about": about, "tabs": tabs(), "alerts": None, **more}
    try:
        asked, chosen = asked_for(by)
        span, sections = build(asked, chosen)
    except InputInvalid as refusal:
        refused, asked, chosen = pages.refused(refusal, _FIELDS), Asked(), by[0]
        span, sections = build(asked, chosen)
    except NoCatalog:
        return show("report.html", filters=None, sections=[], no_catalog=True, **shell)
    wanted = request.args.get("csv")
    for each in sections:
        if wanted == each.key and refused is None:
            return as_csv(each)
    return show(
        "report.html",
        status=refused.status if refused else 200,
        filters=_filters(asked, span, chosen, by),
        sections=[replace(each, csv=address(csv=each.key)) if each.rows else each for each in sections],
        no_catalog=False,
        refused=refused,
        errors=refused.errors if refused else {},
        **shell,
    )


def as_csv(section: Section) -> Response:
    """Return a section's numbers as a file."""
    rows = ([each.raw if each.raw is not None else each.text for each in row] for row in section.rows)
    response = pages.closed(make_response(csv_text(section.columns, rows)))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{section.key}.csv"'
    return response


def address(path: str | None = None, **changes: object) -> str:
    """Return this page's address with some of its question changed; None takes a part away."""
    kept = {name: request.args[name] for name in (*_FIELDS, *DIMENSIONS) if request.args.get(name)}
    parts = {name: value for name, value in {**kept, **changes}.items() if value is not None}
    return (path or request.path) + (f"?{urlencode(parts)}" if parts else "")


def tabs() -> list[dict[str, Any]]:
    """Return the reports that are open to whoever asks."""
    actor = guard.the_actor()
    return [
        {"href": address(href, by=None), "word": word, "current": href == request.path.rstrip("/")}
        for href, word, permission in TABS
        if may(actor, permission)
    ]


def minutes(number: int | None) -> Cell:
    """Return minutes as people say them: ``42 min``, ``3 h 5 min``, ``2 d 4 h``."""
    if number is None:
        return Cell(text="–", raw="")
    days, rest = divmod(number, _MINUTES_A_DAY)
    hours, left = divmod(rest, _MINUTES_AN_HOUR)
    parts = [(days, "d"), (hours, "h"), (left, "min")]
    said = [f"{count} {unit}" for count, unit in parts if count][:2]
    return Cell(text=" ".join(said) or "0 min", raw=number)


def number(count: int | None, *, href: str | None = None) -> Cell:
    """Return a count."""
    return Cell(text="–" if count is None else f"{count:,}", raw="" if count is None else count, href=href)


def percent(share_bp: int | None) -> Cell:
    """Return ten thousandths as a percentage with one decimal."""
    return Cell(text=percent_words(share_bp), raw="" if share_bp is None else f"{share_bp / 100:.2f}")


def percent_words(share_bp: int | None, *, sign: bool = False) -> str:
    """Return ten thousandths in words."""
    if share_bp is None:
        return "–"
    return f"{share_bp / 100:+.1f}%" if sign else f"{share_bp / 100:.1f}%"


def amount(money: Money | None) -> Cell:
    """Return an amount."""
    if money is None:
        return Cell(text="–", raw="")
    text = words.money(Money(abs(money.amount_minor), money.currency))
    return Cell(
        text=f"−{text}" if money.amount_minor < 0 else text, raw=f"{words.plain_amount(money)} {money.currency}"
    )


def label(text: str, *, href: str | None = None) -> Cell:
    """Return the name of a row."""
    return Cell(text=text or "none", raw=text, href=href)


def day(at: date) -> str:
    """Return a day: ``2 Mar 2026``."""
    return format_date(at, "d MMM y", locale=words.LOCALE)


def _day(form: Form, name: str) -> date | None:
    typed = form.text(name, KEY_LONGEST)
    if not typed:
        return None
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", typed):
        raise wrong(name, "Choose a day.")
    try:
        return date.fromisoformat(typed)
    except ValueError:
        raise wrong(name, "There is no such day.") from None


def _filters(asked: Asked, span: Window, chosen: str, by: Sequence[str]) -> dict[str, Any]:
    core, actor = guard.the_core(), guard.the_actor()
    form = Form(request.args)
    options = {
        "issue_tag": [(each.key, pages.english(each.label)) for each in catalog.issue_tags(core=core, actor=actor)],
        "location": [(each.key, each.name) for each in catalog.locations(core=core, actor=actor)],
        "incentive": [(each.key, pages.english(each.title)) for each in catalog.incentives(core=core, actor=actor)],
        "severity": [(str(key), word) for key, word in words.SEVERITIES.items()],
        "channel": [("email", "Email"), ("sms", "SMS"), ("screen", "Screen")],
    }
    names = {name: dict(rows) for name, rows in options.items()}
    kept = [
        {
            "word": WORDS[name].capitalize(),
            "value": names.get(name, {}).get(value, value),
            "without": address(**{name: None}),
        }
        for name, value in asked.wanted().items()
    ]
    return {
        "period": f"{day(span.from_date)} to {day(span.until_date)}",
        "from_date": span.from_date.isoformat(),
        "until_date": span.until_date.isoformat(),
        "periods": [_period(span, days, word) for days, word in _PERIODS],
        "kept": kept,
        "by": [(each, f"By {WORDS[each]}") for each in by] if len(by) > 1 else [],
        "chosen": chosen,
        "selects": [
            (name, WORDS[name].capitalize(), [("", "All"), *rows], form.shown(name)) for name, rows in options.items()
        ],
        "texts": [
            (name, WORDS[name].capitalize(), form.shown(name)) for name in ("team", "source", "product", "segment")
        ],
        "action": request.path,
    }


def _period(span: Window, days: int, word: str) -> dict[str, Any]:
    first = span.until_date - timedelta(days=days - 1)
    return {
        "word": word,
        "href": address(from_date=first.isoformat(), until_date=span.until_date.isoformat()),
        "current": span.from_date == first,
    }
