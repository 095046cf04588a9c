"""What the same server does with nothing to do: a bare WSGI hello, and a bare Flask hello."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask


def raw(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:  # noqa: ARG001 - WSGI's shape
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "14")])
    return [b'{"hello": "w"}']


def flask() -> Flask:
    app = Flask("hello")

    @app.route("/", defaults={"_path": ""}, methods=["GET", "POST"])
    @app.route("/<path:_path>", methods=["GET", "POST"])
    def hello(_path: str) -> tuple[str, dict[str, str]]:
        return '{"hello": "w"}', {"Content-Type": "application/json"}

    return app
