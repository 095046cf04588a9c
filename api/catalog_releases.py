"""Releases of the catalog: proposed by one, approved by another, in force from an instant on, and asked what if."""

from typing import Any

from flask import Response, request
from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import SEEN, Answer, Body, Instant, Query, QueryNumber, Text, WholeNumber
from api.smorest import Blueprint
from incentives.flows import publish
from incentives.flows.what_if import DAYS_MOST, WhatIf, WhatIfReport, what_if
from incentives.kernel import errors
from incentives.queries import catalog

blueprint = Blueprint("catalog_releases", "The catalog under four eyes: drafts, differences, approval, going back.")

NUMBER_MAX = 2**31 - 1
_REASON_LONGEST = 500
YAML = "application/yaml"
_FILE = {"type": "object", "description": "The whole catalog file; JSON is YAML."}


class ProposalQuery(Query):
    """Why it is proposed."""

    reason = Text(_REASON_LONGEST, pattern=SEEN, load_default=None)


class ApprovalBody(Body):
    """From when it is in force."""

    effective_at = Instant(
        load_default=None, allow_none=True, metadata={"description": "Left out: now. At most a year from now."}
    )


class ReleaseReasonBody(Body):
    """Why."""

    reason = Text(_REASON_LONGEST, pattern=SEEN, required=True)


class WhatIfBody(Body):
    """Over how many days."""

    days = WholeNumber(minimum=1, maximum=DAYS_MOST, load_default=30)


class ReleasesQuery(Query):
    """How many."""

    limit = QueryNumber(minimum=1, maximum=200, load_default=50)


class DifferenceQuery(Query):
    """From what."""

    against = QueryNumber(
        minimum=1, maximum=NUMBER_MAX, metadata={"description": "A release's number. Left out: what is in force."}
    )


class ReleaseSchema(Answer):
    """A release of the catalog."""

    number = fields.Integer()
    based_on_number = fields.Integer(allow_none=True)
    status = fields.String(metadata={"description": "draft, scheduled, approved (in force), superseded, withdrawn"})
    proposed_at = fields.AwareDateTime()
    proposed_by = fields.String(metadata={"description": "An actor's label."})
    approved_at = fields.AwareDateTime(allow_none=True)
    approved_by = fields.String(allow_none=True)
    effective_at = fields.AwareDateTime(allow_none=True, metadata={"description": "From when it is in force."})
    rollback_of_number = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)


class ReleasesSchema(Answer):
    """The latest releases."""

    items = fields.List(fields.Nested(ReleaseSchema))


class LineSchema(Answer):
    """One field that changes. Absent is null."""

    path = fields.String()
    label = fields.String(metadata={"description": "What people call it."})
    before = fields.String(allow_none=True, metadata={"description": "In words; money with its currency."})
    after = fields.String(allow_none=True)
    added = fields.List(fields.String(), metadata={"description": "Members that a list gains."})
    removed = fields.List(fields.String())


class EntrySchema(Answer):
    """One item that is added, removed or changed; or a kind whose items change places."""

    action = fields.String(metadata={"description": "added, changed, removed, reordered"})
    key = fields.String()
    name = fields.String()
    lines = fields.List(fields.Nested(LineSchema))


class SectionSchema(Answer):
    """All that changes among the items of one kind."""

    item_kind = fields.String()
    words = fields.String()
    entries = fields.List(fields.Nested(EntrySchema))


class DifferenceSchema(Answer):
    """What a release changes, item by item and field by field."""

    current_number = fields.Integer(allow_none=True, metadata={"description": "From which release."})
    sections = fields.List(fields.Nested(SectionSchema))
    warnings = fields.List(fields.String(), metadata={"description": "Allowed, and probably not meant."})


class ProposedSchema(Answer):
    """The release that holds the proposed catalog."""

    number = fields.Integer()
    status = fields.String()
    new = fields.Boolean(metadata={"description": "False: it is in force, or proposed, already."})
    warnings = fields.List(fields.String())


class ApprovedSchema(Answer):
    """The release that is in force, or will be."""

    number = fields.Integer()
    superseded_number = fields.Integer(allow_none=True)
    effective_at = fields.AwareDateTime(allow_none=True, metadata={"description": "Null: it is in force now."})


