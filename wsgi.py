"""The one place where everything meets: wires the core, hangs the three doors, chooses who shows an error.

Importing it builds nothing. ``granian --interface wsgi --factory wsgi:app`` serves it.
"""

# What is annotated within ``_sealed`` would be worked out anew for each request otherwise.
from __future__ import annotations

import contextlib
import gc
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from api.hearing import NOT_HEARD, Ears
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.kernel.errors import Refusal, StorageUnavailable
from incentives.kernel.ids import Ids
from incentives.kernel.keys import Keys
from incentives.kernel.settings import Settings
from incentives.kernel.shared_clock import clock_of
from incentives.kernel.throttle import Throttle

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BODY_BYTES_MAX = 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID_IN_ENVIRON = "incentives.request_id"
_NOT_FOR_REQUESTS = ("HTTP_", "CONTENT_", "INCENTIVES_")
_NOT_OUR_NAME = "This service does not go by that name. Use the address that you were given.\n"
_STATUS_OF_A_BUG = 500
_COUNTED_IN = "PROMETHEUS_MULTIPROC_DIR"  # what the library calls it
_MEMORY = "/dev/shm"  # noqa: S108 - in it a folder is made that only we may enter
# A request makes thousands of objects and few cycles: to look for them after every seven hundred takes a tenth of it.
_COLLECTED_AFTER = (20_000, 20, 20)
# What every answer bears that does not say otherwise itself.
_SEALED = tuple(
    (name.lower(), (name, value))
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Cache-Control", "no-store"),
    )
)
_HSTS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
_SEALED_SECURELY = (*_SEALED, (_HSTS[0].lower(), _HSTS))


def build_core(environ: Mapping[str, str]) -> Core:
    """Return a core wired as the environment says. Raises ``SettingsInvalid``."""
    settings = Settings.from_environ(environ)
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    senders, spares = build_senders(settings)
    return Core(
        settings=settings,
        clock=clock_of(database),
        ids=Ids(),
        keys=Keys.from_settings(settings),
        database=database,
        senders=senders,
        spares=spares,
    )


def build_senders(settings: Settings) -> tuple[dict[str, object], dict[str, object]]:
    """Return who carries each channel's messages, and who while that one is ill; without a key they are captured."""
    from channels.capture import CaptureSender

    senders: dict[str, object] = {"email": CaptureSender("email"), "sms": CaptureSender("sms")}
    spares: dict[str, object] = {}
    mail = _mail_server(settings)
    if settings.sendgrid_api_key:
        from channels.sendgrid_email import SendGridSender

        senders["email"] = SendGridSender(
            api_key=settings.sendgrid_api_key,
            base_url=settings.sendgrid_base_url or None,
            email_from=settings.email_from,
            email_from_name=settings.email_from_name,
            timeout_seconds=settings.provider_timeout_seconds,
        )
    if mail is not None:
        (spares if settings.sendgrid_api_key else senders)["email"] = mail
    if settings.twilio_account_sid:
        from channels.twilio_sms import TwilioSender
        from channels.twilio_spare import spare_account
        from channels.twilio_status import callback_url

        senders["sms"] = TwilioSender(
            account_sid=settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token,
            messaging_service_sid=settings.twilio_messaging_service_sid or None,
            sms_from=settings.twilio_from or None,
            base_url=settings.twilio_base_url or None,
            timeout_seconds=settings.provider_timeout_seconds,
            status_callback_url=callback_url(settings.public_url),
        )
        if settings.twilio_spare_url:
            spares["sms"] = spare_account(
                settings.twilio_spare_url, settings.provider_timeout_seconds, callback_url(settings.public_url)
            )
    return senders, spares


def _mail_server(settings: Settings) -> object | None:
    if not settings.smtp_url:
        return None
    from channels.smtp_email import SmtpSender

    return SmtpSender(
        url=settings.smtp_url,
        email_from=settings.email_from,
        email_from_name=settings.email_from_name,
        timeout_seconds=settings.provider_timeout_seconds,
    )


class _Flask(Flask):
    """Flask without its question, asked of each of a request's functions, whether it is a coroutine: none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function."""
        return func


