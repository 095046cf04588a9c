"""What this door answers when it says no: RFC 9457 problems, from the one table of refusals and statuses.

A refusal of the core becomes its problem; so do the errors of HTTP itself. Everything else is a bug: a problem that
says so with the request's id, and nothing more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from flask import Response, g, request
from werkzeug.exceptions import BadRequest, HTTPException

from incentives.kernel import errors
from incentives.kernel.errors import Refusal, slug_of

MEDIA_TYPE = "application/problem+json"

# The status of every refusal. A refusal that is missing here fails a test.
STATUSES: Mapping[type[Refusal], int] = {
    # who asks
    errors.NotAuthenticated: 401,
    errors.SignInFailed: 401,
    errors.NotPermitted: 403,
    errors.TooManyRequests: 429,
    errors.CsrfRejected: 403,
    # how it is asked
    errors.InputInvalid: 422,
    errors.IdempotencyKeyMissing: 400,
    errors.IdempotencyKeyReused: 422,
    errors.IdempotencyKeyInFlight: 409,
    errors.SettingsInvalid: 500,
    errors.StorageUnavailable: 503,
    errors.StorageNotMigrated: 503,
    errors.NotReady: 503,
    # catalog
    errors.CatalogInvalid: 422,
    errors.NoCatalog: 409,
    errors.ReleaseNotFound: 404,
    errors.ReleaseAlreadyDecided: 409,
    errors.UnknownIssueTag: 422,
    errors.UnknownIncentive: 422,
    errors.UnknownLocation: 422,
    errors.NoProtocol: 422,
    errors.IncentiveNotInProtocol: 422,
    errors.IncentiveNotOfferable: 422,
    errors.AmountNotAdjustable: 422,
    errors.AmountOutOfRange: 422,
    errors.AmountAboveProtocol: 422,
    # customers
    errors.EmailInvalid: 422,
    errors.PhoneInvalid: 422,
    errors.ChannelWithoutAddress: 422,
    errors.ContactCap: 429,
    # spending
    errors.NoBudget: 409,
    errors.BudgetExhausted: 409,
    errors.CustomerCapReached: 409,
    errors.ApprovalNotFound: 404,
    errors.ApprovalAlreadyDecided: 409,
    errors.ApprovalExpired: 409,
    errors.SelfApproval: 403,
    errors.ApprovalAmountInvalid: 422,
    errors.ApproverLimitExceeded: 403,
    # vouchers
    errors.IssuanceNotFound: 404,
    errors.CaseNotFound: 404,
    errors.CaseClosed: 409,
    errors.CaseOfAnotherCustomer: 422,
    errors.OtherLocation: 403,
    # working on cases
    errors.CaseNotClosed: 409,
    errors.CaseNotDocumented: 422,
    errors.IncidentNotFound: 404,
    errors.IncidentAlreadyOpen: 409,
    errors.IncidentOver: 409,
    errors.CaseOwned: 409,
    errors.StepOutOfOrder: 409,
    errors.StepAlreadyDone: 409,
    errors.TaskNotFound: 404,
    errors.TaskAlreadyDone: 409,
    errors.ShareNotFound: 404,
    errors.CaseFileNotFound: 404,
    errors.FileTypeRefused: 415,
    errors.FileTooLarge: 413,
    errors.TooManyFiles: 409,
    errors.FileUnsafe: 422,
    errors.ScannerUnavailable: 503,
    errors.FeedbackFormNotFound: 404,
    errors.BudgetRedefined: 409,
    errors.KeyRetired: 503,
    errors.CodeMalformed: 422,
    errors.VoucherNotFound: 404,
    errors.CodeRetired: 409,
    errors.AlreadyRedeemed: 409,
    errors.VoucherExpired: 409,
    errors.VoucherVoided: 409,
    errors.VoucherReserved: 409,
    errors.VoucherReplaced: 409,
    errors.CurrencyMismatch: 422,
    errors.OrderTotalMissing: 422,
    errors.NotUsableHere: 422,
    errors.RedemptionNotFound: 404,
    # what becomes of a voucher
    errors.VoucherNotFrozen: 409,
    errors.VoucherUsed: 409,
    errors.OverLimit: 403,
    errors.ExtensionTooLong: 422,
    errors.UndoOver: 409,
    errors.MessageOnItsWay: 409,
    errors.TooManyCopies: 409,
    # feedback
    errors.FeedbackNotFound: 404,
    errors.FeedbackNotUnderstood: 422,
    errors.FeedbackNotWaiting: 409,
    errors.UnknownSource: 404,
    # safeguards
    errors.IssuingStopped: 409,
    errors.RedeemingStopped: 409,
    errors.SwitchAlreadySet: 409,
    errors.SwitchNotFound: 404,
    errors.SwitchAlreadyLifted: 409,
    errors.OwnSwitch: 403,
    errors.BlockedBySafeguards: 409,
    errors.StepUpRequired: 403,
    errors.ReviewNotFound: 404,
    errors.ReviewAlreadyDecided: 409,
    errors.SelfReview: 403,
    errors.UnderReview: 409,
    errors.ListedValueNotFound: 404,
    errors.SuppressionNotFound: 404,
    errors.AlreadyListed: 409,
    errors.OwnListedValue: 403,
    # approvals
    errors.AlreadyVoted: 409,
    errors.NotYourLevel: 403,
    errors.NotDelegated: 403,
    errors.DelegationNotFound: 404,
    errors.DelegationEnded: 409,
    errors.CodeNotShown: 409,
    # people
    errors.EmailTaken: 409,
    errors.PasswordUnfit: 422,
    errors.UserNotFound: 404,
    errors.ApiKeyNotFound: 404,
    errors.SessionNotFound: 404,
    errors.NotFound: 404,
    # in bulk
    errors.BulkFileInvalid: 422,
    errors.BulkJobNotFound: 404,
    errors.BulkJobNotReady: 409,
    errors.BulkJobOfAnother: 403,
    errors.BulkRowBroke: 500,
    errors.AlreadyGivenForIncident: 409,
    # budgets
    errors.BudgetNotFound: 404,
    errors.BudgetPeriodOver: 409,
    errors.BudgetInUse: 409,
    errors.BudgetCurrencyMismatch: 422,
    errors.BreakGlassLimitReached: 409,
    errors.BudgetRequestNotFound: 404,
    errors.BudgetRequestAlreadyDecided: 409,
    # at the till
    errors.VoucherFrozen: 409,
    errors.SelfRedemption: 403,
    errors.RedeemerNotAllowed: 403,
    errors.OrderTooSmall: 422,
    errors.OrderItemsMissing: 422,
    errors.OrderRefMissing: 422,
    errors.NothingEligible: 422,
    errors.NotCombinable: 409,
    errors.ConditionNotMet: 422,
    errors.ReservationNotFound: 404,
    errors.ReservationLapsed: 409,
    errors.ReservationEnded: 409,
    errors.NotYourReservation: 403,
    errors.RedemptionAlreadyReversed: 409,
    errors.ReversalTooLate: 409,
    errors.AnnulmentTooLate: 409,
    errors.NotYourRedemption: 403,
    errors.RemainderUsed: 409,
    errors.CodeGone: 409,
    errors.OfferConditionNotMet: 422,
    errors.ExclusiveGroupTaken: 409,
    errors.TooManyOpen: 409,
    errors.ReleaseScheduled: 409,
    errors.EffectiveDateInvalid: 422,
    errors.ReleaseInForce: 409,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: what stays the same each time it happens."""

    slug: str
    status: int
    title: str
    next_step: str

    @property
    def type(self) -> str:
        """Return the URI reference that programs recognize it by."""
        return type_of(self.slug)


