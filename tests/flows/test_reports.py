"""The reports against a recount by plain SQL over the same rows, on both databases."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from bench.seeing import families, replay
from bench.trouble import SMALL
from incentives.catalog import releases
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, NotPermitted
from incentives.kernel.money import Money
from incentives.queries.reports.alerts import alerts
from incentives.queries.reports.asked import Asked
from incentives.queries.reports.costs import costs
from incentives.queries.reports.effectiveness import effectiveness
from incentives.queries.reports.funnel import cases_at, funnel
from incentives.queries.reports.load import load
from incentives.queries.reports.returns import paradox, returns
from incentives.queries.reports.times import times
from incentives.queries.reports.trends import dimensions, trends
from tests.flows.year import Year, a_year, all_years  # noqa: F401 - fixtures, known by their names
from tests.world import actor

LONDON = ZoneInfo("Europe/London")
FIRST, LAST = datetime(2026, 1, 5, tzinfo=UTC).date(), datetime(2026, 2, 28, tzinfo=UTC).date()
SPAN = {
    "from_at": datetime.combine(FIRST, time.min, LONDON),
    "until_at": datetime.combine(LAST + timedelta(days=1), time.min, LONDON),
}
ASKED = Asked(from_date=FIRST, until_date=LAST)

CASES = "FROM recovery_cases c WHERE c.opened_at >= :from_at AND c.opened_at < :until_at AND c.merged_into_id IS NULL"
TROUBLE = """survey_id IS NULL AND (kind IN ('complaint', 'employee_report') OR (kind = 'event' AND event <> 'purchase')
  OR score_bp < 7500)"""
WHEN = "occurred_at >= :from_at AND occurred_at < :until_at"
LOOSE = f"FROM feedback WHERE occurred_at >= :from_at AND occurred_at < :until_at AND case_id IS NULL AND {TROUBLE}"
GIVEN = "EXISTS (SELECT 1 FROM issuances i WHERE i.case_id = c.id AND i.status = 'issued')"
SAID = """(EXISTS (SELECT 1 FROM case_apologies a WHERE a.case_id = c.id)
  OR EXISTS (SELECT 1 FROM case_steps s WHERE s.case_id = c.id AND s.step = 'apologize' AND s.status = 'done'))"""
STEPS = {
    "contacted": f"({SAID} OR EXISTS (SELECT 1 FROM case_clocks k WHERE k.case_id = c.id AND k.clock = 'first_contact' "
    "AND k.met_at IS NOT NULL))",
    "apologized": SAID,
    "issued": GIVEN,
    "delivered": "EXISTS (SELECT 1 FROM issuances i JOIN outbox_messages m ON m.issuance_id = i.id WHERE "
    "i.case_id = c.id AND m.status = 'delivered')",
    "redeemed": "EXISTS (SELECT 1 FROM issuances i JOIN vouchers v ON v.issuance_id = i.id JOIN redemptions r ON "
    "r.voucher_id = v.id WHERE i.case_id = c.id AND r.reversed_at IS NULL)",
    "asked": "EXISTS (SELECT 1 FROM surveys s WHERE s.case_id = c.id AND s.sent_at IS NOT NULL)",
    "answered": "EXISTS (SELECT 1 FROM surveys s WHERE s.case_id = c.id AND s.answered_at IS NOT NULL)",
    "recovered": "c.recovered",
    "bought": "EXISTS (SELECT 1 FROM feedback f WHERE f.customer_id = c.customer_id AND f.event = 'purchase' AND "
    "f.occurred_at > c.closed_at)",  # nobody closed so long before the end that the policy's 90 days were over
}


def funnel_of(year: Year, asked: Asked = ASKED, **more: Any) -> Any:
    return funnel(core=year.core, actor=year.manager, asked=asked, **more)


def test_every_step_of_the_funnel_is_what_plain_sql_counts(year: Year) -> None:
    found = {each.name: each for each in funnel_of(year).steps}
    cases = year.count(f"SELECT count(*) {CASES}", **SPAN)
    assert cases > 500
    assert found["case"].count == cases
    assert found["eligible"].count == cases + year.count(f"SELECT count(*) {LOOSE}", **SPAN)
    for name, condition in STEPS.items():
        assert found[name].count == year.count(f"SELECT count(*) {CASES} AND {condition}", **SPAN) > 0, name
    assert found["redeemed"].of_count == found["issued"].count
    assert found["answered"].of == "asked"
    assert found["contacted"].share_bp == round(10_000 * found["contacted"].count / cases)


@pytest.mark.parametrize("by", ["issue_tag", "location", "team", "source", "product", "severity", "segment"])
def test_the_funnel_by_a_dimension_is_what_plain_sql_counts(year: Year, by: str) -> None:
    groups = {each.key: each.counts for each in funnel_of(year, by=by).groups}
    rows = year.all(
        f"SELECT c.{by}, count(*), sum(CASE WHEN c.recovered THEN 1 ELSE 0 END) {CASES} GROUP BY c.{by}", **SPAN
    )
    assert {key: (each["case"], each["recovered"]) for key, each in groups.items()} == {
        "" if value is None else str(value): (number, recovered) for value, number, recovered in rows
    }
    if by == "team":
        assert {each["eligible"] for each in groups.values()} == {None}
        return
    loose = year.all(f"SELECT {by}, count(*) {LOOSE} GROUP BY {by}", **SPAN)
    without = Counter({"" if value is None else str(value): number for value, number in loose})
    assert {key: each["eligible"] for key, each in groups.items()} == {
        key: each["case"] + without[key] for key, each in groups.items()
    }


def test_the_funnel_by_what_was_given_and_how(year: Year) -> None:
    rows = year.all(f"SELECT i.incentive, count(*) FROM issuances i JOIN recovery_cases c ON c.id = i.case_id WHERE "
                    f"{CASES.partition('WHERE')[2]} GROUP BY i.incentive", **SPAN)  # fmt: skip
    groups = {each.key: each.counts["case"] for each in funnel_of(year, by="incentive").groups}
    assert {key: number for key, number in groups.items() if key} == dict(rows)
    mail = funnel_of(year, Asked(from_date=FIRST, until_date=LAST, channel="email"))
    assert mail.steps[1].count == mail.steps[5].count > 0  # all that were given by email were delivered by it
    assert mail.steps[0].count == mail.steps[1].count


def test_a_filter_keeps_to_it_and_the_cases_behind_a_figure_are_those(year: Year) -> None:
    asked = Asked(from_date=FIRST, until_date=LAST, issue_tag="cold-food", location="place-02", severity="2")
    steps = {each.name: each.count for each in funnel_of(year, asked).steps}
    kept = f"{CASES} AND c.issue_tag = 'cold-food' AND c.location = 'place-02' AND c.severity = 2"
    assert steps["case"] == year.count(f"SELECT count(*) {kept}", **SPAN) > 0
    total, found = cases_at(core=year.core, actor=year.manager, asked=asked, step="redeemed")
    wanted = year.all(f"SELECT c.opened_at {kept} AND {STEPS['redeemed']}", **SPAN)
    assert total == len(found) == len(wanted) == steps["redeemed"]
    without, _ = cases_at(core=year.core, actor=year.manager, asked=asked, step="redeemed", missing=True)
    assert without + total == steps["case"]


def test_medians_and_percentiles_are_those_of_the_records(year: Year) -> None:
    cases = [each for each in year.rows["recovery_cases"] if SPAN["from_at"] <= each["opened_at"] < SPAN["until_at"]]
    closed = sorted(
        (each["closed_at"] - each["opened_at"]) // timedelta(minutes=1) for each in cases if each["closed_at"]
    )
    found = times(core=year.core, actor=year.manager, asked=ASKED)
    close = next(each for each in found.steps if each.name == "closed")
    assert close.count == len(closed)
    assert close.wall_minutes[0] is not None
    assert abs(close.wall_minutes[0] - median(closed)) <= 1
    assert list(close.wall_minutes) == sorted(each or 0 for each in close.wall_minutes)
    assert all(
        0 < (business or 0) < (wall or 0)
        for business, wall in zip(close.business_minutes, close.wall_minutes, strict=True)
    )
    in_time = year.count(
        "SELECT count(*) FROM case_clocks k JOIN recovery_cases c ON c.id = k.case_id WHERE "
        f"{CASES.partition('WHERE')[2]} AND k.clock = 'close' AND k.met_at <= k.due_at", **SPAN)  # fmt: skip
    assert close.in_time == in_time > 0


@pytest.mark.parametrize("by", ["issue_tag", "location", "product", "team", "cause"])
def test_every_trend_is_what_plain_sql_counts_week_by_week(year: Year, by: str) -> None:
    found = trends(core=year.core, actor=year.manager, asked=Asked(), by=by)
    assert len(found.weeks) == 13
    assert {each.weekday() for each in found.weeks} == {0}
    counted: dict[str, list[int]] = {}
    for number, monday in enumerate(found.weeks):
        week = {"from_at": local(monday), "until_at": local(monday + timedelta(days=7))}
        volume = f"SELECT count(*) FROM feedback WHERE {WHEN} AND survey_id IS NULL"
        assert found.volume[number] == year.count(volume, **week)
        for value, count in year.all(trend_sql(by), **week):
            counted.setdefault(value or "", [0] * 13)[number] = count
    assert {each.key: list(each.counts) for each in found.series} == counted
    assert sum(map(sum, counted.values())) > 300


def trend_sql(by: str) -> str:
    if by == "cause":
        where = CASES.partition("WHERE")[2]
        joined = "case_causes k JOIN recovery_cases c ON c.id = k.case_id"
        return f"SELECT k.cause, count(*) FROM {joined} WHERE {where} GROUP BY k.cause"
    if by == "team":
        return f"SELECT c.team, count(*) {CASES} GROUP BY c.team"
    return f"SELECT {by}, count(*) FROM feedback WHERE {WHEN} AND {TROUBLE} GROUP BY {by}"


def local(day: Any) -> datetime:
    return datetime.combine(day, time.min, LONDON)


def test_trends_name_people_only_where_the_policy_allows_it(year: Year) -> None:
    core = year.core
    with pytest.raises(InputInvalid) as refusal:
        trends(core=core, actor=year.manager, asked=Asked(), by="owner")
    assert [each["field"] for each in refusal.value.facts["errors"]] == ["by"]
    assert "owner" not in dimensions(core=core, actor=year.manager)
    found = trends(core=naming_people(core), actor=year.manager, asked=Asked(), by="owner")
    whole = {"from_at": local(found.weeks[0]), "until_at": local(found.weeks[-1] + timedelta(days=7))}
    assert {each.key: each.total for each in found.series} == dict(
        year.all(f"SELECT c.owner, count(*) {CASES} GROUP BY c.owner", **whole)
    )
    assert all(each.label.startswith("Staff ") for each in found.series)


def naming_people(core: Core) -> Core:
    """Return a core whose policy is not free of blame; nobody else sees it."""
    with core.database.read() as tx:
        known = releases.cached_current(tx, core)
    policies = {"recovery": replace(known.catalog.recovery, blame_free=False)}
    loose = replace(known, catalog=replace(known.catalog, recovery_policies=policies))
    return replace(core, cache={key: loose if value is known else value for key, value in core.cache.items()})


def test_what_is_planted_is_new_in_its_first_week(year: Year) -> None:
    # The planted cause starts on day 70, a Monday; its first whole week ends on day 76.
    until = (SMALL.start + timedelta(days=76)).date()
    found = {
        each.key: each
        for each in trends(core=year.core, actor=year.manager, asked=Asked(until_date=until), by="cause").series
    }
    assert [key for key, each in found.items() if each.new] == ["new-supplier"]
    tag = {each.key: each for each in trends(core=year.core, actor=year.manager, asked=Asked(until_date=until)).series}[
        "wrong-item"
    ]
    assert tag.significant
    assert tag.change_permille is not None
    assert tag.change_permille > 500


def test_the_alerts_find_what_was_planted_and_nothing_else(year: Year) -> None:
    found, false = replay(families(year.core, SMALL), SMALL)
    assert sorted(found) == [0, 1]
    assert false == []
    year.core.clock.advance(timedelta(days=-20))  # type: ignore[attr-defined]  # a fixed clock
    try:
        spikes = alerts(core=year.core, actor=year.manager)
    finally:
        year.core.clock.advance(timedelta(days=20))  # type: ignore[attr-defined]
    assert ("place", "cold-food", "place-02") in {(each.kind, each.what, each.location) for each in spikes}
    assert all(each.count * 10 > each.expected_tenths for each in spikes)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_costs_are_read_where_they_lie_and_nobody_after_them_is_told_so(year: Year) -> None:
    """PostgreSQL plans this one query, and no other, by how near to each other the cases of a period lie."""
    reader, told = year.core.database._reader, []

    def listen(connection: sa.Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "recovery_cases" in statement:
            told.append(connection.connection.execute("SHOW random_page_cost").fetchone()[0])

    sa.event.listen(reader, "before_cursor_execute", listen)
    try:
        costs(core=year.core, actor=year.manager, asked=ASKED)
        funnel(core=year.core, actor=year.manager, asked=ASKED)
    finally:
        sa.event.remove(reader, "before_cursor_execute", listen)
    with year.core.database.read() as tx:
        usual = tx.execute(sa.text("SHOW random_page_cost")).scalar_one()
    assert told[0] == "0.5" != usual
    assert set(told[1:]) == {usual}


def test_costs_are_what_was_given_and_causes_share_it(year: Year) -> None:
    found = costs(core=year.core, actor=year.manager, asked=ASKED)
    total = year.count(
        "SELECT sum(amount_minor) FROM issuances WHERE issued_at >= :from_at AND issued_at < :until_at", **SPAN
    )
    assert sum(each.amount.amount_minor for each in found.rows) == total > 0
    assert found.rows[-1].running_bp == 10_000
    shares = [each.share_bp or 0 for each in found.rows]
    assert shares == sorted(shares, reverse=True)
    caused = costs(core=year.core, actor=year.manager, asked=ASKED, by="cause")
    known = year.count(
        "SELECT sum(i.amount_minor * k.weight) / 100 FROM issuances i JOIN case_causes k ON k.case_id = i.case_id "
        "WHERE i.issued_at >= :from_at AND i.issued_at < :until_at",
        **SPAN,
    )
    assert sum(each.amount.amount_minor for each in caused.rows) == known


def test_effects_are_what_plain_sql_counts(year: Year) -> None:
    found = effectiveness(core=year.core, actor=year.manager, asked=ASKED)
    rows = year.all(
        "SELECT i.incentive, count(*), count(c.recovered), sum(CASE WHEN c.recovered THEN 1 ELSE 0 END), "
        "coalesce(sum(i.amount_minor), 0) FROM recovery_cases c LEFT JOIN issuances i ON i.case_id = c.id WHERE "
        f"{CASES.partition('WHERE')[2]} GROUP BY i.incentive", **SPAN)  # fmt: skip
    assert {
        each.incentive: (each.cases, each.decided, each.recovered, each.cost.amount_minor if each.cost else 0)
        for each in found.overall
    } == {row[0]: tuple(map(int, row[1:])) for row in rows}
    voucher = next(each for each in found.overall if each.incentive == "voucher-10")
    assert voucher.share is not None
    assert voucher.over_nothing is not None
    assert voucher.share.low_bp < voucher.share.value_bp < voucher.share.high_bp
    assert voucher.over_nothing.low_bp > 0  # what was planted: it helps
    assert (
        voucher.per_recovery == Money(voucher.cost.amount_minor // voucher.recovered, "GBP") if voucher.cost else False
    )
    assert sum(each.cases for each in found.by_tag) == sum(each.cases for each in found.overall)


def test_the_return_is_a_range_that_leans_on_the_holdout(year: Year) -> None:
    (row,) = returns(core=year.core, actor=year.manager, asked=ASKED).rows
    assert row.by_holdout
    low, guess, high = row.kept
    assert low < guess < high
    assert guess < row.recovered  # who would have come back anyway does not count
    assert row.handling == Money(350 * row.given, "GBP")
    assert row.net is not None
    assert row.net.value.amount_minor == guess * 12_000 - row.cost.amount_minor - row.handling.amount_minor
    assert row.net.low.amount_minor < row.net.value.amount_minor < row.net.high.amount_minor


def test_loyalty_compares_three_kinds_of_customers(year: Year) -> None:
    found = paradox(core=year.core, actor=year.manager)
    assert [each.kind for each in found.groups] == ["recovered", "not_recovered", "never_failed"]
    assert all(each.bought <= each.customers for each in found.groups)


def test_load_is_for_those_who_lead(year: Year) -> None:
    found = load(core=year.core, actor=year.manager, asked=ASKED)
    rows = year.all(f"SELECT c.owner, count(*) {CASES} GROUP BY c.owner", **SPAN)
    assert {each.owner: each.cases for each in found.owners} == dict(rows)
    assert all(each.name.startswith("Staff ") for each in found.owners)
    with pytest.raises(NotPermitted):
        load(core=year.core, actor=actor(year.core, "auditor"), asked=ASKED)
    with pytest.raises(NotPermitted):
        funnel(core=year.core, actor=actor(year.core, "frontline"), asked=ASKED)


def test_who_belongs_to_a_place_sees_what_happened_there(year: Year) -> None:
    there = actor(year.core, "supervisor", location="place-01")
    found = funnel(core=year.core, actor=there, asked=ASKED, by="location")
    assert [each.key for each in found.groups] == ["place-01"]
    assert [each.key for each in trends(core=year.core, actor=there, asked=Asked(), by="location").series] == [
        "place-01"
    ]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Asked(from_date=LAST, until_date=FIRST), "from_date"),
        (Asked(from_date=FIRST - timedelta(days=1000), until_date=LAST), "from_date"),
        (Asked(until_date=date.max), "until_date"),
    ],
)
def test_an_impossible_period_is_refused(year: Year, asked: Asked, field: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        funnel(core=year.core, actor=year.manager, asked=asked)
    assert [each["field"] for each in refusal.value.facts["errors"]] == [field]
