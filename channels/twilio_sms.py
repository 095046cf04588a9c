"""SMS by Twilio: everything that is special about Twilio and its client stands here.

The client as shipped takes any 2xx for success (a captive portal's page is one), and its exception drops the
headers, ``Retry-After`` among them. So its transport is ours: it lets nothing pass but a 201 and keeps what
came instead.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from channels.deadline import Deadline
from channels.provider import (
    checked_base_url,
    checked_secret,
    is_loopback,
    misconfigured,
    outcome_of_fault,
    provider_message_id,
    writing,
)
from channels.rendering import render_sms
from channels.twilio_numbers import SUPPRESSES
from incentives.messages.port import (
    EITHER,
    Accepted,
    AnyLetter,
    Outcome,
    StatusReport,
    TryLater,
    Unsure,
    WillNeverWork,
)

if TYPE_CHECKING:
    from twilio.rest import Client

T = TypeVar("T")

FIRST = "twilio"
"""What the first account is called as a provider."""
TWILIO_URL = "https://api.twilio.com"

# How long Twilio may keep the message in its queue; an apology that comes tomorrow night wakes people.
VALIDITY_SECONDS = 14_400
_CODE_END = 1_000_000

# What each status other than 201 means for this message, when no error code below says it better.
STATUSES: dict[int, tuple[str, str]] = {
    400: ("never", "Twilio refuses the message."),
    401: ("mend", "The configuration is wrong: Twilio does not accept the account or its token."),
    403: ("mend", "The configuration is wrong: Twilio forbids this account to send."),
    404: (
        "mend",
        "The configuration is wrong: Twilio does not know the account, or its API is not at the base URL.",
    ),
    405: ("mend", "The configuration is wrong: Twilio's API is not at the base URL."),
    407: ("mend", "The configuration is wrong: a proxy on the way to Twilio wants a password."),
    408: ("later", "Twilio waited too long for the request."),
    413: ("never", "Twilio refuses the message as too large."),
    415: ("never", "Twilio refuses the message's format."),
    422: ("never", "Twilio refuses the message as malformed."),
    429: ("slower", "Twilio asks us to send more slowly."),
    500: ("later", "Twilio has a fault of its own."),
    502: ("unsure", "Twilio cannot be reached behind its gateway."),
    503: ("later", "Twilio is not available."),
    504: ("unsure", "Twilio did not answer its gateway in time."),
}

# Else Twilio calls twice at the most, and not again after a server error: connect within 3 s, answer within 1.5 s, five
# tries more, after whatever went wrong. https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
HOW_TO_CALL = "#ct=3000&rt=1500&rc=5&rp=all"

_BROKE = "The connection to Twilio failed."
_BAD_NUMBER = ("never", "Twilio refuses the customer's phone number.")
_NO_SMS = ("never", "The customer's phone number cannot receive SMS.")
_BAD_SENDER = (
    "mend",
    "The configuration is wrong: Twilio does not accept the number or service that SMS come from.",
)
_BAD_ACCOUNT = ("mend", "The configuration is wrong: Twilio does not accept the account or its token.")
_BAD_PAIR = ("either", "Twilio does not let our number or service send to this customer's phone number, or to any.")
_TRIAL = ("either", "This Twilio trial account sends to verified numbers only.")
_FULL = ("slower", "Twilio's queue for our number is full.")

# https://www.twilio.com/docs/api/errors: the codes that creating a message is known to answer with.
CODES: dict[int, tuple[str, str]] = {
    14107: STATUSES[429],
    20003: _BAD_ACCOUNT,
    20005: ("mend", "The configuration is wrong: the Twilio account is not active."),
    20404: STATUSES[404],
    20429: STATUSES[429],
    20500: STATUSES[500],
    20503: STATUSES[503],
    21211: _BAD_NUMBER,
    21212: _BAD_SENDER,
    21214: ("never", "Twilio cannot reach the customer's phone number."),
    21217: _BAD_NUMBER,
    21265: _NO_SMS,
    21266: ("never", "The customer's phone number is the one that SMS come from."),
    21267: _BAD_SENDER,
    21268: ("never", "The customer's phone number is a premium or information service."),
    21401: _BAD_NUMBER,
    21408: ("never", "This Twilio account may not send SMS to that country."),
    21421: _BAD_NUMBER,
    21601: _BAD_SENDER,
    21602: ("never", "Twilio refuses the message as empty."),
    21603: _BAD_SENDER,
    21604: _BAD_NUMBER,
    21605: STATUSES[413],
    21606: _BAD_PAIR,
    21607: _BAD_SENDER,
    21608: _TRIAL,
    21610: ("never", "The customer has unsubscribed from SMS."),
    21611: _FULL,
    21612: ("never", "Twilio has no route to the customer's phone number."),
    21614: _NO_SMS,
    21617: STATUSES[413],
    21635: ("never", "The customer's phone number is a landline and cannot receive SMS."),
    21659: _BAD_PAIR,
    21660: _BAD_SENDER,
    21661: _BAD_SENDER,
    21701: _BAD_SENDER,
    21703: _BAD_PAIR,
    21704: _BAD_SENDER,
    21705: _BAD_SENDER,
    30001: _FULL,
    30002: ("mend", "The configuration is wrong: the Twilio account is suspended."),
    63038: ("mend", "Twilio's daily limit for this account is reached."),
}


class TwilioSender:
    """Sends one SMS for one letter through Twilio's Messages API. Safe to use from several threads."""

    channel = "sms"

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        messaging_service_sid: str | None,
        sms_from: str | None,
        base_url: str | None,
        timeout_seconds: float,
        status_callback_url: str | None = None,
        provider: str = FIRST,
    ) -> None:
        """Keep the settings; nothing is sent or imported yet. ``provider`` tells a second account from the first.

        ``status_callback_url`` is where Twilio tells what became of a message, whose id is put behind it; None where
        it could not reach us. Raises ``ValueError`` for a base URL that is neither https nor on this machine, for
        credentials that no header can carry, and when there is neither a messaging service nor a number to send from.
        """
        if not (messaging_service_sid or sms_from):
            message = "SMS need a messaging service or a number to come from"
            raise ValueError(message)
        self._account_sid, self._auth_token = checked_secret(account_sid), checked_secret(auth_token)
        self._origin = (
            {"messaging_service_sid": messaging_service_sid} if messaging_service_sid else {"from_": sms_from}
        )
        self._base_url = checked_base_url(base_url or TWILIO_URL)
        self._timeout_seconds = float(timeout_seconds)
        self._status_callback_url = status_callback_url
        self.provider = provider
        self._deadline = Deadline("Twilio", self._timeout_seconds)
        self._of_this_thread = threading.local()

    def send(self, letter: AnyLetter) -> Outcome:
        """Render and send; only Twilio's 201 counts as accepted."""
        with writing():
            text, client = render_sms(letter).text, self._client()
            more = self._status_callback(letter)
        outcome = self._deadline.within(lambda: self._create(client, letter.to, text, more))
        if isinstance(outcome, TryLater | Unsure):
            self._of_this_thread.client = None  # A call that was abandoned may still hold its connection.
        return outcome

    def look_for(self, letter: AnyLetter, since: datetime) -> list[str] | None:
        """Return what Twilio has taken since an instant that says the same; None where it does not say."""
        from channels.twilio_asking import looked_for  # which knows the words of callbacks, and those know this file

        text = render_sms(letter).text

        def question(client: Any) -> list[str] | None:
            return looked_for(client, letter, text, since)

        return self._asked(question)

    def ask(self, provider_message_id: str, now: datetime) -> StatusReport | None:
        """Return what became of a message; None where Twilio does not say."""
        from channels.twilio_asking import told_of

        return self._asked(lambda client: told_of(client, provider_message_id, self.provider, now))

    def _asked(self, question: Callable[[Any], T]) -> T | None:
        client, nothing = self._client(), TryLater("Twilio does not say.", None)

        def ask() -> T | TryLater:
            try:
                answer = question(client)
            except Exception:  # noqa: BLE001 - whatever it answers, and whatever the client makes of that
                return nothing
            return nothing if answer is None else answer

        answer = self._deadline.within(ask)
        if not isinstance(answer, TryLater | Unsure):
            return answer
        self._of_this_thread.client = None
        return None

    def _status_callback(self, letter: AnyLetter) -> dict[str, str]:
        """Return where Twilio tells what became of this message, by our id: it may tell before we know its own."""
        url = self._status_callback_url
        return {"status_callback": f"{url}/{letter.message_id}{HOW_TO_CALL}"} if url else {}

    def _create(self, client: "Client", to: str, text: str, more: dict[str, str]) -> Outcome:
        try:
            message = client.messages.create(
                to=to,
                body=text,
                validity_period=VALIDITY_SECONDS,
                smart_encoded=True,
                **self._origin,
                **more,
            )
        except NotCreatedError as answer:
            return outcome_of(answer.status, answer.headers, answer.body)
        except NotReachedError as failure:
            return Unsure(failure.reason) if failure.unsure else TryLater(failure.reason, None)
        return Accepted(message.sid)

    def _client(self) -> "Client":
        """Return this thread's client: it keeps its connection open, and no other thread meddles with it."""
        client = getattr(self._of_this_thread, "client", None)
        if client is None:
            client = self._of_this_thread.client = self._new_client()
        return client

    def _new_client(self) -> "Client":
        from twilio.rest import Client  # a tenth of a second that only who sends should pay

        transport = _careful_transport()(timeout=self._timeout_seconds)
        transport.session.trust_env = not is_loopback(urlsplit(self._base_url).hostname or "")
        client = Client(self._account_sid, self._auth_token, http_client=transport)
        client.region = client.edge = None  # else TWILIO_REGION in the environment would change the address
        client.api.base_url = self._base_url
        return client


