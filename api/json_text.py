"""JSON in and out: as strict as its reader must be where money is asked for, and no slower than it need be."""

import json
from typing import Any, Never

import orjson
from flask import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.problems import MalformedJson

BODY_BYTES_MAX = 64 * 1024
DEPTH_MAX = 16


def read_body(request: Request) -> Any:
    """Return what the body of a request says.

    Raises ``UnsupportedMediaType`` for what is not JSON or is compressed, ``RequestEntityTooLarge`` above 64 kB, and
    ``MalformedJson``.
    """
    if not request.is_json or request.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType
    # One byte more than is let in: of a body without its length werkzeug gives the beginning as if it were all.
    request.max_content_length = BODY_BYTES_MAX + 1
    text = request.get_data(cache=False)
    if len(text) > BODY_BYTES_MAX:
        raise RequestEntityTooLarge
    return read(text)


def read(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises ``MalformedJson`` for what RFC 8259 does not allow, and for what programs understand differently: a name
    that stands twice, NaN, half of a surrogate pair, nesting of more than 16 levels.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(
            f"The body cannot be read at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    _check_depth(value)
    # orjson keeps the last of two equal names and says nothing.
    _NAMES.decode(text.decode())
    return value


def response(value: Any, status: int = 200) -> Response:
    """Return a value as a JSON response."""
    return Response(orjson.dumps(value), status, content_type="application/json")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise MalformedJson(f"The body is nested more than {DEPTH_MAX} levels deep.")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [child for child in value.values() if isinstance(child, dict | list)]
    return [child for child in value if isinstance(child, dict | list)] if isinstance(value, list) else []


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        _refuse_twice(names)


def _refuse_twice(names: list[str]) -> Never:
    twice = next(name for name in names if names.count(name) > 1)
    raise MalformedJson(f"The name {twice[:40]!r} stands twice in one object.")


_NAMES = json.JSONDecoder(object_pairs_hook=_once_each)
