"""Bad moments and what came of them, made through the flows: at least one row in every table of the recovery."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import sqlalchemy as sa

import worker
from incentives.flows.assign import TakeCase, take_case
from incentives.flows.case_files import AddFile, add_file
from incentives.flows.case_tasks import AddTask, add_task
from incentives.flows.close_case import CloseCase, close_case
from incentives.flows.describe_case import (
    AddNote,
    AnswerQuestions,
    CauseNamed,
    NameCauses,
    NameResponsible,
    add_note,
    answer_questions,
    name_causes,
    name_responsible,
)
from incentives.flows.escalate import escalate_due
from incentives.flows.feedback_forms import CreateForm, create_form
from incentives.flows.follow_up import follow_up_due
from incentives.flows.incidents import OpenIncident, open_incident
from incentives.flows.join_cases import LinkCases, MergeCase, SplitCase, link_cases, merge_case, split_case
from incentives.flows.respond import respond_to
from incentives.flows.share_case import ShareByLink, ShareWithTeam, share_by_link, share_with_team
from incentives.flows.take_in import CustomerGiven, Raw, TakeIn, TakenIn, take_in, take_in_raw
from incentives.flows.work_case import Apologize, DoStep, apologize_to, do_step
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.recovery.tables import surveys
from tests.recovering_catalog import CAUSE, LOCATION, RUDE, TAG, TEAM, TOOL
from tests.world import START, person

EVE = CustomerGiven(name="Eve", email="eve@customer.example")


def recover(core: Core) -> None:
    """Let everything of a recovery happen once, from the survey tool to the answer after it."""
    lead = person(core, "supervisor", email="lena@brand.example", location=LOCATION, team=TEAM)
    case_id = reported(core, lead)
    work(core, lead, case_id)
    gather(core, lead, case_id)
    answered(core, ask_again(core, lead, case_id))


def reported(core: Core, lead: Actor) -> uuid.UUID:
    """Report a bad moment by the survey tool, worse at second thought, and a good one by a form; the case."""
    told = {"id": "answer-1", "version": 1, "stars": 2, "words": "Slow.", "themes": ["Slow", "Lounge"]}
    taken = sent(core, {**told, "who": {"id": "m-1", "name": "Eve", "email": "eve@customer.example"}})
    worse = sent(core, {**told, "version": 2, "stars": 1, "words": "Slow, and rude."})
    assert worse.id == taken.id
    assert taken.id is not None
    (done,) = respond_to(core=core, feedback_ids=[taken.id])
    assert done.case_id is not None
    assert done.issuance_id is not None
    form = create_form(core=core, actor=lead, command=CreateForm(label="Table 1", issue_tag=TAG, location=LOCATION))
    filled = TakeIn(source="form", external_id="1", score=5, scale="stars_5", form_id=form.id, raw=raw({"score": 5}))
    take_in(core=core, actor=SYSTEM, commands=[filled])
    return done.case_id


def sent(core: Core, document: Mapping[str, Any]) -> TakenIn:
    """Let the survey tool push an answer."""
    return take_in_raw(core=core, actor=SYSTEM, source=TOOL, raw=raw(document))


def raw(document: Mapping[str, Any]) -> Raw:
    return Raw(body=orjson.dumps(document))


def work(core: Core, lead: Actor, case_id: uuid.UUID) -> None:
    """Do for a case what staff do."""
    take_case(core=core, actor=lead, command=TakeCase(case_id=case_id))
    answer_questions(core=core, actor=lead, command=AnswerQuestions(case_id=case_id, story={"what": "A queue."}))
    apologize_to(core=core, actor=lead, command=Apologize(case_id=case_id, channel="email"))
    for step in ("review", "fix"):
        do_step(core=core, actor=lead, command=DoStep(case_id=case_id, step=step, note="Done with care."))
    causes = (CauseNamed(cause=CAUSE, weight=100, note="Two were ill."),)
    name_causes(core=core, actor=lead, command=NameCauses(case_id=case_id, causes=causes))
    name_responsible(core=core, actor=lead, command=NameResponsible(case_id=case_id, kind="process", text="Rosters."))
    add_note(
        core=core, actor=lead, command=AddNote(case_id=case_id, body="She was kind about it.", idempotency_key="1")
    )
    task = AddTask(case_id=case_id, kind="employee", title="Talk it over", due_at=core.clock.now() + timedelta(days=1))
    add_task(core=core, actor=lead, command=task)
    text = AddFile(case_id=case_id, name="queue.txt", media_type="text/plain", content=b"Twenty people.")
    add_file(core=core, actor=lead, command=text)
    share_with_team(core=core, actor=lead, command=ShareWithTeam(case_id=case_id, team=TEAM))
    share_by_link(core=core, actor=lead, command=ShareByLink(case_id=case_id))


def gather(core: Core, lead: Actor, case_id: uuid.UUID) -> None:
    """Split, link and merge cases, gather what is one trouble, and tell of what is late."""
    split = SplitCase(case_id=case_id, issue_tag=RUDE, reason="That is another matter.")
    other = split_case(core=core, actor=lead, command=split)
    link_cases(core=core, actor=lead, command=LinkCases(case_id=other.id, other_id=case_id))
    part = SplitCase(case_id=case_id, issue_tag=RUDE, reason="And that is a third.")
    third = split_case(core=core, actor=lead, command=part)
    trouble = OpenIncident(issue_tag=TAG, title="Nobody at the desk", started_at=START - timedelta(hours=1))
    assert open_incident(core=core, actor=lead, command=trouble).attached
    assert escalate_due(core=at(core, hours=3)).total
    for gone, into in ((third.id, other.id), (other.id, case_id)):
        merge_case(core=core, actor=lead, command=MergeCase(case_id=gone, into_id=into, reason="It was one after all."))


def ask_again(core: Core, lead: Actor, case_id: uuid.UUID) -> uuid.UUID:
    """Close a case, ask its customer again a day later, and deliver everything; the survey."""
    closing = CloseCase(case_id=case_id, outcome="recovered", note="She is content.")
    assert close_case(core=core, actor=lead, command=closing).survey_planned
    assert follow_up_due(core=at(core, hours=24))
    assert worker.drain(at(core, hours=24))
    with core.database.read() as tx:
        sent_once = sa.select(surveys.c.id).where(surveys.c.case_id == case_id, surveys.c.status == "sent")
        survey_id: uuid.UUID = tx.execute(sent_once).scalar_one()
    return survey_id


def answered(core: Core, survey_id: uuid.UUID) -> None:
    """Answer the survey, content."""
    answer = TakeIn(
        source="resurvey",
        external_id=str(survey_id),
        score=5,
        scale="stars_5",
        customer=EVE,
        issue_tags=(TAG,),
        survey_id=survey_id,
        raw=raw({"score": 5}),
    )
    later = at(core, hours=26)
    (taken,) = take_in(core=later, actor=SYSTEM, commands=[answer])
    assert isinstance(taken, TakenIn)
    assert taken.id is not None
    respond_to(core=later, feedback_ids=[taken.id])


def at(core: Core, *, hours: int) -> Core:
    """Return the core so many hours later."""
    return replace(core, clock=FixedClock(START + timedelta(hours=hours)))
