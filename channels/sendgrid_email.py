"""Emails by SendGrid: everything that is special about SendGrid and its client stands here.

The client as shipped waits for ever, follows a redirect with the API key to wherever it points and calls the
200 it finds there success, shares one dictionary of headers between threads, and logs the key. None of that
is left to it.
"""

import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from functools import cache
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

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
from channels.rendering import RenderedEmail, render_email
from incentives.messages.port import Accepted, AnyLetter, Outcome, TryLater, Unsure, WillNeverWork

if TYPE_CHECKING:
    from python_http_client import Client

SENDGRID_URL = "https://api.sendgrid.com"

_ANSWER_BYTES_MAX = 65_536

# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: what each status other than 202
# means for this message; `outcome_of_fault` says what the words stand for.
STATUSES: dict[int, tuple[str, str]] = {
    400: ("never", "SendGrid refuses the message as malformed."),
    401: ("mend", "The configuration is wrong: SendGrid does not accept the API key."),
    402: ("mend", "The configuration is wrong: SendGrid asks for the account's bill to be paid."),
    403: ("mend", "The configuration is wrong: SendGrid forbids this key, or this sender is not verified."),
    404: ("mend", "The configuration is wrong: SendGrid's API is not at the base URL."),
    405: ("mend", "The configuration is wrong: SendGrid's API is not at the base URL."),
    407: ("mend", "The configuration is wrong: a proxy on the way to SendGrid wants a password."),
    408: ("later", "SendGrid waited too long for the request."),
    413: ("never", "SendGrid refuses the message as too large."),
    415: ("never", "SendGrid refuses the message's format."),
    422: ("never", "SendGrid refuses the message as malformed."),
    429: ("slower", "SendGrid asks us to send more slowly."),
    500: ("later", "SendGrid has a fault of its own."),
    502: ("unsure", "SendGrid cannot be reached behind its gateway."),
    503: ("later", "SendGrid is not available."),
    504: ("unsure", "SendGrid did not answer its gateway in time."),
}

_BAD_ADDRESS = "SendGrid refuses the customer's email address."

# Which field a 400 complains about says whose mistake it is. The message beside it may quote an address: it
# is not read.
_FIELDS: tuple[tuple[str, str, str], ...] = (
    ("from", "mend", "The configuration is wrong: SendGrid does not accept the sender's address or name."),
    ("personalizations.0.to", "never", _BAD_ADDRESS),
)


class SendGridSender:
    """Sends one email for one letter through SendGrid's v3 API. Safe to use from several threads."""

    channel = "email"
    provider = "sendgrid"

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        email_from: str,
        email_from_name: str,
        timeout_seconds: float,
    ) -> None:
        """Keep the settings; nothing is sent or imported yet.

        ``email_from_name`` may be empty: then emails come from the letter's brand. Raises ``ValueError`` for
        a base URL that is neither https nor on this machine, and for a key that no header can carry.
        """
        self._api_key = checked_secret(api_key)
        self._base_url = checked_base_url(base_url or SENDGRID_URL)
        self._email_from = email_from
        self._email_from_name = email_from_name
        self._timeout_seconds = float(timeout_seconds)
        self._deadline = Deadline("SendGrid", self._timeout_seconds)

    def send(self, letter: AnyLetter) -> Outcome:
        """Render and send; only SendGrid's 202 counts as accepted."""
        with writing():
            body = self._body(letter, render_email(letter))
        return self._deadline.within(lambda: self._post(body))

    def _post(self, body: dict[str, Any]) -> Outcome:
        try:
            answer = self._client().post(request_body=body)
        except URLError as error:
            return TryLater(_unreachable(error), None)  # before all of it was sent
        except (OSError, HTTPException) as error:
            return Unsure(_unreachable(error))
        return outcome_of(answer.status_code, answer.headers, answer.body)

    def _client(self) -> "Client":
        """Return a client for this one message: clients made from one share their mutable headers."""
        from sendgrid import SendGridAPIClient  # a tenth of a second that only who sends should pay

        headers = SendGridAPIClient(self._api_key, host=self._base_url).client.request_headers
        return _careful_client()(
            self._base_url, dict(headers), version=3, url_path=["mail", "send"], timeout=self._timeout_seconds
        )

    def _body(self, letter: AnyLetter, email: RenderedEmail) -> dict[str, Any]:
        """Return the request as SendGrid's schema has it (``POST /v3/mail/send``)."""
        off = {"enable": False}
        return {
            # Here and not at the top level, where SendGrid's own schema wants custom_args to be a string.
            "personalizations": [{"to": [{"email": letter.to}], "custom_args": {"message_id": str(letter.message_id)}}],
            "from": {"email": self._email_from, "name": self._email_from_name or letter.brand},
            "subject": email.subject,
            "content": [
                {"type": "text/plain", "value": email.text},
                {"type": "text/html", "value": email.html},
            ],
            "categories": [letter.template],
            # Click tracking would send the customer's link through SendGrid's own domain and its logs.
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": off,
                "subscription_tracking": off,
            },
        }


