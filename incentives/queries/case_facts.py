"""What a flow and a screen both ask about a case: its protocol, its steps, and what is missing before it is closed."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import protocols, releases, scripts
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Protocol, Script
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.queries import case_letters
from incentives.recovery import closing
from incentives.recovery.tables import case_causes, case_steps, recovery_cases
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances


def protocol_of(tx: Connection, core: Core, catalog: Catalog, case: Any) -> Protocol | None:
    """Return the version of the protocol that a case is worked by, else what the catalog says today.

    None where neither says anything: the case is old, and its tag or location has left the catalog.
    """
    if case.protocol_item_id is not None:
        return releases.protocol_of(tx, case.protocol_item_id, core.cache)
    try:
        return protocols.resolve(
            catalog, issue_tag=case.issue_tag, severity=case.severity, location=case.location, segment=case.segment
        ).protocol
    except Refusal:
        return None


def story_of(core: Core, kept: str | None) -> dict[str, str]:
    """Return the answers to the protocol's questions, by the question's name."""
    text = core.contacts.decrypt(kept)
    return dict(json.loads(text)) if text else {}


def steps_taken(tx: Connection, case: Any) -> dict[str, str]:
    """Return what became of the steps in this round of a case: done or skipped, in the order in which it happened."""
    table = case_steps.c
    query = sa.select(table.step, table.status).where(table.case_id == case.id, table.round == case.round)
    return {row.step: row.status for row in tx.execute(query.order_by(table.at, table.id))}


def missing(tx: Connection, core: Core, catalog: Catalog, case: Any, now: datetime) -> list[closing.Missing]:
    """Return everything that is missing before a case can be closed, besides what is said then.

    What somebody is still to decide in a case that was merged into this one is among it: that goes on here.
    """
    protocol = protocol_of(tx, core, catalog, case)
    of_case = recovery_cases.c
    these = sa.select(of_case.id).where(sa.or_(of_case.id == case.id, of_case.merged_into_id == case.id))
    waiting = (
        sa.select(sa.func.count())
        .select_from(approvals.join(issuances, issuances.c.id == approvals.c.issuance_id))
        .where(issuances.c.case_id.in_(these), approvals.c.status == "pending", approvals.c.expires_at > now)
    )
    causes = sa.select(sa.func.count()).where(case_causes.c.case_id == case.id)
    counted = tx.execute(sa.select(waiting.scalar_subquery(), causes.scalar_subquery())).one()
    return closing.missing_before(
        order=protocol.steps if protocol else (),
        optional=protocol.optional_steps if protocol else (),
        taken=steps_taken(tx, case),
        severity=case.severity,
        root_cause_from_severity=catalog.recovery.root_cause_from_severity,
        causes=counted[1],
        approvals_pending=counted[0],
    )


def apology_words(
    tx: Connection, core: Core, catalog: Catalog, case: Any, *, script: Script, language: str, agent_name: str | None
) -> str:
    """Return a script's words with the customer's facts, and without what it says of an incentive."""
    location = catalog.locations.get(case.location or "")
    return scripts.fill(
        scripts.alone(catalog.words(script.text, language)),
        brand=catalog.brand.name,
        incentive="",
        customer_name=case_letters.reach(tx, core, case).name,
        location=location.name if location else None,
        agent_name=agent_name,
        order_ref=case.order_ref,
    )
