"""What all pages of this door share: where the core is, which language is spoken, and what browsers may do."""

from typing import cast

from flask import Response, current_app, request

from channels.phrasing import Speech, speech_for
from channels.words import LANGUAGES, language_of
from incentives.kernel.core import Core

# No script at all, and nothing from anywhere else: the link in the address bar is worth money.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def current_core() -> Core:
    """Return the core that the application was wired with."""
    return cast("Core", current_app.extensions["core"])


def speech_of_browser() -> Speech:
    """Return how to speak to whoever asks: the first of the browser's languages that we speak, else English."""
    wanted = (tag for tag in request.accept_languages.values() if language_of(tag) in LANGUAGES)
    return speech_for(next(wanted, None))


def keep_private(response: Response) -> Response:
    """Mark a page as nobody else's: kept by no cache, told to no other site, listed by no search engine."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.vary.add("Accept-Language")
    return response