def _unreachable(error: Exception) -> str:
    """Return the reason in words of our own: the error's may quote the address, the link or the key."""
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
        return "SendGrid did not answer in time."
    return "The connection to SendGrid failed."


def outcome_of(status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Return what an answer means: status, headers, and the body as JSON for a 400."""
    if status == HTTPStatus.ACCEPTED:
        return Accepted(provider_message_id(headers.get("X-Message-Id")))
    if status < HTTPStatus.BAD_REQUEST:
        reason = f"The configuration is wrong: {status} is not SendGrid's answer, so something else gave it."
        return misconfigured(reason, headers)
    fault, reason = STATUSES.get(status, ("later", f"SendGrid answered {status}."))
    if status == HTTPStatus.BAD_REQUEST:
        fault, reason = _fault_of_fields(body, (fault, reason))
    # The address is kept from being tried again: it will not become another one.
    return WillNeverWork(reason, "invalid") if reason == _BAD_ADDRESS else outcome_of_fault(fault, reason, headers)


def _fault_of_fields(body: bytes, otherwise: tuple[str, str]) -> tuple[str, str]:
    try:
        errors = json.loads(body)["errors"]
        fields = [str(error.get("field") or "") for error in errors]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return otherwise
    for prefix, fault, reason in _FIELDS:
        if any(field == prefix or field.startswith(f"{prefix}.") for field in fields):
            return fault, reason
    return otherwise


def is_signed(public_key: str, body: bytes, signature: str, timestamp: str) -> bool:
    """Return whether SendGrid signed these very bytes. Whatever its verifier cannot read is not signed."""
    from sendgrid.helpers.eventwebhook import EventWebhook  # a tenth of a second that only who is called pays

    try:
        # The verifier encodes what we decode: what is no UTF-8 could not come back as the bytes that were signed.
        text = body.decode("utf-8")
        return bool(signature) and bool(EventWebhook(public_key).verify_signature(text, signature, timestamp))
    except ValueError:
        return False


class _RefuseRedirects(HTTPRedirectHandler):
    """Leaves a redirect unfollowed, so that it comes back as the answer that it is."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What SendGrid's client asks of a response."""

    status: int
    headers: Message
    content: bytes

    def getcode(self) -> int:
        return self.status

    def read(self) -> bytes:
        return self.content

    def info(self) -> Message:
        return self.headers


@cache
def _careful_client() -> type["Client"]:
    """Return SendGrid's own HTTP client, made to keep its time-out and to follow no redirect."""
    from python_http_client import Client  # comes with the client below and costs as much

    class CarefulClient(Client):  # type: ignore[misc]  # the package has no types
        def _make_request(self, opener: OpenerDirector, request: Request, timeout: float | None = None) -> _Answer:
            del opener  # it would follow redirects
            return _call(request, timeout or self.timeout)

    # It logs each request with its headers, key and all, at DEBUG. A filter outlasts any later change of
    # levels.
    logging.getLogger("python_http_client.client").addFilter(_nothing)
    return CarefulClient


def _nothing(_record: logging.LogRecord) -> bool:
    return False


def _call(request: Request, timeout_seconds: float) -> _Answer:
    handlers: list[BaseHandler] = [_RefuseRedirects()]
    if is_loopback(urlsplit(request.full_url).hostname or ""):
        handlers.append(ProxyHandler({}))  # a stand-in on this machine is not behind the proxy
    until = time.monotonic() + timeout_seconds
    try:
        response = build_opener(*handlers).open(request, timeout=timeout_seconds)
    except HTTPError as error:
        response = error  # an answer like any other
    with response:
        return _Answer(response.status, response.headers, _read(response, until))


def _read(response: HTTPResponse | HTTPError, until: float) -> bytes:
    """Return the body of a 400, as far as it comes in time; other statuses say all by themselves.

    The socket's time-out starts anew with each byte, so a body that drips must be bounded by the clock as
    well.
    """
    content = b""
    if response.status != HTTPStatus.BAD_REQUEST:
        return content
    with suppress(OSError, HTTPException):
        while len(content) < _ANSWER_BYTES_MAX and time.monotonic() < until:
            part = response.read1(_ANSWER_BYTES_MAX)
            if not part:
                break
            content += part
    return content
