"""Seeing, at the size of a year: do the alerts find what was planted, how often are they wrong, how fast are the pages.

``python -m bench.seeing`` prints it; ``make bench`` does too.
"""

import gc
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from bench.trouble import Plan
from bench.trouble_rows import fill
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.migrate import upgrade
from incentives.queries.reports.alerts import daily_counts
from incentives.queries.reports.asked import Asked, catalog_for, window
from incentives.queries.reports.spikes import Rhythm, Series, whole_of
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.world import PASSWORD, actor, make_core, person
from wsgi import create_app

QUIET_DAYS = 7
"""Alerts of one series that are no further apart are one alert: somebody was told already."""
ECHO_DAYS = 9
"""So long after its end a spike still stands in the week that is looked at."""
_MONTH_DAYS = 30.4
PAGES = (
    "/reports", "/reports/funnel", "/reports/times", "/reports/trends", "/reports/trends?by=cause",
    "/reports/effectiveness", "/reports/return",
)  # fmt: skip


def main() -> None:
    """Print what was found, and how fast, on both databases."""
    plan = Plan()
    with tempfile.TemporaryDirectory() as folder, RunFolder.opened() as run:
        server = Postgres(run, durable=True)
        server.start()
        try:
            for url in (server.url(), f"sqlite:///{Path(folder) / 'year.db'}"):
                upgrade(url)
                core = make_core(url, clock=FixedClock(plan.end))
                fill(core, plan)
                report(core, plan)
                core.database.dispose()
        finally:
            server.remove()


def report(core: Core, plan: Plan) -> None:
    """Print the figures of one database."""
    kind = "SQLite" if core.database.sqlite else "PostgreSQL"
    found, false = replay(families(core, plan), plan)
    months = plan.days / _MONTH_DAYS
    print(f"\n{kind}: alerts over {plan.days} days, day by day: planted {len(plan.spikes)}, found {len(found)}")
    for spike, day in found.items():
        print(f"  {plan.spikes[spike].tag:16} {plan.spikes[spike].cause or '':14} {day} days after it began")
    print(f"  false alarms: {len(false)}, {len(false) / months:.2f} a month")
    for name, seconds in page_times(core).items():
        print(f"  {name:64}{seconds * 1000:8.0f} ms")


def families(core: Core, plan: Plan) -> Mapping[str, Series]:
    """Return the daily counts of the whole plan as the alerts read them."""
    who = actor(core, "manager")
    catalog = catalog_for(core, who)
    last = plan.end.date() - timedelta(days=1)
    span = window(catalog, plan.end, Asked(from_date=plan.start.date(), until_date=last))
    with core.database.read() as tx:
        return daily_counts(tx, catalog, who, span)


def replay(series: Mapping[str, Series], plan: Plan) -> tuple[dict[int, int], list[tuple[str, str, str, int]]]:
    """Look at every day as if it were today: how soon each planted one was found, and each false alarm."""
    found: dict[int, int] = {}
    false: list[tuple[str, str, str, int]] = []
    last_seen: dict[tuple[str, str, str], int] = {}
    alarms: dict[int, list[tuple[str, str, str]]] = defaultdict(list)
    for kind, counts in series.items():
        whole = whole_of(counts, plan.days)
        for day in range(plan.days):
            alarms[day] += [(kind, each.what, each.where) for each in Rhythm(counts, whole, day).spikes()]
    for day in range(plan.days):
        for kind, what, where in alarms[day]:
            known = last_seen.get((kind, what, where))
            last_seen[kind, what, where] = day
            matching = [at for at in range(len(plan.spikes)) if _explains(plan, at, kind, what, where, day)]
            for at in matching:
                found.setdefault(at, day - plan.spikes[at].first_day)
            if not matching and (known is None or day - known > QUIET_DAYS):
                false.append((kind, what, where, day))
    return found, false


def _explains(plan: Plan, at: int, kind: str, what: str, where: str, day: int) -> bool:
    """Return whether a planted spike is behind an alarm: its tag at its place or everywhere, or its cause."""
    spike = plan.spikes[at]
    if not spike.first_day <= day <= spike.first_day + spike.days + ECHO_DAYS:
        return False
    if kind == "cause":
        return what == (spike.cause or "equipment")
    return what == spike.tag and (not where or spike.place in (None, where))


def page_times(core: Core, rounds: int = 3) -> dict[str, float]:
    """Return the median seconds of each page and each answer of the API, everything included."""
    person(core, "manager")
    browser = create_app(core).test_client()
    page = browser.get("/sign-in").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    browser.post("/sign-in", data={"csrf_token": token, "email": "manager@example.com", "password": PASSWORD})
    gc.collect()
    gc.freeze()  # as ``wsgi.app`` does
    year = f"from_date={(core.clock.now() - timedelta(days=364)).date()}"
    return {
        path: _median(lambda path=path: browser.get(path).status_code, rounds)
        for path in (*PAGES, *(f"/reports/{name}?{year}" for name in ("funnel", "times", "trends", "return")))
    }


def _median(ask, rounds: int) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a function that answers a status
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        assert ask() == 200
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[rounds // 2]


if __name__ == "__main__":
    main()
