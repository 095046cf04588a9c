"""Recovery cases: each customer's trouble and everything that was done about it."""

import uuid
from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.kernel.errors import CaseNotFound, NotFound
from incentives.queries.cases import CaseWithDeeds, one_case
from incentives.queries.cases import list_cases as found_cases

blueprint = Blueprint("cases", "One customer's trouble being put right.")


class CaseSchema(Answer):
    """A recovery case."""

    id = fields.UUID()
    issue_tag = fields.String()
    severity = fields.Integer()
    location = fields.String(allow_none=True)
    team = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    status = fields.String(metadata={"description": "open or closed"})
    opened_at = fields.AwareDateTime()
    opened_by_name = fields.String()


class DeedSchema(Answer):
    """One thing that was done."""

    at = fields.AwareDateTime()
    actor_name = fields.String()
    action = fields.String()
    reason = fields.String(allow_none=True)
    facts = fields.Dict()


class CaseWithDeedsSchema(CaseSchema):
    """A recovery case with its timeline, the oldest deed first."""

    customer_name = fields.String(allow_none=True)
    deeds = fields.List(fields.Nested(DeedSchema))


@blueprint.get("/cases")
@blueprint.asks("cases:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.answers({200: page_of(CaseSchema)})
def list_cases(query: dict[str, Any]) -> Any:
    """List recovery cases, the newest first."""
    return found_cases(core=current_core(), actor=current_actor(), **query)


@blueprint.get("/cases/<uuid:case_id>")
@blueprint.asks("cases:read")
@blueprint.refuses(CaseNotFound, NotFound)
@blueprint.answers({200: CaseWithDeedsSchema()})
def get_case(case_id: uuid.UUID) -> dict[str, Any]:
    """Show a recovery case with everything that was done."""
    return _answer(one_case(core=current_core(), actor=current_actor(), case_id=case_id))


def _answer(found: CaseWithDeeds) -> dict[str, Any]:
    members = {name: getattr(found.case, name) for name in found.case.__dataclass_fields__}
    return {**members, "customer_name": found.customer_name, "deeds": found.deeds}
