"""What Twilio passes on to us: a customer's SMS. A digit is an answer, ``STOP`` is heeded, everything else is let be.

Twilio asks ``POST /providers/twilio/incoming`` (set it as the number's or the messaging service's webhook) and signs
each request with its account's secret over our public address, so that nobody else can answer for a customer.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from channels.pages import current_core
from channels.twilio_signature import REFUSED, is_set_up, signed_by
from incentives.flows.hear import START, STOP, OptOut, hear_opt_out
from incentives.flows.respond import respond_to
from incentives.flows.take_in import Raw, TakeIn, take_in
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.queries.feedback_page import CustomerForm, form_of_number

PATH = "/providers/twilio/incoming"

_NOTHING_TO_SAY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
_ANSWER = re.compile(r"([0-9]{1,3})(?:[\s.,;:!)\-]+(.*))?", re.DOTALL)
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_KEYCAP = str.maketrans("", "", "\ufe0f\u20e3")
_SID = re.compile(r"[A-Za-z0-9]{2,64}")
# What Twilio itself heeds: https://help.twilio.com/articles/223134027. "YES" could be an answer, and is left to Twilio.
_STOP_WORDS = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
_START_WORDS = {"START", "UNSTOP"}
_COMMENT_LONGEST = 1600  # Twilio's own limit for what it passes on


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the address that Twilio calls; there is none where Twilio is not set up."""
    calls = Blueprint("twilio_incoming", __name__)

    @calls.post(PATH)
    def incoming() -> Response:
        core = core_provider()
        if not is_set_up(core):
            abort(HTTPStatus.NOT_FOUND)
        raw = Raw(body=request.get_data(cache=True), headers={}, media_type=request.mimetype)
        account = signed_by(core)
        if account is None:
            return Response(REFUSED, HTTPStatus.FORBIDDEN, mimetype="text/plain")
        word = opt_out_in(request.form.get("OptOutType", ""), request.form.get("Body", ""))
        if word is None:
            _hear(core, request.form.get("From", ""), request.form.get("Body", ""), raw)
        else:
            _heed(core, word, request.form, account)
        return Response(_NOTHING_TO_SAY, mimetype="text/xml")

    return calls


def opt_out_in(kind: str, text: str) -> str | None:
    """Return what an SMS says of being written to: ``STOP``, ``START``, or None where it says something else.

    Where Twilio's own opt-out is set up, it says itself (``kind``) what it took a message for, in whatever language.
    """
    if kind:
        return kind if kind in (STOP, START) else None
    word = unicodedata.normalize("NFKC", text).strip().upper()
    return STOP if word in _STOP_WORDS else START if word in _START_WORDS else None


def answer_in(text: str) -> tuple[str, str] | None:
    """Return the score that an SMS begins with and what it says besides, or None: ``STOP`` is no score.

    ``4``, a full-width or keycap four and ``4! Thank you`` are fours; ``4th time!`` and ``about 4`` are none.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_KEYCAP)).strip()
    digits = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in plain[:3])
    found = _ANSWER.fullmatch(digits + plain[3:])
    return (str(int(found[1])), (found[2] or "").strip()) if found else None


def _heed(core: Core, word: str, form: Mapping[str, str], account: str) -> None:
    """Send nothing more to whoever wants no more; to whoever wants it again, as before."""
    sender, sid = form.get("From", ""), form.get("MessageSid", "")
    if _NUMBER.fullmatch(sender) and _SID.fullmatch(sid):
        told = OptOut(provider=account, channel="sms", word=word, event_key=f"{sid}:{word}", address=sender)
        hear_opt_out(core=core, opt_out=told)


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
