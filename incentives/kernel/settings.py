"""Settings come from ``INCENTIVES_*`` environment variables; one that is unknown or wrong stops the start."""

from collections.abc import Mapping
from dataclasses import dataclass

from incentives.kernel.errors import SettingsInvalid
from incentives.kernel.key_settings import Key
from incentives.kernel.setting_readers import READERS

PREFIX = "INCENTIVES_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its name, how it is read, its default and what it is for."""

    name: str
    kind: str
    default: str
    help: str

    @property
    def field(self) -> str:
        """Return the attribute of ``Settings`` that it fills."""
        return self.name.removeprefix(PREFIX).lower()


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "INCENTIVES_ENVIRONMENT",
        "environment",
        "production",
        "`production`, or `development`: turns on `/inbox` and lets the public address be plain http.",
    ),
    Setting(
        "INCENTIVES_DATABASE_URL",
        "text",
        "sqlite:///var/incentives.db",
        "Where the records are: `sqlite:///path` or `postgresql://user:password@host/name`.",
    ),
    Setting(
        "INCENTIVES_DATABASE_POOL_SIZE",
        "count",
        "16",
        "Connections a process keeps to PostgreSQL for reading, and as many for writing: as many as it has threads.",
    ),
    Setting(
        "INCENTIVES_SERVER_PROCESSES",
        "count",
        "1",
        "Processes that `incentives serve` starts: as many as the machine has cores to spare.",
    ),
    Setting(
        "INCENTIVES_SERVER_THREADS",
        "count",
        "16",
        "Threads in each of them: so many of its requests can wait for the database at once.",
    ),
    Setting(
        "INCENTIVES_REDIS_URL",
        "redis",
        "",
        "Redis that throttles share between processes. Empty: each process counts for itself.",
    ),
    Setting(
        "INCENTIVES_BROKER_URL",
        "broker",
        "",
        "Redis or RabbitMQ that `celery -A worker` gets its ticks by: `redis://…` or `amqp://…`. Empty: there is none.",
    ),
    Setting(
        "INCENTIVES_PUBLIC_URL",
        "url",
        "http://127.0.0.1:8000",
        "The address that customers' links begin with. In production it must be https.",
    ),
    Setting(
        "INCENTIVES_CODE_KEYS",
        "keys",
        "",
        "Keys that voucher codes are derived from: `id:base64,id:base64`, the last makes new codes. Required.",
    ),
    Setting(
        "INCENTIVES_LINK_KEYS", "keys", "", "Keys that sign customers' links; the last signs, all verify. Required."
    ),
    Setting(
        "INCENTIVES_SESSION_KEYS",
        "keys",
        "",
        "Keys that sign staff cookies and forms; the last signs, all verify. Required.",
    ),
    Setting(
        "INCENTIVES_CONTACT_KEYS",
        "keys",
        "",
        "Keys that encrypt customers' names, addresses and numbers; the last encrypts, all decrypt. Required.",
    ),
    Setting(
        "INCENTIVES_SEAL_KEYS",
        "keys",
        "",
        "Keys that sign the seals of the books; the last signs, all verify, so keep the old ones. Required.",
    ),
    Setting(
        "INCENTIVES_DELIVERY",
        "delivery",
        "worker",
        "`worker`: `incentives worker` delivers. `in-process`: the serving process delivers too.",
    ),
    Setting(
        "INCENTIVES_EMAIL_FROM",
        "text",
        "recovery@localhost.localdomain",
        "The address that emails come from; it must be a verified sender.",
    ),
    Setting("INCENTIVES_EMAIL_FROM_NAME", "text", "", "The name that emails come from. Empty: the brand's name."),
    Setting("INCENTIVES_SENDGRID_API_KEY", "secret", "", "SendGrid's API key. Empty: emails are captured, not sent."),
    Setting(
        "INCENTIVES_SENDGRID_BASE_URL",
        "url",
        "",
        "Another address for SendGrid's API, such as a stand-in. Empty: SendGrid's own.",
    ),
    Setting(
        "INCENTIVES_SENDGRID_WEBHOOK_KEY",
        "public-key",
        "",
        "The verification key of SendGrid's Event Webhook, as SendGrid shows it. Empty: its events are not taken.",
    ),
    Setting("INCENTIVES_TWILIO_ACCOUNT_SID", "text", "", "Twilio's account. Empty: SMS are captured, not sent."),
    Setting("INCENTIVES_TWILIO_AUTH_TOKEN", "secret", "", "Twilio's auth token."),
    Setting(
        "INCENTIVES_TWILIO_WEBHOOK_KEY",
        "secret",
        "",
        "The shared key that Twilio signs its calls with (HMAC-SHA256), where it does not use the auth token.",
    ),
    Setting("INCENTIVES_TWILIO_MESSAGING_SERVICE_SID", "text", "", "Twilio's messaging service that SMS go out by."),
    Setting(
        "INCENTIVES_TWILIO_FROM", "text", "", "The number that SMS come from, where there is no messaging service."
    ),
    Setting(
        "INCENTIVES_TWILIO_BASE_URL",
        "url",
        "",
        "Another address for Twilio's API, such as a stand-in. Empty: Twilio's own.",
    ),
    Setting(
        "INCENTIVES_SMTP_URL",
        "mail-server",
        "",
        "A mail server, `smtps://user:password@host:465`, that sends emails while SendGrid is ill or not there.",
    ),
    Setting(
        "INCENTIVES_TWILIO_SPARE_URL",
        "account",
        "",
        "Another account, `https://sid:token@api.dublin.ie1.twilio.com?from=number` (or `?service=sid`), for the same.",
    ),
    Setting(
        "INCENTIVES_TWILIO_SPARE_WEBHOOK_KEY",
        "secret",
        "",
        "The shared key that this one signs its calls with (HMAC-SHA256), where it does not use its own token.",
    ),
    Setting(
        "INCENTIVES_CAPTURE_MESSAGES",
        "yes-no",
        "no",
        "`yes`: production may start without a provider's key, and what it cannot send is captured and never sent.",
    ),
    Setting("INCENTIVES_PROVIDER_TIMEOUT_SECONDS", "count", "10", "How long one call to a provider may take."),
    Setting(
        "INCENTIVES_CONTACT_CAP",
        "cap",
        "20",
        "Messages about vouchers that one address or number is sent within 24 hours, at most; 3 is strict. 0: no cap.",
    ),
    Setting(
        "INCENTIVES_TRUSTED_PROXIES",
        "count0",
        "0",
        "How many proxies in front of the server set `X-Forwarded-For`, `-Proto` and `-Host`.",
    ),
    Setting("INCENTIVES_TRUSTED_HOSTS", "text", "", "Host names that requests may name, comma separated. Empty: any."),
    Setting(
        "INCENTIVES_METRICS_TOKEN",
        "token",
        "",
        "What whoever reads `/api/v1/metrics` must bear: 32 characters or more. Empty: nobody may, nothing is counted.",
    ),
    Setting(
        "INCENTIVES_FILE_SCANNER_COMMAND",
        "text",
        "",
        "A virus scanner that reads a case's file on its standard input: exit 0 is harmless, 1 is not. Empty: none.",
    ),
    Setting(
        "INCENTIVES_BOOKS_CHECK_MINUTES",
        "count",
        "60",
        "How often the worker proves the books and verifies new seals; once a day it verifies every seal.",
    ),
    Setting(
        "INCENTIVES_BOOKS_BREACH_STOPS_ISSUING",
        "yes-no",
        "no",
        "`yes`: when that finds something broken, issuing is switched off for everybody until a person lifts it.",
    ),
    Setting("INCENTIVES_SESSION_IDLE_MINUTES", "count", "30", "How long a staff session may rest before it ends."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, read and checked. Secrets do not show in its text."""

    environment: str
    database_url: str
    database_pool_size: int
    server_processes: int
    server_threads: int
    redis_url: str
    broker_url: str
    public_url: str
    code_keys: tuple[Key, ...]
    link_keys: tuple[Key, ...]
    session_keys: tuple[Key, ...]
    contact_keys: tuple[Key, ...]
    seal_keys: tuple[Key, ...]
    delivery: str
    email_from: str
    email_from_name: str
    sendgrid_api_key: str
    sendgrid_base_url: str
    sendgrid_webhook_key: str
    twilio_account_sid: str
    twilio_auth_token: str
    twilio_webhook_key: str
    twilio_messaging_service_sid: str
    twilio_from: str
    twilio_base_url: str
    smtp_url: str
    twilio_spare_url: str
    twilio_spare_webhook_key: str
    capture_messages: bool
    provider_timeout_seconds: int
    contact_cap: int
    trusted_proxies: int
    trusted_hosts: str
    metrics_token: str
    file_scanner_command: str
    books_check_minutes: int
    books_breach_stops_issuing: bool
    session_idle_minutes: int

    def __repr__(self) -> str:
        """Name the environment only: everything else may be secret."""
        return f"Settings(environment={self.environment!r})"

    @property
    def development(self) -> bool:
        """Return whether this is a development machine."""
        return self.environment == "development"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check all settings.

        Raises ``SettingsInvalid`` with every mistake at once, each naming its variable.
        """
        known = {setting.name for setting in SETTINGS}
        mistakes = [
            f"{name}: there is no such setting"
            for name in sorted(environ)
            if name.startswith(PREFIX) and name not in known
        ]
        values: dict[str, object] = {}
        for setting in SETTINGS:
            try:
                values[setting.field] = READERS[setting.kind](environ.get(setting.name) or setting.default)
            except ValueError as error:
                mistakes.append(f"{setting.name}: {error}")
        if not mistakes:
            mistakes = _contradictions(values)
        if mistakes:
            raise SettingsInvalid("; ".join(mistakes), errors=mistakes)
        return cls(**values)  # type: ignore[arg-type]  # each reader gives its field's own type


def _contradictions(values: Mapping[str, object]) -> list[str]:
    mistakes = []
    if values["environment"] == "production" and not str(values["public_url"]).startswith("https://"):
        mistakes.append("INCENTIVES_PUBLIC_URL: customers' links must be https in production")
    if values["environment"] == "production" and not values["capture_messages"]:
        mistakes += [
            f"{PREFIX}{name}: is missing, so no {what} would be sent; INCENTIVES_CAPTURE_MESSAGES=yes allows that"
            for name, what in (("SENDGRID_API_KEY", "email"), ("TWILIO_ACCOUNT_SID", "SMS"))
            if not values[name.lower()] and not (what == "email" and values["smtp_url"])
        ]
    if values["twilio_account_sid"] and not values["twilio_auth_token"]:
        mistakes.append("INCENTIVES_TWILIO_AUTH_TOKEN: is missing, but there is an account")
    if values["twilio_account_sid"] and not (values["twilio_messaging_service_sid"] or values["twilio_from"]):
        mistakes.append("INCENTIVES_TWILIO_MESSAGING_SERVICE_SID: this or INCENTIVES_TWILIO_FROM is needed")
    if values["twilio_spare_url"] and not values["twilio_account_sid"]:
        mistakes.append("INCENTIVES_TWILIO_SPARE_URL: there is no first account that it could stand in for")
    if values["twilio_spare_webhook_key"] and not values["twilio_spare_url"]:
        mistakes.append("INCENTIVES_TWILIO_SPARE_WEBHOOK_KEY: there is no second account that it could be of")
    return mistakes