class WithdrawnReleaseSchema(Answer):
    """The release that was taken back."""

    number = fields.Integer()


class SumsSchema(Answer):
    """What was and would be given."""

    was_count = fields.Integer()
    was_minor = fields.Integer()
    would_count = fields.Integer()
    would_minor = fields.Integer()
    refused = fields.Integer()


class BudgetLineSchema(Answer):
    """One budget; without a currency it counts, and holds no money."""

    key = fields.String()
    name = fields.String()
    currency = fields.String(allow_none=True)
    was_minor = fields.Integer()
    would_minor = fields.Integer()
    was_count = fields.Integer()
    would_count = fields.Integer()
    bursts = fields.Integer(metadata={"description": "How many it would have refused."})


class TotalLineSchema(Answer):
    """One issue tag, location or incentive, in one currency."""

    what = fields.String(metadata={"description": "issue_tag, location or incentive"})
    key = fields.String()
    currency = fields.String()
    sums = fields.Nested(SumsSchema)


class WhatIfExampleSchema(Answer):
    """One that would have been refused."""

    issuance_id = fields.UUID()
    at = fields.AwareDateTime()
    issue_tag = fields.String()
    incentive = fields.String()
    amount_minor = fields.Integer()
    currency = fields.String()
    reasons = fields.List(fields.String())


class WhatIfSchema(Answer):
    """What the release would have made of what was given."""

    number = fields.Integer(allow_none=True)
    from_at = fields.AwareDateTime()
    until_at = fields.AwareDateTime()
    replayed = fields.Integer()
    refused = fields.Integer()
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    asked_then = fields.Integer(metadata={"description": "How many needed an approval."})
    asked_now = fields.Integer(metadata={"description": "How many would need one."})
    not_known = fields.Integer(
        metadata={"description": "Let pass: their condition rests on what nobody wrote down then."}
    )
    not_replayed = fields.List(
        fields.String(),
        metadata={
            "description": "Incentives of which a case or a customer may have only so many open at once: that is not "
            "counted here."
        },
    )
    budgets = fields.List(fields.Nested(BudgetLineSchema))
    totals = fields.List(fields.Nested(TotalLineSchema))
    examples = fields.List(fields.Nested(WhatIfExampleSchema))


class LanguageSchema(Answer):
    """One language."""

    language = fields.String()
    required = fields.Boolean()
    present = fields.Integer()
    total = fields.Integer()
    missing = fields.List(fields.String())
    same_as_default = fields.List(fields.String(), metadata={"description": "Perhaps never translated."})


class LanguagesSchema(Answer):
    """Every language of the catalog."""

    items = fields.List(fields.Nested(LanguageSchema))


@blueprint.get("/catalog/releases")
@blueprint.asks(catalog.READ)
@blueprint.arguments(ReleasesQuery(), location="query")
@blueprint.refuses()
@blueprint.answers({200: ReleasesSchema()})
def list_catalog_releases(query: dict[str, Any]) -> dict[str, Any]:
    """List the latest releases, the newest first."""
    return {"items": catalog.release_list(core=current_core(), actor=current_actor(), limit=query["limit"])}


@blueprint.get("/catalog/releases/<int(max=2147483647):number>")
@blueprint.asks(catalog.READ)
@blueprint.refuses(errors.ReleaseNotFound, errors.NotFound)
@blueprint.answers({200: ReleaseSchema()})
def get_catalog_release(number: int) -> catalog.ReleaseRow:
    """Show a release."""
    return catalog.one_release(core=current_core(), actor=current_actor(), number=number)


@blueprint.get("/catalog/releases/<int(max=2147483647):number>/difference")
@blueprint.asks(catalog.READ)
@blueprint.arguments(DifferenceQuery(), location="query")
@blueprint.refuses(errors.ReleaseNotFound, errors.NotFound)
@blueprint.answers({200: DifferenceSchema()})
def get_catalog_difference(query: dict[str, Any], number: int) -> catalog.Plan:
    """Show what a release changes: of what is in force, or of another release."""
    against = query.get("against")
    return catalog.release_plan(core=current_core(), actor=current_actor(), number=number, against=against)


