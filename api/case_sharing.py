"""Recovery cases beside others: files, shares, and cases that are merged, split and linked."""

import uuid
from typing import Any
from urllib.parse import quote

from flask import Response, request
from marshmallow import fields
from werkzeug.exceptions import RequestEntityTooLarge

from api.authentication import current_actor, current_core
from api.case_answers import CaseSchema, case_of
from api.case_work import CaseCreatedSchema
from api.cases import CASE_REFUSALS, NOTE_LENGTH, StoryBody
from api.fields import Answer, Body, Key, Truth, WholeNumber, Words
from api.smorest import Blueprint
from incentives.flows.case_files import AddFile, add_file
from incentives.flows.join_cases import LinkCases, MergeCase, SplitCase, link_cases, merge_case, split_case
from incentives.flows.share_case import (
    MOST_DAYS,
    EndShare,
    ShareByLink,
    ShareWithTeam,
    end_share,
    share_by_link,
    share_with_team,
)
from incentives.kernel import errors
from incentives.queries.case_files import one_file

blueprint = Blueprint("case-sharing", "Whom one customer's trouble is shared with, and what belongs to it.")

# A file of 5 MB and what multipart puts around it.
UPLOAD_BYTES_MAX = 5_100_000
_UPLOAD = {
    "multipart/form-data": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
}


class FileAddedSchema(Answer):
    """The file that is kept."""

    id = fields.UUID()
    media_type = fields.String()
    size_bytes = fields.Integer()
    repeated = fields.Boolean(metadata={"description": "The very same file was there already."})


@blueprint.post("/cases/<uuid:case_id>/files")
@blueprint.asks("cases:work")
@blueprint.takes(_UPLOAD)
@blueprint.refuses(
    errors.CaseNotFound,
    errors.NotFound,
    errors.InputInvalid,
    errors.FileTooLarge,
    errors.FileTypeRefused,
    errors.FileUnsafe,
    errors.TooManyFiles,
    errors.ScannerUnavailable,
)
@blueprint.answers({201: FileAddedSchema()})
def add_case_file(case_id: uuid.UUID) -> Any:
    """Keep a file of at most 5 MB: a photo (JPEG, PNG, WebP), a PDF or plain text. Photos lose what a camera wrote."""
    request.max_content_length = UPLOAD_BYTES_MAX
    # Said before it is read, where the sender says it: nothing of it need be written down to be refused.
    if (request.content_length or 0) > UPLOAD_BYTES_MAX:
        raise errors.FileTooLarge(field="file")
    try:
        given = request.files.get("file")
    except RequestEntityTooLarge:
        raise errors.FileTooLarge(field="file") from None
    if given is None:
        message = "Send a part “file” of multipart/form-data."
        raise errors.InputInvalid(message, errors=[{"field": "file", "message": message}])
    name, media_type, content = given.filename or "file", given.mimetype, given.read()
    given.close()
    command = AddFile(case_id=case_id, name=name, media_type=media_type, content=content)
    return add_file(core=current_core(), actor=current_actor(), command=command)


@blueprint.get("/cases/<uuid:case_id>/files/<uuid:file_id>")
@blueprint.asks("cases:read")
@blueprint.refuses(errors.CaseFileNotFound, errors.NotFound)
@blueprint.sends("application/octet-stream")
def get_case_file(case_id: uuid.UUID, file_id: uuid.UUID) -> Response:
    """Download a file."""
    found = one_file(core=current_core(), actor=current_actor(), case_id=case_id, file_id=file_id)
    answer = Response(found.content, mimetype="application/octet-stream")
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "no-store"
    return answer


class ShareBody(Body):
    """Whom to share with: a team, or by a link that ends; exactly one of the two."""

    exactly_one_of = ("team", "link_days")

    team = Key()
    link_days = WholeNumber(minimum=1, maximum=MOST_DAYS, metadata={"description": "A link that only shows."})
    may_edit = Truth(load_default=False, metadata={"description": "Of a team; a link only shows."})


class CaseSharedSchema(Answer):
    """How the case is shared; only a link has an address and an end."""

    id = fields.UUID()
    url = fields.String(allow_none=True)
    expires_at = fields.AwareDateTime(allow_none=True)


