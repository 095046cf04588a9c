"""Giving within a case: what the case knows of its customer stands in the form already, so that nobody asks twice."""

import uuid
from typing import Any

from admin import pages
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.case_screen import case_screen


def known_of(core: Core, actor: Actor, case_id: uuid.UUID) -> dict[str, Any]:
    """Return the fields of the form to give that a case knows. Raises ``CaseNotFound``."""
    found = case_screen(core=core, actor=actor, case_id=case_id)
    languages = pages.languages(actor)
    return {
        "severity": found.case.severity,
        "order_ref": found.case.order_ref or "",
        "name": found.customer_name or "",
        "email": found.contact.email or "",
        "phone": found.contact.phone or "",
        "location": "" if actor.location else found.case.location or "",
        "locale": found.locale if found.locale in languages else next(iter(languages), ""),
    }
