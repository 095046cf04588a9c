"""Feedback: what customers, surveys, colleagues and machines report, taken in one by one or by the thousand."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import orjson
from flask import Response, current_app, request
from marshmallow import fields, validate
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api import json_text, problems
from api.authentication import current_actor, current_core
from api.customers import CustomerBody, customer_given
from api.feedback_answers import PieceSchema, PieceWithStorySchema, TakenInSchema, WaitingPieceSchema
from api.fields import Body, Instant, Key, MinorUnits, ScoreGiven, Text, Truth, WholeNumber
from api.paging import PageQuery, page_of
from api.reading import Reader, parsed
from api.smorest import Blueprint
from incentives.flows.mend import WHY_IGNORED, ignore
from incentives.flows.respond import respond_to
from incentives.flows.take_in import EVENTS, KINDS, SCALES, Raw, TakeIn, TakenIn, Unread, replay, take_in
from incentives.kernel import errors
from incentives.kernel.actors import Actor
from incentives.kernel.combiner import Combiner
from incentives.kernel.core import Core
from incentives.kernel.errors import FeedbackNotUnderstood, InputInvalid
from incentives.queries.feedback import PieceWithStory, list_feedback, list_waiting, one_feedback

blueprint = Blueprint("feedback", "What customers, surveys, colleagues and machines report.")

NDJSON = "application/x-ndjson"
LINES_MAX = 1000
BATCH_BYTES_MAX = 1024 * 1024
_UNNAMED = "api"
_LARGEST_NUMBER = 2**53 - 1


class FeedbackBody(Body):
    """A piece of feedback. The same `source` and `external_id` is taken once; a later version of it revises it."""

    source = Key(required=True, metadata={"description": "Who reports, such as `asknicely` or `till-7`."})
    external_id = Text(200, required=True, metadata={"description": "The source's own id of it."})
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    event = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(EVENTS))
    score = ScoreGiven(load_default=None, allow_none=True)
    scale = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(SCALES))
    comment = Text(10_000, min_length=0, load_default=None, allow_none=True)
    choices = fields.List(Text(200), load_default=None, allow_none=True, validate=validate.Length(max=50))
    issue_tags = fields.List(
        Text(200),
        load_default=list,
        validate=validate.Length(max=20),
        metadata={"description": "Keys of issue tags, or this source's aliases. One that nobody knows is no mistake."},
    )
    customer = fields.Nested(CustomerBody, load_default=None, allow_none=True)
    agent = Text(200, load_default=None, allow_none=True, metadata={"description": "Who served the customer."})
    order_ref = Text(200, load_default=None, allow_none=True)
    product = Text(64, load_default=None, allow_none=True)
    location = Key(load_default=None, allow_none=True)
    occurred_at = Instant(required=True, metadata={"description": "When it happened; a later version has a later one."})
    amount_minor = MinorUnits(load_default=None, allow_none=True, metadata={"description": "Of an order or purchase."})
    currency = Text(3, min_length=3, pattern="^[A-Z]{3}$", load_default=None, allow_none=True)
    customer_value_minor = MinorUnits(load_default=None, allow_none=True)
    consent = Truth(load_default=None, allow_none=True, metadata={"description": "May the customer be written to?"})
    severity = WholeNumber(minimum=1, maximum=4, load_default=None, allow_none=True)
    revision = WholeNumber(
        minimum=0,
        maximum=_LARGEST_NUMBER,
        load_default=None,
        allow_none=True,
        metadata={"description": "How the source counts the versions of it: a lower one never overwrites."},
    )


class FeedbackQuery(PageQuery):
    """Which feedback."""

    source = Key()
    kind = fields.String(validate=validate.OneOf(KINDS))
    status = fields.String(validate=validate.OneOf(("settling", "acted", "waiting", "ignored")))
    issue_tag = Key()
    location = Key()


class IgnoreBody(Body):
    """Why a kept request is set aside."""

    reason = fields.String(required=True, validate=validate.OneOf(tuple(WHY_IGNORED)))


_READ = Reader(FeedbackBody())
_LINES = {
    "type": "string",
    "pattern": r"\S",
    "description": f"A piece of feedback a line, as JSON; {LINES_MAX} lines and {BATCH_BYTES_MAX} bytes at most.",
}
_EXAMPLE = {
    "source": "till-7",
    "external_id": "4711",
    "kind": "survey",
    "score": 2,
    "scale": "stars_5",
    "comment": "We waited for an hour and nobody said why.",
    "issue_tags": ["flight-delayed"],
    "customer": {"name": "Ana Ruiz", "email": "ana.ruiz@example.com"},
    "location": "london",
    "occurred_at": "2026-11-20T11:58:00Z",
}


def _kept(view: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what the contract does not let in, before it is refused; and take batches, an answer a line."""

    @wraps(view)
    def keeping(*args: Any, **kwargs: Any) -> Any:
        if request.mimetype == NDJSON:
            return _take_lines()
        if request.is_json:
            _read(json_text.BODY_BYTES_MAX)
        try:
            return view(*args, **kwargs)
        except InputInvalid as refusal:
            (answer,) = take_in(core=current_core(), actor=current_actor(), commands=[_unread(_raw(), refusal)])
            raise answer if isinstance(answer, FeedbackNotUnderstood) else refusal from None

    return keeping


