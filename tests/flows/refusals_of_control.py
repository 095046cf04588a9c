"""How each deed that agrees, stops, allots or publishes is refused; ``test_refusals_leave_nothing`` does them."""

import io

from incentives.flows.approve import DecideApproval, decide_approval, decide_approvals
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    WithdrawBudgetRequest,
    decide_budget_request,
    propose_budget_change,
    withdraw_budget_request,
)
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import retry_job, start_job, stop_job
from incentives.flows.delegate import CreateDelegation, RevokeDelegation, create_delegation, revoke_delegation
from incentives.flows.listing import add_listed, import_listed, remove_listed
from incentives.flows.publish import (
    ApproveRelease,
    ProposeCatalog,
    RollBack,
    WithdrawRelease,
    approve_release,
    propose_catalog,
    roll_back,
    withdraw_release,
)
from incentives.flows.review import DecideReview, decide_review
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.flows.withdraw_request import WithdrawRequest, withdraw_request
from incentives.kernel import errors
from tests.flows.refusal_world import NOBODY, World
from tests.flows.refusing import Table, tries

WHY = "Because."
_MONTH = PotName(budget="month")


def _more(**said: object) -> ProposeBudgetChange:
    return ProposeBudgetChange(**{"kind": "top_up", "pot": _MONTH, "amount_minor": 100, "reason": WHY, **said})  # type: ignore[arg-type]  # of each its own


def _file(text: bytes, **said: object) -> LoadJob:
    return LoadJob(file=io.BytesIO(text), format="ndjson", **said)  # type: ignore[arg-type]  # of each its own


def _away(w: World, **said: object) -> CreateDelegation:
    usual = {"delegate_email": "boss@example.com", "ends_at": w.in_days(2), "reason": WHY, "idempotency_key": "k"}
    return CreateDelegation(**{**usual, **said})


