"""Whoever steals the database, the logs or the outbox learns no code, no link, no customer and no key."""

import base64
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from redis import Redis as RedisClient

import worker
from channels.twilio_sms import TwilioSender
from incentives.flows.renew import renew_all
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.kernel.keys import ContactCipher, KeyRing
from incentives.queries.encrypted import PLACES, WRITTEN_ONCE, keys_in_use
from tests.faults.sending import provider, sender
from tests.house.care import Care, recover
from tests.house.life import Life, live
from tests.house.office import SOFIA, Office
from tests.providers.conftest import ACCOUNT_SID, AUTH_TOKEN, TwilioStandIn
from tests.providers.stand_in import StandIn
from tests.schema import all_tables, append_only_tables
from tests.world import make_core

# What people said or wrote, and who they are.
ENCRYPTED = {
    "bulk_rows.problem", "bulk_rows.request", "bulk_rows.verdict", "case_apologies.words", "case_causes.note",
    "case_files.content", "case_files.name", "case_notes.body", "case_steps.note", "case_tasks.result",
    "case_tasks.title", "customers.profile", "feedback.comment", "feedback.contact", "feedback.story",
    "feedback_inbox.body", "feedback_inbox.headers", "feedback_revisions.comment", "issuances.contact",
    "issuances.message", "issuances.note", "recovery_cases.closing_note", "recovery_cases.contact",
    "recovery_cases.responsible", "recovery_cases.story", "reviews.note",
}  # fmt: skip

Providers = tuple[StandIn, TwilioStandIn]

# Whoever of them has anything to tell tells it at this level; a parent's level would not do for one that has its own.
LIBRARIES = (
    "sqlalchemy.engine", "sqlalchemy.pool", "psycopg", "urllib3", "python_http_client", "sendgrid", "twilio",
    "twilio.http_client", "limits", "redis", "werkzeug", "incentives",
)  # fmt: skip

VOUCHERS = 60
REQUESTED = 8

# What stands in clear, and where: reports count by it, a machine is recognized by it, or staff named it so. Whoever
# writes a customer's name into one of these has written it down for everybody who can read the database.
IN_CLEAR = {
    "the source's own id": {"feedback.external_id", "feedback_inbox.dedupe_key"},
    "who served, as the source names them": {"feedback.agent"},
    "an order": {"feedback.order_ref", "issuances.order_ref", "recovery_cases.order_ref"},
    "a product": {"feedback.product", "recovery_cases.product"},
    "a choice": {"feedback.choices"},
    "a theme that nobody knows": {"feedback_unmapped.value"},
    "a place that nobody knows": {"feedback_unmapped.value"},
    "a segment that nobody knows": {"feedback_unmapped.value"},
    "an event that nobody knows": {"feedback_unmapped.value"},
    "the name of a field that there is not": {"feedback_inbox.reason"},
    "a form's label": {"feedback_forms.label"},
    "an incident's title": {"incidents.title"},
    "what a program adds to what is given": {"issuances.metadata"},
    "a comment on a decision": {"approval_votes.comment", "approvals.comment", "audit_events.reason"},
    "a sale": {"redemptions.order_ref"},
    "a program's key of a deed": {"idempotency_keys.key"},
    "a colleague's address": {"users.email"},
    "a sale that is held": {"reservations.order_ref"},
    "what is sold": {"redemptions.order_items", "reservations.order_items"},
    "why a hold is let go": {"audit_events.reason", "reservations.end_reason"},
    "why a sale is undone": {"audit_events.reason", "redemption_reversals.reason"},
    "why a voucher is changed": {"audit_events.reason"},
    "why a budget is changed": {"audit_events.reason", "budget_allocations.reason", "budget_requests.reason"},
    "a comment on a budget": {"audit_events.reason", "budget_requests.comment"},
    "why somebody is away": {"audit_events.reason", "delegations.reason"},
    "why something is stopped": {"audit_events.reason", "switches.reason"},
    "why it goes on": {"audit_events.reason", "switches.lift_reason"},
    "why somebody is listed": {"audit_events.reason", "listed_values.reason"},
    "why somebody is listed no more": {"audit_events.reason"},
    "why an address is sent to again": {"audit_events.reason", "suppressions.lift_reason"},
    "a file's name": {"bulk_jobs.file_name"},
}


