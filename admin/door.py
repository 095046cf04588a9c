"""The staff's door: hangs every page into the application, and shows errors as pages."""

from http import HTTPStatus

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from admin import (
    approval_absences,
    approvals,
    audit,
    bulk,
    case_files,
    case_lead,
    case_page,
    case_work,
    cases,
    catalog,
    catalog_releases,
    criteria,
    feedback,
    feedback_forms,
    feedback_report,
    feedback_try,
    feedback_waiting,
    finance,
    finance_budget,
    finance_requests,
    guard,
    incidents,
    pages,
    plain,
    reports,
    reports_trends,
    reports_worth,
    safeguards,
    safeguards_lists,
    safeguards_reviews,
    scan,
    shared_case,
    sign_in,
    staff,
    suppressions,
    vouchers,
    words,
)
from incentives.kernel.errors import Refusal

_BLUEPRINTS = (
    sign_in.blueprint,
    staff.blueprint,
    approvals.blueprint,
    approval_absences.blueprint,
    scan.blueprint,
    vouchers.blueprint,
    cases.blueprint,
    case_page.blueprint,
    case_work.blueprint,
    case_lead.blueprint,
    case_files.blueprint,
    shared_case.blueprint,
    reports.blueprint,
    reports_trends.blueprint,
    reports_worth.blueprint,
    incidents.blueprint,
    safeguards.blueprint,
    safeguards_reviews.blueprint,
    safeguards_lists.blueprint,
    suppressions.blueprint,
    bulk.blueprint,
    finance.blueprint,
    audit.blueprint,
    finance_budget.blueprint,
    finance_requests.blueprint,
    catalog.blueprint,
    catalog_releases.blueprint,
    criteria.blueprint,
    feedback.blueprint,
    feedback_forms.blueprint,
    feedback_report.blueprint,
    feedback_try.blueprint,
    feedback_waiting.blueprint,
)

_FOREVER_SECONDS = 365 * 24 * 3600

# For errors that are no refusal of ours: sign, title, what to do.
_WORDS = {
    HTTPStatus.BAD_REQUEST: (
        "alert",
        "The page could not read what was sent",
        "Go back, reload the page and send it again.",
    ),
    HTTPStatus.UNAUTHORIZED: (
        "lock",
        "You are not signed in",
        "Sign in, then do it again. Nothing was done.",
    ),
    HTTPStatus.FORBIDDEN: (
        "lock",
        "Your role may not do this",
        "Ask someone whose role may, or an administrator.",
    ),
    HTTPStatus.NOT_FOUND: (
        "search",
        "There is nothing here",
        "Check the address, or begin at the first page.",
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "alert",
        "That does not work this way",
        "Go back and use the buttons of the page.",
    ),
    HTTPStatus.CONFLICT: ("alert", "Somebody was faster", "Reload the page to see what is so now."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("alert", "That is too much at once", "Send less, and try again."),
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        "alert",
        "Some of what was sent cannot be used",
        "Go back, correct it and send it again.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: ("hourglass", "Too many tries", "Wait a minute, then try again."),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "alert",
        "Something broke on our side",
        "It was noted. Try again in a moment; nothing is ever given twice.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "hourglass",
        "The records cannot be reached right now",
        "Nothing was done. Try again in a few seconds; nothing is ever given twice.",
    ),
}


def hang(app: Flask) -> None:
    """Hang the staff's pages into an application that has its core in ``extensions["core"]``.

    Raises ``RuntimeError`` when a page does not say what it asks of a person: it would be open to everybody.
    """
    files = Blueprint(
        "staff_files",
        __name__,
        static_folder="static",
        static_url_path="/static/staff",
        template_folder="templates",
    )
    files.after_request(_keep_for_good)
    app.register_blueprint(files)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.add_template_global(pages.asset, "admin_asset")
    app.add_template_filter(words.initials, "staff_initials")
    _refuse_open_pages(app)


def owns(path: str) -> bool:
    """Return whether an address belongs to the staff, so that its errors are shown as staff pages."""
    first = path.strip("/").partition("/")[0]
    return first in {
        "",
        "sign-in",
        "sign-out",
        "sessions",
        "staff",
        "approvals",
        "scan",
        "vouchers",
        "cases",
        "shared",
        "criteria",
        "finance",
        "incidents",
        "bulk",
        "reports",
        "safeguards",
        "catalog",
        "feedback",
    }


def endpoints(app: Flask) -> list[str]:
    """Return the endpoints of the staff's pages, without the files they load."""
    names = {blueprint.name for blueprint in _BLUEPRINTS}
    return [name for name in app.view_functions if name.partition(".")[0] in names]


def render_error(error: Exception, status: int) -> Response:
    """Show an error as a page: what is so, what to do, and a number to ask for help with; nothing else leaks."""
    guard.recognize_for_error(status)
    sign, title, next_step = _WORDS.get(HTTPStatus(status), _WORDS[HTTPStatus.INTERNAL_SERVER_ERROR])
    detail = ""
    if isinstance(error, Refusal):
        title, detail, next_step = plain.title(error), plain.detail(error), plain.next_step(error)
    response = pages.show(
        "error.html",
        status,
        sign=sign,
        title=title,
        detail=detail,
        next_step=next_step,
        status_number=status,
        request_id=_short_id(),
    )
    return _with_headers(response, error)


def _with_headers(response: Response, error: Exception) -> Response:
    """Keep what the error says to programs: which methods there are, and when to come back."""
    if isinstance(error, Refusal):
        return pages.with_wait(response, error)
    if isinstance(error, HTTPException):
        response.headers.extend(
            {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
        )
    return response


def _short_id() -> str:
    return str(g.get("request_id") or "")[:12]


def _refuse_open_pages(app: Flask) -> None:
    for name in endpoints(app):
        if guard.guard_of(app.view_functions[name]) is None:
            raise RuntimeError(f"The page {name} does not say who may see it: give it @page(permission=...).")


def _keep_for_good(response: Response) -> Response:
    if request.args.get("v"):
        response.headers["Cache-Control"] = f"public, max-age={_FOREVER_SECONDS}, immutable"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