class MalformedJson(BadRequest):
    """The body is not JSON as RFC 8259 and I-JSON (RFC 7493) have it: its description says what is wrong."""


BAD_REQUEST = Kind("bad-request", 400, "The request cannot be read", "Check the request and send it again.")
MALFORMED_JSON = Kind(
    "malformed-json", 400, "The body is not JSON", "Send one JSON object in UTF-8, each name in it once."
)
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed", 405, "This address has no such method", "Use a method that the header Allow names."
)
BODY_TOO_LARGE = Kind("body-too-large", 413, "The body is too large", "Send less at once.")
WRONG_CONTENT_TYPE = Kind(
    "wrong-content-type",
    415,
    "The body's type is not understood",
    "Send JSON, uncompressed, with Content-Type: application/json.",
)
INTERNAL_ERROR = Kind(
    "internal-error",
    500,
    "Something went wrong on our side",
    "Send the same request again, with the same Idempotency-Key; if it goes on, report the request_id.",
)
HTTP_KINDS: Mapping[int, Kind] = {
    kind.status: kind
    for kind in (
        BAD_REQUEST,
        METHOD_NOT_ALLOWED,
        Kind("request-timeout", 408, "The request did not arrive in time", "Send it again."),
        Kind(
            "length-required",
            411,
            "The request does not say how long it is",
            "Send it with Content-Length: of what comes in pieces nobody could tell that its end is missing.",
        ),
        BODY_TOO_LARGE,
        Kind("address-too-long", 414, "The address is too long", "Shorten the query."),
        WRONG_CONTENT_TYPE,
        Kind("headers-too-large", 431, "The headers are too large", "Send fewer or shorter headers."),
        INTERNAL_ERROR,
        Kind("busy", 503, "Too many are sending at this moment", "Send the same request again in a second."),
    )
}


