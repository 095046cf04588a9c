"""flask-smorest as this house uses it: deny by default, one error shape, and a contract that cannot forget either.

Each view wears its decorators in this order, from the outside in: the method, ``asks`` (who may), ``arguments`` (what
it takes), ``idempotent``, ``refuses`` (which problems it may end in), ``answers``. What the decorators do they also
write into the OpenAPI document.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import wraps
from http import HTTPStatus
from threading import Lock
from typing import Any, NoReturn, cast

import flask_smorest
from apispec import BasePlugin
from flask import Flask, Request, Response, g, request
from marshmallow import INCLUDE, RAISE, Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser

from api import json_text, problems
from api.authentication import authenticated
from api.problems import Kind, kind_of
from api.reading import Reader, parsed, refused
from api.writing import Writer
from incentives.kernel import errors
from incentives.kernel.actors import Actor, permit
from incentives.kernel.errors import Refusal

View = Callable[..., Any]

IDEMPOTENCY_KEY = "Idempotency-Key"
FILE: Mapping[str, Any] = {"type": "string", "format": "binary"}
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


class FieldErrorSchema(Schema):
    """One thing that is wrong: a field, or a line of a file."""

    class Meta:
        """More may be said about it."""

        unknown = INCLUDE

    field = fields.String(metadata={"description": "Its path, such as `customer.email`."})
    line = fields.Integer(metadata={"description": "In a file, from 1."}, allow_none=True)
    path = fields.String(metadata={"description": "In a catalog file, such as `incentives[2].title`."})
    message = fields.String(required=True)


class ProblemSchema(Schema):
    """A problem as RFC 9457 has it. The facts of the case stand beside these members."""

    class Meta:
        """The facts of each kind of problem are members of their own; without this the contract would forbid them."""

        unknown = INCLUDE

    type = fields.String(required=True, metadata={"format": "uri-reference"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    next_step = fields.String(required=True, metadata={"description": "What to do about it, in plain words."})
    request_id = fields.String(required=True)
    field = fields.String(metadata={"description": "The field at fault."})
    errors = fields.List(fields.Nested(FieldErrorSchema), metadata={"description": "Every field or line at fault."})
    retry_after_seconds = fields.Float()


class Api(flask_smorest.Api):
    """Registers no handlers for the whole application: who shows an error is chosen by door, in ``wsgi.py``."""

    ERROR_SCHEMA = ProblemSchema

    def __init__(self, app: Flask, **options: Any) -> None:
        """Prepare the OpenAPI document. It is written when somebody first asks for it: few processes ever do."""
        self._unwritten: list[Callable[[], None]] = []
        self._writing = Lock()
        super().__init__(app, **options)

    def describe_later(self, describe: Callable[[], None]) -> None:
        """Keep for later what writes a resource into the document."""
        self._unwritten.append(describe)

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        with self._writing:
            while self._unwritten:
                self._unwritten.pop(0)()
            written: dict[str, Any] = self.spec.to_dict()
        return written

    def _register_error_handlers(self) -> None:
        """Leave the application's other doors alone."""

    def _register_pagination_header(self) -> None:
        """Publish no header that our lists do not have."""


class ExactlyOne(BasePlugin):
    """Publishes that a body has exactly one of some members: those that its schema names as ``exactly_one_of``."""

    def schema_helper(self, name: str, definition: dict[str, Any], **options: Any) -> dict[str, Any] | None:
        """Return what the schema's definition needs beside its members."""
        del name, definition
        members = getattr(options.get("schema"), "exactly_one_of", ())
        return {"oneOf": [{"required": [member]} for member in members]} if members else None


class _Parser(FlaskParser):
    """Reads arguments strictly, and refuses them in the words of the core."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}  # noqa: RUF012 - as webargs has it

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return the body as it was sent."""
        del schema
        return json_text.read_body(req)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **options: Any) -> NoReturn:
        """Raise ``InputInvalid`` that names every field at fault by its path."""
        del req, schema, options
        # webargs puts what it refuses under where it came from: the body or the query.
        (messages,) = cast("dict[str, Any]", error.messages).values()
        raise refused(messages)


def _itself(proxy: Any) -> Any:
    """Return what stands behind one of Flask's proxies, for whoever asks it often."""
    return proxy._get_current_object()  # noqa: SLF001 - werkzeug's name for it, and documented


