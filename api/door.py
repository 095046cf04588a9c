"""The machines' door: hangs everything under ``/api`` into an application."""

from typing import Any

from flask import Flask, Response

from api import (
    approvals,
    audit,
    budget_requests,
    budgets,
    bulk,
    case_sharing,
    case_work,
    cases,
    catalog,
    catalog_releases,
    criteria,
    delegations,
    documents,
    feedback,
    feedback_forms,
    fields,
    health,
    incidents,
    issuances,
    ledger,
    lists,
    metrics,
    offers,
    problems,
    redemptions,
    reports,
    reservations,
    reveals,
    reviews,
    seals,
    suppressions,
    switches,
    voucher_care,
    vouchers,
)
from api.authentication import KnownKeys
from api.connectors import mapped
from api.smorest import Api, ExactlyOne

__all__ = ["document", "hang", "render_error", "status_of"]

status_of = problems.status_of

_RESOURCES = (
    catalog,
    catalog_releases,
    offers,
    issuances,
    bulk,
    approvals,
    delegations,
    vouchers,
    voucher_care,
    redemptions,
    reservations,
    reveals,
    budgets,
    budget_requests,
    cases,
    case_work,
    case_sharing,
    criteria,
    feedback,
    mapped,
    feedback_forms,
    incidents,
    reports,
    ledger,
    seals,
    audit,
    switches,
    reviews,
    lists,
    suppressions,
    health,
    metrics,
)

_DESCRIPTION = """\
Incentives and vouchers for customer-service recovery.

Every call but those to `/health` and `/metrics` bears an API key: `Authorization: Bearer ik_…`. A key has a role, and
`x-permission` says what a call asks of it. Webhooks of tools that cannot send that may bear it in other ways.

Calls that create take an `Idempotency-Key`. The same key with the same body gives the first answer again, marked
`Idempotent-Replayed: true`: after a time-out, send the same request again.

Money is whole minor units with a currency: `{"amount_minor": 2500, "currency": "USD"}`. Instants are UTC.

Lists are by cursor: send the `next` of a page as `after` for the page behind it; it is null at the end.

Every error is a problem as RFC 9457 has it. Programs go by its `type`; `field` names the field at fault, `next_step`
says what to do about it. A refused call has changed nothing and charged nothing. `Retry-After` says how long to wait.
"""


_SCHEMES = {
    "apiKey": {"type": "http", "scheme": "bearer"},
    "apiKeyInHeader": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "apiKeyAsPassword": {"type": "http", "scheme": "basic", "description": "The password; the name may be anything."},
    "metricsToken": {"type": "http", "scheme": "bearer", "description": "The token of INCENTIVES_METRICS_TOKEN."},
}


def hang(app: Flask) -> None:
    """Register everything under ``/api``. The application must have a core and a throttle among its extensions."""
    api = Api(app, spec_kwargs=_specification())
    for field, kind, form in (
        (fields.WholeNumber, "integer", None),
        (fields.MinorUnits, "integer", "int64"),
        (fields.QueryNumber, "integer", None),
        (fields.Truth, "boolean", None),
        (fields.ScoreGiven, None, None),
        (fields.Labels, "object", None),
        (fields.Metadata, "object", None),
    ):
        api.register_field(field, kind, form)
    api.ma_plugin.converter.add_attribute_function(fields.published)
    for resource in _RESOURCES:
        api.register_blueprint(resource.blueprint)
    app.register_blueprint(documents.pages)
    app.extensions["known_keys"] = KnownKeys()
    app.extensions["intake"] = {}
    app.extensions["openapi_document"] = lambda: document(app)


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of what was hung into an application."""
    api: Api = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    return api.document()


def render_error(error: Exception, status: int) -> Response:
    """Return the problem for an error under ``/api``."""
    del status  # It is the problem's own.
    return problems.render(error)


def _specification() -> dict[str, Any]:
    return {
        "title": "Incentives",
        "version": "1",
        "openapi_version": "3.1.0",
        "info": {"description": _DESCRIPTION},
        "security": [{"apiKey": []}],
        "extra_plugins": [ExactlyOne()],
        "components": {"securitySchemes": _SCHEMES},
    }
