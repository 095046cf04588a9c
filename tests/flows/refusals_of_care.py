"""How each deed on cases, feedback and people is refused; ``test_refusals_leave_nothing`` does them."""

from incentives.flows.assign import AssignCase, TakeCase, assign_case, take_case
from incentives.flows.case_files import AddFile, RemoveFile, add_file, remove_file
from incentives.flows.case_tasks import AddTask, FinishTask, add_task, finish_task
from incentives.flows.close_case import CloseCase, ReopenCase, close_case, reopen_case
from incentives.flows.describe_case import (
    AddNote,
    AnswerQuestions,
    CauseNamed,
    JudgeSalvageable,
    NameCauses,
    NameResponsible,
    add_note,
    answer_questions,
    judge_salvageable,
    name_causes,
    name_responsible,
)
from incentives.flows.feedback_forms import CreateForm, close_form, create_form
from incentives.flows.incidents import OpenIncident, attach_cases, close_incident, open_incident
from incentives.flows.join_cases import LinkCases, MergeCase, SplitCase, link_cases, merge_case, split_case
from incentives.flows.mend import ignore, name_trouble
from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.people import (
    ChangeUser,
    CreateApiKey,
    CreateUser,
    change_user,
    create_api_key,
    create_user,
    disable_user,
    enable_user,
    reset_password,
    revoke_api_key,
)
from incentives.flows.share_case import EndShare, ShareByLink, ShareWithTeam, end_share, share_by_link, share_with_team
from incentives.flows.sign_in import SignIn, revoke_session, sign_in
from incentives.flows.take_in import Mending, replay, take_in, take_in_raw
from incentives.flows.work_case import Apologize, DoStep, apologize_to, do_step
from incentives.kernel import errors
from tests.flows.refusal_world import NOBODY, World
from tests.flows.refusing import Table, tries
from tests.flows.shop import named

WHY = "Because."
_NOBODYS = "nobody@example.com"


def _incident(w: World, **said: object) -> OpenIncident:
    usual = {"issue_tag": "long-wait", "title": "The lift", "started_at": w.shop.clock.now()}
    return OpenIncident(**{**usual, **said})  # type: ignore[arg-type]  # of each its own


def _file(w: World, **said: object) -> AddFile:
    usual = {"case_id": w.case, "name": "photo.png", "media_type": "image/png", "content": b"no picture"}
    return AddFile(**{**usual, **said})


def _task(w: World, **said: object) -> AddTask:
    usual = {"case_id": w.case, "kind": "customer", "title": "Call", "due_at": w.in_days(1), "idempotency_key": "k"}
    return AddTask(**{**usual, **said})


