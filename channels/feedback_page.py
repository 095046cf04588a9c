"""The page on which customers say how it was, ``/f/<token>``: for a table, for a voucher, for a re-survey.

Opening it changes nothing, whatever stands in its address: mail scanners open every link, those with a score in them
too. What is pressed is sent, once. No sign-in, no script, no cookie: the link is what gives the right to send.
"""

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from channels.asking_words import AskingWords, asking_words
from channels.feedback_form import TRAP, Checked, Filled, Page, check, new_page, page_of, token_of
from channels.pages import current_core, current_throttle, keep_private, speech_of_browser
from channels.phrasing import Speech, speech_for
from channels.qr import qr_svg
from channels.words import LANGUAGES, language_of
from incentives.flows.respond import respond_to
from incentives.flows.take_in import Raw, TakeIn, take_in
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal, TooManyRequests
from incentives.kernel.throttle import network_of
from incentives.queries.feedback_page import FORM, SURVEY, VOUCHER, CustomerForm, customer_form, named_by

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_POSTS = "form-posts"
_KEPT_HEADERS = ("Accept-Language", "Content-Type", "User-Agent")


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the page ``/f/<token>``, its QR code, and the page that thanks."""
    pages = Blueprint("feedback_page", __name__, template_folder="templates")

    @pages.get("/f/<token>")
    def show(token: str) -> Response:
        return _show(core_provider(), token)

    @pages.post("/f/<token>")
    def send(token: str) -> Response:
        return _take(core_provider(), token)

    @pages.get("/f/<token>/thanks")
    def thanks(token: str) -> Response:
        return _thank(core_provider(), token)

    @pages.get("/f/<token>/qr.svg")
    def qr(token: str) -> Response:
        return _qr(core_provider(), token)

    pages.after_request(_protect)
    return pages


def _show(core: Core, token: str) -> Response:
    form = _form(core, token)
    if form is None:
        return _gone()
    if not form.is_open:
        return _closed(form)
    return _page(core, token, form, Filled(score=request.args.get("score", "")[:20]), Checked())


def _take(core: Core, token: str) -> Response:
    raw = _raw()  # before the form is read, or there would be nothing left to keep
    filled = Filled.from_fields(request.form, request.form.getlist("choices"))
    try:
        standing = current_throttle().hit(_POSTS, network_of(request.remote_addr))
    except TooManyRequests as refusal:
        return _busy(token, filled, int(refusal.facts["retry_after_seconds"]))
    form = _form(core, token)
    if form is None:
        return _gone()
    if not form.is_open:
        return _closed(form)
    return _send(core, token, form, filled, raw, crowded=standing.remaining * 2 < standing.limit.tries)


def _thank(core: Core, token: str) -> Response:
    form = _form(core, token)
    if form is None:
        return _gone()
    words = _words(form)
    lines = [words.thanks_body, words.thanks_change] if form.is_again else [words.thanks_body]
    return _told(_speech(form), words.thanks_title, lines, HTTPStatus.OK, brand=form.brand)


def _qr(core: Core, token: str) -> Response:
    """Return the code for the table, which staff print."""
    if _form(core, token) is None:
        return _gone()
    title = asking_words(speech_of_browser().tag).qr_title
    return Response(str(qr_svg(f"{core.settings.public_url}/f/{token}", title)), mimetype="image/svg+xml")


def said(error_status: int) -> Response:
    """Show an error of this page: what happened, and what to do next."""
    speech = speech_of_browser()
    words = asking_words(speech.tag)
    told = {
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (words.over_title, words.over_body),
        HTTPStatus.TOO_MANY_REQUESTS: (words.busy_title, words.busy_body),
    }
    ours = error_status >= HTTPStatus.INTERNAL_SERVER_ERROR or error_status == HTTPStatus.REQUEST_TIMEOUT
    otherwise = (words.failed_title, words.failed_body) if ours else (words.gone_title, words.gone_body)
    title, line = told.get(HTTPStatus(error_status), otherwise)
    return _told(speech, title, [line], error_status)


def _form(core: Core, token: str) -> CustomerForm | None:
    """Return the form behind a link. Raises ``TooManyRequests`` for a forged one from where many come from."""
    form = customer_form(core=core, token=token, language=speech_of_browser().tag)
    if form is None:
        current_throttle().hit("link-misses", network_of(request.remote_addr))
    return form


def _send(core: Core, token: str, form: CustomerForm, filled: Filled, raw: Raw, *, crowded: bool) -> Response:
    words, page = _words(form), page_of(core, form, filled.page)
    checked = check(core, form, words, filled, page, crowded=crowded)
    if checked.mistakes or page is None:
        kept = page if page is not None and "puzzle" not in checked.mistakes else None
        return _page(core, token, form, filled, checked, kept)
    (taken,) = take_in(core=core, actor=SYSTEM, commands=[_command(core, form, filled, page, raw)])
    if isinstance(taken, Refusal):
        mistakes = {"page": words.failed_body}
        return _page(core, token, form, filled, Checked(mistakes=mistakes, puzzle=checked.puzzle), page)
    if taken.act_now and taken.id is not None:
        respond_to(core=core, feedback_ids=[taken.id])
    return _see_other(url_for("feedback_page.thanks", token=token))


def _command(core: Core, form: CustomerForm, filled: Filled, page: Page, raw: Raw) -> TakeIn:
    """Return what the customer said. An answer to a re-survey is one and the same however often it is sent."""
    allowed = {each.key for each in form.choices}
    chosen = tuple(each for each in filled.choices if each in allowed)
    tags = chosen or ((form.issue_tag,) if form.issue_tag else ())
    customer = form.customer
    if form.kind == FORM:
        customer = named_by(filled.contact, name=filled.greeted_as, locale=_speech(form).tag)
    return TakeIn(
        source=form.source,
        external_id=str(form.subject_id if form.is_again else page.id),
        kind="survey",
        score=filled.score,
        scale=form.scale,
        comment=filled.comment or None,
        choices=chosen,
        issue_tags=tags,
        customer=customer,
        order_ref=form.order_ref,
        location=form.location,
        occurred_at=core.clock.now(),
        consent=filled.consent if form.kind == FORM else None,
        survey_id=form.subject_id if form.kind == SURVEY else None,
        form_id=form.subject_id if form.kind == FORM else None,
        voucher_id=form.subject_id if form.kind == VOUCHER else None,
        raw=raw,
    )


def _raw() -> Raw:
    """Return the request as it came, without what tells more of the customer than their answer."""
    body = request.get_data(cache=True)
    headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    return Raw(body=body, headers=headers, media_type=request.mimetype)


def _page(
    core: Core, token: str, form: CustomerForm, filled: Filled, checked: Checked, page: Page | None = None
) -> Response:
    """Show the form, empty or with what was typed and what is wrong with it."""
    words, speech = _words(form), _speech(form)
    page = page or new_page(core)
    question, worst, best = (words.again if form.is_again else words.first)[form.scale]
    left, right = (words.numbers[each] for each in page.puzzle)
    chosen = filled.score if filled.score in map(str, form.scores) else ""
    shown = render_template(
        "channels/feedback.html",
        token=token,
        form=form,
        words=words,
        speech=speech,
        question=question,
        worst=worst,
        best=best,
        chosen=chosen,
        filled=filled,
        mistakes=checked.mistakes,
        puzzle=words.puzzle_label.format(left=left, right=right) if checked.puzzle else "",
        trap=TRAP,
        asks_contact=form.kind == FORM,
        page_token=token_of(core, form, page),
    )
    return make_response(shown, HTTPStatus.UNPROCESSABLE_ENTITY if checked.mistakes else HTTPStatus.OK)


def _busy(token: str, filled: Filled, wait_seconds: int) -> Response:
    """Ask to wait, with everything that was typed kept on the page: no record is read, many are asking just now."""
    speech = speech_of_browser()
    words = asking_words(speech.tag)
    page = render_template("channels/feedback_busy.html", token=token, speech=speech, words=words, filled=filled)
    response = make_response(page, HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(wait_seconds)
    return response


def _gone() -> Response:
    return said(HTTPStatus.NOT_FOUND)


def _closed(form: CustomerForm) -> Response:
    words = _words(form)
    if form.is_again:
        return _told(_speech(form), words.closed_title, [words.closed_body], HTTPStatus.GONE, brand=form.brand)
    return _told(_speech(form), words.gone_title, [words.gone_body], HTTPStatus.GONE, brand=form.brand)


def _told(speech: Speech, title: str, lines: list[str], status: int, *, brand: str = "") -> Response:
    page = render_template("channels/alone.html", speech=speech, title=title, lines=lines, brand=brand)
    return make_response(page, status)


def _speech(form: CustomerForm) -> Speech:
    """Return the customer's own language where we know it and speak it, else the browser's."""
    return speech_for(form.locale) if language_of(form.locale) in LANGUAGES else speech_of_browser()


def _words(form: CustomerForm) -> AskingWords:
    return asking_words(_speech(form).tag)


def _see_other(address: str) -> Response:
    return make_response(redirect(address, HTTPStatus.SEE_OTHER))


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return keep_private(response)
