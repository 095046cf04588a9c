"""What whoever leads does with a case on its page: hand it on, share it, join and part cases, open one again."""

import uuid

from flask import Blueprint
from flask.typing import ResponseReturnValue

from admin import case_aside, case_page, forms
from admin.case_forms import CaseForm, Sent, send
from admin.guard import page
from incentives.flows.assign import AssignCase, assign_case
from incentives.flows.close_case import ReopenCase, reopen_case
from incentives.flows.join_cases import MergeCase, SplitCase, merge_case, split_case
from incentives.flows.share_case import EndShare, ShareByLink, ShareWithTeam, end_share, share_by_link, share_with_team
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core

blueprint = Blueprint("staff_case_lead", __name__)

_MANAGE = "cases:manage"
_KEY = 80
_WHY = forms.NOTE_LONGEST

_ASSIGN = CaseForm(
    name="assign",
    limits={"to": _KEY, "reason": _WHY},
    single=("to", "reason"),
    core_names={"owner": "to", "team": "to"},
)
_SHARE = CaseForm(name="share", limits={"team": _KEY, "may_edit": 3}, single=("team", "may_edit"))
_LINK = CaseForm(name="link", limits={"days": 3}, single=("days",))
_END = CaseForm(name="end")
_MERGE = CaseForm(
    name="merge",
    limits={"other": 200, "reason": _WHY},
    single=("other", "reason"),
    core_names={"into_id": "other", "case_id": "other"},
)
_SPLIT = CaseForm(
    name="split",
    limits={"tag": _KEY, "reason": _WHY},
    single=("tag", "reason"),
    core_names={"issue_tag": "tag"},
    keyed=True,
)
_REOPEN = CaseForm(name="reopen", limits={"reason": _WHY})


@blueprint.post("/cases/<uuid:case_id>/assign")
@page(permission=_MANAGE)
def assign(case_id: uuid.UUID) -> ResponseReturnValue:
    """Give the case to a person or a team, and say why."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        owner, team = case_page.owner_and_team(sent["to"])
        if not (owner or team):
            raise forms.wrong("to", "Choose who takes it on.")
        command = AssignCase(case_id=case_id, reason=sent["reason"], owner=owner, team=team)
        assign_case(core=core, actor=actor, command=command)

    return send(case_id, _ASSIGN, "assigned", act)


@blueprint.post("/cases/<uuid:case_id>/shares")
@page(permission="cases:work")
def share(case_id: uuid.UUID) -> ResponseReturnValue:
    """Let another team see the case, or work on it too."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        if not sent["team"]:
            raise forms.wrong("team", "Choose a team.")
        command = ShareWithTeam(case_id=case_id, team=sent["team"], may_edit=sent["may_edit"] == "yes")
        share_with_team(core=core, actor=actor, command=command)

    return send(case_id, _SHARE, "shared", act)


@blueprint.post("/cases/<uuid:case_id>/links")
@page(permission=_MANAGE)
def link(case_id: uuid.UUID) -> ResponseReturnValue:
    """Make a link that shows the case until it ends."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        if sent["days"] not in case_aside.LINK_DAYS:
            raise forms.wrong("days", "Choose how long.")
        share_by_link(core=core, actor=actor, command=ShareByLink(case_id=case_id, days=int(sent["days"])))

    return send(case_id, _LINK, "linked", act)


@blueprint.post("/cases/<uuid:case_id>/shares/<uuid:share_id>/end")
@page(permission="cases:work")
def end(case_id: uuid.UUID, share_id: uuid.UUID) -> ResponseReturnValue:
    """Take the case back from a team, or end a link."""

    def act(core: Core, actor: Actor, _: Sent) -> None:
        end_share(core=core, actor=actor, command=EndShare(case_id=case_id, share_id=share_id))

    return send(case_id, _END, "unshared", act)


@blueprint.post("/cases/<uuid:case_id>/merge")
@page(permission=_MANAGE)
def merge(case_id: uuid.UUID) -> ResponseReturnValue:
    """Put the case into another one about the same trouble; both histories stay."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        into = case_page.case_in(sent["other"])
        merge_case(core=core, actor=actor, command=MergeCase(case_id=case_id, into_id=into, reason=sent["reason"]))

    return send(case_id, _MERGE, "merged", act)


@blueprint.post("/cases/<uuid:case_id>/split")
@page(permission=_MANAGE)
def split(case_id: uuid.UUID) -> ResponseReturnValue:
    """Open another trouble of the same customer as a case of its own."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        if not sent["tag"]:
            raise forms.wrong("tag", "Choose what else went wrong.")
        command = SplitCase(
            case_id=case_id, issue_tag=sent["tag"], reason=sent["reason"], idempotency_key=sent["idempotency_key"]
        )
        split_case(core=core, actor=actor, command=command)

    return send(case_id, _SPLIT, "split", act)


@blueprint.post("/cases/<uuid:case_id>/reopen")
@page(permission=_MANAGE)
def reopen(case_id: uuid.UUID) -> ResponseReturnValue:
    """Open a closed case again, in a new round."""

    def act(core: Core, actor: Actor, sent: Sent) -> None:
        reopen_case(core=core, actor=actor, command=ReopenCase(case_id=case_id, reason=sent["reason"]))

    return send(case_id, _REOPEN, "reopened", act)
