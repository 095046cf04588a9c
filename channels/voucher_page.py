"""The customer's page of a voucher, ``/v/<token>``: no sign-in, no script, and opening it changes nothing.

Mail scanners and link previews open every link, so there is nothing here that an opening could use up.
Whoever has no usable voucher learns nothing: an unknown, foreign or malformed link and a used, expired or
withdrawn voucher get one and the same answer. The reason is for staff, who can look it up.
"""

import contextlib
from collections.abc import Callable

from flask import Blueprint, Response, make_response, render_template, request

from channels.pages import current_core, current_throttle, keep_private, not_shown, speech_of_browser
from channels.phrasing import Speech, expiry_text, speech_for, value_text, where_text
from channels.qr import qr_svg
from channels.rendering import one_line, paragraphs, spelled
from channels.words import LANGUAGES, language_of
from incentives.kernel.core import Core
from incentives.kernel.errors import TooManyRequests
from incentives.kernel.throttle import network_of
from incentives.queries.links import is_our_link
from incentives.queries.vouchers import CustomerVoucher, customer_voucher

Show = Callable[[CustomerVoucher, Speech], Response]


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the pages ``/v/<token>`` and ``/v/<token>/qr.svg``, and this door's style sheets."""
    pages = Blueprint(
        "voucher_page",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/customer/static",
    )

    @pages.get("/v/<token>")
    def show(token: str) -> Response:
        return _answer(core_provider(), token, _page)

    @pages.get("/v/<token>/qr.svg")
    def qr(token: str) -> Response:
        return _answer(core_provider(), token, _qr)

    pages.after_request(_keep_private)
    return pages


def _answer(core: Core, token: str, show: Show) -> Response:
    """Show the voucher behind a link. Raises ``TooManyRequests`` for a forged link from where many come from.

    A link that we signed is never refused: many customers share an address, and one of them may open garbage.
    """
    voucher = customer_voucher(core=core, token=token)
    if voucher is not None:
        return show(voucher, _speech_for(voucher))
    _count(core, token)
    return not_shown()


def _count(core: Core, token: str) -> None:
    """Count a link that shows nothing; one that we signed too, so that it takes as long, but it is never refused."""
    network = network_of(request.remote_addr)
    if not is_our_link(core=core, token=token):
        current_throttle().hit("link-misses", network)
        return
    with contextlib.suppress(TooManyRequests):
        current_throttle().hit("link-ends", network)


def _speech_for(voucher: CustomerVoucher) -> Speech:
    """Return the customer's language as it was given with the voucher, else the browser's."""
    return speech_for(voucher.locale) if language_of(voucher.locale) in LANGUAGES else speech_of_browser()


def _page(voucher: CustomerVoucher, speech: Speech) -> Response:
    page = render_template(
        "channels/voucher.html",
        speech=speech,
        words=speech.words,
        voucher=voucher,
        value=one_line(value_text(voucher, speech)) or voucher.title,
        apology=paragraphs(voucher.apology),
        note=paragraphs(voucher.personal_note or ""),
        terms=paragraphs(voucher.terms),
        where=where_text(voucher.where_to_use, voucher.brand, speech),
        uses=_uses_left(voucher, speech),
        expiry=expiry_text(voucher.expires_at, voucher.time_zone, speech),
        spelled=speech.words.spelled.format(code=spelled(voucher.code)),
        qr=qr_svg(voucher.url, speech.words.qr_title),
    )
    return make_response(page)


def _uses_left(voucher: CustomerVoucher, speech: Speech) -> str:
    """Return how often it can be used yet; nothing where it was never more than once."""
    if voucher.max_redemptions == 1:
        return ""
    if voucher.uses_left == 1:
        return speech.words.uses_left_one
    return speech.words.uses_left_many.format(count=voucher.uses_left)


def _qr(voucher: CustomerVoucher, speech: Speech) -> Response:
    return Response(str(qr_svg(voucher.url, speech.words.qr_title)), mimetype="image/svg+xml")


def _keep_private(response: Response) -> Response:
    """Protect the pages; the style sheets may be kept by whoever wants to."""
    return response if request.endpoint == "voucher_page.static" else keep_private(response)
