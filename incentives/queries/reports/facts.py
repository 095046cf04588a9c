"""One row a case, with the instant of every step that it came to: what the funnel, the times and the returns count.

Each kind of record is asked for by itself, boiled down to a row a case, and laid beside the others here: one statement
that joins them all took a database minutes that has to guess how many rows there will be. A case that was merged into
another is that other one.
"""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.messages.tables import outbox_messages
from incentives.queries.reports.asked import Asked, Window, seconds, tags_below
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_apologies, case_clocks, case_steps, recovery_cases, surveys
from incentives.vouchers.tables import issuances, redemptions, vouchers

ARRIVED = ("sent", "delivered", "captured")
CONTACTS = ("gather", "follow_up")
FIXES = ("fix", "resolve")
DAY_SECONDS = 86_400

Key = str
"""A case's id as its database writes it: making a ``uuid.UUID`` of every row would take longer than the query."""


class CaseFacts(NamedTuple):
    """A case: what it is counted by, and when each step was, in seconds since 1970 (None: not yet)."""

    key: Key
    issue_tag: str
    location: str | None
    team: str | None
    source: str
    product: str | None
    severity: int
    segment: str | None
    recovered: bool | None
    salvageable: bool
    opened: int
    closed: int | None
    decided: int | None
    incentive: str | None
    channel: str | None
    contacted: int | None
    apologized: int | None
    issued: int | None
    delivered: int | None
    redeemed: int | None
    asked: int | None
    answered: int | None
    fixed: int | None
    bought: int | None

    @property
    def id(self) -> uuid.UUID:
        """Return the case's id."""
        return uuid.UUID(self.key)


_COUNTED_BY = ("issue_tag", "location", "team", "source", "product", "severity", "segment", "recovered", "salvageable")


def case_facts(tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked) -> list[CaseFacts]:
    """Return the cases that were opened in a period, as far as the actor sees them and was asked for."""
    case = recovery_cases.c
    cohort = (
        case.opened_at >= span.from_at,
        case.opened_at < span.until_at,
        case.merged_into_id.is_(None),
        seen_by(actor, case.location),
        *(
            kept_to(catalog, case[name], name, value)
            for name, value in asked.wanted().items()
            if name not in ("incentive", "channel")
        ),
    )
    found = _Reader(tx, catalog, cohort).facts()
    for name in ("incentive", "channel"):
        wanted = getattr(asked, name)
        if wanted is not None:
            found = [each for each in found if (getattr(each, name) or "") == wanted]
    return found


def kept_to(catalog: Catalog, column: ColumnElement[Any], name: str, value: str) -> ColumnElement[bool]:
    """Return the condition that a record has a value, a tag being all below it; "" is having none."""
    if name == "issue_tag" and value:
        return column.in_(tags_below(catalog, value))
    if name == "severity":
        return column == (int(value) if value.isdecimal() and len(value) == 1 else -1)
    return column == value if value else column.is_(None)


