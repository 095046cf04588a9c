"""Metrics: told to whoever bears the token, true, bounded whatever is asked, and silent about everybody."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import EnvironBuilder, TestResponse

from api.meter import KEPT_SECONDS, Latest, Meter, all_told
from incentives.kernel.errors import SettingsInvalid
from incentives.kernel.migrate import HOUSE
from tests.databases import SqliteDatabases
from tests.doors.machines import Machines, assert_problem, json_of
from tests.servers import Postgres
from tests.world import environ, make_core
from wsgi import build_core

TOKEN = "the-token-of-whoever-watches-the-servers"
PATH = "/api/v1/metrics"
HISTOGRAM = "incentives_http_request_seconds"

Told = dict[tuple[str, ...], float]


@pytest.fixture
def watched(database_url: str) -> Iterator[Machines]:
    machines = Machines(make_core(database_url, INCENTIVES_METRICS_TOKEN=TOKEN))
    yield machines
    machines.close()


def scrape(machines: Machines, token: str = TOKEN) -> TestResponse:
    return machines.client.get(PATH, headers={"Authorization": f"Bearer {token}"})


def parsed(machines: Machines) -> Told:
    """Return every sample as Prometheus' own parser reads it, by its name and the values of its labels by name."""
    answer = scrape(machines)
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def requests_of(told: Told) -> dict[tuple[str, ...], float]:
    """Return how many requests there were, by method, route and status."""
    return {name[1:]: value for name, value in told.items() if name[0] == f"{HISTOGRAM}_count"}


def test_requests_of_every_door_are_counted_by_their_route(watched: Machines) -> None:
    code = watched.new_code()
    for _ in range(3):
        assert watched.post("/vouchers/lookup", {"code": code}, "till").status_code == 200
    assert watched.redeem(code=code).status_code == 201
    assert watched.redeem(code=code).status_code == 409
    assert watched.client.get("/v/not-a-token").status_code == 404
    assert watched.client.get("/sign-in").status_code == 200
    assert requests_of(parsed(watched)) == {
        ("POST", "/api/v1/issuances", "2xx"): 1,
        ("POST", "/api/v1/vouchers/lookup", "2xx"): 3,
        ("POST", "/api/v1/redemptions", "2xx"): 1,
        ("POST", "/api/v1/redemptions", "4xx"): 1,
        ("GET", "/v/<token>", "4xx"): 1,
        ("GET", "/sign-in", "2xx"): 1,
    }
    assert requests_of(parsed(watched))["GET", PATH, "2xx"] == 1  # the scrape before


def test_the_time_of_requests_is_told(watched: Machines) -> None:
    for _ in range(4):
        watched.get("/health/live", None)
    told = parsed(watched)
    kind = ("GET", "/api/v1/health/live", "2xx")
    buckets = {name[1]: value for name, value in told.items() if name[0] == f"{HISTOGRAM}_bucket" and name[2:] == kind}
    assert buckets["+Inf"] == told[f"{HISTOGRAM}_count", *kind] == 4
    assert 0 < told[f"{HISTOGRAM}_sum", *kind] < 4 * 60
    assert sorted(buckets.values()) == list(buckets.values())


def test_a_request_that_no_program_should_survive_is_counted_too(watched: Machines) -> None:
    meter = watched.app.extensions["meter"]

    def broken(_environ: Any, _start: Any) -> Any:
        raise RuntimeError("Nobody expects this.")

    with pytest.raises(RuntimeError):
        meter.around(broken)({"REQUEST_METHOD": "GET"}, lambda *_: None)
    assert requests_of(parsed(watched)) == {("GET", "unmatched", "5xx"): 1}


def test_what_is_told_of_the_work(watched: Machines) -> None:
    watched.issue(channels=["email"], customer={"email": "ana@customer.example.com"})
    told = parsed(watched)
    assert told["incentives_database_up",] == 1
    assert told["incentives_outbox_waiting", "email", "queued"] == 1
    assert told["incentives_given_last_minute",] == 1
    assert told["incentives_throttle_degraded",] == 0
    assert 0 <= told["incentives_figures_age_seconds",] < 60


