"""The figures for whoever watches the servers say what is so, and are found by indexes only."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import worker
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.flows.seal import seal_due
from incentives.flows.switch import SetSwitch, set_switch
from incentives.flows.watch_books import watch_books
from incentives.flows.watch_budgets import alert_due
from incentives.kernel.errors import CodeMalformed
from incentives.messages.port import Unsure, WillNeverWork
from incentives.messages.tables import message_providers, outbox_messages
from incentives.queries.figures.read import PARTS, all_gauges, figures
from incentives.spending.alerts import THRESHOLDS
from incentives.spending.tables import budget_periods
from incentives.vouchers.bulk_tables import bulk_jobs
from tests.flows.shop import PHONE, Shop, budget, catalog, named
from tests.world import make_core

# Few rows however large a house grows: each is read whole.
SMALL = {"message_providers", "catalog_releases", "switches", "seals", "books_checks", "alembic_version"}


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop.opened(database_url)
    yield shop
    shop.core.database.dispose()


def told(shop: Shop) -> dict[tuple[str, ...], float]:
    """Return every figure by its name, without what all begin with, and its labels."""
    found = figures(core=shop.core)
    return {(gauge.name.removeprefix("incentives_"), *labels): value for gauge, labels, value in found}


def not_zero(shop: Shop) -> dict[tuple[str, ...], float]:
    return {name: value for name, value in told(shop).items() if value}


def test_a_quiet_house_tells_of_nothing_but_that_it_is_there(shop: Shop) -> None:
    shop.later(minutes=1)
    seal_due(core=shop.core)
    assert not_zero(shop) == {("database_up",): 1, ("catalog_release",): 1, ("seal_number",): 1}


def test_every_figure_has_the_labels_that_it_says_and_a_value(shop: Shop) -> None:
    shop.issue(channels=("email",))
    shop.deliver()
    known = {gauge.name: gauge for gauge in all_gauges()}
    for gauge, labels, value in figures(core=shop.core):
        assert known[gauge.name] is gauge
        assert len(labels) == len(gauge.labels)
        assert value >= 0


def test_messages_that_wait(shop: Shop) -> None:
    shop.issue(channels=("email",))
    shop.later(seconds=90)
    shop.issue(channels=("email", "sms"), customer=named("ana.lopez@example.com", phone=PHONE))
    shop.later(seconds=30)
    now = told(shop)
    assert (now["outbox_waiting", "email", "queued"], now["outbox_waiting", "sms", "queued"]) == (2, 1)
    assert (now["outbox_oldest_seconds", "email"], now["outbox_oldest_seconds", "sms"]) == (120, 30)
    shop.deliver()
    after = told(shop)
    assert [after["outbox_waiting", each, "queued"] for each in ("email", "sms")] == [0, 0]
    assert [after["outbox_oldest_seconds", each] for each in ("email", "sms")] == [0, 0]
    assert after["delivery_attempts", "recording", "captured"] == 3
    shop.later(minutes=5, seconds=1)
    assert ("delivery_attempts", "recording", "captured") not in told(shop)


def test_a_message_that_is_not_due_yet_is_not_late(shop: Shop) -> None:
    shop.issue(channels=("email",))
    with shop.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(available_at=shop.clock.now() + timedelta(hours=1)))
    now = told(shop)
    assert (now["outbox_waiting", "email", "queued"], now["outbox_oldest_seconds", "email"]) == (1, 0)


def test_messages_whose_sender_died(shop: Shop) -> None:
    shop.issue(channels=("email",))
    until = shop.clock.now() + timedelta(seconds=30)
    with shop.core.database.write() as tx:
        tx.execute(
            outbox_messages.update().values(status="sending", lease_until_at=until, lease_id=shop.core.ids.new(until))
        )
    assert told(shop)["outbox_stranded",] == 0
    shop.later(minutes=5, seconds=29)
    assert told(shop)["outbox_stranded",] == 0
    shop.later(seconds=1)
    now = told(shop)
    assert (now["outbox_stranded",], now["outbox_oldest_seconds", "email"]) == (1, 300)


def test_messages_that_were_missing(shop: Shop) -> None:
    shop.issue(channels=("email",))
    with shop.core.database.write() as tx:
        tx.execute(outbox_messages.delete())
    shop.later(minutes=6)
    worker.sweep(shop.core)
    assert told(shop)["messages_salvaged", "email", "queued"] == 1
    shop.later(days=1)
    assert told(shop)["messages_salvaged", "email", "queued"] == 0


def test_messages_that_did_not_arrive(shop: Shop) -> None:
    shop.issue(channels=("email",))
    shop.issue(channels=("sms",), customer=named(phone=PHONE))
    shop.sender("email").outcomes = [WillNeverWork("No such mailbox.")]
    shop.sender("sms").outcomes = [Unsure("The line broke.")] * 9
    for _ in range(9):
        shop.deliver()
        shop.later(hours=1)
    now = told(shop)
    found = {name[1:]: value for name, value in now.items() if name[0] == "messages_not_arrived" and value}
    assert found == {("email", "failed"): 1, ("sms", "uncertain"): 1}
    shop.later(hours=30)
    assert not [name for name in not_zero(shop) if name[0] == "messages_not_arrived"]


def test_a_provider_that_rests(shop: Shop) -> None:
    row = {"id": shop.core.ids.new(shop.clock.now()), "provider": "sendgrid", "channel": "email", "status": "resting"}
    with shop.core.database.write() as tx:
        tx.execute(message_providers.insert(), [row])
    now = told(shop)
    assert (now["provider_resting", "email", "sendgrid"], now["provider_to_mend", "email", "sendgrid"]) == (1, 0)
    with shop.core.database.write() as tx:
        tx.execute(message_providers.update().values(status="working", to_mend=True))
    now = told(shop)
    assert (now["provider_resting", "email", "sendgrid"], now["provider_to_mend", "email", "sendgrid"]) == (0, 1)


def test_what_waits_for_a_person(shop: Shop) -> None:
    asked = shop.ask(amount_minor=5000)
    shop.later(minutes=10)
    shop.ask(amount_minor=5000, customer=named("another@example.com"))
    now = told(shop)
    assert (now["waiting", "approvals"], now["waiting_seconds", "approvals"]) == (2, 600)
    shop.decide(asked.approval_id)
    now = told(shop)
    assert (now["waiting", "approvals"], now["waiting_seconds", "approvals"]) == (1, 0)


def test_what_a_sweep_is_behind_with(shop: Shop) -> None:
    voucher = shop.voucher()
    shop.clock.advance(voucher.expires_at - shop.clock.now())
    assert told(shop)["overdue_seconds", "expire_vouchers"] == 0
    shop.later(minutes=7)
    assert told(shop)["overdue_seconds", "expire_vouchers"] == 420
    shop.expire()
    assert told(shop)["overdue_seconds", "expire_vouchers"] == 0


def test_what_was_given_and_redeemed_within_a_minute(shop: Shop) -> None:
    code = shop.voucher().code
    shop.later(seconds=40)
    shop.redeem(code)
    with pytest.raises(CodeMalformed):
        shop.redeem("ABCD-EFGH-JKMN-P")
    now = told(shop)
    assert (now["given_last_minute",], now["redeemed_last_minute",]) == (1, 1)
    tries = {name[1]: value for name, value in now.items() if name[0] == "redemption_tries_last_minute"}
    assert tries == {"redeemed": 1, "code-malformed": 1}
    shop.later(seconds=40)
    now = told(shop)
    assert (now["given_last_minute",], now["redeemed_last_minute",]) == (0, 1)


def test_holds_of_tills(shop: Shop) -> None:
    command = ReserveVoucher(code=shop.voucher().code, idempotency_key="a hold")
    reserve_voucher(core=shop.core, actor=shop.till, command=command)
    assert told(shop)["reservations_held",] == 1
    shop.later(minutes=20)
    assert told(shop)["overdue_seconds", "lapse_holds"] == 300


def test_switches_that_are_on(shop: Shop) -> None:
    command = SetSwitch(stops="issuing", scope="incentive", subject="voucher", reason="Far too generous.")
    set_switch(core=shop.core, actor=shop.manager, command=command)
    now = told(shop)
    assert now["switches_on", "issuing", "incentive"] == 1
    assert now["switches_on", "issuing", "organization"] == 0


@pytest.mark.parametrize("backend", ["sqlite"])
def test_budgets_that_are_nearly_used_up(new_database: Callable[..., str]) -> None:
    shop = Shop.opened(new_database(), catalog(budget("small", cap_minor=1200)))
    shop.issue()
    alert_due(core=shop.core)
    now = told(shop)
    assert [now["budgets_reached", str(percent)] for percent in THRESHOLDS] == [1, 1, 0, 0]
    shop.later(days=40)
    now = told(shop)
    assert [now["budgets_reached", str(percent)] for percent in THRESHOLDS] == [0, 0, 0, 0]
    shop.core.database.dispose()


def test_bulk_jobs(shop: Shop) -> None:
    at = shop.clock.now()
    job = {
        "mode": "best_effort", "dry_run": False, "format": "csv", "actor": "person:x", "actor_name": "X", "totals": {},
        "created_at": at, "lease_until_at": None,
    }  # fmt: skip
    rows = [
        {**job, "id": shop.core.ids.new(at), "file_digest": "1", "status": "running", "lease_until_at": at},
        {**job, "id": shop.core.ids.new(at), "file_digest": "2", "status": "done"},
    ]
    with shop.core.database.write() as tx:
        tx.execute(bulk_jobs.insert(), rows)
    now = told(shop)
    assert (now["bulk_jobs", "running"], now["bulk_jobs", "stopped"], now["bulk_jobs_stranded",]) == (1, 0, 0)
    assert ("bulk_jobs", "done") not in now
    shop.later(minutes=5)
    assert told(shop)["bulk_jobs_stranded",] == 1


def test_how_far_behind_the_seals_are(shop: Shop) -> None:
    shop.issue()
    shop.later(seconds=100)
    seal_due(core=shop.core)
    shop.later(seconds=50)
    now = told(shop)
    assert (now["seal_number",], now["seal_seconds",], now["unsealed_seconds",]) == (1, 50, 0)
    shop.issue(customer=named("another@example.com"))
    shop.later(minutes=3)
    assert told(shop)["unsealed_seconds",] == 180


def test_whether_the_books_held(shop: Shop) -> None:
    assert ("books_hold",) not in told(shop)
    watch_books(core=shop.core)
    shop.later(minutes=2)
    now = told(shop)
    assert (now["books_hold",], now["books_broken",], now["books_proved_seconds",]) == (1, 0, 120)
    shop.issue()
    with shop.core.database.write() as tx:
        tx.execute(budget_periods.update().values(committed_count=7))
    shop.later(hours=1)
    watch_books(core=shop.core)
    now = told(shop)
    assert (now["books_hold",], now["books_broken",]) == (0, 1)


def test_a_part_that_cannot_be_read_hides_no_other(shop: Shop) -> None:
    shop.issue(channels=("email",))
    with shop.core.database.write() as tx:
        tx.execute(sa.text("ALTER TABLE message_providers RENAME TO elsewhere"))
    now = told(shop)
    assert [now["figures_unread", part.name] for part in PARTS] == [1, 0, 0, 0, 0]
    assert ("outbox_waiting", "email", "queued") not in now
    assert (now["database_up",], now["given_last_minute",]) == (1, 1)


def test_a_database_that_is_away() -> None:
    core = make_core("postgresql://app@127.0.0.1:1/nowhere")
    assert [(gauge.name, labels, value) for gauge, labels, value in figures(core=core)] == [
        ("incentives_database_up", (), 0.0)
    ]


def test_asking_writes_nothing(shop: Shop) -> None:
    shop.issue(channels=("email",))
    before = shop.everything()
    told(shop)
    assert shop.everything() == before


@pytest.mark.parametrize("backend", ["postgresql"])
def test_whatever_grows_is_found_by_an_index(shop: Shop) -> None:
    asked: list[tuple[str, Any]] = []
    reader = shop.core.database._reader

    @sa.event.listens_for(reader, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    told(shop)
    sa.event.remove(reader, "before_cursor_execute", note)
    assert len(asked) > 15
    with shop.core.database.write() as tx:
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")  # else a table of ten rows is read whole
        plans = [
            tx.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all() for statement, parameters in asked
        ]
    read_whole = {line.split(" on ")[1].split()[0] for plan in plans for line in plan if "Seq Scan on" in line}
    assert read_whole <= SMALL