def key_of(tx: Connection, column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return an id as text, the way that costs its database nothing."""
    return sa.type_coerce(column, sa.String()) if tx.dialect.name == "sqlite" else sa.cast(column, sa.Text())


def purchases() -> sa.Subquery:
    """Return when which customer bought something: as a shop reported, or by spending a voucher on an order."""
    paid, given = feedback.c, issuances.c
    reported = sa.select(paid.customer_id, paid.occurred_at.label("at")).where(
        paid.event == "purchase", paid.customer_id.is_not(None)
    )
    spent = (
        sa.select(given.customer_id, redemptions.c.redeemed_at.label("at"))
        .select_from(redemptions)
        .join(vouchers, vouchers.c.id == redemptions.c.voucher_id)
        .join(issuances, given.id == vouchers.c.issuance_id)
        .where(
            redemptions.c.order_ref.is_not(None), redemptions.c.reversed_at.is_(None), given.customer_id.is_not(None)
        )
    )
    return sa.union_all(reported, spent).subquery()


class _Reader:
    """Reads the records of a cohort of cases, a kind after the other."""

    def __init__(self, tx: Connection, catalog: Catalog, cohort: tuple[ColumnElement[bool], ...]) -> None:
        self._tx, self._catalog, self._cohort = tx, catalog, cohort

    def facts(self) -> list[CaseFacts]:
        """Return a row a case."""
        gifts, asks, bought = self._gifts(), self._asks(), self._bought()
        clocks, steps, apologies = self._clocks(), self._steps(), self._apologies()
        found = []
        nobody = (None, None)
        for row in self._cases():
            key = row[0]
            met, (contact, step, fix) = clocks.get(key, nobody), steps.get(key, _NO_STEPS)
            incentive, channel, issued, delivered, redeemed = gifts.get(key, _NO_GIFT)
            apology = _earliest(apologies.get(key), step)
            contacted = _earliest(_earliest(met[0], contact), apology)
            fixed = _earliest(met[1], fix)
            asked, answered = asks.get(key, nobody)
            steps_taken = (contacted, apology, issued, delivered, redeemed, asked, answered, fixed, bought.get(key))
            found.append(CaseFacts._make((*row, incentive, channel, *steps_taken)))
        return found

    def _cases(self) -> list[Any]:
        case = recovery_cases.c
        query = sa.select(
            key_of(self._tx, case.id),
            *(case[name] for name in _COUNTED_BY),
            *(seconds(self._tx, case[name]) for name in ("opened_at", "closed_at", "recovered_at")),
        )
        return list(self._tx.execute(query.where(*self._cohort)).all())

    def _of_the_cohort(self, table: sa.Table, *columns: ColumnElement[Any]) -> sa.Select[Any]:
        case = recovery_cases.c
        query = sa.select(key_of(self._tx, table.c.case_id), *columns).select_from(table)
        return query.join(recovery_cases, case.id == table.c.case_id).where(*self._cohort)

    def _at(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        return seconds(self._tx, column)

    def _clocks(self) -> dict[Key, tuple[int | None, int | None]]:
        """Return when the first contact was and when it was fixed, as the clocks were met."""
        clock = case_clocks.c
        met = (self._at(sa.func.min(sa.case((clock.clock == name, clock.met_at)))) for name in ("first_contact", "fix"))
        query = (
            self._of_the_cohort(case_clocks, *met)
            .where(clock.met_at.is_not(None), clock.clock.in_(("first_contact", "fix")))
            .group_by(clock.case_id)
        )
        return {key: (contact, fix) for key, contact, fix in self._tx.execute(query).all()}

    def _steps(self) -> dict[Key, tuple[int | None, int | None, int | None]]:
        """Return when somebody spoke to the customer, apologized, and fixed it, as the steps say."""
        step = case_steps.c
        kinds = (CONTACTS, ("apologize",), FIXES)
        done = (self._at(sa.func.min(sa.case((step.step.in_(names), step.at)))) for names in kinds)
        query = (
            self._of_the_cohort(case_steps, *done)
            .where(step.status == "done", step.step.in_((*CONTACTS, "apologize", *FIXES)))
            .group_by(step.case_id)
        )
        return {key: (contact, apology, fix) for key, contact, apology, fix in self._tx.execute(query).all()}

    def _apologies(self) -> dict[Key, int]:
        said = case_apologies.c
        query = self._of_the_cohort(case_apologies, self._at(sa.func.min(said.at))).group_by(said.case_id)
        return dict(self._tx.execute(query).all())

    def _gifts(self) -> dict[Key, tuple[str | None, str | None, int | None, int | None, int | None]]:
        """Return the first incentive of each case; what is shown on the screen is handed over at once."""
        given = issuances.c
        on_screen = sa.cast(given.channels, sa.Text()) == "[]"
        query = self._of_the_cohort(
            issuances, key_of(self._tx, given.id), given.incentive, on_screen, self._at(given.issued_at)
        ).where(given.status == "issued")
        arrived, spent = self._arrivals(), self._spendings()
        found: dict[Key, tuple[str | None, str | None, int | None, int | None, int | None]] = {}
        for key, issuance, incentive, shown, issued in self._tx.execute(
            query.order_by(given.issued_at, given.id)
        ).all():
            if key not in found:
                delivered, channel = (issued, "screen") if shown else arrived.get(issuance, (None, None))
                found[key] = (incentive, channel, issued, delivered, spent.get(issuance))
        return found

    def _arrivals(self) -> dict[Key, tuple[int, str]]:
        message, given = outbox_messages.c, issuances.c
        query = (
            sa.select(key_of(self._tx, given.id), self._at(message.ended_at), message.channel)
            .select_from(outbox_messages)
            .join(issuances, given.id == message.issuance_id)
            .join(recovery_cases, recovery_cases.c.id == given.case_id)
            # An apology may have gone out while the incentive waited for its approval.
            .where(*self._cohort, message.status.in_(ARRIVED), message.ended_at >= given.issued_at)
            .order_by(message.ended_at.desc(), message.id.desc())
        )
        return {issuance: (at, channel) for issuance, at, channel in self._tx.execute(query).all()}

    def _spendings(self) -> dict[Key, int]:
        given, spent = issuances.c, redemptions.c
        query = (
            sa.select(key_of(self._tx, given.id), sa.func.min(self._at(spent.redeemed_at)))
            .select_from(redemptions)
            .join(vouchers, vouchers.c.id == spent.voucher_id)
            .join(issuances, given.id == vouchers.c.issuance_id)
            .join(recovery_cases, recovery_cases.c.id == given.case_id)
            .where(*self._cohort, spent.reversed_at.is_(None))
            .group_by(given.id)
        )
        return {issuance: at for issuance, at in self._tx.execute(query).all()}  # noqa: C416 - rows are no pairs to mypy

    def _asks(self) -> dict[Key, tuple[int | None, int | None]]:
        table = surveys.c
        query = self._of_the_cohort(
            surveys, sa.func.min(self._at(table.sent_at)), sa.func.min(self._at(table.answered_at))
        ).group_by(table.case_id)
        return {key: (asked, answered) for key, asked, answered in self._tx.execute(query).all()}

    def _bought(self) -> Mapping[Key, int]:
        """Return when customers first bought again, within the policy's days of closing."""
        case, purchase = recovery_cases.c, purchases()
        within = self._catalog.recovery.purchase_within_days * DAY_SECONDS
        query = (
            sa.select(
                key_of(self._tx, case.id),
                self._at(purchase.c.at),
                self._at(case.closed_at),
            )
            .join(purchase, purchase.c.customer_id == case.customer_id)
            .where(*self._cohort, purchase.c.at > case.closed_at)
        )
        found: dict[Key, int] = {}
        for key, at, closed in self._tx.execute(query).all():
            if at - closed <= within and at < found.get(key, at + 1):
                found[key] = at
        return found


_NO_GIFT = (None, None, None, None, None)
_NO_STEPS = (None, None, None)


def _earliest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