CONTROL: Table = {
    decide_approval: (
        tries(errors.NotPermitted, "agent", lambda w: DecideApproval(approval_id=w.asked, decision="grant")),
        tries(
            errors.ApprovalNotFound,
            "manager",
            lambda _: DecideApproval(approval_id=NOBODY, decision="grant", idempotency_key="k"),
        ),
        tries(
            errors.SelfApproval,
            "supervisor",
            lambda w: DecideApproval(approval_id=w.asked_by_supervisor, decision="grant", idempotency_key="k"),
        ),
        tries(
            errors.ApprovalAlreadyDecided,
            "manager",
            lambda w: DecideApproval(approval_id=w.declined, decision="grant", idempotency_key="k"),
        ),
        tries(
            errors.ApprovalAmountInvalid,
            "manager",
            lambda w: DecideApproval(approval_id=w.asked, decision="grant", amount_minor=3001, idempotency_key="k"),
        ),
        tries(
            errors.IncentiveNotOfferable,
            "manager",
            lambda w: DecideApproval(approval_id=w.asked, decision="grant", incentive="dollars", idempotency_key="k"),
        ),
        tries(errors.ApprovalNotFound, "leeds", lambda w: DecideApproval(approval_id=w.asked, decision="decline")),
    ),
    decide_approvals: (
        tries(errors.NotPermitted, "agent", lambda _: {"commands": []}),
        tries(
            errors.ApprovalNotFound,
            "manager",
            lambda _: {"commands": [DecideApproval(approval_id=NOBODY, decision="grant", idempotency_key="k")]},
        ),
        tries(
            errors.ApprovalAlreadyDecided,
            "manager",
            lambda w: {"commands": [DecideApproval(approval_id=w.declined, decision="grant")]},
        ),
    ),
    withdraw_request: (
        tries(errors.NotPermitted, "finance", lambda w: WithdrawRequest(approval_id=w.asked)),
        tries(
            errors.ApprovalAlreadyDecided,
            "agent",
            lambda w: WithdrawRequest(approval_id=w.declined, idempotency_key="k"),
        ),
        tries(errors.InputInvalid, "manager", lambda w: WithdrawRequest(approval_id=w.asked, idempotency_key="k")),
    ),
    create_delegation: (
        tries(errors.NotPermitted, "agent", _away),
        tries(errors.UserNotFound, "lead", lambda w: _away(w, delegate_email="nobody@example.com")),
        tries(errors.InputInvalid, "lead", lambda w: _away(w, ends_at=w.in_days(100))),
        tries(errors.NotPermitted, "boss", lambda w: _away(w, absent_email="lead@example.com")),
    ),
    revoke_delegation: (
        tries(errors.DelegationNotFound, "lead", lambda _: RevokeDelegation(delegation_id=NOBODY)),
        tries(errors.DelegationEnded, "lead", lambda w: RevokeDelegation(delegation_id=w.over)),
        tries(errors.NotPermitted, "agent", lambda w: RevokeDelegation(delegation_id=w.absence)),
    ),
    propose_budget_change: (
        tries(errors.NotPermitted, "agent", lambda _: _more(idempotency_key="k")),
        tries(errors.BudgetNotFound, "finance", lambda _: _more(pot=PotName(budget="none"), idempotency_key="k")),
        tries(
            errors.BudgetInUse,
            "finance",
            lambda _: _more(kind="adjustment", amount_minor=-10_000_000, idempotency_key="k"),
        ),
        tries(
            errors.BreakGlassLimitReached,
            "finance",
            lambda _: _more(kind="break_glass", amount_minor=100_000, idempotency_key="k"),
        ),
    ),
    decide_budget_request: (
        tries(errors.NotPermitted, "manager", lambda w: DecideBudgetRequest(request_id=w.request, decision="approve")),
        tries(
            errors.SelfApproval,
            "finance",
            lambda w: DecideBudgetRequest(request_id=w.request, decision="approve", idempotency_key="k"),
        ),
        tries(
            errors.BudgetRequestAlreadyDecided,
            "admin",
            lambda w: DecideBudgetRequest(request_id=w.decided, decision="approve", idempotency_key="k"),
        ),
    ),
    withdraw_budget_request: (
        tries(errors.BudgetRequestNotFound, "finance", lambda _: WithdrawBudgetRequest(request_id=NOBODY)),
        tries(errors.BudgetRequestAlreadyDecided, "finance", lambda w: WithdrawBudgetRequest(request_id=w.decided)),
        tries(errors.NotPermitted, "manager", lambda w: WithdrawBudgetRequest(request_id=w.request)),
    ),
    set_switch: (
        tries(errors.NotPermitted, "agent", lambda _: SetSwitch(stops="issuing", scope="organization", reason=WHY)),
        tries(
            errors.SwitchAlreadySet,
            "finance",
            lambda _: SetSwitch(stops="issuing", scope="team", subject="desk", reason=WHY),
        ),
        tries(
            errors.OtherLocation,
            "supervisor",
            lambda _: SetSwitch(stops="issuing", scope="organization", reason=WHY),
        ),
        tries(errors.InputInvalid, "finance", lambda _: SetSwitch(stops="issuing", scope="organization", reason="")),
    ),
    lift_switch: (
        tries(errors.NotPermitted, "agent", lambda w: {"switch_id": w.switch, "reason": WHY}),
        tries(errors.SwitchNotFound, "manager", lambda _: {"switch_id": NOBODY, "reason": WHY}),
        tries(errors.SwitchAlreadyLifted, "manager", lambda w: {"switch_id": w.lifted, "reason": WHY}),
    ),
    decide_review: (
        tries(errors.NotPermitted, "agent", lambda w: DecideReview(review_id=w.review, decision="release")),
        tries(errors.ReviewNotFound, "manager", lambda _: DecideReview(review_id=NOBODY, decision="release")),
        tries(
            errors.InputInvalid,
            "manager",
            lambda w: DecideReview(review_id=w.review, decision="note", note="Hm.", idempotency_key="k"),
        ),
        tries(errors.InputInvalid, "manager", lambda w: DecideReview(review_id=w.review, decision="block")),
    ),
    add_listed: (
        tries(errors.NotPermitted, "supervisor", lambda w: w.listing),
        tries(errors.AlreadyListed, "finance", lambda w: w.listing),
    ),
    remove_listed: (
        tries(errors.NotPermitted, "supervisor", lambda w: {"listed_id": w.listed, "reason": WHY}),
        tries(errors.ListedValueNotFound, "finance", lambda _: {"listed_id": NOBODY, "reason": WHY}),
        tries(errors.InputInvalid, "finance", lambda w: {"listed_id": w.listed, "reason": " "}),
    ),
    lift_suppression: (
        tries(errors.NotPermitted, "supervisor", lambda w: LiftSuppression(id=w.suppressed, reason=WHY)),
        tries(errors.SuppressionNotFound, "manager", lambda _: LiftSuppression(id=NOBODY, reason=WHY)),
        tries(errors.InputInvalid, "manager", lambda w: LiftSuppression(id=w.suppressed, reason=" ")),
    ),
    import_listed: (
        tries(errors.NotPermitted, "supervisor", lambda _: {"list_name": "deny", "text": "kind,value,reason\n"}),
        tries(errors.InputInvalid, "finance", lambda _: {"list_name": "deny", "text": "what,is,this\n1,2,3\n"}),
        tries(errors.InputInvalid, "finance", lambda _: {"list_name": "none", "text": "kind,value,reason\n"}),
    ),
    load_job: (
        tries(errors.NotPermitted, "agent", lambda _: _file(b"{}")),
        tries(errors.BulkFileInvalid, "boss", lambda _: _file(b'{"issue_tag": "long-wait"}\nnot json\n')),
        tries(errors.BulkFileInvalid, "boss", lambda _: _file(b"")),
        tries(errors.InputInvalid, "boss", lambda _: _file(b"{}\n", mode="sometimes")),
        tries(
            errors.IncidentNotFound,
            "boss",
            lambda _: _file(b'{"order_ref": "A"}\n', incident_id=NOBODY),
        ),
    ),
    start_job: (
        tries(errors.NotPermitted, "agent", lambda w: {"job_id": w.job}),
        tries(errors.BulkJobNotFound, "boss", lambda _: {"job_id": NOBODY}),
        tries(errors.BulkJobOfAnother, "manager", lambda w: {"job_id": w.job}),
    ),
    stop_job: (
        tries(errors.NotPermitted, "agent", lambda w: {"job_id": w.job}),
        tries(errors.BulkJobNotFound, "boss", lambda _: {"job_id": NOBODY}),
        tries(errors.BulkJobNotReady, "boss", lambda w: {"job_id": w.stopped_job}),
    ),
    retry_job: (
        tries(errors.BulkJobNotFound, "boss", lambda _: {"job_id": NOBODY}),
        tries(errors.BulkJobNotReady, "boss", lambda w: {"job_id": w.job}),
        tries(errors.BulkJobOfAnother, "manager", lambda w: {"job_id": w.job}),
    ),
    propose_catalog: (
        tries(errors.NotPermitted, "agent", lambda _: ProposeCatalog(text="{}")),
        tries(errors.CatalogInvalid, "manager", lambda _: ProposeCatalog(text="{}")),
    ),
    roll_back: (
        tries(errors.NotPermitted, "agent", lambda _: RollBack(number=1, reason=WHY)),
        tries(errors.ReleaseNotFound, "manager", lambda _: RollBack(number=99, reason=WHY)),
        tries(errors.ReleaseInForce, "manager", lambda _: RollBack(number=1, reason=WHY)),
    ),
    approve_release: (
        tries(errors.NotPermitted, "agent", lambda w: ApproveRelease(number=w.draft)),
        tries(errors.SelfApproval, "manager", lambda w: ApproveRelease(number=w.draft)),
        tries(errors.ReleaseNotFound, "finance", lambda _: ApproveRelease(number=99)),
        tries(errors.ReleaseAlreadyDecided, "finance", lambda _: ApproveRelease(number=1)),
    ),
    withdraw_release: (
        tries(errors.NotPermitted, "agent", lambda w: WithdrawRelease(number=w.draft, reason=WHY)),
        tries(errors.ReleaseNotFound, "manager", lambda _: WithdrawRelease(number=99, reason=WHY)),
        tries(errors.ReleaseAlreadyDecided, "manager", lambda _: WithdrawRelease(number=1, reason=WHY)),
    ),
}
