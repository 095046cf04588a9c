"""Photos and files of a case: added, shown to whoever may see the case, and taken away again."""

import uuid
from urllib.parse import quote

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from admin import forms, pages
from admin.case_forms import CaseForm, Sent, send
from admin.guard import page, the_actor, the_core
from incentives.flows.case_files import AddFile, RemoveFile, add_file, remove_file
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries import case_files

blueprint = Blueprint("staff_case_files", __name__)

# A form around a file: what a photo of a tablet weighs at most, and the rest of the form.
UPLOAD_BYTES_MAX = 6 * 1024 * 1024
_NAME_LONGEST = 200
_FILE = CaseForm(name="file", core_names={"name": "file", "media_type": "file", "content": "file", "file": "file"})
_REMOVE = CaseForm(name="remove", limits={"reason": forms.NOTE_LONGEST}, single=("reason",))


@blueprint.before_request
def _let_photos_in() -> None:
    """Let this one form be larger than others; it is said before anything reads the form."""
    if request.endpoint == f"{blueprint.name}.{add.__name__}":
        request.max_content_length = UPLOAD_BYTES_MAX


@blueprint.post("/cases/<uuid:case_id>/files")
@page(permission="cases:work")
def add(case_id: uuid.UUID) -> ResponseReturnValue:
    """Keep a photo or a file. What it is, its content says, not its name."""

    def act(core: Core, actor: Actor, _: Sent) -> None:
        given = request.files.get("file")
        if given is None or not given.filename:
            raise forms.wrong("file", "Choose a file.")
        command = AddFile(
            case_id=case_id,
            name=forms.Form({"name": given.filename}).shown("name")[-_NAME_LONGEST:],
            media_type=given.mimetype,
            content=given.read(),
        )
        add_file(core=core, actor=actor, command=command)

    return send(case_id, _FILE, "file", act)


@blueprint.get("/cases/<uuid:case_id>/files/<uuid:file_id>")
@page(permission="cases:read")
def one(case_id: uuid.UUID, file_id: uuid.UUID) -> ResponseReturnValue:
    """Give a file to whoever may see the case: always to keep, never to open within our pages."""
    found = case_files.one_file(core=the_core(), actor=the_actor(), case_id=case_id, file_id=file_id)
    answer = Response(found.content, mimetype=found.media_type)
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"
    closed = pages.closed(answer)
    closed.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return closed


@blueprint.post("/cases/<uuid:case_id>/files/<uuid:file_id>/remove")
@page(permission="cases:manage")
def remove(case_id: uuid.UUID, file_id: uuid.UUID) -> ResponseReturnValue:
    """Take a file away, and say why; that it was there stays in the record."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        reason = sent["reason"] or "Taken away on the case's page."
        remove_file(core=core, actor=actor, command=RemoveFile(case_id=case_id, file_id=file_id, reason=reason))

    return send(case_id, _REMOVE, "file-removed", act)