@blueprint.post("/feedback")
@blueprint.asks("feedback:create")
@_kept
@blueprint.arguments(FeedbackBody(), example=_EXAMPLE)
@blueprint.takes({NDJSON: _LINES})
@blueprint.refuses(FeedbackNotUnderstood)
@blueprint.answers({202: TakenInSchema()}, or_file=NDJSON)
def take_feedback(body: dict[str, Any]) -> Any:
    """Take a piece of feedback in; what cannot be understood is kept, and waits for a person.

    Up to 1000 pieces at once go as `application/x-ndjson`, a piece a line, in one transaction; the answer has a line
    for each, in order, and the worker acts on them.
    """
    result = _together(current_core(), current_actor()).submit(_command(body, _raw()))
    if isinstance(result, FeedbackNotUnderstood):
        raise result
    return _responded(result)


_Intake = Combiner[TakeIn | Unread, TakenIn | FeedbackNotUnderstood]


def _together(core: Core, actor: Actor) -> _Intake:
    """Return what takes in together the pieces that one program sends at the same time."""
    combiners: dict[Actor, _Intake] = current_app.extensions["intake"]
    # What a request adds to an actor is on no row of the feedback, and would keep every piece by itself.
    sender = replace(actor, request_id=None, ip=None)
    known = combiners.get(sender)
    if known is None:
        known = combiners.setdefault(
            sender, Combiner(lambda commands: take_in(core=core, actor=sender, commands=commands))
        )
    return known


def _responded(taken: TakenIn) -> dict[str, Any]:
    """Let the criteria act where something could follow, and return what became of a piece."""
    answer = {"id": taken.id, "inbox_id": taken.inbox_id, "status": taken.status, "reason": taken.reason}
    if taken.id is not None and (taken.act_now or taken.repeated):
        (done,) = respond_to(core=current_core(), feedback_ids=[taken.id])
        answer |= {"status": done.status, "case_id": done.case_id, "issuance_id": done.issuance_id}
    return {"case_id": None, "issuance_id": None, **answer}


def _take_lines() -> Response:
    """Take a batch in; each line is answered by a line, a problem where it is not understood."""
    lines = [line for line in _read(BATCH_BYTES_MAX).split(b"\n") if line.strip()]
    if not 1 <= len(lines) <= LINES_MAX:
        message = f"Send 1 to {LINES_MAX} lines, a JSON object on each."
        raise InputInvalid(message, errors=[{"field": "body", "message": message}])
    commands = [_line(line) for line in lines]
    results = take_in(core=current_core(), actor=current_actor(), commands=commands)
    text = b"".join(orjson.dumps(_answer_line(number, each)) + b"\n" for number, each in enumerate(results, start=1))
    return Response(text, 202, content_type=NDJSON)


def _line(line: bytes) -> TakeIn | Unread:
    raw = Raw(body=line, headers=dict(request.headers), media_type="application/json")
    try:
        return _command(parsed(_READ, json_text.read(line)), raw)
    except InputInvalid as refusal:
        return _unread(raw, refusal)
    except problems.MalformedJson as error:
        message = str(error.description)
        return _unread(raw, InputInvalid(message, errors=[{"field": "body", "message": message}]))


def _answer_line(number: int, result: TakenIn | FeedbackNotUnderstood) -> dict[str, Any]:
    if isinstance(result, FeedbackNotUnderstood):
        return {"line": number, "status": "waiting", "id": None, "problem": problems.members_of(result)}
    answer = {"id": str(result.id) if result.id else None, "inbox_id": str(result.inbox_id)}
    return {"line": number, "status": result.status, **answer, "reason": result.reason, "repeated": result.repeated}


