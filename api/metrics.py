"""Metrics: how the servers and the work are doing, for Prometheus. Names nobody, and needs a token of its own.

Not an API key: who asks every few seconds needs no right to anything else, and must be answered while the database,
which knows the keys, is away.
"""

import hmac
from typing import TYPE_CHECKING, cast

from flask import Response, current_app

from api.authentication import bearer_token, current_core
from api.smorest import Blueprint
from incentives.kernel.errors import NotAuthenticated
from incentives.kernel.throttle import Throttle

if TYPE_CHECKING:
    from api.meter import Meter

blueprint = Blueprint("metrics", "For Prometheus; needs the token of INCENTIVES_METRICS_TOKEN and names nobody.")
blueprint.schemes = ("metricsToken",)

_SWITCHED_OFF = "No metrics are told here: whoever runs this installation must set INCENTIVES_METRICS_TOKEN first."
_NOT_LET_IN = "Send the token that INCENTIVES_METRICS_TOKEN holds: Authorization: Bearer …."


@blueprint.get("/metrics")
@blueprint.open_to_anybody
@blueprint.refuses(NotAuthenticated)
@blueprint.sends("text/plain", {"type": "string"})
def metrics() -> Response:
    """Tell every metric in Prometheus' text format; docs/metrics.md says what each one means."""
    _let_in(current_core().settings.metrics_token)
    from api.meter import MEDIA_TYPE  # noqa: PLC0415 - it is there already, where anybody was let in

    meter = cast("Meter", current_app.extensions["meter"])
    throttle = cast("Throttle", current_app.extensions["throttle"])
    told = meter.told(core=current_core(), throttle_degraded=throttle.degraded)
    return Response(told, content_type=MEDIA_TYPE)


def _let_in(token: str) -> None:
    """Raise ``NotAuthenticated`` unless the request bears the token; a guess learns nothing by its time."""
    if not token:
        raise NotAuthenticated(_SWITCHED_OFF)
    if not hmac.compare_digest(bearer_token().encode(), token.encode()):
        raise NotAuthenticated(_NOT_LET_IN)
