"""One piece of feedback on its way through the criteria, and one criterion that acts on it.

Not a flow: it opens no transaction. What responding, firing and giving by a criterion need of a piece stands here.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Criterion
from incentives.catalog.releases import CurrentCatalog
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.recovery import criteria, customers
from incentives.recovery.criteria import Facts
from incentives.recovery.customers import Contact, CustomerGiven
from incentives.recovery.feedback_tables import feedback_tags
from incentives.recovery.tables import case_tasks, recovery_cases, surveys
from incentives.vouchers.tables import issuances, vouchers

TASK_WITHIN = timedelta(hours=24)
NO_CONSENT = "no-consent"
NO_ADDRESS = "channel-without-address"


@dataclass(slots=True, kw_only=True)
class CaseAtHand:
    """The case that a piece belongs to, locked; it changes as criteria act."""

    id: uuid.UUID
    issue_tag: str
    severity: int
    location: str | None
    team: str | None
    segment: str | None
    status: str
    salvageable: bool
    owner: str | None
    owner_team: str | None
    held_out_of: str | None
    round: int
    protocol_item_id: uuid.UUID | None
    opened_now: bool = False


@dataclass(slots=True, kw_only=True)
class Piece:
    """One piece of feedback on its way through the criteria.

    ``people`` are its customer and who else that is; ``tags`` are those of its issue tags that are in use. ``origin``
    is the case that it came out of: its own, that of the survey it answers, or that of the voucher it is about.
    """

    core: Core
    now: datetime
    current: CurrentCatalog
    row: Any
    people: tuple[uuid.UUID, ...]
    contact: Contact
    facts: Facts
    comment: str | None
    tags: tuple[str, ...]
    location: str | None
    origin: Any = None
    case: CaseAtHand | None = None
    taken_by: str | None = None  # the criterion that gave, or was the one to give: no other gives after it
    issuance_id: uuid.UUID | None = None
    firings: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def catalog(self) -> Catalog:
        """Return the catalog that is in force."""
        return self.current.catalog

    @property
    def rules(self) -> Iterable[Criterion]:
        """Return all criteria."""
        return self.catalog.criteria.values()

    @property
    def issue_tag(self) -> str | None:
        """Return what it is about, as it says or as the case that it came out of does."""
        return self.tags[0] if self.tags else self.origin.issue_tag if self.origin is not None else None

    @property
    def severity(self) -> int | None:
        """Return how grave it is; None where neither it nor its tag says so."""
        return _severity(self.catalog, self.row, self.tags)

    @property
    def cases(self) -> tuple[uuid.UUID, ...]:
        """Return its case, and the one that it came out of: who gave in either has given."""
        return tuple({each.id for each in (self.case, self.origin) if each is not None})


@dataclass(slots=True, kw_only=True)
class Firing:
    """One criterion that holds for one piece, and what came of it so far."""

    piece: Piece
    rule: Criterion
    matched: Mapping[str, Any]
    actor: Actor
    mode: str = "live"
    outcome: str = "acted"
    actions: list[dict[str, Any]] = field(default_factory=list)
    cost: Money | None = None
    issuance_id: uuid.UUID | None = None

    @property
    def case(self) -> CaseAtHand:
        """Return the case; a criterion that acts on one has it."""
        if self.piece.case is None:
            raise AssertionError("a criterion acts on a case before there is one")
        return self.piece.case

    def did(self, deed: str, result: str, **more: Any) -> None:
        """Note what came of a deed."""
        self.actions.append({"deed": deed, "result": result, **more})


def piece_of(tx: Connection, core: Core, now: datetime, current: CurrentCatalog, row: Any) -> Piece:
    """Return a row of feedback with everything that criteria ask for."""
    catalog = current.catalog
    people = customers.together(tx, [row.customer_id]) if row.customer_id else ()
    tags = _tags(tx, catalog, row)
    location = row.location if row.location in catalog.locations else None
    comment = core.contacts.decrypt(row.comment)
    weekday, time = criteria.local_time(row.occurred_at, catalog.time_zone(location))
    counts = any("earlier_recoveries_at_most" in each.when for each in catalog.criteria.values())
    facts = Facts(
        source=row.source,
        kind=row.kind,
        event=row.event,
        score_bp=row.score_bp,
        scale=row.scale,
        issue_tags=frozenset(above for tag in tags for above in catalog.lineage(tag)),
        words=criteria.spoken(comment),
        segment=row.segment,
        location=location,
        weekday=weekday,
        time=time,
        customer_value_minor=row.customer_value_minor,
        currency=row.currency or catalog.currency(location),
        severity=_severity(catalog, row, tags),
        earlier_recoveries=_earlier_recoveries(tx, people, row.case_id) if counts else 0,
    )
    return Piece(
        core=core,
        now=now,
        current=current,
        row=row,
        people=people,
        contact=Contact.from_text(core.contacts.decrypt(row.contact)),
        facts=facts,
        comment=comment,
        tags=tags,
        location=location,
        origin=_origin(tx, row),
    )


def _tags(tx: Connection, catalog: Catalog, row: Any) -> tuple[str, ...]:
    """Return a piece's issue tags that are in use, the one it is about first."""
    table = feedback_tags.c
    query = sa.select(table.issue_tag).where(table.feedback_id == row.id).order_by(table.issue_tag)
    named = (*([row.issue_tag] if row.issue_tag else []), *tx.execute(query).scalars())
    return tuple(key for key in dict.fromkeys(named) if key in catalog.issue_tags and catalog.issue_tags[key].active)


