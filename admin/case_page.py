"""One case on one screen: everything that is known, what comes next, and what is still missing before it can close."""

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from admin import case_aside, case_view, forms, guard, words
from admin.case_timeline import Teller
from admin.case_view import Shown
from admin.forms import Form
from admin.guard import page
from admin.pages import Refused, show
from incentives.queries import case_screen
from incentives.queries.case_screen import CaseScreen

blueprint = Blueprint("staff_case", __name__)

# What a deed is called when it is done: the part of the page that says so, and its words.
DONE: Mapping[str, tuple[str, str]] = {
    "taken": ("owner", "It is yours now."),
    "assigned": ("owner", "They have it now, and were told."),
    "step": ("next", "The step is done."),
    "skipped": ("next", "The step is left out; your reason is in the record."),
    "apology": ("next", "The apology is in the record."),
    "answers": ("told", "The answers are kept. Nobody needs to ask again."),
    "causes": ("causes", "The causes are kept."),
    "judged": ("given", "It is kept."),
    "responsible": ("responsible", "It is kept."),
    "note": ("notes", "The note is kept."),
    "task": ("tasks", "The task is on the list."),
    "task-done": ("tasks", "The task is done."),
    "file": ("files", "The file is kept."),
    "file-removed": ("files", "The file is gone."),
    "shared": ("shares", "The team can see it now."),
    "linked": ("shares", "The link is made."),
    "unshared": ("shares", "That has ended."),
    "related": ("related", "The cases belong together now."),
    "merged": ("close", "This case goes on in the other one."),
    "split": ("related", "The other trouble is a case of its own now."),
    "closed": ("close", "The case is closed."),
    "reopened": ("next", "The case is open again, in a new round."),
}
_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


@blueprint.get("/cases/<uuid:case_id>")
@page(permission="cases:read")
def one(case_id: uuid.UUID) -> ResponseReturnValue:
    """Show one case."""
    return show_case(case_id, done=request.args.get("done"))


def show_case(
    case_id: uuid.UUID,
    *,
    done: str | None = None,
    refused: Refused | None = None,
    form: str = "",
) -> Response:
    """Return the page of a case; ``form`` is the one that was refused, and shows again what was typed.

    Raises ``CaseNotFound``.
    """
    core, actor = guard.the_core(), guard.the_actor()
    screen = case_screen.case_screen(core=core, actor=actor, case_id=case_id)
    shown = Shown.of(core, actor, screen)
    said = _typed(form)
    return show(
        "case.html",
        refused.status if refused else 200,
        refused=refused,
        refused_form=form,
        done=_done(done),
        said=said,
        key=lambda name: said(name, "idempotency_key", core.ids.new(shown.now)),
        wrong=lambda name, field: refused.errors.get(f"{name}-{field}", "") if refused else "",
        seen=_seen(screen),
        changed=_changed(screen),
        **case_view.view(shown),
        **case_aside.view(shown),
        events=Teller(zone=shown.zone, incentives=shown.incentives, now=shown.now).events(screen.timeline),
    )


def _done(name: str | None) -> dict[str, str] | None:
    return {"part": DONE[name][0], "words": DONE[name][1]} if name and name in DONE else None


def _typed(form: str) -> Callable[..., str]:
    """Return what tells a field's content: what was typed into the form that was refused, else what it had."""
    sent = Form(request.form)

    def said(name: str, field: str, otherwise: object = "") -> str:
        if field == "idempotency_key" and forms.mistakes(lambda: sent.key(field, guard.the_core().clock.now())):
            return str(otherwise)
        return sent.shown_lines(field) if form and name == form else str(otherwise)

    return said


def _seen(screen: CaseScreen) -> str:
    return screen.case.changed_at.isoformat()


def _changed(screen: CaseScreen) -> str:
    """Return that somebody else changed the case since the page was opened, when the page asks by itself."""
    seen = seen_at()
    changed_at = screen.case.changed_at
    if seen is None or changed_at <= seen:
        return ""
    return f"This case was changed {words.ago(changed_at, guard.the_core().clock.now())}."


def seen_at() -> datetime | None:
    """Return the instant up to which a page that asks for news has shown everything; None where it does not say."""
    try:
        at = datetime.fromisoformat(request.headers.get("X-Seen", ""))
    except ValueError:
        return None
    return at if at.tzinfo else None


def owner_and_team(chosen: str) -> tuple[str | None, str | None]:
    """Return whom a choice means: a person's label, or a team's key. Raises ``InputInvalid``."""
    if not chosen:
        return None, None
    kind, _, key = chosen.partition(":")
    if kind == "team" and key:
        return None, key
    if kind == "person" and key:
        return chosen, None
    raise forms.wrong("to", "Choose somebody from the list.")


def case_in(text: str) -> uuid.UUID:
    """Return the case that an address or a number names. Raises ``InputInvalid``."""
    found = _ID.findall(text)
    if len(found) != 1:
        raise forms.wrong("other", "Copy the address of the other case here, as it stands in the browser.")
    return uuid.UUID(found[0])


def location_of(case_id: uuid.UUID) -> str | None:
    """Return where a case belongs. Raises ``CaseNotFound``."""
    return case_screen.case_screen(core=guard.the_core(), actor=guard.the_actor(), case_id=case_id).case.location
