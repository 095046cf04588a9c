"""Health, for whatever watches the servers: whether the process lives, and whether it can work."""

from typing import Any, cast

from flask import current_app
from marshmallow import fields, validate

from api.authentication import current_core
from api.fields import Answer
from api.smorest import Blueprint
from incentives.kernel import broker
from incentives.kernel.errors import NotReady
from incentives.kernel.throttle import Throttle
from incentives.queries.health import DEGRADED, FAILING, OK, Part, readiness

blueprint = Blueprint("health", "For load balancers and watchers; needs no key and says nothing about anybody.")

_COME_BACK_SECONDS = 5


class LiveSchema(Answer):
    """The process answers."""

    status = fields.String(validate=validate.Equal("ok"))


class PartSchema(Answer):
    """One part that the work needs."""

    name = fields.String()
    status = fields.String(validate=validate.OneOf((OK, DEGRADED)))
    detail = fields.String()


class ReadySchema(Answer):
    """The process can work; `degraded` means that somebody should look."""

    status = fields.String(validate=validate.OneOf((OK, DEGRADED)))
    parts = fields.List(fields.Nested(PartSchema))


@blueprint.get("/health/live")
@blueprint.open_to_anybody
@blueprint.answers({200: LiveSchema()})
def live() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": OK}


@blueprint.get("/health/ready")
@blueprint.open_to_anybody
@blueprint.refuses(NotReady)
@blueprint.answers({200: ReadySchema()})
def ready() -> dict[str, Any]:
    """Say whether the process can work: the database, its migrations, the keys, the outbox, Redis."""
    parts = [*readiness(core=current_core()), _redis(), _broker()]
    failing = [part for part in parts if part.status == FAILING]
    if failing:
        raise NotReady(
            " ".join(f"{part.name}: {part.detail}." for part in failing),
            failing=[part.name for part in failing],
            retry_after_seconds=_COME_BACK_SECONDS,
        )
    return {"status": DEGRADED if any(part.status == DEGRADED for part in parts) else OK, "parts": parts}


def _redis() -> Part:
    """Redis is a help, not a need: without it each process counts for itself."""
    throttle = cast("Throttle", current_app.extensions["throttle"])
    if throttle.degraded:
        return Part(name="redis", status=DEGRADED, detail="does not answer; each process throttles for itself")
    return Part(name="redis", status=OK, detail="answers or is not wanted")


def _broker() -> Part:
    """Nothing is lost without the broker: what is due stands in the database, and whoever serves never asks it."""
    url = current_core().settings.broker_url
    if url and not broker.answers(url):
        return Part(name="broker", status=DEGRADED, detail="does not answer; Celery's workers wait for it")
    return Part(name="broker", status=OK, detail="answers or is not wanted")