def test_nothing_is_told_that_is_not_in_the_list(watched: Machines) -> None:
    watched.redeem(code=watched.new_code(channels=["email"], customer={"email": "ana@customer.example.com"}))
    listed = {each.name: each for each in all_told()}
    families = list(text_string_to_metric_families(scrape(watched).text))
    for family in families:
        assert family.documentation == listed[family.name].help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(listed[family.name].labels)
    assert len(families) > 20


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ä" * 40])
def test_a_wrong_token_is_told_nothing(watched: Machines, token: str) -> None:
    problem = assert_problem(scrape(watched, token), 401, "not-authenticated")
    assert "INCENTIVES_METRICS_TOKEN" in problem["detail"]
    assert TOKEN not in str(problem)


def test_neither_no_token_nor_an_api_key_nor_another_scheme_will_do(watched: Machines) -> None:
    assert_problem(watched.get("/metrics", None), 401, "not-authenticated")
    assert_problem(watched.get("/metrics", "admin"), 401, "not-authenticated")
    assert_problem(watched.client.get(PATH, auth=("prometheus", TOKEN)), 401, "not-authenticated")
    assert_problem(watched.client.get(f"{PATH}?token={TOKEN}"), 401, "not-authenticated")


@pytest.mark.parametrize("backend", ["sqlite"])
def test_without_the_setting_nobody_is_let_in_and_nothing_is_counted(database_url: str) -> None:
    machines = Machines(make_core(database_url))
    for token in ("", TOKEN, "None"):
        problem = assert_problem(scrape(machines, token), 401, "not-authenticated")
        assert "must set INCENTIVES_METRICS_TOKEN first" in problem["detail"]
    assert "meter" not in machines.app.extensions
    machines.close()


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("token", ["k=v," + 28 * "x", 42 * "x" + "==", '"' + 30 * "=" + '"'])
def test_every_token_that_may_be_set_lets_in_whoever_sends_it(database_url: str, token: str) -> None:
    machines = Machines(make_core(database_url, INCENTIVES_METRICS_TOKEN=token))
    assert scrape(machines, token).status_code == 200
    assert_problem(scrape(machines, token[:-1]), 401, "not-authenticated")
    machines.close()


@pytest.mark.parametrize("token", ["short", "x" * 31, "x" * 201, "a token with spaces in it, quite a long one"])
def test_a_token_that_could_be_guessed_or_not_be_sent_stops_the_start(token: str) -> None:
    with pytest.raises(SettingsInvalid, match="INCENTIVES_METRICS_TOKEN: must be 32 to 200 visible"):
        build_core(environ("sqlite://", INCENTIVES_METRICS_TOKEN=token))


def test_nobody_s_secret_and_nobody_s_name_is_told(watched: Machines) -> None:
    more: dict[str, Any] = {"channels": ["email", "sms"], "order_ref": "ORDER-7411", "note": "A broken suitcase."}
    secrets = [more["order_ref"], more["note"], TOKEN, *watched.secrets.values()]
    for number in range(20):
        customer = {
            "email": f"ana.ruiz.{number}@customer{number}.example.com",
            "name": f"Ana Ruiz-{number}",
            "phone": f"+4420794600{number:02}",
        }
        secrets += [*customer.values(), f"customer{number}"]
        answer = watched.issue("manager", key=f"key-of-{number}", customer=customer, **more)
        assert answer.status_code == 201, answer.text
        issued = json_of(answer)
        voucher = issued["voucher"]
        secrets += [
            issued["id"],
            issued["case_id"],
            voucher["id"],
            voucher["code"],
            voucher["token"],
            f"key-of-{number}",
        ]
        secrets.append(voucher["code"].replace("-", ""))
        assert watched.client.get(f"/v/{voucher['token']}").status_code == 200
        watched.post("/vouchers/lookup", {"token": voucher["token"]}, "till")
        watched.client.get(f"/{voucher['code']}")
        watched.get(f"/vouchers/{voucher['id']}", "manager")
        if number % 2:
            redeemed = watched.redeem(code=voucher["code"], order_ref="SALE-99")
            assert redeemed.status_code == 201, redeemed.text
            secrets += [json_of(redeemed)["id"], "SALE-99"]
    told = scrape(watched).text
    assert 'route="/v/<token>"' in told
    assert [secret for secret in secrets if str(secret) in told] == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_whatever_is_asked_there_are_no_more_series(watched: Machines) -> None:
    def ask(path: str, method: str = "GET") -> None:
        b"".join(watched.app.wsgi_app(EnvironBuilder(path, method=method).get_environ(), lambda *_: lambda _: None))

    for number in range(10_000):
        ask(f"/api/v1/{number}/../%00{number}?secret={number}")
    for number in range(50):
        ask(f"/nowhere-{number}")
        ask(f"/v/{number}")
        ask("/api/v1/health/live", f"METHOD{number}")
    found = requests_of(parsed(watched))
    assert found == {
        ("GET", "unmatched", "4xx"): 10_050,
        ("GET", "/v/<token>", "4xx"): 50,
        ("other", "unmatched", "4xx"): 50,
    }
    assert len(watched.app.extensions["meter"]._counters) <= 3