@blueprint.post("/cases/<uuid:case_id>/shares")
@blueprint.asks("cases:work")
@blueprint.arguments(ShareBody(), example={"team": "london-gates", "may_edit": True})
@blueprint.idempotent(required=False)
@blueprint.refuses(errors.NoCatalog, errors.CaseNotFound, errors.NotFound)
@blueprint.answers({201: CaseSharedSchema()})
def share_recovery_case(body: dict[str, Any], case_id: uuid.UUID, *, idempotency_key: str | None) -> Any:
    """Share a case with a team, or, for those who may manage cases, by a link that ends."""
    core, actor = current_core(), current_actor()
    if ("team" in body) == ("link_days" in body):
        message = "Send a team, or for how many days a link should last."
        raise errors.InputInvalid(message, errors=[{"field": "team", "message": message}])
    if "team" in body:
        command = ShareWithTeam(
            case_id=case_id, team=body["team"], may_edit=body["may_edit"], idempotency_key=idempotency_key
        )
        return share_with_team(core=core, actor=actor, command=command)
    link = ShareByLink(case_id=case_id, days=body["link_days"], idempotency_key=idempotency_key)
    return share_by_link(core=core, actor=actor, command=link)


@blueprint.delete("/cases/<uuid:case_id>/shares/<uuid:share_id>")
@blueprint.asks("cases:work")
@blueprint.refuses(errors.CaseNotFound, errors.NotFound, errors.ShareNotFound)
@blueprint.answers({200: CaseSchema()})
def end_share_of_case(case_id: uuid.UUID, share_id: uuid.UUID) -> Any:
    """End a share at once."""
    end_share(core=current_core(), actor=current_actor(), command=EndShare(case_id=case_id, share_id=share_id))
    return case_of(case_id)


class MergeBody(Body):
    """Into which case, and why."""

    into_id = fields.UUID(required=True)
    reason = Words(NOTE_LENGTH, required=True)


@blueprint.post("/cases/<uuid:case_id>/merge")
@blueprint.asks("cases:manage")
@blueprint.arguments(MergeBody())
@blueprint.refuses(*CASE_REFUSALS, errors.CaseOfAnotherCustomer)
@blueprint.answers({200: CaseSchema()})
def merge_recovery_case(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Close a case as merged into another; both keep their histories."""
    merge_case(core=current_core(), actor=current_actor(), command=MergeCase(case_id=case_id, **body))
    return case_of(case_id)


class SplitBody(Body):
    """What is a trouble of its own, and why."""

    issue_tag = Key(required=True)
    reason = Words(NOTE_LENGTH, required=True)
    severity = WholeNumber(minimum=1, maximum=4, load_default=None, allow_none=True)
    story = fields.Nested(StoryBody, load_default=dict)


@blueprint.post("/cases/<uuid:case_id>/splits")
@blueprint.asks("cases:manage")
@blueprint.arguments(SplitBody(), example={"issue_tag": "bag-lost", "reason": "Her bag is another matter."})
@blueprint.idempotent(required=False)
@blueprint.refuses(*CASE_REFUSALS, errors.UnknownIssueTag, errors.UnknownLocation, errors.NoProtocol)
@blueprint.answers({201: CaseCreatedSchema()})
def split_recovery_case(body: dict[str, Any], case_id: uuid.UUID, *, idempotency_key: str | None) -> Any:
    """Open a case of its own for a part of another."""
    command = SplitCase(case_id=case_id, **body, idempotency_key=idempotency_key)
    made = split_case(core=current_core(), actor=current_actor(), command=command)
    return made, 201, {"Location": f"/api/v1/cases/{made.id}"}


class LinkBody(Body):
    """Which case has to do with this one."""

    other_id = fields.UUID(required=True)


@blueprint.post("/cases/<uuid:case_id>/links")
@blueprint.asks("cases:work")
@blueprint.arguments(LinkBody())
@blueprint.refuses(errors.CaseNotFound, errors.NotFound)
@blueprint.answers({200: CaseSchema()})
def link_recovery_cases(body: dict[str, Any], case_id: uuid.UUID) -> Any:
    """Link two cases."""
    link_cases(core=current_core(), actor=current_actor(), command=LinkCases(case_id=case_id, **body))
    return case_of(case_id)