CARE: Table = {
    open_case: (
        tries(errors.NotPermitted, "till", lambda _: OpenCase(issue_tag="long-wait")),
        tries(errors.UnknownIssueTag, "agent", lambda _: OpenCase(issue_tag="none", idempotency_key="k")),
        tries(
            errors.EmailInvalid,
            "agent",
            lambda _: OpenCase(issue_tag="long-wait", customer=named("x"), idempotency_key="k"),
        ),
    ),
    assign_case: (
        tries(errors.NotPermitted, "agent", lambda w: AssignCase(case_id=w.case, reason=WHY, team="desk")),
        tries(errors.CaseNotFound, "manager", lambda _: AssignCase(case_id=NOBODY, reason=WHY, team="desk")),
        tries(errors.InputInvalid, "manager", lambda w: AssignCase(case_id=w.case, reason="", team="desk")),
    ),
    take_case: (
        tries(errors.NotPermitted, "till", lambda w: TakeCase(case_id=w.case)),
        tries(errors.CaseClosed, "agent", lambda w: TakeCase(case_id=w.closed)),
    ),
    add_file: (
        tries(errors.NotPermitted, "till", _file),
        tries(errors.FileTypeRefused, "agent", _file),
        tries(errors.CaseNotFound, "agent", lambda w: _file(w, case_id=NOBODY, media_type="text/plain", content=b"A")),
    ),
    remove_file: (
        tries(errors.NotPermitted, "agent", lambda w: RemoveFile(case_id=w.case, file_id=NOBODY, reason=WHY)),
        tries(errors.CaseFileNotFound, "manager", lambda w: RemoveFile(case_id=w.case, file_id=NOBODY, reason=WHY)),
    ),
    add_task: (
        tries(errors.NotPermitted, "till", _task),
        tries(errors.CaseClosed, "agent", lambda w: _task(w, case_id=w.closed)),
        tries(errors.InputInvalid, "agent", lambda w: _task(w, title="")),
    ),
    finish_task: (
        tries(errors.TaskNotFound, "agent", lambda w: FinishTask(case_id=w.case, task_id=NOBODY, result="Done.")),
        tries(
            errors.TaskAlreadyDone, "agent", lambda w: FinishTask(case_id=w.case, task_id=w.finished, result="Done.")
        ),
        tries(errors.InputInvalid, "agent", lambda w: FinishTask(case_id=w.case, task_id=w.task, result="")),
    ),
    close_case: (
        tries(errors.CaseNotDocumented, "agent", lambda w: CloseCase(case_id=w.case, outcome="recovered", note="")),
        tries(errors.CaseClosed, "agent", lambda w: CloseCase(case_id=w.closed, outcome="recovered", note="Again.")),
    ),
    reopen_case: (
        tries(errors.NotPermitted, "agent", lambda w: ReopenCase(case_id=w.closed, reason=WHY)),
        tries(errors.CaseNotClosed, "manager", lambda w: ReopenCase(case_id=w.case, reason=WHY)),
    ),
    answer_questions: (
        tries(errors.CaseNotFound, "agent", lambda _: AnswerQuestions(case_id=NOBODY, story={"what": "It."})),
        tries(errors.InputInvalid, "agent", lambda w: AnswerQuestions(case_id=w.case, story={"why": "It."})),
    ),
    name_causes: (
        tries(errors.CaseNotFound, "agent", lambda _: NameCauses(case_id=NOBODY, causes=())),
        tries(
            errors.InputInvalid,
            "agent",
            lambda w: NameCauses(case_id=w.case, causes=(CauseNamed(cause="none", weight=1),)),
        ),
    ),
    name_responsible: (
        tries(errors.NotPermitted, "agent", lambda w: NameResponsible(case_id=w.case, kind="team")),
        tries(errors.InputInvalid, "manager", lambda w: NameResponsible(case_id=w.case, kind="weather")),
    ),
    add_note: (
        tries(errors.CaseNotFound, "agent", lambda _: AddNote(case_id=NOBODY, body="Hm.", idempotency_key="k")),
        tries(errors.InputInvalid, "agent", lambda w: AddNote(case_id=w.case, body="", idempotency_key="k")),
    ),
    judge_salvageable: (
        tries(
            errors.CaseNotFound,
            "agent",
            lambda _: JudgeSalvageable(case_id=NOBODY, salvageable=False, reason=WHY),
        ),
        tries(errors.InputInvalid, "agent", lambda w: JudgeSalvageable(case_id=w.case, salvageable=False, reason="")),
    ),
    do_step: (
        tries(errors.StepOutOfOrder, "agent", lambda w: DoStep(case_id=w.case, step="document")),
        tries(errors.CaseClosed, "agent", lambda w: DoStep(case_id=w.closed, step="apologize")),
        tries(errors.InputInvalid, "agent", lambda w: DoStep(case_id=w.case, step="dance")),
    ),
    apologize_to: (
        tries(
            errors.ChannelWithoutAddress,
            "agent",
            lambda w: Apologize(case_id=w.case, channel="email", idempotency_key="k"),
        ),
        tries(errors.CaseClosed, "agent", lambda w: Apologize(case_id=w.closed, channel="email", idempotency_key="k")),
    ),
    share_with_team: (
        tries(errors.CaseNotFound, "agent", lambda _: ShareWithTeam(case_id=NOBODY, team="desk", idempotency_key="k")),
        tries(errors.InputInvalid, "agent", lambda w: ShareWithTeam(case_id=w.case, team="none", idempotency_key="k")),
    ),
    share_by_link: (
        tries(errors.NotPermitted, "agent", lambda w: ShareByLink(case_id=w.case)),
        tries(errors.InputInvalid, "manager", lambda w: ShareByLink(case_id=w.case, days=0, idempotency_key="k")),
    ),
    end_share: (
        tries(errors.ShareNotFound, "agent", lambda w: EndShare(case_id=w.case, share_id=NOBODY)),
        tries(errors.NotPermitted, "till", lambda w: EndShare(case_id=w.case, share_id=NOBODY)),
    ),
    merge_case: (
        tries(errors.NotPermitted, "agent", lambda w: MergeCase(case_id=w.case, into_id=w.closed, reason=WHY)),
        tries(errors.InputInvalid, "manager", lambda w: MergeCase(case_id=w.case, into_id=w.case, reason=WHY)),
        tries(errors.CaseNotFound, "manager", lambda w: MergeCase(case_id=w.case, into_id=NOBODY, reason=WHY)),
    ),
    split_case: (
        tries(
            errors.UnknownIssueTag,
            "manager",
            lambda w: SplitCase(case_id=w.case, issue_tag="none", reason=WHY, idempotency_key="k"),
        ),
        tries(
            errors.CaseClosed,
            "manager",
            lambda w: SplitCase(case_id=w.closed, issue_tag="odd", reason=WHY, idempotency_key="k"),
        ),
    ),
    link_cases: (
        tries(errors.InputInvalid, "agent", lambda w: LinkCases(case_id=w.case, other_id=w.case)),
        tries(errors.CaseNotFound, "agent", lambda w: LinkCases(case_id=w.case, other_id=NOBODY)),
    ),
    open_incident: (
        tries(errors.NotPermitted, "agent", _incident),
        tries(errors.IncidentAlreadyOpen, "supervisor", _incident),
        tries(errors.UnknownIssueTag, "supervisor", lambda w: _incident(w, issue_tag="none")),
    ),
    attach_cases: (
        tries(errors.NotPermitted, "agent", lambda w: {"incident_id": w.incident}),
        tries(errors.IncidentNotFound, "supervisor", lambda _: {"incident_id": NOBODY}),
    ),
    close_incident: (
        tries(errors.NotPermitted, "agent", lambda w: {"incident_id": w.incident}),
        tries(errors.IncidentNotFound, "supervisor", lambda _: {"incident_id": NOBODY}),
    ),
    create_form: (
        tries(errors.NotPermitted, "agent", lambda _: CreateForm(label="Table 1")),
        tries(
            errors.UnknownIssueTag,
            "manager",
            lambda _: CreateForm(label="Table 1", issue_tag="none", idempotency_key="k"),
        ),
    ),
    close_form: (
        tries(errors.NotPermitted, "agent", lambda _: {"form_id": NOBODY}),
        tries(errors.FeedbackFormNotFound, "manager", lambda _: {"form_id": NOBODY}),
    ),
    ignore: (
        tries(errors.InputInvalid, "manager", lambda _: {"inbox_id": NOBODY, "reason": "boring"}),
        tries(errors.FeedbackNotWaiting, "manager", lambda _: {"inbox_id": NOBODY, "reason": "test"}),
    ),
    name_trouble: (
        tries(errors.NotPermitted, "till", lambda _: {"feedback_id": NOBODY, "issue_tag": "odd"}),
        tries(errors.FeedbackNotFound, "manager", lambda _: {"feedback_id": NOBODY, "issue_tag": "odd"}),
    ),
    take_in: (
        tries(errors.NotPermitted, "till", lambda _: {"commands": []}),
        tries(errors.NotPermitted, "finance", lambda _: {"commands": []}),
    ),
    take_in_raw: (
        tries(errors.NotPermitted, "till", lambda _: {"source": "tool", "raw": None}),
        tries(errors.NotPermitted, "finance", lambda _: {"source": "tool", "raw": None}),
    ),
    replay: (
        tries(errors.NotPermitted, "agent", lambda _: {"inbox_id": NOBODY, "mending": Mending()}),
        tries(errors.FeedbackNotWaiting, "manager", lambda _: {"inbox_id": NOBODY, "mending": Mending()}),
    ),
    create_user: (
        tries(errors.NotPermitted, "manager", lambda _: CreateUser(email=_NOBODYS, role="till")),
        tries(errors.EmailTaken, "admin", lambda _: CreateUser(email="lead@example.com", role="till")),
        tries(errors.InputInvalid, "admin", lambda _: CreateUser(email=_NOBODYS, role="king")),
    ),
    change_user: (
        tries(errors.NotPermitted, "manager", lambda _: ChangeUser(email="lead@example.com", role="till")),
        tries(errors.UserNotFound, "admin", lambda _: ChangeUser(email=_NOBODYS, role="till")),
    ),
    disable_user: (
        tries(errors.NotPermitted, "manager", lambda _: {"email": "lead@example.com"}),
        tries(errors.UserNotFound, "admin", lambda _: {"email": _NOBODYS}),
    ),
    enable_user: (
        tries(errors.NotPermitted, "manager", lambda _: {"email": "lead@example.com"}),
        tries(errors.UserNotFound, "admin", lambda _: {"email": "lead@example.com"}),
    ),
    reset_password: (
        tries(errors.NotPermitted, "manager", lambda _: {"email": "lead@example.com"}),
        tries(errors.UserNotFound, "admin", lambda _: {"email": _NOBODYS}),
    ),
    create_api_key: (
        tries(errors.NotPermitted, "manager", lambda _: CreateApiKey(name="A tool", role="till")),
        tries(errors.InputInvalid, "admin", lambda _: CreateApiKey(name="A tool", role="king")),
    ),
    revoke_api_key: (
        tries(errors.NotPermitted, "manager", lambda w: {"key_id": w.key.id}),
        tries(errors.ApiKeyNotFound, "admin", lambda _: {"key_id": NOBODY}),
    ),
    sign_in: (
        tries(errors.SignInFailed, "", lambda _: SignIn(email="lead@example.com", password="a guess")),
        tries(errors.SignInFailed, "", lambda _: SignIn(email=_NOBODYS, password="a guess")),
    ),
    revoke_session: (
        tries(errors.SessionNotFound, "lead", lambda _: {"session_id": NOBODY}),
        tries(errors.SessionNotFound, "admin", lambda _: {"session_id": NOBODY}),
    ),
}
