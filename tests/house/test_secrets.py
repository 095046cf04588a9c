"""Whoever steals the database, the logs or the outbox learns no code, no link, no customer and no key."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg import sql

import worker
from channels.twilio_sms import TwilioSender
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.vouchers import codes
from tests.faults.sending import provider, sender
from tests.providers.conftest import ACCOUNT_SID, AUTH_TOKEN, TwilioStandIn
from tests.providers.stand_in import StandIn
from tests.small_catalog import LOCATION, TAG, catalog
from tests.world import PASSWORD, api_key, make_core, person, publish_catalog
from wsgi import create_app

Providers = tuple[StandIn, TwilioStandIn]

VOUCHERS = 60
REQUESTED = 8


class Office:
    """Everything that people and programs do through the doors, and all secrets that they come by."""

    def __init__(self, core: Core) -> None:
        """Let in a manager, an agent and a till."""
        publish_catalog(core, catalog())
        self.core = core
        self.app: Flask = create_app(core)
        self.secrets: dict[str, str] = {}  # the secret -> what it is
        self.last4: list[str] = []
        self.keys = {role: api_key(core, role, location=LOCATION)[0] for role in ("manager", "frontline", "till")}
        self.keep("an API key", *self.keys.values())

    def keep(self, what: str, *secrets: str) -> None:
        """Remember secrets, each of which is long enough not to be found by chance."""
        assert all(len(each) > 8 for each in secrets)
        self.secrets |= dict.fromkeys(secrets, what)

    def post(self, path: str, body: dict[str, Any], role: str, key: str) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.keys[role]}", "Idempotency-Key": key}
        answer = self.app.test_client().post(f"/api/v1{path}", json=body, headers=headers)
        content: dict[str, Any] = answer.get_json()
        return answer.status_code, content

    def customer(self, number: int) -> dict[str, str]:
        """Return a customer whose every part is told from all others'."""
        person = {
            "name": f"Quixana Olvidada{number}",
            "email": f"Quixana.Olvidada+{number}@Customer.Example",
            "phone": f"+1212555{number:04}",
            "external_ref": f"loyalty-member-{number:05}",
        }
        self.keep("a customer", *person.values(), person["phone"][1:], f"quixanaolvidada{number}", f"Olvidada{number}")
        self.keep("a customer", person["email"].lower(), f"quixana.olvidada+{number}@customer.example")
        return person

    def give(self, number: int, role: str = "manager") -> tuple[int, dict[str, Any]]:
        channels = [[], ["email"], ["sms"], ["email", "sms"]][number % 4]
        body = {"issue_tag": TAG, "customer": self.customer(number), "channels": channels, "order_ref": f"A{number}"}
        status, given = self.post("/issuances", body, role, f"give-{number}")
        if status == 201:
            self.keep_voucher(given["voucher"])
        return status, given

    def keep_voucher(self, voucher: dict[str, Any]) -> None:
        code, token = voucher["code"], voucher["token"]
        self.keep("a code", code, code.replace("-", ""), code.lower(), code.replace("-", " "))
        self.keep("a link", token, token.partition(".")[2], voucher["url"], voucher["url"].rpartition("/")[2])
        self.last4.append(voucher["last4"])

    def redeem(self, number: int, voucher: dict[str, Any]) -> None:
        """Redeem by code or token, then again by replay and as a second try; and try what cannot be."""
        what = {"code": voucher["code"]} if number % 2 else {"token": voucher["token"]}
        for key, expected in ((f"sale-{number}", 201), (f"sale-{number}", 201), (f"again-{number}", 409)):
            status, _ = self.post("/redemptions", what, "till", key)
            assert status == expected

    def redeem_in_vain(self) -> None:
        """Try a code with a slip in it, and one that nobody was given."""
        somebodys = "7KQ49M2XABCD"
        for number, code in enumerate((f"{somebodys}-0", codes.printed(somebodys + codes.check_symbol(somebodys)))):
            self.keep("a code", code, code.replace("-", ""))
            status, _ = self.post("/redemptions", {"code": code}, "till", f"in-vain-{number}")
            assert status in (404, 422)

    def sign_in(self) -> None:
        """Let somebody sign in on the staff's pages, once with a wrong password."""
        person(self.core, "supervisor", email="sofia@brand.example", location=LOCATION)
        browser = self.app.test_client()
        for password, expected in (("a wrong password of hers", 401), (PASSWORD, 303)):
            self.keep("a password", password)
            page = browser.get("/sign-in").text
            form = dict(re.findall(r'name="(csrf[a-z_]*)"[^>]*value="([^"]+)"', page))
            self.keep("a form's token", *form.values())
            fields = {**form, "email": "sofia@brand.example", "password": password, "next": "/"}
            answer = browser.post("/sign-in", data=fields)
            assert answer.status_code == expected, answer.text
        cookie = browser.get_cookie("staff") or browser.get_cookie("__Host-staff")
        assert cookie is not None
        self.keep("a session", cookie.value)

    def visit(self, voucher: dict[str, Any]) -> None:
        """Open the customer's page as the customer does, and look the voucher up as a till does."""
        path = "/v/" + voucher["url"].rpartition("/")[2]
        customer = self.app.test_client()
        assert voucher["code"] in customer.get(path).text
        assert customer.get(f"{path}/qr.svg").status_code == 200
        status, _ = self.post("/vouchers/lookup", {"code": voucher["code"].lower()}, "till", "")
        assert status == 200


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
def core(database_url: str, providers: Providers, caplog: pytest.LogCaptureFixture) -> Iterator[Core]:
    """A core with the real clients, and every library telling all it knows; the engine looks at its level once."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    sendgrid, twilio = providers
    sms = TwilioSender(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        messaging_service_sid=None,
        sms_from="+12125559999",
        base_url=twilio.url,
        timeout_seconds=5,
    )
    core = replace(make_core(database_url), senders={"email": sender(sendgrid.url, 5), "sms": sms})
    yield core
    core.database.dispose()


def test_nothing_that_is_kept_tells_a_secret(
    core: Core, providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(core)
    work(office)
    sent = "\n".join(asked.body.decode() for stand_in in providers for asked in stand_in.asked)
    assert sum(each == "a link" and secret in sent for secret, each in office.secrets.items()) > VOUCHERS
    office.keep("a provider's key", AUTH_TOKEN)
    stolen = {"the database": dump(core.database), "the log": each_line_once(caplog.text)}
    assert all(each in stolen["the database"] for each in office.last4)  # It is the right database,
    assert "INSERT INTO vouchers" in stolen["the log"]  # and the log of everything.
    found = [
        f"{what} in {where}"
        for where, text in stolen.items()
        for secret, what in office.secrets.items()
        if secret in text
    ]
    assert found == []


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
    command = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with connection.cursor().copy(command) as copy:
        return b"".join(bytes(each) for each in copy).decode()