def algorithm_of(signature_settings: str) -> str:
    """Return by which algorithm a request says that it is signed, in ``X-Twilio-Webhooks-Signature-Settings``."""
    from twilio.request_validator import get_signature_algorithm

    return str(get_signature_algorithm(signature_settings))


def is_signed(
    secret: str, address: str, fields: Mapping[str, str], signature: str, *, algorithm: str | None = None
) -> bool:
    """Return whether Twilio signed a request with these form fields for an address of ours.

    ``algorithm`` is HMAC_SHA1 (None) with the auth token, or HMAC_SHA256 with a shared key; of others none is signed.
    """
    from twilio.request_validator import RequestValidator  # a tenth of a second that only who is called pays

    # What is no ASCII is no base64, and the client would raise.
    return signature.isascii() and bool(RequestValidator(secret).validate(address, fields, signature, algorithm))


class NotCreatedError(Exception):
    """Twilio, or something in its place, answered with another status than 201."""

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        """Keep all that an outcome is made from."""
        super().__init__(status)
        self.status, self.headers, self.body = status, headers, body


class NotReachedError(Exception):
    """No answer came; the reason is in words of our own, for the client's may quote number and text."""

    def __init__(self, reason: str, *, unsure: bool = False) -> None:
        """Keep the reason, and whether all of it was sent and may have been taken."""
        super().__init__(reason)
        self.reason, self.unsure = reason, unsure


