"""Whose a request is: Twilio signs each for the address that it was given, with a secret that we share.

The address is ours as the world knows it (``INCENTIVES_PUBLIC_URL``), whatever proxy a request came through. Twilio's
own validator takes it with and without the port. The part behind ``#`` says how Twilio is to call, and is not signed.

Each account signs with secrets of its own, and a request is only the account's that it names: whoever has come by the
one's token says nothing in the name of the other. A STOP to the second one's number is as good as one to the first's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from flask import request

from channels.pages import current_throttle
from channels.twilio_sms import FIRST, algorithm_of, is_signed
from channels.twilio_spare import SPARE, spare_sid, spare_token
from incentives.kernel.core import Core
from incentives.kernel.settings import Settings
from incentives.kernel.throttle import network_of

REFUSED = "The signature is not Twilio's."

_SHARED_KEY = "HMAC_SHA256"


@dataclass(frozen=True, slots=True)
class _Account:
    """An account that calls us, by the provider's name that it goes by here, and what it may sign with."""

    provider: str
    sid: str
    token: str = field(repr=False)
    shared_key: str = field(repr=False)


def is_set_up(core: Core) -> bool:
    """Return whether there is a Twilio that could call."""
    return bool(core.settings.twilio_auth_token)


def signed_by(core: Core) -> str | None:
    """Return which of our accounts signed this very request; None for a stranger's, who is held up if they guess.

    Which algorithm it is signed with the request says, but each has a secret of its own: nobody gains by choosing.
    Raises ``TooManyRequests``.
    """
    address = core.settings.public_url + request.full_path.rstrip("?")
    algorithm = algorithm_of(request.headers.get("X-Twilio-Webhooks-Signature-Settings", ""))
    signature = request.headers.get("X-Twilio-Signature", "")
    for account in _named(core.settings, request.form.get("AccountSid", "")):
        secret = account.shared_key if algorithm.upper() == _SHARED_KEY else account.token
        if secret and is_signed(secret, address, request.form, signature, algorithm=algorithm):
            return account.provider
    current_throttle().hit("link-misses", network_of(request.remote_addr))
    return None


def _named(settings: Settings, sid: str) -> Iterator[_Account]:
    """Return the accounts that a request may be of: the one that it names, or any where it names none."""
    first = (FIRST, settings.twilio_account_sid, settings.twilio_auth_token, settings.twilio_webhook_key)
    url = settings.twilio_spare_url
    spare = (SPARE, spare_sid(url), spare_token(url), settings.twilio_spare_webhook_key)
    return (account for account in (_Account(*first), _Account(*spare)) if not sid or account.sid == sid)
