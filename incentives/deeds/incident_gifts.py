"""Giving for an incident: in the case that the customer has there, and once for each customer.

Not a flow: it opens no transaction.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds.wanting import Draft
from incentives.kernel.core import Core
from incentives.kernel.errors import AlreadyGivenForIncident, Refusal
from incentives.recovery import customers
from incentives.recovery.tables import customers as people
from incentives.recovery.tables import recovery_cases
from incentives.vouchers.tables import issuances

_STANDING = ("issued", "pending_approval")


def find_cases(tx: Connection, core: Core, drafts: Sequence[Draft]) -> None:
    """Let each command that is about an incident be about the customer's open case there, where they have one.

    The case is looked for before customers are recognized for good, since whoever locks a case does so first.
    """
    about = [
        (draft, draft.ground.contact, draft.command.incident_id)
        for draft in drafts
        if draft.command.incident_id and draft.command.case_id is None and draft.ground
    ]
    if not about:
        return
    found = customers.known(tx, core, [contact for _, contact, _ in about])
    groups = customers.groups(tx, set(found.values()))
    open_cases = _open_cases(tx, {incident_id for _, _, incident_id in about}, set(groups))
    for draft, contact, incident_id in about:
        theirs = {groups[each] for each in customers.matches(core, contact, found)}
        case_id = next((open_cases[incident_id, each] for each in theirs if (incident_id, each) in open_cases), None)
        if case_id:
            draft.command = replace(draft.command, case_id=case_id)


def _open_cases(
    tx: Connection, incident_ids: Iterable[uuid.UUID], customer_ids: Iterable[uuid.UUID]
) -> dict[tuple[uuid.UUID, uuid.UUID], uuid.UUID]:
    """Return the oldest open case of each incident and group of customers."""
    case, person = recovery_cases.c, people.c
    rows = tx.execute(
        sa.select(case.incident_id, person.group_id, case.id)
        .join(people, person.id == case.customer_id)
        .where(
            case.incident_id.in_(list(incident_ids)), case.status == "open", case.customer_id.in_(list(customer_ids))
        )
        .order_by(case.id.desc())
    )
    return {(incident_id, group_id): case_id for incident_id, group_id, case_id in rows}


@dataclass(slots=True)
class Given:
    """Who was given something for which incident, in which case: before, and by this very transaction."""

    cases: dict[tuple[uuid.UUID, uuid.UUID], uuid.UUID] = field(default_factory=dict)

    def refusal(self, draft: Draft) -> Refusal | None:
        """Return the refusal of a command whose customer was given something for its incident, or None."""
        for name in _names(draft):
            if name in self.cases:
                return AlreadyGivenForIncident(case_id=str(self.cases[name]))
        return None

    def note(self, draft: Draft) -> None:
        """Remember what came of a command."""
        if draft.result is not None and not isinstance(draft.result, Refusal):
            self.cases.update(dict.fromkeys(_names(draft), draft.result.case_id))


def _names(draft: Draft) -> list[tuple[uuid.UUID, uuid.UUID]]:
    incident_id = draft.command.incident_id
    return [(incident_id, each) for each in draft.proposal.customers] if incident_id and draft.proposal else []


def given_before(tx: Connection, drafts: Iterable[Draft]) -> Given:
    """Return who was given something for the commands' incidents.

    It is asked while the budgets are held. Whatever has a value is charged to a budget of the whole organization, so
    two transactions that would give to the same customer come here one after the other.
    """
    names = [name for draft in drafts for name in _names(draft)]
    if not names:
        return Given()
    case, gift = recovery_cases.c, issuances.c
    rows = tx.execute(
        sa.select(case.incident_id, gift.customer_id, case.id)
        .join(recovery_cases, case.id == gift.case_id)
        .where(
            case.incident_id.in_({incident_id for incident_id, _ in names}),
            gift.customer_id.in_({customer_id for _, customer_id in names}),
            gift.status.in_(_STANDING),
        )
    )
    return Given({(incident_id, customer_id): case_id for incident_id, customer_id, case_id in rows})
