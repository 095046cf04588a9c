"""What all pages of this door share: the core, the language, the page for when there is nothing to show."""

from http import HTTPStatus
from typing import cast

from flask import Response, current_app, make_response, render_template, request

from channels.phrasing import Speech, speech_for
from channels.words import LANGUAGES, language_of
from incentives.kernel.core import Core
from incentives.kernel.throttle import Throttle

# No script at all, and nothing from anywhere else: the link in the address bar is worth money.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def current_core() -> Core:
    """Return the core that the application was wired with."""
    return cast("Core", current_app.extensions["core"])


def current_throttle() -> Throttle:
    """Return the throttle that the application was wired with."""
    return cast("Throttle", current_app.extensions["throttle"])


def speech_of_browser() -> Speech:
    """Return how to speak to whoever asks: the first of the browser's languages that we speak, or English."""
    wanted = (tag for tag in request.accept_languages.values() if language_of(tag) in LANGUAGES)
    return speech_for(next(wanted, None))


def not_shown(status: int = HTTPStatus.NOT_FOUND) -> Response:
    """Return the one answer for whatever is not a usable voucher: the browser's language, not the voucher's."""
    words = speech_of_browser().words
    return _alone(words.not_shown_title, [words.not_shown_why, words.not_shown_next], status)


def failed(status: int) -> Response:
    """Return the page for when it is our fault, or too early."""
    words = speech_of_browser().words
    return _alone(words.failed_title, [words.failed_next], status)


def _alone(title: str, lines: list[str], status: int) -> Response:
    page = render_template("channels/alone.html", speech=speech_of_browser(), title=title, lines=lines)
    return make_response(page, status)


def keep_private(response: Response) -> Response:
    """Mark a page as nobody else's: kept by no cache, told to no other site, listed by no search engine."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.vary.add("Accept-Language")
    return response
