"""How each kind of setting is read: a value of the right type, or ``ValueError`` in words for whoever set it."""

import base64
import re
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, parse_qs, urlsplit

from incentives.kernel.key_settings import read_keys


def _one_of(*choices: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - returns a reader, typed where used
    def read(text: str) -> str:
        if text not in choices:
            message = f"must be one of {', '.join(choices)}"
            raise ValueError(message)
        return text

    return read


def _yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        message = "must be one of yes, no"
        raise ValueError(message)
    return text == "yes"


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) == 0:
        message = "must be a whole number above zero"
        raise ValueError(message)
    return int(text)


def _count_from_zero(text: str) -> int:
    return 0 if text == "0" else _count(text)


_CAP_MOST = 1000  # For each of so many messages an instant is kept beside the address.


def _cap(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > _CAP_MOST:
        message = f"must be a whole number from 1 to {_CAP_MOST}, or 0 for no cap"
        raise ValueError(message)
    return int(text)


_NO_ADDRESS = "must be an address with a host and, where it names a port, one from 1 to 65535"


def _split(text: str) -> SplitResult:
    """Return an address's parts. Raises ``ValueError`` in our words: Python's may show the password."""
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError(_NO_ADDRESS) from None


def _called(text: str) -> SplitResult:
    """Return the parts of an address whose port, if it names one, can be called. Raises ``ValueError``."""
    parts = _split(text)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(_NO_ADDRESS)
    return parts


def _mail_server(text: str) -> str:
    parts = _called(text)
    if text and not (parts.scheme in ("smtp", "smtps") and parts.hostname and not parts.path.strip("/")):
        message = "must be an smtp or smtps address, without a path"
        raise ValueError(message)
    if bool(parts.username) != bool(parts.password):
        message = "must have a user and a password or neither"
        raise ValueError(message)
    return text


def _account(text: str) -> str:
    parts = _called(text)
    if text and not (parts.scheme in ("http", "https") and parts.hostname and parts.username and parts.password):
        message = "must be an http or https address with an account and its token"
        raise ValueError(message)
    if text and not {"from", "service"} & parse_qs(parts.query).keys():
        message = "must say which number or service messages come from: `?from=number` or `?service=sid`"
        raise ValueError(message)
    return text


def _redis(text: str) -> str:
    parts = _called(text)
    if text and (parts.scheme not in ("redis", "rediss") or not parts.hostname):
        message = "must be a redis or rediss address"
        raise ValueError(message)
    if not re.fullmatch(r"(/[0-9]{0,5})?", parts.path):
        # Redis' client takes what is no number for the first database.
        message = "must name a database by its number, such as `/0`, or none"
        raise ValueError(message)
    return text


def _broker(text: str) -> str:
    parts = _split(text)  # Nobody who serves minds a port that cannot be; whoever asks the broker says so.
    if text and (parts.scheme not in ("redis", "rediss", "amqp", "amqps") or not parts.hostname):
        message = "must be a redis, rediss, amqp or amqps address"
        raise ValueError(message)
    return text


def _url(text: str) -> str:
    parts = _called(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        message = "must be an http or https address"
        raise ValueError(message)
    if "?" in text or "#" in text or "@" in parts.netloc:
        message = "must be an address and a path, without user, password, `?` and `#`"
        raise ValueError(message)
    return text.rstrip("/")


def _token(text: str) -> str:
    if text and not re.fullmatch(r"[\x21-\x7e]{32,200}", text):
        message = "must be 32 to 200 visible ASCII characters, such as `openssl rand -hex 32` prints"
        raise ValueError(message)
    return text


def _public_key(text: str) -> str:
    """Return an elliptic key that signatures are verified with: base64 of its DER form, without the lines around it."""
    if text:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - only where there is one
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

        try:
            found = load_der_public_key(base64.b64decode(text, validate=True))
        except (ValueError, UnsupportedAlgorithm):
            found = None
        if not isinstance(found, EllipticCurvePublicKey):
            message = "must be an elliptic public key, base64 in one line"
            raise ValueError(message)
    return text


READERS: Mapping[str, Callable[[str], object]] = {
    "text": str,
    "secret": str,
    "token": _token,
    "url": _url,
    "public-key": _public_key,
    "mail-server": _mail_server,
    "account": _account,
    "redis": _redis,
    "broker": _broker,
    "count": _count,
    "count0": _count_from_zero,
    "cap": _cap,
    "keys": read_keys,
    "yes-no": _yes_no,
    "environment": _one_of("production", "development"),
    "delivery": _one_of("worker", "in-process"),
}
