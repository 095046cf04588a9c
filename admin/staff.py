"""The tablet: what went wrong, what to give, hand over. The main job, in twenty seconds and six taps."""

import uuid

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from admin import giving, guard, handing, pages, tags
from admin.giving import GiveForm
from admin.guard import page
from admin.pages import Refused, show
from incentives.flows.issue import issue_voucher
from incentives.flows.offer import Offers, offer_incentives
from incentives.flows.void import UndoIssuance, undo_issuance
from incentives.kernel.errors import IssuanceNotFound, NoCatalog, NoProtocol, Refusal, UnknownIssueTag
from incentives.queries import catalog

blueprint = Blueprint("staff", __name__)

_GIVE = "issuances:create"
_WAY = tags.Way(finer="/staff", chosen="/staff/give")


@blueprint.get("/staff")
@page(permission=_GIVE)
def what_went_wrong() -> ResponseReturnValue:
    """Step 1: the issue tags as tiles, two levels at a time."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        tree = catalog.tag_tiles(core=core, actor=actor, language="en")
    except NoCatalog:
        return show("staff_tags.html", groups=[], under=None, back="/staff")
    under, above = tags.find(tree, request.args.get("under"))
    return show(
        "staff_tags.html",
        groups=tags.groups(tree, under, _WAY),
        under=under,
        back=f"/staff?under={above.key}" if above else "/staff",
    )


@blueprint.get("/staff/give/<tag>")
@page(permission=_GIVE)
def what_to_give(tag: str) -> ResponseReturnValue:
    """Step 2: what to say, what may be given for this trouble, and to whom."""
    return _step_two(GiveForm.fresh(tag, request.args, guard.the_core(), guard.the_actor()))


@blueprint.post("/staff/give/<tag>/offers")
@page(permission=_GIVE)
def look_up(tag: str) -> ResponseReturnValue:
    """Show step 2 again for what is typed so far: the offers, earlier recoveries and mistakes of this customer."""
    return _step_two(GiveForm.typed(tag, request.form, guard.the_core(), guard.the_actor()))


@blueprint.post("/staff/give/<tag>")
@page(permission=_GIVE)
def give(tag: str) -> ResponseReturnValue:
    """Give it, or ask for it. A customer who was helped before is shown first, and the same button gives it then."""
    core, actor = guard.the_core(), guard.the_actor()
    form = GiveForm.typed(tag, request.form, core, actor)
    try:
        command = form.command(actor)
        earlier = _offers(form).earlier_recoveries
        if form.unseen(earlier):
            return _step_two(form, ask_again=True)
        result = issue_voucher(core=core, actor=actor, command=command)
    except (NoCatalog, UnknownIssueTag):
        raise
    except Refusal as refusal:
        return pages.with_wait(_step_two(form, refused=giving.refused(refusal, form)), refusal)
    return redirect(f"/staff/given/{result.id}", 303)


@blueprint.get("/staff/given/<uuid:issuance_id>")
@page(permission=_GIVE)
def given(issuance_id: uuid.UUID) -> ResponseReturnValue:
    """Step 3: the voucher to hand over, or what happens until somebody has decided."""
    return show("staff_given.html", **handing.view(guard.the_core(), guard.the_actor(), issuance_id))


@blueprint.post("/staff/given/<uuid:issuance_id>/undo")
@page(permission=_GIVE)
def undo(issuance_id: uuid.UUID) -> ResponseReturnValue:
    """Take it back at once; nothing was sent yet."""
    core, actor = guard.the_core(), guard.the_actor()
    try:
        undo_issuance(core=core, actor=actor, command=UndoIssuance(issuance_id=issuance_id))
    except IssuanceNotFound:
        raise
    except Refusal as refusal:
        refused = pages.refused(refusal)
        return show(
            "staff_given.html", refused.status, **{**handing.view(core, actor, issuance_id), "refused": refused}
        )
    return redirect(f"/staff/given/{issuance_id}", 303)


def _offers(form: GiveForm) -> Offers:
    return offer_incentives(core=guard.the_core(), actor=guard.the_actor(), command=form.trouble)


def _step_two(form: GiveForm, *, refused: Refused | None = None, ask_again: bool = False) -> Response:
    """Show step 2. An address that cannot exist must not hide the offers: they are those for somebody unknown then."""
    core, actor = guard.the_core(), guard.the_actor()
    mistakes = refused
    try:
        offers = _offers(form)
    except NoProtocol as refusal:
        offers, mistakes = None, giving.refused(refusal, form)
    except giving.MISTAKES as refusal:
        mistakes = refused or giving.refused(refusal, form)
        offers = _offers(form.anonymous)
    view = giving.view(core, actor, form, offers, ask_again=ask_again)
    status = mistakes.status if mistakes and request.endpoint == "staff.give" else 200
    summary = mistakes if refused or offers is None else None
    return show("staff_give.html", status, refused=summary, errors=mistakes.errors if mistakes else {}, **view)
