"""The API's documents: OpenAPI, Swagger UI from this machine, and a page for each kind of problem."""

import secrets
from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Blueprint, Response, current_app, make_response, render_template, send_from_directory
from werkzeug.exceptions import NotFound

from api import json_text
from api.problems import all_kinds

pages = Blueprint("api_documents", __name__, template_folder="templates")

_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_FILE_AGE_SECONDS = 24 * 60 * 60
# Swagger UI draws its icons from data: addresses; nothing inline runs but its start.
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pages.get("/api/openapi.json")
def openapi() -> Response:
    """Show the OpenAPI document."""
    return json_text.response(current_app.extensions["openapi_document"]())


@pages.get("/api/docs")
def docs() -> Response:
    """Show Swagger UI; no file of it comes from another machine."""
    nonce = secrets.token_urlsafe(16)
    page = make_response(render_template("api/docs.html", nonce=nonce))
    page.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
    return page


@pages.get("/api/docs/<name>")
def docs_file(name: str) -> Response:
    """Give one of Swagger UI's files."""
    if name not in _FILES:
        raise NotFound
    response = send_from_directory(_SWAGGER_UI, name, max_age=_FILE_AGE_SECONDS)
    response.headers["Cache-Control"] = f"public, max-age={_FILE_AGE_SECONDS}"
    return response


@pages.get("/problems/<slug>")
def problem(slug: str) -> Response:
    """Say what a kind of problem is: where its `type` points."""
    found: dict[str, Any] = {kind.slug: kind for kind in all_kinds()}
    if slug not in found:
        raise NotFound
    kind = found[slug]
    return json_text.response(
        {"type": kind.type, "status": kind.status, "title": kind.title, "next_step": kind.next_step}
    )