def work(office: Office) -> None:
    """Let everything happen that happens in a day."""
    given = [office.give(number) for number in range(VOUCHERS)]
    assert {status for status, _ in given} == {201}
    office.give(1)  # again: a replay, with the code
    worker.drain(office.core)
    for number, (_, issued) in enumerate(given[:40]):
        (office.redeem if number % 3 else lambda _, voucher: office.visit(voucher))(number, issued["voucher"])
    for number in range(VOUCHERS, VOUCHERS + REQUESTED):
        status, asked = office.give(number, "frontline")
        assert status == 202
        decision = {"decision": "decline" if number % 2 else "grant", "comment": "As agreed."}
        status, _ = office.post(f"/approvals/{asked['approval']['id']}/decision", decision, "manager", f"d-{number}")
        assert status == 200
    office.redeem_in_vain()
    office.sign_in()
    worker.drain(office.core)


@pytest.fixture
def providers() -> Iterator[Providers]:
    with provider().serving() as sendgrid, TwilioStandIn().serving() as twilio:
        assert isinstance(twilio, TwilioStandIn)
        yield sendgrid, twilio


@pytest.fixture
def core(database_url: str, redis_url: str, providers: Providers, caplog: pytest.LogCaptureFixture) -> Iterator[Core]:
    """A core with the real clients, and every library telling all it knows; the engine looks at its level once."""
    caplog.set_level(logging.DEBUG)
    for name in LIBRARIES:
        caplog.set_level(logging.DEBUG, name)
    sendgrid, twilio = providers
    sms = TwilioSender(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        messaging_service_sid=None,
        sms_from="+12125559999",
        base_url=twilio.url,
        timeout_seconds=5,
    )
    known = make_core(
        database_url,
        INCENTIVES_REDIS_URL=redis_url,
        INCENTIVES_TWILIO_ACCOUNT_SID=ACCOUNT_SID,
        INCENTIVES_TWILIO_AUTH_TOKEN=AUTH_TOKEN,
        INCENTIVES_TWILIO_FROM="+12125559999",
        INCENTIVES_CONTACT_CAP="100",  # a busy day of one and the same customer
    )
    core = replace(known, senders={"email": sender(sendgrid.url, 5), "sms": sms})
    yield core
    core.database.dispose()