def _read(most_bytes: int) -> bytes:
    """Return the body, kept for whoever reads it next. Raises for what is compressed, and for more than so much."""
    if request.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType
    # One byte more than is let in: of a body without its length werkzeug gives the beginning as if it were all.
    request.max_content_length = most_bytes + 1
    text = request.get_data()
    if len(text) > most_bytes:
        raise RequestEntityTooLarge
    return text


def _raw() -> Raw:
    return Raw(body=request.get_data(), headers=dict(request.headers), media_type=request.mimetype)


def _command(body: dict[str, Any], raw: Raw) -> TakeIn:
    order, tags = body.pop("revision"), tuple(body.pop("issue_tags"))
    customer = customer_given(body.pop("customer"))
    return TakeIn(**body, issue_tags=tags, customer=customer, order=order, raw=raw)


def _unread(raw: Raw, refusal: InputInvalid) -> Unread:
    """Return a request that the contract does not let in, under its source where it names one."""
    try:
        named = orjson.loads(raw.body)
        source = named.get("source") if isinstance(named, dict) else None
    except orjson.JSONDecodeError:
        source = None
    fits = isinstance(source, str) and 1 <= len(source) <= 64 and "\x00" not in source  # noqa: PLR2004 - as the column
    return Unread(source=str(source) if fits else _UNNAMED, raw=raw, refusal=refusal)


@blueprint.get("/feedback")
@blueprint.asks("feedback:read")
@blueprint.arguments(FeedbackQuery(), location="query")
@blueprint.answers({200: page_of(PieceSchema)})
def list_pieces(query: dict[str, Any]) -> Any:
    """List feedback, the newest first."""
    return list_feedback(core=current_core(), actor=current_actor(), **query)


@blueprint.get("/feedback/<uuid:feedback_id>")
@blueprint.asks("feedback:read")
@blueprint.refuses(errors.FeedbackNotFound, errors.NotFound)
@blueprint.answers({200: PieceWithStorySchema()})
def get_feedback(feedback_id: uuid.UUID) -> dict[str, Any]:
    """Show a piece of feedback with its earlier versions and the criteria that held."""
    return _whole(one_feedback(core=current_core(), actor=current_actor(), feedback_id=feedback_id))


def _whole(found: PieceWithStory) -> dict[str, Any]:
    piece = {name: getattr(found.piece, name) for name in found.piece.__dataclass_fields__}
    more = {name: getattr(found, name) for name in found.__dataclass_fields__ if name != "piece"}
    unmapped = [{"field": name, "value": value} for name, value in found.unmapped]
    return {**piece, **more, "unmapped": unmapped}


@blueprint.get("/feedback/waiting")
@blueprint.asks("feedback:repair")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.answers({200: page_of(WaitingPieceSchema)})
def list_waiting_feedback(query: dict[str, Any]) -> Any:
    """List the kept requests that nobody could understand yet, the newest first."""
    return list_waiting(core=current_core(), actor=current_actor(), **query)


@blueprint.post("/feedback/waiting/<uuid:inbox_id>/replay")
@blueprint.asks("feedback:repair")
@blueprint.refuses(errors.FeedbackNotWaiting, errors.NotFound)
@blueprint.answers({200: TakenInSchema()})
def replay_feedback(inbox_id: uuid.UUID) -> dict[str, Any]:
    """Try to understand a kept request once more, by the catalog as it is now; it may go on waiting."""
    return _responded(replay(core=current_core(), actor=current_actor(), inbox_id=inbox_id))


@blueprint.post("/feedback/waiting/<uuid:inbox_id>/ignore")
@blueprint.asks("feedback:repair")
@blueprint.arguments(IgnoreBody(), example={"reason": "test"})
@blueprint.refuses(errors.FeedbackNotWaiting, errors.NotFound)
@blueprint.answers({200: TakenInSchema()})
def ignore_feedback(body: dict[str, Any], inbox_id: uuid.UUID) -> dict[str, Any]:
    """Set a kept request aside; it stays kept."""
    ignore(core=current_core(), actor=current_actor(), inbox_id=inbox_id, reason=body["reason"])
    done = {"status": "ignored", "reason": WHY_IGNORED[body["reason"]]}
    return {"id": None, "inbox_id": inbox_id, "case_id": None, "issuance_id": None, **done}