@blueprint.post("/catalog/releases")
@blueprint.asks("catalog:propose")
@blueprint.arguments(ProposalQuery(), location="query")
@blueprint.takes({YAML: _FILE})
@blueprint.refuses(errors.CatalogInvalid, errors.BudgetRedefined)
@blueprint.answers({201: ProposedSchema(), 200: ProposedSchema()})
def propose_catalog_release(query: dict[str, Any]) -> Any:
    """Propose a catalog file. The same file again is the same draft (200)."""
    command = publish.ProposeCatalog(text=request.get_data(cache=False), reason=query["reason"])
    proposed = publish.propose_catalog(core=current_core(), actor=current_actor(), command=command)
    return proposed, 201 if proposed.new else 200, {"Location": f"/api/v1/catalog/releases/{proposed.number}"}


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/approval")
@blueprint.asks("catalog:approve")
@blueprint.arguments(ApprovalBody(), example={"effective_at": "2026-12-01T00:00:00Z"})
@blueprint.refuses(
    errors.ReleaseNotFound,
    errors.NotFound,
    errors.ReleaseAlreadyDecided,
    errors.ReleaseScheduled,
    errors.EffectiveDateInvalid,
    errors.SelfApproval,
)
@blueprint.answers({200: ApprovedSchema()})
def approve_catalog_release(body: dict[str, Any], number: int) -> publish.Approved:
    """Put a draft in force, now or from an instant on. Never by who proposed it."""
    command = publish.ApproveRelease(number=number, **body)
    return publish.approve_release(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/withdrawal")
@blueprint.asks(catalog.READ)
@blueprint.arguments(ReleaseReasonBody(), example={"reason": "The wrong month."})
@blueprint.refuses(errors.ReleaseNotFound, errors.NotFound, errors.ReleaseAlreadyDecided)
@blueprint.answers({200: WithdrawnReleaseSchema()})
def withdraw_catalog_release(body: dict[str, Any], number: int) -> publish.Withdrawn:
    """Take back a draft, or a scheduled release before its instant: whoever proposes or approves may."""
    command = publish.WithdrawRelease(number=number, **body)
    return publish.withdraw_release(core=current_core(), actor=current_actor(), command=command)


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/rollback")
@blueprint.asks("catalog:propose")
@blueprint.arguments(ReleaseReasonBody(), example={"reason": "The new limits were too tight."})
@blueprint.refuses(errors.ReleaseNotFound, errors.NotFound, errors.ReleaseInForce, errors.BudgetRedefined)
@blueprint.answers({201: ProposedSchema(), 200: ProposedSchema()})
def roll_back_catalog(body: dict[str, Any], number: int) -> Any:
    """Propose an older release's catalog again; somebody else approves it."""
    command = publish.RollBack(number=number, **body)
    proposed = publish.roll_back(core=current_core(), actor=current_actor(), command=command)
    return proposed, 201 if proposed.new else 200, {"Location": f"/api/v1/catalog/releases/{proposed.number}"}


@blueprint.post("/catalog/releases/<int(max=2147483647):number>/what-if")
@blueprint.asks("catalog:approve")
@blueprint.arguments(WhatIfBody(), example={"days": 30})
@blueprint.refuses(errors.ReleaseNotFound, errors.NotFound)
@blueprint.answers({200: WhatIfSchema()})
def what_if_catalog_release(body: dict[str, Any], number: int) -> WhatIfReport:
    """Decide once more, on paper, on what was given lately; nothing changes."""
    command = WhatIf(number=number, days=body["days"])
    return what_if(core=current_core(), actor=current_actor(), command=command)


@blueprint.get("/catalog/languages")
@blueprint.asks(catalog.READ)
@blueprint.refuses(errors.NoCatalog)
@blueprint.answers({200: LanguagesSchema()})
def list_catalog_languages() -> dict[str, Any]:
    """Say in which languages the catalog speaks, and what is missing in each."""
    return {"items": catalog.languages(core=current_core(), actor=current_actor())}


@blueprint.get("/catalog/export")
@blueprint.asks(catalog.READ)
@blueprint.refuses(errors.NoCatalog)
@blueprint.sends(YAML, _FILE)
def export_catalog() -> Response:
    """Send the catalog in force as one file, from which the very same catalog is read again."""
    return Response(catalog.export(core=current_core(), actor=current_actor()), content_type=YAML)