def kind_of(refusal: type[Refusal]) -> Kind:
    """Return a refusal's kind of problem."""
    return Kind(slug_of(refusal), STATUSES[refusal], refusal.title, refusal.next_step)


def type_of(slug: str) -> str:
    """Return the URI reference of a kind of problem by its slug."""
    return f"/problems/{slug}"


def all_kinds() -> list[Kind]:
    """Return every kind of problem by its slug, refusals and HTTP's own."""
    kinds = [*(kind_of(refusal) for refusal in STATUSES), *HTTP_KINDS.values(), MALFORMED_JSON]
    return sorted(kinds, key=lambda kind: kind.slug)


def status_of(refusal: Refusal) -> int:
    """Return a refusal's HTTP status."""
    return STATUSES[type(refusal)]


def render(error: Exception) -> Response:
    """Return the problem for an error, with the headers that belong to it; of a bug it says only that it is one."""
    if isinstance(error, Refusal):
        return _response(kind_of(type(error)), error.detail, _facts(error), _headers_of_refusal(error))
    if isinstance(error, HTTPException):
        return _of_http(error)
    return _response(INTERNAL_ERROR, f"{INTERNAL_ERROR.title}.", {}, {})


def members_of(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal's problem as an object, to stand in an answer that has several."""
    kind = kind_of(type(refusal))
    about = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": refusal.detail}
    return {**_facts(refusal), **about, "next_step": kind.next_step}


def _of_http(error: HTTPException) -> Response:
    status = error.code or INTERNAL_ERROR.status
    headers = {
        name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "content-length")
    }
    if isinstance(error, MalformedJson):
        return _response(MALFORMED_JSON, str(error.description), {}, headers)
    if status == HTTPStatus.NOT_FOUND:
        return _response(kind_of(errors.NotFound), f"{errors.NotFound.title}.", {}, headers)
    nearest = BAD_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else INTERNAL_ERROR
    kind = HTTP_KINDS.get(status, nearest)
    return _response(kind, f"{kind.title}.", {}, headers)


def _facts(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal's facts, with the field at fault both as ``field`` and in ``errors``, whichever it came with."""
    facts = dict(refusal.facts)
    if facts.get("errors") and "field" not in facts:
        facts |= {name: value for name, value in facts["errors"][0].items() if name == "field"}
    elif "field" in facts and "errors" not in facts:
        facts["errors"] = [{"field": facts["field"], "message": refusal.detail}]
    return facts


def _headers_of_refusal(refusal: Refusal) -> dict[str, str]:
    headers = {}
    if isinstance(refusal, errors.NotAuthenticated):
        # RFC 6750: no error is named to whoever sent no key at all.
        invalid = ', error="invalid_token"' if "Authorization" in request.headers else ""
        headers["WWW-Authenticate"] = f'Bearer realm="incentives"{invalid}'
    if "retry_after_seconds" in refusal.facts:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.facts["retry_after_seconds"])))
    return headers


def _response(kind: Kind, detail: str, facts: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    members = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "next_step": kind.next_step,
        "request_id": g.get("request_id", ""),
    }
    problem = {**members, **{name: fact for name, fact in facts.items() if name not in members}}
    return Response(orjson.dumps(problem), kind.status, dict(headers), content_type=MEDIA_TYPE)


def catalog_page() -> str:
    """Return ``docs/problems.md``: every kind of problem that this API answers with."""
    rows = "\n".join(f"| `{kind.slug}` | {kind.status} | {kind.title} | {kind.next_step} |" for kind in all_kinds())
    return _PAGE.format(rows=rows)


_PAGE = """# Problems

Made from the table in `api/problems.py`; a test compares the two.

Every error of the API is a problem as RFC 9457 has it, of the type `application/problem+json`. Programs go by `type`,
which is `/problems/` and one of the names below, and never changes; `title`, `detail` and `next_step` are for people.
`request_id` finds the request in the log. `field` names the field at fault, `errors` lists every such field, or line
of a file, with a message. Whatever else is known about the case stands beside them: which budget, when and where it was
redeemed, how many seconds to wait. A refused request has changed nothing and charged nothing.

| type | status | what is so | what to do |
|---|---|---|---|
{rows}
"""
