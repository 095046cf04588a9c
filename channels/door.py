"""The customers' door: hangs their pages into the application, and shows errors without telling anything."""

from flask import Flask, Response, render_template
from werkzeug.exceptions import HTTPException

from channels import inbox, voucher_page
from channels.pages import keep_private, speech_of_browser


def hang(app: Flask) -> None:
    """Hang the voucher page and the development inbox into an application with its core in ``extensions["core"]``."""
    app.register_blueprint(voucher_page.blueprint())
    app.register_blueprint(inbox.blueprint())


def owns(path: str) -> bool:
    """Return whether an address belongs to customers, so that its errors are shown as their pages."""
    return path.strip("/").partition("/")[0] in {"v", "inbox", "customer"}


def render_error(error: Exception, status: int) -> Response:
    """Show the one page that tells nothing: a customer needs a next step, not a reason."""
    speech = speech_of_browser()
    page = render_template("channels/not_shown.html", speech=speech, words=speech.words)
    response = keep_private(Response(page, status))
    if isinstance(error, HTTPException):
        response.headers.extend({name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")})
    return response
