"""Providers that call us back: an application that both are set up for, and what each sends, signed as it does."""

import base64
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

from channels.sendgrid_events import PATH as EVENTS
from channels.sendgrid_events import SIGNATURE_HEADER, TIMESTAMP_HEADER
from channels.twilio_status import PATH as STATUS
from incentives.deeds.answers import Issued
from incentives.flows.deliver import deliver_next
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.messages.port import Accepted
from incentives.messages.tables import outbox_messages
from incentives.recovery.customers import CustomerGiven
from tests.schema import all_tables
from tests.world import START, actor, make_core, publish_catalog
from wsgi import create_app

PUBLIC = "https://vouchers.northwind-air.example:8443/recovery"
TOKEN = "0123456789abcdef0123456789abcdef"
SHARED_KEY = "a-shared-key-of-the-account"
PHONE, EMAIL = "+447400123456", "ana.ruiz@gmail.com"
PRIVATE_KEY = ec.generate_private_key(ec.SECP256R1())


def public_key(of: ec.EllipticCurvePrivateKey = PRIVATE_KEY) -> str:
    """Return a key as SendGrid shows it."""
    der = of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


SETTINGS = {
    "INCENTIVES_TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000000",
    "INCENTIVES_TWILIO_AUTH_TOKEN": TOKEN,
    "INCENTIVES_TWILIO_WEBHOOK_KEY": SHARED_KEY,
    "INCENTIVES_TWILIO_FROM": "+15005550006",
    "INCENTIVES_PUBLIC_URL": PUBLIC,
    "INCENTIVES_SENDGRID_WEBHOOK_KEY": public_key(),
}


class Callbacks:
    """The application, and both providers."""

    def __init__(self, database_url: str, **settings: Any) -> None:
        self.clock = FixedClock(START)
        self.core: Core = make_core(database_url, clock=self.clock, **settings)
        publish_catalog(self.core)
        self.manager = actor(self.core, "manager")
        self.app = create_app(self.core)
        self.client: FlaskClient = self.app.test_client()

    def sent(self, provider_message_id: str, *channels: str, number: int = 0) -> list[uuid.UUID]:
        """Give something, whose messages the providers take; return the messages' ids."""
        customer = CustomerGiven(name="Ana", email=EMAIL, phone=PHONE)
        if number:
            customer = CustomerGiven(email=f"c{number}@gmail.com", phone=f"+4474001{number:05}")
        command = IssueVoucher(issue_tag="flight-delayed", customer=customer, location="london", channels=channels)
        given = issue_voucher(core=self.core, actor=self.manager, command=command)
        assert isinstance(given, Issued)
        for each in channels:
            self.core.senders[each].outcomes.append(Accepted(provider_message_id))
            assert deliver_next(core=self.core) is not None
        return [each.id for each in given.deliveries]

    def twilio(self, fields: Mapping[str, str], path: str = STATUS, client: FlaskClient | None = None) -> TestResponse:
        """Call as Twilio does, signed for our public address."""
        signature = RequestValidator(TOKEN).compute_signature(PUBLIC + path, fields)
        return (client or self.client).post(path, data=fields, headers={"X-Twilio-Signature": signature})

    def sendgrid(self, events: Sequence[Mapping[str, Any]], client: FlaskClient | None = None) -> TestResponse:
        """Call as SendGrid does."""
        body = json.dumps(events).encode() + b"\r\n"
        return (client or self.client).post(EVENTS, data=body, headers=self.signed(body))

    def signed(
        self, body: bytes, *, age_seconds: int = 0, key: ec.EllipticCurvePrivateKey = PRIVATE_KEY
    ) -> dict[str, str]:
        """Return the headers that SendGrid would send along."""
        timestamp = str(int(self.clock.now().timestamp()) - age_seconds)
        signature = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
            TIMESTAMP_HEADER: timestamp,
            "Content-Type": "application/json",
        }

    def rows(self, table: sa.Table) -> list[Any]:
        """Return the rows of a table in the order in which they were made."""
        with self.core.database.read() as tx:
            return list(tx.execute(sa.select(table).order_by(*table.primary_key.columns)).all())

    def statuses(self) -> list[tuple[str, str]]:
        """Return each message's channel and status."""
        return [(row.channel, row.status) for row in self.rows(outbox_messages)]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table."""
        with self.core.database.read() as tx:
            return {
                table.name: sorted((tuple(row) for row in tx.execute(sa.select(table))), key=repr)
                for table in all_tables().sorted_tables
            }


def status_of(sid: str, status: str, **more: str) -> dict[str, str]:
    """Return what Twilio sends for an SMS."""
    fields = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": status, "SmsStatus": status}
    return {
        **fields,
        "To": PHONE,
        "From": "+15005550006",
        "AccountSid": "AC" + "0" * 32,
        "ApiVersion": "2010-04-01",
        **more,
    }


def event_of(name: str, message_id: uuid.UUID | None, **more: Any) -> dict[str, Any]:
    """Return what SendGrid sends for an email."""
    ours = {"message_id": str(message_id)} if message_id else {}
    return {
        "email": EMAIL,
        "timestamp": int(START.timestamp()),
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": name,
        "category": ["voucher"],
        "sg_event_id": f"{name}-{message_id}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        **ours,
        **more,
    }


@contextmanager
def opened(database_url: str, **settings: str) -> Iterator[Callbacks]:
    """An application that both providers are set up for, until the block ends."""
    made = Callbacks(database_url, **{**SETTINGS, **settings})
    try:
        yield made
    finally:
        made.core.database.dispose()
