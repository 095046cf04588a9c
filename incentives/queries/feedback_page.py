"""What the page behind ``/f/<token>`` shows, for a table, a voucher and a re-survey. Looking at it changes nothing."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.core import Core
from incentives.kernel.errors import KeyRetired, Refusal
from incentives.queries import case_letters
from incentives.recovery import customers, links
from incentives.recovery.customers import Contact, CustomerGiven
from incentives.recovery.feedback_tables import feedback, feedback_forms
from incentives.recovery.links import FORM, SURVEY, VOUCHER
from incentives.recovery.surveys import ANSWER_WINDOW, CHANGE_WINDOW, CHOICES
from incentives.recovery.tables import recovery_cases, surveys
from incentives.vouchers.tables import issuances, vouchers

__all__ = [
    "FORM",
    "SURVEY",
    "VOUCHER",
    "Choice",
    "CustomerForm",
    "contact_fits",
    "customer_form",
    "form_of_number",
    "named_by",
]

SOURCES = {FORM: "form", VOUCHER: "voucher-form", SURVEY: "resurvey"}
_VOUCHER_SCALE = "stars_5"
_CHOICES_MOST = 12
_VOUCHER_WINDOW = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Choice:
    """One issue tag to choose, with its label in the customer's language."""

    key: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerForm:
    """One form as its customer sees it. ``customer`` is who they are where we know it; it is shown to nobody.

    ``answered`` is the score that they gave before and may still change; ``is_open`` False takes nothing any more.
    """

    kind: str
    subject_id: uuid.UUID
    is_open: bool
    brand: str
    locale: str | None
    about: str | None
    place: str | None
    scale: str
    scores: tuple[int, ...]
    choices: tuple[Choice, ...]
    issue_tag: str | None
    location: str | None
    order_ref: str | None
    customer: CustomerGiven
    answered: str | None = None

    @property
    def source(self) -> str:
        """Return the source that what is sent comes from."""
        return SOURCES[self.kind]

    @property
    def is_again(self) -> bool:
        """Return whether the customer is asked again, about a trouble that was dealt with."""
        return self.kind == SURVEY


def customer_form(*, core: Core, token: str, language: str) -> CustomerForm | None:
    """Return the form behind a link, or None for a link that is not ours or leads nowhere.

    ``language`` is the browser's; a customer whose own we know is answered in that.
    """
    found = links.subject_of(core.keys.links, token)
    if found is None:
        return None
    kind, subject_id = found
    make = {FORM: _table_form, VOUCHER: _voucher_form, SURVEY: _survey_form}[kind]
    with core.database.read() as tx:
        catalog = releases.cached_current(tx, core).catalog
        try:
            return make(tx, core, catalog, subject_id, language)
        except KeyRetired:
            return None


def form_of_number(*, core: Core, phone: str) -> CustomerForm | None:
    """Return the re-survey that an SMS from a number answers: the latest that was sent to it and takes answers."""
    now = core.clock.now()
    with core.database.read() as tx:
        known = customers.known(tx, core, [Contact(phone=phone)])
        theirs = customers.together(tx, set(known.values()))
        table = surveys.c
        query = sa.select(surveys).where(
            table.customer_id.in_(theirs), table.channel == "sms", table.sent_at > now - ANSWER_WINDOW
        )
        asked = tx.execute(query.order_by(table.sent_at.desc(), table.id.desc())).all() if theirs else []
        latest = next((each for each in asked if takes_answers(each, now)), None)
        if latest is None:
            return None
        catalog = releases.cached_current(tx, core).catalog
        return _survey_form(tx, core, catalog, latest.id, catalog.brand.default_language)


def contact_fits(*, core: Core, text: str, location: str | None) -> bool:
    """Return whether an email address or phone number, as a customer typed it, can be written to."""
    with core.database.read() as tx:
        catalog = releases.cached_current(tx, core).catalog
    place = catalog.locations.get(location or "") or next(iter(catalog.locations.values()), None)
    try:
        customers.checked(named_by(text), region=place.country if place else None)
    except Refusal:
        return False
    return True


def named_by(contact: str, *, name: str | None = None, locale: str | None = None) -> CustomerGiven:
    """Return a customer by the one address that they typed: with an @ it is an email address."""
    is_email = "@" in contact
    return CustomerGiven(
        name=name or None,
        email=contact if contact and is_email else None,
        phone=contact if contact and not is_email else None,
        locale=locale,
    )