def create_app(core: Core) -> Flask:
    """Return the application around a core."""
    import admin.door
    import api.door
    import channels.door

    app = _Flask("incentives", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.config["MAX_FORM_MEMORY_SIZE"] = BODY_BYTES_MAX
    if core.settings.trusted_hosts:
        app.config["TRUSTED_HOSTS"] = [host.strip() for host in core.settings.trusted_hosts.split(",")]
    app.extensions["core"] = core
    app.extensions["throttle"] = Throttle(core.settings.redis_url)
    app.extensions["status_of"] = api.door.status_of
    app.before_request(_name_request)
    app.register_error_handler(Exception, _show_error)
    for door in (api.door, admin.door, channels.door):
        door.hang(app)
    app.wsgi_app = _sealed(app.wsgi_app, Ears(core.settings.server_threads))  # type: ignore[method-assign, assignment]
    if core.settings.metrics_token:
        _count(app)
    hops = core.settings.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _count(app: Flask) -> None:
    """Count every request from now on; where nobody may ask for it, that is saved, and the library is not loaded."""
    from api.meter import Meter

    meter = app.extensions["meter"] = Meter(os.environ.get(_COUNTED_IN))
    app.wsgi_app = meter.around(app.wsgi_app)  # type: ignore[method-assign, assignment]


def app() -> Flask:
    """Return the application as the environment says, migrated database required; servers call this once a process."""
    core = build_core(os.environ)
    _forget_environment()
    if core.settings.delivery == "in-process":
        import worker

        worker.start_thread(core)
    made = create_app(core)
    # What was built lives as long as the process: a report that reads many rows need not have it looked through again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
    return made


def _forget_environment() -> None:
    """Drop from this process's environment what must not be in those of requests, where the server copies it to.

    A name like that of a header would be one of every request, and our keys would lie in each request that is reported.
    Libraries find the address of a proxy by its other name.
    """
    for name in [name for name in os.environ if name.startswith(_NOT_FOR_REQUESTS)]:
        value = os.environ.pop(name)
        if name == "HTTP_PROXY":
            os.environ.setdefault("http_proxy", value)


def _name_request() -> None:
    """Let everybody know the request's id, and refuse one that was not heard out."""
    g.request_id = request.environ[_REQUEST_ID_IN_ENVIRON]
    if NOT_HEARD in request.environ:
        raise request.environ[NOT_HEARD]


def _sealed(application: WSGIApplication, ears: Ears) -> WSGIApplication:
    """Return an application that names each request, and puts on every answer what must never be missing.

    The name is the caller's own if it is decent, so that a log line and an answer can be matched. This goes around
    Flask, since setting nine headers one by one takes as long as reading the request.
    """

    def sealed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        environ[_REQUEST_ID_IN_ENVIRON] = request_id
        ears.hear(environ)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            there = {name.lower() for name, _ in headers}
            wanted = _SEALED_SECURELY if environ.get("wsgi.url_scheme") == "https" else _SEALED
            headers += [header for name, header in wanted if name not in there]
            headers.append(("X-Request-Id", request_id))
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return sealed


def _show_error(error: Exception) -> Response:
    """Let the door that was asked show what went wrong; a bug is logged and leaks nothing."""
    import admin.door
    import api.door
    import channels.door

    status = _status(error)
    if isinstance(error, StorageUnavailable):
        _hear_out()
    if status == _STATUS_OF_A_BUG:
        from flask import current_app

        current_app.logger.error("request %s failed", g.get("request_id"), exc_info=error)
    if request.path.startswith("/api/"):
        return api.door.render_error(error, status)
    if isinstance(error, SecurityError):  # Asked for by a name that is not ours: no page has an address there.
        return Response(_NOT_OUR_NAME, status, content_type="text/plain; charset=utf-8")
    if channels.door.owns(request.path):
        return channels.door.render_error(error, status)
    return admin.door.render_error(error, status)


def _hear_out() -> None:
    """Read what is still to come of a request: the server hangs up on whoever it did not hear out, answer or not."""
    with contextlib.suppress(HTTPException, OSError):
        request.get_data()


def _status(error: Exception) -> int:
    import api.door

    if isinstance(error, Refusal):
        return api.door.status_of(error)
    if isinstance(error, HTTPException) and error.code is not None:
        return error.code
    return _STATUS_OF_A_BUG


def main() -> None:
    """Run the operator's command line, ``incentives``."""
    from admin.commands import Wiring, cli

    cli(obj=Wiring(build_core=build_core, create_app=create_app, serve=serve, work=work))


def serve(host: str, port: int, *, workers: int, threads: int) -> None:
    """Serve until interrupted."""
    from granian import Granian

    share_heap()
    with _counted_together():
        Granian("wsgi:app", **serving(host, port, workers=workers, threads=threads)).serve()


@contextlib.contextmanager
def _counted_together() -> Iterator[None]:
    """Give the processes of this server a folder to count in together, new and empty, where anybody may ask for it.

    In memory where the machine has such a place: what is mapped from a disk that is full would kill the process.
    """
    if not os.environ.get("INCENTIVES_METRICS_TOKEN"):
        yield
        return
    memory = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="incentives-metrics-", dir=memory) as folder:
        os.environ[_COUNTED_IN] = folder
        try:
            yield
        finally:
            del os.environ[_COUNTED_IN]


def share_heap() -> None:
    """Let the threads of each process that is started from here on share one heap of glibc's.

    It gives up to eight a core otherwise, each with room of its own; threads that take turns in Python need one.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")


def serving(host: str, port: int, *, workers: int, threads: int) -> dict[str, Any]:
    """Return how the server is run; the benchmarks run it so too, whatever it serves."""
    from granian.constants import Interfaces

    return {
        "address": host,
        "port": port,
        "interface": Interfaces.WSGI,
        "factory": True,
        "workers": workers,
        "blocking_threads": threads,
        "websockets": False,
        "log_access": False,
        "respawn_failed_workers": True,
    }


def work(core: Core) -> None:
    """Run the worker's loop until interrupted."""
    import signal
    import threading

    import worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker.run(core, stop)
