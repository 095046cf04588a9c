"""What is alike for every provider: where it may be reached, and how long it asks us to wait."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from incentives.messages.port import PACE, SETTINGS, NotWritten, Outcome, TryLater, Unsure, WillNeverWork

# A provider that is told wrong keeps being told wrong until somebody mends the settings: asking each minute
# is noise.
MISCONFIGURED_AFTER_SECONDS = 300.0
RETRY_AFTER_SECONDS_MAX = 86_400.0  # a message older than a day has lost its point; nobody may park it for longer
PROVIDER_MESSAGE_ID_LENGTH_MAX = 100

_DELAY_SECONDS = re.compile(r"[0-9]{1,9}")


@contextmanager
def writing() -> Iterator[None]:
    """Let what goes wrong here be known to have come before any provider was asked. Raises ``NotWritten``."""
    try:
        yield
    except Exception as error:
        raise NotWritten from error


def checked_base_url(url: str) -> str:
    """Return a provider's address without a slash at its end.

    Raises ``ValueError`` unless it is https, or plain http on this very machine (a stand-in for tests): a key
    must not travel in the clear. Addresses with a user, a query or a fragment are mistakes and refused too.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query or parts.fragment:
        message = "a provider's base URL must be an https address, without user, query or fragment"
        raise ValueError(message)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        message = "a provider's base URL must be https; plain http is for this machine only"
        raise ValueError(message)
    return url.rstrip("/")


def checked_secret(secret: str) -> str:
    """Return a key that a header can carry.

    Raises ``ValueError``, without quoting the key, for one with stray characters.
    """
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        message = "a provider's key must be of visible ASCII characters"
        raise ValueError(message)
    return secret


def is_loopback(host: str) -> bool:
    """Return whether a host's name means this machine and cannot mean another."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return how long ``Retry-After`` (seconds, or an HTTP date) asks us to wait; None if it does not say.

    A date is held against the answer's own ``Date``, so that a clock that goes wrong here changes nothing.
    """
    value = (headers.get("Retry-After") or "").strip()
    if _DELAY_SECONDS.fullmatch(value):
        return min(float(value), RETRY_AFTER_SECONDS_MAX)
    at = _http_date(value)
    if at is None:
        return None
    now = _http_date(headers.get("Date") or "") or datetime.now(UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_SECONDS_MAX)


def _http_date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def provider_message_id(value: object) -> str | None:
    """Return a provider's id for a message, fit to be stored; None if what came is no id."""
    text = value if isinstance(value, str) else ""
    return text if text.isascii() and text.isprintable() and 0 < len(text) <= PROVIDER_MESSAGE_ID_LENGTH_MAX else None


def misconfigured(reason: str, headers: Mapping[str, str]) -> TryLater:
    """Return the outcome for a mistake in our settings: the message is good, so it waits for the mending."""
    wait = retry_after_seconds(headers)
    return TryLater(reason, max(wait or 0.0, MISCONFIGURED_AFTER_SECONDS), SETTINGS)


def outcome_of_fault(fault: str, reason: str, headers: Mapping[str, str]) -> Outcome:
    """Return what a fault of a provider's status table means.

    ``never``: the message itself is refused. ``mend``: our settings are at fault. ``slower``: we ask too much.
    ``unsure``: a gateway had no answer from whoever may have taken it. ``later``: nobody's fault.
    """
    if fault == "never":
        return WillNeverWork(reason)
    if fault == "mend":
        return misconfigured(reason, headers)
    if fault == "unsure":
        return Unsure(reason)
    wait = retry_after_seconds(headers)
    return TryLater(reason, wait, PACE) if fault == "slower" else TryLater(reason, wait)