class Blueprint(flask_smorest.Blueprint):
    """One resource. A view that does not say who may use it cannot be registered."""

    ARGUMENTS_PARSER = _Parser()
    authenticate: Callable[[], Actor] = staticmethod(authenticated)
    # By which security schemes of the document its callers may come in, where it is not by the usual one.
    schemes: tuple[str, ...] = ()

    def __init__(self, name: str, description: str) -> None:
        """Name the resource and say what it is."""
        super().__init__(name, f"api.{name}", url_prefix="/api/v1", description=description)
        self._prepare_doc_cbks += [self._prepare_operation, self._prepare_answers, self._prepare_problems]

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        """Register a view, unless it forgot to say who may use it."""
        if "permission" not in getattr(view_func, "_apidoc", {}):
            raise RuntimeError(f"{rule} does not say who may use it: give it @{self.name}.asks(...) or open_to_anybody")
        super().add_url_rule(rule, endpoint, _noted(view_func, operation=view_func.__name__), **options)

    def register_views_in_doc(self, api: Api, app: Flask, spec: Any, *, name: str, parameters: Any) -> None:
        """Put off describing the resource until the document is asked for."""
        describe = super().register_views_in_doc
        api.describe_later(lambda: describe(api, app, spec, name=name, parameters=parameters))

    def asks(self, permission: str) -> Callable[[View], View]:
        """Let in whoever has an API key whose role has the permission; the view finds them as ``current_actor()``."""

        def decorate(view: View) -> View:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                g.actor = self.authenticate()
                permit(g.actor, permission)
                return view(*args, **kwargs)

            return _noted(guarded, permission=permission)

        return decorate

    def open_to_anybody(self, view: View) -> View:
        """Let everybody in: for what says nothing about anybody."""
        return _noted(view, permission=None)

    def arguments(self, schema: Schema, *, location: str = "json", **options: Any) -> Callable[[View], View]:
        """Give the view what was sent, as a schema reads it. A body is read without the detour by webargs."""
        documented = super().arguments(schema, location=location, **options)
        if location != "json":
            return cast("Callable[[View], View]", documented)
        reader = Reader(schema)

        def decorate(view: View) -> View:
            @wraps(view)
            def told(*args: Any, **kwargs: Any) -> Any:
                return view(*args, parsed(reader, json_text.read_body(_itself(request))), **kwargs)

            return _noted(told, **documented(view)._apidoc)  # noqa: SLF001 - where flask-smorest leaves them

        return decorate

    def idempotent(self, *, required: bool) -> Callable[[View], View]:
        """Give the view the request's Idempotency-Key as ``idempotency_key``."""

        def decorate(view: View) -> View:
            @wraps(view)
            def keyed(*args: Any, **kwargs: Any) -> Any:
                return view(*args, **kwargs, idempotency_key=_idempotency_key(required=required))

            return _noted(keyed, idempotency="required" if required else "optional")

        return decorate

    def takes(self, content: Mapping[str, Mapping[str, Any]]) -> Callable[[View], View]:
        """Note the bodies that the view reads by itself: the schema of each media type."""

        def decorate(view: View) -> View:
            return _noted(view, takes=content)

        return decorate

    def refuses(self, *refusals: type[Refusal]) -> Callable[[View], View]:
        """Note which refusals of the core the view may end in; those that all views share are known."""

        def decorate(view: View) -> View:
            return _noted(view, refusals=refusals)

        return decorate

    def answers(
        self, schemas: Mapping[int, Schema], *, links: Mapping[str, Any] | None = None, or_file: str | None = None
    ) -> Callable[[View], View]:
        """Write what the view returns: a value, or (value, status), or (value, status, headers).

        The value is written by its status's schema. One that says it is ``replayed`` is marked as a replay. ``or_file``
        is the media type of a file that the view makes itself where it is asked to.
        """
        usual = next(iter(schemas))
        writers = {status: Writer(schema) for status, schema in schemas.items()}

        def decorate(view: View) -> View:
            @wraps(view)
            def answered(*args: Any, **kwargs: Any) -> Response:
                returned = view(*args, **kwargs)
                if or_file and isinstance(returned, Response):
                    return returned
                value, status, headers = (
                    (*returned, usual, {})[:3] if isinstance(returned, tuple) else (returned, usual, {})
                )
                response = json_text.response(writers[status](value), status)
                response.headers.extend(headers)
                if getattr(value, "replayed", False):
                    response.headers["Idempotent-Replayed"] = "true"
                return response

            return _noted(answered, answers=schemas, links=links or {}, or_file=or_file)

        return decorate

    def sends(self, media_type: str, schema: Mapping[str, Any] = FILE) -> Callable[[View], View]:
        """Note that the view answers 200 with a file, which it makes itself."""

        def decorate(view: View) -> View:
            return _noted(view, answers={}, sends={media_type: schema})

        return decorate

    # --- the same, for the OpenAPI document --------------------------------------------------------------------

    def _prepare_operation(self, doc: dict[str, Any], info: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        doc["operationId"] = info["operation"]
        permission = info["permission"]
        if permission is not None:
            doc["x-permission"] = permission
        if permission is None or self.schemes:
            doc["security"] = [{scheme: []} for scheme in self.schemes]
        for media_type, schema in info.get("takes", {}).items():
            body = doc.setdefault("requestBody", {"required": True, "content": {}})
            body["content"][media_type] = {"schema": deepcopy(dict(schema))}
        if "idempotency" in info:
            doc["x-idempotency"] = info["idempotency"]
            doc.setdefault("parameters", []).append(_idempotency_parameter(required=info["idempotency"] == "required"))
        return doc

    @staticmethod
    def _prepare_answers(doc: dict[str, Any], info: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        doc["responses"] = {}
        if "sends" in info:
            content = {media_type: {"schema": dict(schema)} for media_type, schema in info["sends"].items()}
            doc["responses"]["200"] = {"description": HTTPStatus.OK.phrase, "content": content}
        for status, schema in info["answers"].items():
            answer: dict[str, Any] = {
                "description": HTTPStatus(status).phrase,
                "content": {"application/json": {"schema": schema}},
            }
            if info["or_file"]:
                answer["content"][info["or_file"]] = {"schema": {"type": "string"}}
            if "idempotency" in info:
                answer["headers"] = {"Idempotent-Replayed": _REPLAYED_HEADER}
            if status == HTTPStatus.CREATED and info["links"]:
                answer["links"] = deepcopy(dict(info["links"]))
            doc["responses"][str(status)] = answer
        return doc

    @staticmethod
    def _prepare_problems(doc: dict[str, Any], info: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        by_status: dict[int, list[Kind]] = defaultdict(list)
        for kind in _kinds(doc, info):
            by_status[kind.status].append(kind)
        for status, kinds in sorted(by_status.items()):
            doc["responses"][str(status)] = _problem_response(status, kinds)
        return doc


def _noted(view: View, **notes: Any) -> View:
    """Keep notes on a view for its OpenAPI document."""
    kept: Any = view
    kept._apidoc = {**getattr(view, "_apidoc", {}), **notes}  # noqa: SLF001 - where flask-smorest looks for them
    return view


def _idempotency_key(*, required: bool) -> str | None:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if not key and required:
        raise errors.IdempotencyKeyMissing(field=IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not _VISIBLE.fullmatch(key):
        message = "Send 1 to 255 visible ASCII characters."
        raise errors.InputInvalid(errors=[{"field": IDEMPOTENCY_KEY, "message": message}])
    return key


def _idempotency_parameter(*, required: bool) -> dict[str, Any]:
    return {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "required": required,
        "description": (
            "A new one for each deed, made by the caller and kept until the answer has arrived. The same key with the "
            "same body gives the first answer again; with another body it is refused."
        ),
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    }


_REPLAYED_HEADER = {
    "description": "There, and `true`, when this is the answer of an earlier request with the same key.",
    "schema": {"type": "string", "enum": ["true"]},
}


def _kinds(doc: Mapping[str, Any], info: Mapping[str, Any]) -> Sequence[Kind]:
    """Return every kind of problem that an operation may end in: its own, and those that come with what it is."""
    refusals: list[type[Refusal]] = [*info.get("refusals", ()), errors.StorageUnavailable]
    kinds = [problems.BAD_REQUEST, problems.INTERNAL_ERROR]
    if info["permission"] is not None:
        refusals += [errors.NotAuthenticated, errors.NotPermitted]
    if "arguments" in info:
        refusals.append(errors.InputInvalid)
    if "requestBody" in doc:
        kinds.append(problems.BODY_TOO_LARGE)
    if "arguments" in info and "requestBody" in doc:
        kinds += [problems.MALFORMED_JSON, problems.WRONG_CONTENT_TYPE]
    if "idempotency" in info:
        refusals += [errors.InputInvalid, errors.IdempotencyKeyReused, errors.IdempotencyKeyInFlight]
    if info.get("idempotency") == "required":
        refusals.append(errors.IdempotencyKeyMissing)
    found = [*kinds, *(kind_of(refusal) for refusal in dict.fromkeys(refusals))]
    return sorted(found, key=lambda kind: kind.slug)


def _problem_response(status: int, kinds: Sequence[Kind]) -> dict[str, Any]:
    one_of_these = {"properties": {"type": {"enum": [kind.type for kind in kinds]}}}
    response: dict[str, Any] = {
        "description": "\n".join(f"- `{kind.slug}`: {kind.title}." for kind in kinds),
        "content": {problems.MEDIA_TYPE: {"schema": {"allOf": [ProblemSchema, one_of_these]}}},
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response
