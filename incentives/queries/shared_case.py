"""A case as somebody outside sees it by a link: what happened, and neither codes nor addresses nor notes."""

import re
import uuid
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.queries import case_facts, case_letters
from incentives.queries.case_parts import StepShown, Tools, steps_shown
from incentives.queries.case_timeline import TimelineItem, timeline
from incentives.queries.cases import Case, shown
from incentives.recovery import shared_links
from incentives.recovery.customers import Contact
from incentives.recovery.tables import case_shares, recovery_cases

_NOBODY = uuid.UUID(int=0)
_SHOWN_KINDS = ("feedback", "apology", "step", "voucher", "redemption", "survey")
_NOT_SHOWN = ("last4", "voucher_id", "agent", "survey_id", "order_ref")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCase:
    """What a link shows until it ends. Of the customer there is the first name only; words of staff are left out."""

    case: Case
    about: str
    brand: str
    time_zone: str
    customer_name: str | None
    steps: tuple[StepShown, ...]
    timeline: tuple[TimelineItem, ...]
    expires_at: datetime


def shared_case(*, core: Core, token: str) -> SharedCase | None:
    """Return what a link shows; None for one that is forged, has ended or was taken back. Opening it changes nothing.

    The database is asked whatever the link is, so that a forged one takes as long as one that has ended.
    """
    now = core.clock.now()
    share = case_shares.c
    share_id = shared_links.share_of(core.keys.links, token) or _NOBODY
    standing = sa.and_(share.id == share_id, share.team.is_(None), share.revoked_at.is_(None), share.expires_at > now)
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(recovery_cases, share.expires_at.label("share_expires_at"))
            .join(case_shares, share.case_id == recovery_cases.c.id)
            .where(standing)
        ).one_or_none()
        if row is None:
            return None
        catalog = releases.cached_current(tx, core).catalog
        contact = case_letters.reach(tx, core, row)
        name = contact.name
        tools = Tools(tx=tx, core=core, actor=SYSTEM, catalog=catalog, case=row, now=now)
        (case,) = shown(tx, core, [row], now)
        first_name = name.split()[0] if name else None
        return SharedCase(
            case=replace(
                case, customer_name=first_name, owner=None, owner_name=None, order_ref=None, opened_by_name=""
            ),
            about=case_letters.about(catalog, row.issue_tag, catalog.brand.default_language),
            brand=catalog.brand.name,
            time_zone=catalog.locations[row.location].time_zone
            if row.location in catalog.locations
            else catalog.brand.time_zone,
            customer_name=first_name,
            steps=tuple(
                _without_note(each) for each in steps_shown(tools, case_facts.protocol_of(tx, core, catalog, row))
            ),
            timeline=tuple(
                _outside(each, contact, first_name)
                for each in timeline(tx, core, [row.id], now)
                if each.kind in _SHOWN_KINDS
            ),
            expires_at=row.share_expires_at,
        )


def _without_note(step: StepShown) -> StepShown:
    return StepShown(step=step.step, required=step.required, status=step.status, at=step.at, channel=step.channel)


def _outside(item: TimelineItem, contact: Contact, first_name: str | None) -> TimelineItem:
    """Return an item without what staff wrote of it, the whole name, the addresses, and what tells of a code."""
    said = item.text if item.kind in ("feedback", "apology") else None
    for known, instead in ((contact.email, "…"), (contact.phone, "…"), (contact.name, first_name or "")):
        if said and known:
            said = instead.join(re.split(re.escape(known), said, flags=re.IGNORECASE))
    facts = {name: value for name, value in item.facts.items() if name not in _NOT_SHOWN}
    return TimelineItem(
        id=item.id, at=item.at, kind=item.kind, title=item.title, text=said, facts=facts, case_id=item.case_id
    )