def outcome_of(status: int, headers: Mapping[str, str], body: str) -> Outcome:
    """Return what an answer other than 201 means: by Twilio's code where it is known, else by the status."""
    if status < HTTPStatus.BAD_REQUEST:
        reason = f"The configuration is wrong: {status} is not Twilio's answer, so something else gave it."
        return misconfigured(reason, headers)
    by_status = STATUSES.get(status, ("later", f"Twilio answered {status}."))
    code = _code(body)
    fault, reason = CODES.get(code, by_status) if status < HTTPStatus.INTERNAL_SERVER_ERROR else by_status
    if code:
        reason = f"{reason} (Twilio {code})"
    if fault == "either":
        return TryLater(reason, None, EITHER)
    outcome = outcome_of_fault(fault, reason, headers)
    return replace(outcome, suppresses=SUPPRESSES.get(code)) if isinstance(outcome, WillNeverWork) else outcome


def _code(body: str) -> int:
    """Return the error code of an answer; 0 if it has none. Its message is not read: it quotes the number."""
    code = _member(body, "code")
    return code if type(code) is int and 0 < code < _CODE_END else 0


def _member(body: str, name: str) -> object:
    """Return a member of a JSON object; None if there is no such member or no such object."""
    return (_object(body) or {}).get(name)