def test_nothing_that_is_kept_tells_a_secret(
    core: Core, providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(core)
    work(office)
    sent = "\n".join(asked.body.decode() for stand_in in providers for asked in stand_in.asked)
    assert sum(each == "a link" and secret in sent for secret, each in office.secrets.items()) > VOUCHERS
    assert all(each in dump(core.database) for each in office.last4)  # It is the right database.
    nothing_is_told(office, caplog.text)


def test_nothing_that_is_kept_of_a_recovery_tells_a_secret(
    core: Core, providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(core)
    care = Care(office, providers)
    recover(care)
    live(Life(care))
    empty = {name for name, rows in everything(core.database).items() if not rows}
    assert empty == set()
    nothing_is_told(office, caplog.text)


def test_what_stands_in_clear_is_known(core: Core, providers: Providers) -> None:
    care = Care(Office(core), providers)
    recover(care)
    live(Life(care))
    rows = everything(core.database)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for word, what in care.open.items():
        found[what] |= columns_with(rows, word)
    assert dict(found) == IN_CLEAR


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_secret_would_be_found_in_each_column_that_is_encrypted(
    core: Core, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("encrypt", "decrypt", "seal", "open"):
        monkeypatch.setattr(ContactCipher, name, lambda _, text: text)
    office = Office(core)
    care = Care(office, providers)
    recover(care)
    live(Life(care))
    rows = everything(core.database)
    assert set().union(*(columns_with(rows, secret) for secret in office.secrets)) == ENCRYPTED


def test_what_is_encrypted_is_made_anew_when_a_key_changes_or_may_never_be() -> None:
    renewed = {f"{place.table.name}.{column}" for place in PLACES for column in place.columns}
    written_once = {f"{place.table.name}.{column}" for place in WRITTEN_ONCE for column in place.columns}
    assert renewed | written_once == ENCRYPTED
    assert {place.table.name for place in WRITTEN_ONCE} <= set(append_only_tables())
    assert not {place.table.name for place in PLACES} & set(append_only_tables())


@pytest.mark.parametrize("backend", ["sqlite"])
def test_after_renewing_the_newest_key_alone_opens_all_that_may_be_rewritten(core: Core, providers: Providers) -> None:
    care = Care(Office(core), providers)
    recover(care)
    live(Life(care))
    old, new = core.keys.contacts.pairs[0], ("n", b"n" * 32)
    both = replace(core, keys=replace(core.keys, contacts=KeyRing((old, new))))
    made = list(renew_all(core=both))
    assert sum(each.lost for each in made) == 0
    assert {each.table for each in made if each.renewed} == {place.table.name for place in PLACES}
    left = {(each.key_id, each.what): each.count for each in keys_in_use(core=both) if each.purpose == "contact"}
    assert (left[old[0], "values"], left[old[0], "digests"]) == (0, 0)
    assert left[old[0], "values that nothing may rewrite"] > 0
    only = replace(core, keys=replace(core.keys, contacts=KeyRing((new,))))
    assert (
        sum(each.count for each in keys_in_use(core=only) if each.state == "missing")
        == (left[old[0], "values that nothing may rewrite"])
    )


def nothing_is_told(office: Office, log: str) -> None:
    """Look for every secret in everything that a thief may find, and say in which column it is."""
    office.keep("a provider's key", AUTH_TOKEN)
    for key in office.core.settings.code_keys + office.core.settings.contact_keys:
        office.keep("a key", key.secret.decode(), base64.b64encode(key.secret).decode())
    database, lines = dump(office.core.database), each_line_once(log)
    assert "INSERT INTO recovery_cases" in lines  # It is the log of everything.
    shared = in_redis(office.core.settings.redis_url)
    assert "incentives:throttle" in shared  # It is the right Redis.
    assert SOFIA not in shared  # who has signed in is nobody's business there
    told = {secret: what for secret, what in office.secrets.items() if secret in database}
    rows = everything(office.core.database) if told else {}
    found = [f"{what} in {columns_with(rows, secret) or 'the database'}" for secret, what in told.items()]
    for place, kept in (("the log", lines), ("Redis", shared), ("a core as it is printed", told_of(office.core))):
        found += [f"{what} in {place}" for secret, what in office.secrets.items() if secret in kept]
    assert found == []


def in_redis(url: str) -> str:
    """Return all that Redis keeps: every key with its value."""
    with RedisClient.from_url(url) as client:
        return "\n".join(f"{key.decode()} {client.dump(key)!r}" for key in client.scan_iter())


def told_of(core: Core) -> str:
    """Return what a log or a debugger prints of the core: settings, keys, senders."""
    parts = (core, core.settings, core.keys, core.database.url, *core.senders.values())
    return "\n".join(f"{each!r} {each}" for each in parts)


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table."""
    with database.read() as tx:
        return {
            table.name: [dict(row) for row in tx.execute(sa.select(table)).mappings()]
            for table in all_tables().sorted_tables
        }


def columns_with(rows: dict[str, list[dict[str, Any]]], word: str) -> set[str]:
    """Return the columns that hold a word."""
    return {
        f"{table}.{name}"
        for table, all_of_it in rows.items()
        for row in all_of_it
        for name in row
        if word in text(row[name])
    }


def text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def each_line_once(text: str) -> str:
    return "\n".join(set(text.splitlines()))


def dump(database: Database) -> str:
    """Return all that the database keeps: the bytes of its files, or every row as PostgreSQL writes it."""
    if database.sqlite:
        assert database.url.database
        file = Path(database.url.database)
        files = [file, file.with_name(file.name + "-wal")]
        return "\n".join(each.read_bytes().decode("latin-1") for each in files if each.exists())
    address = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return "\n".join(copied(connection, name) for (name,) in tables)


def copied(connection: psycopg.Connection[Any], table: str) -> str:
    command = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))  # in parts or whole
    with connection.cursor().copy(command) as copy:
        return b"".join(bytes(each) for each in copy).decode()