def _table_form(tx: Connection, core: Core, catalog: Catalog, form_id: uuid.UUID, language: str) -> CustomerForm | None:
    row = tx.execute(sa.select(feedback_forms).where(feedback_forms.c.id == form_id)).one_or_none()
    if row is None:
        return None
    place = catalog.locations.get(row.location or "")
    return CustomerForm(
        kind=FORM,
        subject_id=row.id,
        is_open=row.closed_at is None or row.closed_at > core.clock.now(),
        brand=catalog.brand.name,
        locale=None,
        about=case_letters.about(catalog, row.issue_tag, language) if row.issue_tag else None,
        place=place.name if place else None,
        scale=row.scale,
        scores=CHOICES[row.scale],
        choices=_choices(catalog, row.issue_tag, language),
        issue_tag=row.issue_tag,
        location=row.location if place else None,
        order_ref=None,
        customer=CustomerGiven(),
    )


def _voucher_form(
    tx: Connection, core: Core, catalog: Catalog, voucher_id: uuid.UUID, language: str
) -> CustomerForm | None:
    """Return the form of a voucher, whatever became of it: who was refused at a till is who has something to say."""
    query = (
        sa.select(issuances, vouchers.c.expires_at)
        .join(vouchers, vouchers.c.issuance_id == issuances.c.id)
        .where(vouchers.c.id == voucher_id)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    locale = row.locale or language
    place = catalog.locations.get(row.location or "")
    return CustomerForm(
        kind=VOUCHER,
        subject_id=voucher_id,
        is_open=core.clock.now() < row.expires_at + _VOUCHER_WINDOW,
        brand=catalog.brand.name,
        locale=row.locale,
        about=case_letters.about(catalog, row.issue_tag, locale),
        place=place.name if place else None,
        scale=_VOUCHER_SCALE,
        scores=CHOICES[_VOUCHER_SCALE],
        choices=_choices(catalog, row.issue_tag, locale),
        issue_tag=row.issue_tag if row.issue_tag in catalog.issue_tags else None,
        location=row.location if place else None,
        order_ref=row.order_ref,
        customer=_given(Contact.from_text(core.contacts.decrypt(row.contact)), row.locale),
    )


def _survey_form(
    tx: Connection, core: Core, catalog: Catalog, survey_id: uuid.UUID, language: str
) -> CustomerForm | None:
    survey = tx.execute(sa.select(surveys).where(surveys.c.id == survey_id)).one_or_none()
    if survey is None or survey.sent_at is None:
        return None
    case = tx.execute(sa.select(recovery_cases).where(recovery_cases.c.id == survey.case_id)).one()
    locale = case_letters.locale_of(tx, catalog, case) or language
    place = catalog.locations.get(case.location or "")
    return CustomerForm(
        kind=SURVEY,
        subject_id=survey_id,
        is_open=takes_answers(survey, core.clock.now()),
        brand=catalog.brand.name,
        locale=locale,
        about=case_letters.about(catalog, case.issue_tag, locale),
        place=place.name if place else None,
        scale=survey.scale,
        scores=CHOICES[survey.scale],
        choices=(),
        issue_tag=case.issue_tag if case.issue_tag in catalog.issue_tags else None,
        location=case.location if place else None,
        order_ref=case.order_ref,
        customer=_given(case_letters.reach(tx, core, case), locale),
        answered=_answer_before(tx, survey_id),
    )


def takes_answers(survey: Any, now: datetime) -> bool:
    """Return whether a survey still takes an answer: the first within its time, another for as long as may be."""
    if survey.answered_at is not None:
        return bool(survey.answered_at > now - CHANGE_WINDOW)
    return survey.sent_at is not None and bool(survey.sent_at > now - ANSWER_WINDOW)


def _answer_before(tx: Connection, survey_id: uuid.UUID) -> str | None:
    given = feedback.c
    query = sa.select(given.score_given).where(given.survey_id == survey_id).order_by(given.received_at.desc())
    return tx.execute(query.limit(1)).scalar_one_or_none()


def _choices(catalog: Catalog, issue_tag: str | None, locale: str) -> tuple[Choice, ...]:
    """Return the tags right below one (the topmost where there is none) that are in use."""
    below: Sequence[Any] = [tag for tag in catalog.issue_tags.values() if tag.parent == issue_tag and tag.active]
    return tuple(Choice(tag.key, catalog.words(tag.label, locale)) for tag in below[:_CHOICES_MOST])


def _given(contact: Contact, locale: str | None) -> CustomerGiven:
    return CustomerGiven(
        external_ref=contact.external_ref,
        name=contact.name,
        email=contact.email,
        phone=contact.phone,
        locale=locale,
    )
