"""What is told about a case itself: an apology by itself, a re-survey, and notices to staff.

Beside ``letters``, which tells of issuances; composed anew whenever it is sent or looked at, like those.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.kernel.core import Core
from incentives.messages.port import AnyLetter, Letter, NoticeLetter, SurveyLetter
from incentives.recovery import links
from incentives.recovery.customers import Contact
from incentives.recovery.surveys import CHOICES
from incentives.recovery.tables import case_apologies, customers, recovery_cases, surveys
from incentives.vouchers.tables import issuances


def reach(tx: Connection, core: Core, case: Any) -> Contact:
    """Return the addresses of a case's customer: those of the case, else of what was given last, else the profile's."""
    kept = case.contact
    if kept is None:
        given = issuances.c
        latest = sa.select(given.contact).where(given.case_id == case.id).order_by(given.requested_at.desc()).limit(1)
        kept = tx.execute(latest).scalar_one_or_none()
    contact = Contact.from_text(core.contacts.decrypt(kept))
    if contact.email or contact.phone or case.customer_id is None:
        return contact
    profile = tx.execute(sa.select(customers.c.profile).where(customers.c.id == case.customer_id)).scalar_one_or_none()
    return Contact.from_text(core.contacts.decrypt(profile))


def compose(tx: Connection, core: Core, message: Any) -> AnyLetter | None:
    """Return the letter of a message about a case; None for staff who may not sign in any more."""
    case = tx.execute(sa.select(recovery_cases).where(recovery_cases.c.id == message.case_id)).one()
    if message.user_id is not None:
        return _notice(tx, core, message, case)
    if message.survey_id is not None:
        return _survey(tx, core, message, case)
    return _apology(tx, core, message, case)


def still_wanted(tx: Connection, message: Any) -> bool:
    """Return whether a message about a case is still to be sent: a survey may have been taken back meanwhile."""
    if message.survey_id is None:
        return True
    return bool(tx.execute(sa.select(surveys.c.status).where(surveys.c.id == message.survey_id)).scalar_one() == "sent")


def _apology(tx: Connection, core: Core, message: Any, case: Any) -> Letter:
    """Return the words that were recorded: what was written down is what the customer hears."""
    said = tx.execute(sa.select(case_apologies).where(case_apologies.c.id == message.apology_id)).one()
    contact, catalog = reach(tx, core, case), _catalog(tx, core)
    return Letter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=said.language,
        to=_address(contact, message.channel),
        customer_name=contact.name,
        brand=catalog.brand.name,
        apology=core.contacts.decrypt(said.words) or "",
        title="",
        terms="",
        kind="apology_only",
        amount=None,
        percent=None,
        points=None,
        item=None,
        code=None,
        url=None,
        expires_at=None,
        time_zone=catalog.brand.time_zone,
        where_to_use=(),
    )


def _survey(tx: Connection, core: Core, message: Any, case: Any) -> SurveyLetter:
    scale = tx.execute(sa.select(surveys.c.scale).where(surveys.c.id == message.survey_id)).scalar_one()
    contact, catalog = reach(tx, core, case), _catalog(tx, core)
    locale = locale_of(tx, catalog, case)
    return SurveyLetter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=locale,
        to=_address(contact, message.channel),
        customer_name=contact.name,
        brand=catalog.brand.name,
        about=about(catalog, case.issue_tag, locale),
        scale=scale,
        scores=CHOICES[scale],
        url=links.url_of(core.settings.public_url, core.keys.links, links.SURVEY, message.survey_id),
    )


def _notice(tx: Connection, core: Core, message: Any, case: Any) -> NoticeLetter | None:
    """Return the notice; None for whoever may not sign in any more."""
    catalog = _catalog(tx, core)
    person = tx.execute(sa.select(users).where(users.c.id == message.user_id)).one()
    if person.disabled_at is not None:
        return None
    location = catalog.locations.get(case.location or "")
    return NoticeLetter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=catalog.brand.default_language,
        to=person.email,
        staff_name=person.name,
        brand=catalog.brand.name,
        about=about(catalog, case.issue_tag, catalog.brand.default_language),
        severity=case.severity,
        location=location.name if location else None,
        opened_at=case.opened_at,
        time_zone=location.time_zone if location else catalog.brand.time_zone,
        url=f"{core.settings.public_url}{_place(message.template, case)}",
    )


def _place(template: str, case: Any) -> str:
    """Return the page that a notice leads to: where something is to be decided, else the case."""
    return "/approvals?show=mine" if template == "notice-approval" else f"/cases/{case.id}"


def locale_of(tx: Connection, catalog: Catalog, case: Any) -> str:
    """Return the language of a case's customer: the case's, else their own, else the brand's."""
    if case.locale:
        return str(case.locale)
    known = sa.select(customers.c.locale).where(customers.c.id == case.customer_id)
    return tx.execute(known).scalar_one_or_none() or catalog.brand.default_language


def about(catalog: Catalog, issue_tag: str, locale: str) -> str:
    """Return what went wrong in somebody's language; a tag that has left the catalog is told by its key."""
    tag = catalog.issue_tags.get(issue_tag)
    return catalog.words(tag.label, locale) if tag else issue_tag


def _catalog(tx: Connection, core: Core) -> Catalog:
    return releases.cached_current(tx, core).catalog


def _address(contact: Contact, channel: str) -> str:
    return (contact.email if channel == "email" else contact.phone) or ""