def _severity(catalog: Catalog, row: Any, tags: tuple[str, ...]) -> int | None:
    if row.severity is not None or not tags:
        return int(row.severity) if row.severity is not None else None
    return catalog.issue_tags[tags[0]].severity


def _earlier_recoveries(tx: Connection, people: tuple[uuid.UUID, ...], own_case: uuid.UUID | None) -> int:
    """Return how many incentives a customer was given or is waiting for, but for those of the piece's own case."""
    table = issuances.c
    if not people:
        return 0
    query = sa.select(sa.func.count()).where(
        table.customer_id.in_(people), table.status.in_(("issued", "pending_approval"))
    )
    return int(tx.execute(query if own_case is None else query.where(table.case_id != own_case)).scalar_one())


def _origin(tx: Connection, row: Any) -> Any:
    """Return the case that a piece came out of, or the one into which that was merged; None where there is none."""
    case_id = row.case_id
    if case_id is None and row.survey_id is not None:
        case_id = tx.execute(sa.select(surveys.c.case_id).where(surveys.c.id == row.survey_id)).scalar_one_or_none()
    if case_id is None and row.voucher_id is not None:
        query = sa.select(issuances.c.case_id).join(vouchers, vouchers.c.issuance_id == issuances.c.id)
        case_id = tx.execute(query.where(vouchers.c.id == row.voucher_id)).scalar_one_or_none()
    found = None
    while case_id is not None:
        found = tx.execute(sa.select(recovery_cases).where(recovery_cases.c.id == case_id)).one()
        case_id = found.merged_into_id
    return found


def customer_given(piece: Piece) -> CustomerGiven:
    """Return the customer as a request would name them."""
    segment = piece.row.segment if piece.row.segment in piece.current.catalog.segments else None
    contact = piece.contact
    return CustomerGiven(
        external_ref=contact.external_ref,
        name=contact.name,
        email=contact.email,
        phone=contact.phone,
        locale=piece.row.locale,
        segment=segment,
    )


def reachable(piece: Piece, channels: Iterable[str]) -> tuple[str, ...]:
    """Return those of the channels by which the customer can be told, and did not refuse to be."""
    if piece.row.consent is False:
        return ()
    addresses = {"email": piece.contact.email, "sms": piece.contact.phone}
    return tuple(each for each in channels if addresses.get(each))


def why_unreachable(piece: Piece, channels: Iterable[str]) -> str | None:
    """Return why the customer can be told by none of the channels; None when by one of them they can."""
    if reachable(piece, channels):
        return None
    return NO_CONSENT if piece.row.consent is False else NO_ADDRESS


def leave_task(tx: Connection, firing: Firing, title: str) -> None:
    """Leave something to do for whoever works on the case."""
    piece = firing.piece
    task = {
        "id": piece.core.ids.new(piece.now),
        "case_id": firing.case.id,
        "kind": "customer",
        "title": piece.core.contacts.encrypt(title),
        "owner": firing.case.owner,
        "owner_team": firing.case.owner_team,
        "due_at": piece.now + TASK_WITHIN,
        "created_at": piece.now,
        "created_by": firing.actor.label,
    }
    tx.execute(case_tasks.insert(), task)
