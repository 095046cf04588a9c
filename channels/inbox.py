"""The inbox, ``/inbox``: what customers would have got, where no provider is set up. Development only.

Nothing of a message is stored: each is rendered again from its voucher when it is looked at, by the same code
that renders it for sending.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, abort, make_response, render_template
from markupsafe import Markup, escape

from channels.pages import current_core, keep_private
from channels.rendering import RenderedEmail, RenderedSms, render_email, render_sms
from channels.sms_text import ONE_PART, SmsSize, size_of
from incentives.kernel.core import Core
from incentives.messages.port import AnyLetter, BooksLetter, BudgetLetter, NoticeLetter, ProviderLetter, SafetyLetter
from incentives.queries.inbox import CapturedLetter, captured_letter, captured_letters

_SHOWN_AT_ONCE = 50

# An email brings its own inline styles. It still may not run, load or send anything.
_EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class _Message:
    """One captured message as the list shows it."""

    letter: AnyLetter
    captured_at: datetime
    email: RenderedEmail | None
    sms: RenderedSms | None

    @property
    def sms_size(self) -> SmsSize:
        """Return what the SMS would cost."""
        return size_of(self.sms.text if self.sms else "")

    @property
    def sms_room(self) -> int:
        """Return how many units one SMS of this encoding holds."""
        return ONE_PART[self.sms_size.encoding]

    @property
    def page(self) -> str:
        """Return what the message's link leads to."""
        pages = {
            "survey": "Feedback page",
            "notice-budget": "Budget",
            "notice-unknown-codes": "Reviews",
            "notice-books": "Books check",
        }
        return pages.get(self.letter.template, "Voucher page" if self.to_customer else "Case")

    @property
    def to_customer(self) -> bool:
        """Return whether a customer would have got it, and not one of the staff."""
        return not isinstance(self.letter, NoticeLetter | BudgetLetter | SafetyLetter | BooksLetter | ProviderLetter)

    @property
    def sms_html(self) -> Markup:
        """Return the SMS with its link as a phone shows it."""
        text, url = escape(self.sms.text if self.sms else ""), escape(self.letter.url or "")
        if not url:
            return text
        return text.replace(url, Markup('<a href="{0}">{0}</a>').format(url))


def blueprint(core_provider: Callable[[], Core] = current_core) -> Blueprint:
    """Return the pages ``/inbox`` and ``/inbox/<message id>``; each is 404 outside development."""
    pages = Blueprint("inbox", __name__, template_folder="templates")

    def core_in_development() -> Core:
        core = core_provider()
        if not core.settings.development:
            abort(404)
        return core

    @pages.get("/inbox")
    def messages() -> Response:
        captured = captured_letters(core=core_in_development(), limit=_SHOWN_AT_ONCE)
        return make_response(render_template("channels/inbox.html", messages=[_message(each) for each in captured]))

    @pages.get("/inbox/<uuid:message_id>")
    def message(message_id: uuid.UUID) -> Response:
        captured = captured_letter(core=core_in_development(), message_id=message_id)
        if captured is None:
            abort(404)
        shown = _message(captured)
        if shown.email is None:
            return make_response(render_template("channels/inbox.html", messages=[shown]))
        response = make_response(shown.email.html)
        response.headers["Content-Security-Policy"] = _EMAIL_POLICY
        return response

    pages.after_request(keep_private)
    return pages


def _message(captured: CapturedLetter) -> _Message:
    letter = captured.letter
    email = render_email(letter) if letter.channel == "email" else None
    sms = render_sms(letter) if letter.channel == "sms" else None
    return _Message(letter, captured.captured_at, email, sms)