def test_a_database_that_is_away_leaves_what_the_process_knows(own_postgres: Postgres) -> None:
    machines = Machines(make_core(own_postgres.url(), INCENTIVES_METRICS_TOKEN=TOKEN))
    machines.issue()
    own_postgres.stop("immediate")
    told = parsed(machines)
    assert told["incentives_database_up",] == 0
    assert requests_of(told)["POST", "/api/v1/issuances", "2xx"] == 1
    assert ("incentives_given_last_minute",) not in told
    machines.close()


def test_a_process_that_begins_just_now_keeps_nobody_from_asking(tmp_path: Path) -> None:
    (tmp_path / "histogram_1.db").touch()
    core = make_core("postgresql://app@127.0.0.1:1/nowhere")
    told = Meter(str(tmp_path)).told(core=core, throttle_degraded=False).decode()
    assert "incentives_database_up 0.0" in told
    assert HISTOGRAM not in told


@pytest.mark.parametrize("token", ["", TOKEN])
def test_the_library_is_loaded_only_where_somebody_may_ask(sqlite: SqliteDatabases, token: str) -> None:
    url = sqlite.new()
    script = "import sys, wsgi; wsgi.app(); print('prometheus_client' in sys.modules)"
    more = {"INCENTIVES_METRICS_TOKEN": token, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environ(url, **more)},
        capture_output=True,
        text=True,
        check=True,
    )
    sqlite.drop(url)
    assert done.stdout.split() == [str(bool(token))]


class Clock:
    """A clock that stands still until it is told to go."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("backend", ["sqlite"])
def test_many_who_ask_cost_one_reading(watched: Machines, count_statements: Callable[[], int]) -> None:
    clock = Clock()
    latest = Latest(seconds=clock)
    first, _ = latest.samples(watched.core)
    read = count_statements()
    assert read > 0
    for _ in range(1000):
        clock.now += KEPT_SECONDS / 2000
        assert latest.samples(watched.core)[0] is first
    assert count_statements() == read
    clock.now += KEPT_SECONDS
    again, age = latest.samples(watched.core)
    assert again is not first
    assert age == 0
    assert count_statements() == 2 * read


@pytest.mark.parametrize("backend", ["sqlite"])
def test_whoever_asks_while_another_reads_is_told_what_was(watched: Machines) -> None:
    clock = Clock()
    latest = Latest(seconds=clock)
    first, _ = latest.samples(watched.core)
    clock.now += 2 * KEPT_SECONDS
    with latest._lock:  # as somebody has who reads
        assert latest.samples(watched.core) == (first, 2 * KEPT_SECONDS)


@pytest.fixture
def count_statements(watched: Machines) -> Callable[[], int]:
    """Return how many statements were asked of the database, since the test began."""
    asked: list[str] = []
    sa.event.listen(
        watched.core.database._reader, "before_cursor_execute", lambda _c, _u, statement, *_: asked.append(statement)
    )
    return lambda: len(asked)