def _object(text: str) -> dict[str, object] | None:
    """Return an answer that is a JSON object, as all of Twilio's are; None of any other."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _names_nobody(record: logging.LogRecord) -> bool:
    return "Messages.json?" not in record.getMessage()


def _tells(url: str, text: str) -> bool:
    """Return whether an answer to a question is one of Twilio's: what was asked for a list lists objects."""
    if not urlsplit(url).path.endswith("/Messages.json"):
        return _object(text) is not None
    listed = _member(text, "messages")
    return isinstance(listed, list) and all(isinstance(each, dict) for each in listed)


def _before_it_was_sent(failure: Exception) -> bool:
    """Return whether a call failed before there was a connection: nobody can have taken anything then."""
    from requests import ConnectTimeout
    from urllib3.exceptions import MaxRetryError  # what its pool says where it came to no connection

    if isinstance(failure, ConnectTimeout | ValueError):  # the latter: what was to be sent could not even be written
        return True
    return bool(failure.args and isinstance(failure.args[0], MaxRetryError))


@cache
def _careful_transport() -> type[Any]:
    """Return Twilio's own HTTP client, made to follow no redirect, keep headers, and write nothing down."""
    from requests import RequestException, Timeout  # Twilio's client comes with it
    from twilio.http.http_client import TwilioHttpClient  # only who sends should pay for it
    from twilio.http.response import Response

    # What lies below it writes down addresses at DEBUG, and where Twilio is asked about a number that stands in one.
    logging.getLogger("urllib3.connectionpool").addFilter(_names_nobody)

    class CarefulTransport(TwilioHttpClient):  # type: ignore[misc]  # the package has no types
        def request(
            self,
            method: str,
            url: str,
            params: dict[str, object] | None = None,
            data: dict[str, object] | None = None,
            headers: dict[str, str] | None = None,
            auth: tuple[str, str] | None = None,
            timeout: float | None = None,
            allow_redirects: bool = False,  # noqa: FBT001, FBT002
        ) -> Response:
            del allow_redirects  # never: the token would follow
            try:
                response = super().request(method, url, params, data, headers, auth, timeout)
            except RequestException as failure:
                what = "Twilio did not answer in time." if isinstance(failure, Timeout) else _BROKE
                raise NotReachedError(what, unsure=not _before_it_was_sent(failure)) from None
            finally:
                self._test_only_last_request = self._test_only_last_response = None  # they hold the code
            if method.upper() == "GET" and response.status_code == HTTPStatus.OK and _tells(url, response.text):
                return Response(response.status_code, response.text, response.headers)
            if method.upper() == "GET" or response.status_code != HTTPStatus.CREATED:
                raise NotCreatedError(response.status_code, response.headers, response.text)
            sid = provider_message_id(_member(response.text, "sid"))
            if sid is None:
                raise NotReachedError("Twilio's answer named no message.", unsure=True)  # it may have broken off
            return Response(response.status_code, json.dumps({"sid": sid}), response.headers)

        def log_request(self, kwargs: dict[str, Any]) -> None:
            """Log nothing: addresses of accounts are nobody's business."""

        def log_response(self, status_code: int, response: object) -> None:
            """Log nothing."""

    return CarefulTransport
