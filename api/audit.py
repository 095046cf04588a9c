"""The audit trail: who did what to which thing, when and why."""

from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, Instant, Text
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.queries.audit_search import AuditWanted, search_audit

blueprint = Blueprint("audit", "The audit trail: append-only, searched by who, what, which and when.")


class AuditQuery(PageQuery):
    """What is looked for."""

    actor = Text(200, metadata={"description": "A label such as `person:…`, or part of a name."})
    action = Text(60, metadata={"description": "Such as `voucher.voided`; `voucher.` is all that begins like this."})
    subject = Text(64, metadata={"description": "The id of the thing that it was done to, or of its case."})
    from_ = Instant(data_key="from", metadata={"description": "Included."})
    to = Instant(metadata={"description": "Not included."})


class AuditEventSchema(Answer):
    """One thing that was done."""

    id = fields.UUID()
    at = fields.AwareDateTime()
    actor = fields.String()
    actor_name = fields.String()
    means = fields.String(metadata={"description": "How they came in: session, api-key, rule, system."})
    on_behalf_of = fields.String(allow_none=True, metadata={"description": "Whom they stood in for."})
    action = fields.String()
    subject_kind = fields.String()
    subject_id = fields.String()
    case_id = fields.UUID(allow_none=True)
    reason = fields.String(allow_none=True)
    facts = fields.Dict()
    request_id = fields.String(allow_none=True)
    ip = fields.String(allow_none=True)


@blueprint.get("/audit")
@blueprint.asks("audit:read")
@blueprint.arguments(AuditQuery(), location="query")
@blueprint.answers({200: page_of(AuditEventSchema)})
def list_audit_events(query: dict[str, Any]) -> Any:
    """Search the audit trail, the latest first."""
    wanted = AuditWanted(
        actor=query.get("actor"),
        action=query.get("action"),
        subject=query.get("subject"),
        from_at=query.get("from_"),
        to_at=query.get("to"),
    )
    cursor = {"limit": query["limit"], "after": query.get("after")}
    return search_audit(core=current_core(), actor=current_actor(), wanted=wanted, **cursor)
