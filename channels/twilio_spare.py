"""A second account of Twilio's, best in another region: it sends SMS while the first one is ill."""

from urllib.parse import parse_qsl, unquote, urlsplit

from channels.twilio_sms import TwilioSender

SPARE = "twilio-2"


def spare_sid(url: str) -> str:
    """Return the second account's name at Twilio; "" where there is no account."""
    return unquote(urlsplit(url).username or "")


def spare_token(url: str) -> str:
    """Return the second account's token, by which it signs what it passes on to us; "" where there is no account."""
    return unquote(urlsplit(url).password or "")


def spare_account(url: str, timeout_seconds: float, status_callback_url: str | None = None) -> TwilioSender:
    """Return who sends by a second account: ``https://sid:token@host?from=number``, or ``?service=sid``.

    It tells what became of a message where the first account does, signed with a secret of its own.
    """
    parts = urlsplit(url)
    origin = dict(parse_qsl(parts.query.replace("+", "%2B")))
    return TwilioSender(
        account_sid=spare_sid(url),
        auth_token=spare_token(url),
        messaging_service_sid=origin.get("service"),
        sms_from=origin.get("from"),
        base_url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        timeout_seconds=timeout_seconds,
        status_callback_url=status_callback_url,
        provider=SPARE,
    )
