"""What Twilio passes on to us: a customer's SMS. A digit answers the question that we sent; everything else is let be.

Twilio asks ``POST /providers/twilio/incoming`` (set it as the number's or the messaging service's webhook) and signs
each request with the account's auth token over our public address, so that nobody else can answer for a customer.
"""

import re
import unicodedata
from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from channels.pages import current_core, current_throttle
from channels.twilio_sms import is_signed
from incentives.flows.respond import respond_to
from incentives.flows.take_in import Raw, TakeIn, take_in
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.throttle import network_of
from incentives.queries.feedback_page import CustomerForm, form_of_number

PATH = "/providers/twilio/incoming"

_NOTHING_TO_SAY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
_ANSWER = re.compile(r"([0-9]{1,3})(?:[\s.,;:!)\-]+(.*))?", re.DOTALL)
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_KEYCAP = str.maketrans("", "", "\ufe0f\u20e3")
_COMMENT_LONGEST = 1600  # Twilio's own limit for what it passes on


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the address that Twilio calls; there is none where Twilio is not set up."""
    calls = Blueprint("twilio_incoming", __name__)

    @calls.post(PATH)
    def incoming() -> Response:
        core = core_provider()
        if not core.settings.twilio_auth_token:
            abort(HTTPStatus.NOT_FOUND)
        raw = Raw(body=request.get_data(cache=True), headers={}, media_type=request.mimetype)
        if not _is_signed(core):
            current_throttle().hit("link-misses", network_of(request.remote_addr))
            return Response("The signature is not Twilio's.", HTTPStatus.FORBIDDEN, mimetype="text/plain")
        _hear(core, request.form.get("From", ""), request.form.get("Body", ""), raw)
        return Response(_NOTHING_TO_SAY, mimetype="text/xml")

    return calls


def answer_in(text: str) -> tuple[str, str] | None:
    """Return the score that an SMS begins with and what it says besides, or None: ``STOP`` is no score.

    ``4``, a full-width or keycap four and ``4! Thank you`` are fours; ``4th time!`` and ``about 4`` are none.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_KEYCAP)).strip()
    digits = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in plain[:3])
    found = _ANSWER.fullmatch(digits + plain[3:])
    return (str(int(found[1])), (found[2] or "").strip()) if found else None


def _is_signed(core: Core) -> bool:
    """Return whether Twilio signed this very request for our public address, whatever proxy it came through."""
    address = core.settings.public_url + request.full_path.rstrip("?")
    signature = request.headers.get("X-Twilio-Signature", "")
    return is_signed(core.settings.twilio_auth_token, address, request.form, signature)


def _hear(core: Core, sender: str, text: str, raw: Raw) -> None:
    """Take an answer in, if it is one: the same SMS once more, or the same score, changes nothing."""
    answer = answer_in(text)
    form = form_of_number(core=core, phone=sender) if answer and _NUMBER.fullmatch(sender) else None
    if answer is None or form is None or not form.scores[0] <= int(answer[0]) <= form.scores[-1]:
        return
    (taken,) = take_in(core=core, actor=SYSTEM, commands=[_command(core, form, answer, raw)])
    if not isinstance(taken, Refusal) and taken.act_now and taken.id is not None:
        respond_to(core=core, feedback_ids=[taken.id])


def _command(core: Core, form: CustomerForm, answer: tuple[str, str], raw: Raw) -> TakeIn:
    """Return the answer as the page would send it, so that one given here can be changed there."""
    score, said = answer
    comment = "".join(each for each in said if unicodedata.category(each) not in ("Cc", "Cs") or each == "\n")
    return TakeIn(
        source=form.source,
        external_id=str(form.subject_id),
        score=score,
        scale=form.scale,
        comment=comment[:_COMMENT_LONGEST] or None,
        issue_tags=(form.issue_tag,) if form.issue_tag else (),
        customer=form.customer,
        order_ref=form.order_ref,
        location=form.location,
        occurred_at=core.clock.now(),
        survey_id=form.subject_id,
        raw=raw,
    )
