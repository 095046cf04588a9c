"""Stand-ins for both vendors. Where the vendors' own OpenAPI is at hand, each request must follow it."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from itertools import count

import pytest

from channels.sendgrid_email import SendGridSender
from channels.twilio_sms import TwilioSender
from tests.providers.stand_in import Answer, Asked, StandIn
from tests.providers.vendor_schema import mistakes_in_request

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "a-token-that-nobody-may-see"
STATUS_CALLBACK = "https://shop.example/providers/twilio/status"
API_KEY = "SG.a-key-that-nobody-may-see"

# Prism, which holds requests against the vendors' own OpenAPI, comes from npm and needs those files. Without
# both there is nothing to run; docs/testing.md says how to have them.
collect_ignore = [] if os.environ.get("TEST_VENDOR_SPECS") and shutil.which("npm") else ["test_vendor_schema.py"]


class TwilioStandIn(StandIn):
    """Answers as Twilio does: 201 and the message, each with its own SID."""

    def __init__(self) -> None:
        """Begin with the first SID."""
        super().__init__(Answer(201))
        self._number = count(1)

    def usual_to(self, asked: Asked) -> Answer:
        message = {
            "account_sid": ACCOUNT_SID,
            "api_version": "2010-04-01",
            "direction": "outbound-api",
            "num_media": "0",
            "num_segments": "1",
            "sid": f"SM{next(self._number):032x}",
            "status": "queued",
            "uri": asked.path,
        }
        return Answer(201, {"Content-Type": "application/json"}, json.dumps(message).encode())


@pytest.fixture
def sendgrid() -> Iterator[StandIn]:
    """SendGrid, as far as sending one email goes."""
    with StandIn(Answer(202, {"X-Message-Id": "14c5d75ce93.dfd.64b469"})).serving() as stand_in:
        yield stand_in
    assert [mistakes_in_request("sendgrid", asked) for asked in stand_in.asked] == [[]] * len(stand_in.asked)


@pytest.fixture
def twilio() -> Iterator[StandIn]:
    """Twilio, as far as sending one SMS goes."""
    with TwilioStandIn().serving() as stand_in:
        yield stand_in
    assert [mistakes_in_request("twilio", asked) for asked in stand_in.asked] == [[]] * len(stand_in.asked)


@pytest.fixture
def elsewhere() -> Iterator[StandIn]:
    """A second host, to which a redirect would lead."""
    with StandIn(Answer(200)).serving() as stand_in:
        yield stand_in


def sendgrid_sender(url: str, timeout_seconds: float = 5.0) -> SendGridSender:
    """Return our sender of emails, pointed at a stand-in."""
    return SendGridSender(
        api_key=API_KEY,
        base_url=url,
        email_from="care@northwind-air.example",
        email_from_name="",
        timeout_seconds=timeout_seconds,
    )


def twilio_sender(url: str, timeout_seconds: float = 5.0, service: str | None = None) -> TwilioSender:
    """Return our sender of SMS, pointed at a stand-in."""
    return TwilioSender(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        messaging_service_sid=service,
        sms_from="+15005550001",
        base_url=url,
        timeout_seconds=timeout_seconds,
        status_callback_url=STATUS_CALLBACK,
    )


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log with every logger opened as far as it goes, as somebody hunting a fault would do."""
    caplog.set_level(logging.DEBUG)
    for name in (
        "python_http_client",
        "python_http_client.client",
        "twilio.http_client",
        "urllib3",
        "requests",
    ):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog
