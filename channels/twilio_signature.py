"""Whether a request is Twilio's: it signs each for the address that it was given, with a secret that we share.

The address is ours as the world knows it (``INCENTIVES_PUBLIC_URL``), whatever proxy a request came through. Twilio's
own validator takes it with and without the port. The part behind ``#`` says how Twilio is to call, and is not signed.
The second account signs with a token of its own: a STOP to its number is as good as one to the first.
"""

from flask import request

from channels.pages import current_throttle
from channels.twilio_sms import algorithm_of, is_signed
from channels.twilio_spare import spare_token
from incentives.kernel.core import Core
from incentives.kernel.throttle import network_of

REFUSED = "The signature is not Twilio's."

_SHARED_KEY = "HMAC_SHA256"


def is_set_up(core: Core) -> bool:
    """Return whether there is a Twilio that could call."""
    return bool(core.settings.twilio_auth_token)


def is_from_twilio(core: Core) -> bool:
    """Return whether Twilio signed this very request; who guesses is held up, by ``TooManyRequests``.

    Which algorithm it is signed with the request says, but each has a secret of its own: nobody gains by choosing.
    """
    address = core.settings.public_url + request.full_path.rstrip("?")
    algorithm = algorithm_of(request.headers.get("X-Twilio-Webhooks-Signature-Settings", ""))
    shared = algorithm.upper() == _SHARED_KEY
    tokens = (core.settings.twilio_auth_token, spare_token(core.settings.twilio_spare_url))
    signature = request.headers.get("X-Twilio-Signature", "")
    for secret in (core.settings.twilio_webhook_key,) if shared else tokens:
        if secret and is_signed(secret, address, request.form, signature, algorithm=algorithm):
            return True
    current_throttle().hit("link-misses", network_of(request.remote_addr))
    return False
