"""Figures of the work: what waits for people, what sweeps are behind with, what was just given, and what is stopped."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.tables import catalog_releases
from incentives.queries.figures.gauge import (
    LATE,
    NOW,
    SINCE,
    Gauge,
    Part,
    Sample,
    age,
    counted,
    longest,
    some,
    waiting,
    word,
)
from incentives.recovery.feedback_tables import feedback, feedback_inbox
from incentives.recovery.tables import surveys
from incentives.safeguards.tables import reviews, switches
from incentives.spending.alerts import THRESHOLDS
from incentives.spending.tables import approvals, budget_alerts, budget_periods, budget_requests
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import issuances, redemption_attempts, redemptions, reservations, vouchers

MINUTE = timedelta(minutes=1)
LEFT = timedelta(minutes=5)

WAITS = Gauge("incentives_waiting", "What waits for a person, counted up to 10,000.", ("what",))
OLDEST = Gauge("incentives_waiting_seconds", "How long the oldest of them has waited.", ("what",))
HELD = Gauge("incentives_reservations_held", "Vouchers that tills hold while a sale is paid.")
OVERDUE = Gauge(
    "incentives_overdue_seconds",
    "How long ago the worker should have done what is due longest; 0 where nothing is due.",
    ("work",),
)
GIVEN = Gauge("incentives_given_last_minute", "Incentives that were given within the last minute, by anybody.")
REDEEMED = Gauge("incentives_redeemed_last_minute", "Redemptions within the last minute.")
TRIES = Gauge(
    "incentives_redemption_tries_last_minute",
    "Tries to redeem within the last minute, and look-ups that found nothing, by what came of them.",
    ("outcome",),
)
SWITCHES = Gauge("incentives_switches_on", "Switches that stop something now.", ("stops", "scope"))
BUDGETS = Gauge(
    "incentives_budgets_reached",
    "Budgets of a running period that have reached so many percent, as far as anybody is told of them.",
    ("percent",),
)
JOBS = Gauge("incentives_bulk_jobs", "Bulk jobs that are not over.", ("status",))
JOBS_STRANDED = Gauge("incentives_bulk_jobs_stranded", "Bulk jobs whose worker was lost 5 minutes ago or longer.")
CATALOG = Gauge("incentives_catalog_release", "The number of the catalog's release that is in force; 0 before one is.")

ACTIVE = ("loading", "checking", "checked", "running", "stopping", "stopped")
_AT_WORK = ("loading", "checking", "running", "stopping")

_asked: Any = approvals.c
_looked_at: Any = reviews.c
_kept: Any = feedback_inbox.c
_piece: Any = feedback.c
_wanted: Any = budget_requests.c
_draft: Any = catalog_releases.c
_hold: Any = reservations.c
_job: Any = bulk_jobs.c

_WAITING = sa.union_all(
    waiting("approvals", _asked.requested_at, _asked.status == word("pending"), order=_asked.expires_at),
    waiting("reviews", _looked_at.opened_at, _looked_at.status == word("open"), order=_looked_at.due_at),
    waiting("feedback_not_understood", _kept.received_at, _kept.status == word("waiting"), order=_kept.received_at),
    waiting("feedback", _piece.received_at, _piece.status == word("waiting"), order=_piece.act_at),
    waiting("budget_requests", _wanted.requested_at, _wanted.status == word("pending")),
    waiting("catalog_drafts", _draft.proposed_at, _draft.status == word("draft")),
)

# Each of them ends by itself soon after, as long as a worker sweeps.
_DUE = sa.union_all(
    *(
        longest(what, since, table.status == word(status))
        for what, table, since, status in (
            ("expire_vouchers", vouchers.c, vouchers.c.expires_at, "issued"),
            ("expire_approvals", _asked, _asked.expires_at, "pending"),
            ("lapse_holds", _hold, _hold.expires_at, "held"),
            ("respond_to_feedback", _piece, _piece.act_at, "settling"),
            ("ask_again", surveys.c, surveys.c.due_at, "planned"),
        )
    )
)
_HELD = sa.select(sa.func.count()).select_from(some([_hold.id], _hold.status == word("held")))


def _since(at: Any) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(some([at], at > SINCE, at <= NOW))


_GIVEN, _REDEEMED = _since(issuances.c.issued_at), _since(redemptions.c.redeemed_at)
_tried: Any = redemption_attempts.c
_TRIES = counted([_tried.outcome], _tried.at > SINCE, _tried.at <= NOW, order=_tried.at.desc())
_SWITCHES = counted([switches.c.stops, switches.c.scope], switches.c.lifted_at.is_(None))

_told: Any = budget_alerts.c
_NEWEST = some([_told.budget_period_id, _told.threshold_percent], _told.rearmed_at.is_(None), order=_told.id.desc())
_BUDGETS = (
    sa.select(_NEWEST.c.threshold_percent, sa.func.count())
    .join(budget_periods, budget_periods.c.id == _NEWEST.c.budget_period_id)
    .where(sa.or_(budget_periods.c.end_at.is_(None), budget_periods.c.end_at > NOW))
    .group_by(_NEWEST.c.threshold_percent)
)
_JOBS = sa.union_all(*(counted([_job.status], _job.status == word(status)) for status in ACTIVE))
_JOBS_STRANDED = sa.select(sa.func.count()).select_from(
    some([_job.id], _job.status.in_([word(status) for status in _AT_WORK]), _job.lease_until_at <= LATE)
)


def _waits(tx: Connection, now: datetime) -> Iterator[Sample]:
    for what, count, since in tx.execute(_WAITING):
        yield WAITS, (what,), count
        yield OLDEST, (what,), age(now, since)
    for work, since in tx.execute(_DUE, {"now": now}):
        yield OVERDUE, (work,), age(now, since)
    yield HELD, (), tx.execute(_HELD).scalar_one()
    jobs = dict.fromkeys(ACTIVE, 0) | {row[0]: row[1] for row in tx.execute(_JOBS)}
    yield from ((JOBS, (status,), count) for status, count in jobs.items())
    yield JOBS_STRANDED, (), tx.execute(_JOBS_STRANDED, {"late": now - LEFT}).scalar_one()


def _happens(tx: Connection, now: datetime) -> Iterator[Sample]:
    window = {"since": now - MINUTE, "now": now}
    yield GIVEN, (), tx.execute(_GIVEN, window).scalar_one()
    yield REDEEMED, (), tx.execute(_REDEEMED, window).scalar_one()
    for outcome, count in tx.execute(_TRIES, window):
        yield TRIES, (outcome,), count


def _stands(tx: Connection, now: datetime) -> Iterator[Sample]:
    on = dict.fromkeys((("issuing", "organization"), ("redeeming", "organization")), 0)
    on |= {(row[0], row[1]): row[2] for row in tx.execute(_SWITCHES)}
    yield from ((SWITCHES, labels, count) for labels, count in on.items())
    reached = dict.fromkeys(THRESHOLDS, 0) | {row[0]: row[1] for row in tx.execute(_BUDGETS, {"now": now})}
    yield from ((BUDGETS, (str(percent),), count) for percent, count in reached.items())
    yield CATALOG, (), releases.current_number(tx, now) or 0


WORK = Part("work", (WAITS, OLDEST, OVERDUE, HELD, JOBS, JOBS_STRANDED), _waits)
TRAFFIC = Part("traffic", (GIVEN, REDEEMED, TRIES), _happens)
RULES = Part("rules", (SWITCHES, BUDGETS, CATALOG), _stands)
