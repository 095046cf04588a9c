"""The tablet: what went wrong, what to give, hand over. The main job, in twenty seconds and six taps."""

import uuid
from dataclasses import replace

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
    """Give it, or ask for it.

    What somebody has to know first is shown first, and the same button gives it then: that the customer was helped
    before, and that the last message to their address did not arrive.
    """
    core, actor = guard.the_core(), guard.the_actor()
    form = GiveForm.typed(tag, request.form, core, actor)
    try:
        command = form.command(actor)
        offers = _offers(form)
        if form.unseen(offers.earlier_recoveries) or form.unwarned(offers.came_back):
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


def _foreseen(form: GiveForm) -> tuple[Offers | None, Refusal | None]:
    """Return the offers, and what is wrong with the form: an address that cannot exist must not hide them.

    They are those for somebody unknown then, or without the case that takes nothing more.
    """
    try:
        return _offers(form), None
    except NoProtocol as refusal:
        return None, refusal
    except giving.MISTAKES as refusal:
        if form == form.anonymous:
            raise
        return _foreseen(form.anonymous)[0], refusal
    except giving.CASE_ENDED as refusal:
        return _foreseen(replace(form, case_id=None))[0], refusal


def _step_two(form: GiveForm, *, refused: Refused | None = None, ask_again: bool = False) -> Response:
    """Show step 2; only what is wrong beyond a field is said above it before anybody has sent it."""
    core, actor = guard.the_core(), guard.the_actor()
    offers, wrong = _foreseen(form)
    mistakes = refused or (giving.refused(wrong, form) if wrong else None)
    above = offers is None or isinstance(wrong, giving.CASE_ENDED)
    view = giving.view(core, actor, form, offers, ask_again=ask_again)
    status = mistakes.status if mistakes and request.endpoint == "staff.give" else 200
    summary = mistakes if refused or above else None
    return show("staff_give.html", status, refused=summary, errors=mistakes.errors if mistakes else {}, **view)
