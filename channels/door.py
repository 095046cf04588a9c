"""The customers' door: hangs their pages into the application, and shows errors without telling anything."""

from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from channels import feedback_page, inbox, sendgrid_events, twilio_incoming, twilio_status, voucher_page
from channels.pages import failed, keep_private, not_shown
from incentives.kernel.errors import Refusal

# What the customer can do nothing about but wait; every other error gets the answer of an unknown voucher.
_COME_AGAIN = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


def hang(app: Flask) -> None:
    """Hang the customers' pages and what providers call into an application with its core in ``extensions["core"]``."""
    app.register_blueprint(voucher_page.blueprint())
    app.register_blueprint(feedback_page.blueprint())
    app.register_blueprint(twilio_incoming.blueprint())
    app.register_blueprint(twilio_status.blueprint())
    app.register_blueprint(sendgrid_events.blueprint())
    app.register_blueprint(inbox.blueprint())


def owns(path: str) -> bool:
    """Return whether an address belongs to customers, so that its errors are shown as their pages."""
    return path.strip("/").partition("/")[0] in {"v", "f", "providers", "inbox", "customer"}


def render_error(error: Exception, status: int) -> Response:
    """Show a page that gives a next step and no reason: reasons are for staff."""
    if request.path.startswith("/f/"):
        page = feedback_page.said(status)
    else:
        page = failed(status) if status in _COME_AGAIN else not_shown(status)
    response = keep_private(page)
    response.headers.extend(_for_programs(error))
    return response


def _for_programs(error: Exception) -> dict[str, str]:
    """Return what the error says to programs: which methods there are, and when to come back."""
    if isinstance(error, Refusal):
        wait_seconds = error.facts.get("retry_after_seconds")
        return {} if wait_seconds is None else {"Retry-After": str(wait_seconds)}
    said = error.get_headers() if isinstance(error, HTTPException) else []
    return {name: value for name, value in said if name in ("Allow", "Retry-After")}
