"""One row a case, with the instant of every step that it came to: what the funnel, the times and the returns count.

The rows are laid out, counted and boiled down within the database; only figures leave it. A case that was merged into
another is that other one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from incentives.catalog.catalog import Catalog
from incentives.kernel.actors import Actor
from incentives.messages.tables import outbox_messages
from incentives.queries.reports.asked import DIMENSIONS, Asked, Window, seconds, tags_below
from incentives.queries.scope import seen_by
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import case_apologies, case_clocks, case_steps, recovery_cases, surveys
from incentives.vouchers.tables import issuances, redemptions, vouchers

ARRIVED = ("sent", "delivered", "captured")
CONTACTS = ("gather", "follow_up")
FIXES = ("fix", "resolve")
DAY_SECONDS = 86_400
OF_GIFTS = ("incentive", "channel")
"""What only those cases know that were given something."""

_NEVER = 2**62
_OF_CASES = (*(name for name in DIMENSIONS if name not in OF_GIFTS), "recovered", "salvageable")
_OWN_MOMENTS = {"opened": "opened_at", "closed": "closed_at", "decided": "recovered_at"}
_GIFT_MOMENTS = ("issued", "delivered", "redeemed")
# Of which records' instants each step is the earliest.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "contacted": ("contact_clock", "contact_step", "apology_step", "apology"),
    "apologized": ("apology_step", "apology"),
    "fixed": ("fix_clock", "fix_step"),
    "asked": ("asked",),
    "answered": ("answered",),
    "bought": ("bought_reported", "bought_spent"),
}


def cohort_of(catalog: Catalog, actor: Actor, span: Window, asked: Asked) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on cases of a period; what they were given is asked for elsewhere."""
    case = recovery_cases.c
    return (
        case.opened_at >= span.from_at,
        case.opened_at < span.until_at,
        case.merged_into_id.is_(None),
        seen_by(actor, case.location),
        *(kept_to(catalog, case[name], name, value) for name, value in asked.wanted().items() if name not in OF_GIFTS),
    )


def kept_to(catalog: Catalog, column: ColumnElement[Any], name: str, value: str) -> ColumnElement[bool]:
    """Return the condition that a record has a value, a tag being all below it; "" is having none."""
    if name == "issue_tag" and value:
        return column.in_(tags_below(catalog, value))
    if name == "severity":
        return column == (int(value) if value.isdecimal() and len(value) == 1 else -1)
    return column == value if value else column.is_(None)


def purchases() -> sa.Subquery:
    """Return when which customer bought something: as a shop reported, or by spending a voucher on an order."""
    paid = feedback.c
    reported = sa.select(paid.customer_id, paid.occurred_at.label("at")).where(
        paid.event == "purchase", paid.customer_id.is_not(None)
    )
    return sa.union_all(reported, _spent_on_orders()).subquery()


def case_facts(
    tx: Connection, catalog: Catalog, actor: Actor, span: Window, asked: Asked, *, steps: Collection[str]
) -> sa.CTE:
    """Return the cases that were opened in a period, as far as the actor sees them and was asked for.

    A row has ``id``, what a case is counted by, and the instants of ``steps`` in seconds since 1970 (None: not yet)
    beside ``opened``, ``closed`` and ``decided``. ``incentive`` and ``channel`` count as steps too.
    """
    wanted = {name: value for name, value in asked.wanted().items() if name in OF_GIFTS}
    return _Table(tx, catalog, cohort_of(catalog, actor, span, asked)).facts(steps, wanted)


def minutes_between(earlier: ColumnElement[int], later: ColumnElement[int]) -> ColumnElement[int]:
    """Return the whole minutes from one instant in seconds to another; fewer than none where the other came first."""
    return (later - earlier) // sa.literal_column("60", sa.Integer())


def listed(numbers: ColumnElement[int]) -> ColumnElement[str]:
    """Return all numbers of a group in one text: a row for each of them would take ten times as long to fetch."""
    return sa.func.aggregate_strings(sa.cast(numbers, sa.Text()), ",")


def numbers_of(text: str | None) -> list[int]:
    """Return the numbers of such a text."""
    return list(map(int, text.split(","))) if text else []


def in_order(numbers: Iterable[int]) -> list[int]:
    """Return minutes sorted; what came before that since which its time counts took none."""
    found = sorted(numbers)
    return found if not found or found[0] >= 0 else [max(0, each) for each in found]


@dataclass(frozen=True, slots=True)
class _Part:
    """Records of cases, and the instant of which the earliest of each case is wanted.

    What is rare is better looked for by itself than asked of every case.
    """

    source: sa.FromClause
    of_case: ColumnElement[bool]
    at: ColumnElement[Any]
    where: tuple[ColumnElement[bool], ...] = ()
    rare: bool = False


class _Table:
    """Lays the records of a cohort of cases beside the cases, in the way that the database at hand does best."""

    def __init__(self, tx: Connection, catalog: Catalog, cohort: tuple[ColumnElement[bool], ...]) -> None:
        self._tx, self._catalog, self._cohort = tx, catalog, cohort

    def facts(self, steps: Collection[str], wanted: Mapping[str, str]) -> sa.CTE:
        """Return the rows."""
        steps = {*steps, *wanted}
        parts = {name: _part(name) for step in steps for name in _PARTS.get(step, ())}
        gifts = self._gifts(steps) if steps & {*_GIFT_MOMENTS, *OF_GIFTS} else None
        lay = self._beside if self._tx.dialect.name == "sqlite" else self._together
        row = lay(parts, gifts).c
        query = sa.select(
            row.id,
            *(row[name] for name in (*_OF_CASES, *_OWN_MOMENTS)),
            *(row[name] for name in ((*_GIFT_MOMENTS, *OF_GIFTS) if gifts is not None else ()) if name in row),
            *(
                sa.type_coerce(self._earliest(row, step), sa.BigInteger()).label(step)
                for step in steps
                if step in _PARTS
            ),
        )
        query = query.where(*(sa.func.coalesce(row[name], "") == value for name, value in wanted.items()))
        return query.cte("facts").prefix_with("MATERIALIZED")  # what is reckoned here is counted more than once

    def _earliest(self, row: Any, step: str) -> ColumnElement[int]:
        names = _PARTS[step]
        smaller = sa.func.min if self._tx.dialect.name == "sqlite" else sa.func.least
        at: ColumnElement[int] = (
            row[names[0]]
            if len(names) == 1
            else sa.func.nullif(smaller(*(sa.func.coalesce(row[name], _NEVER) for name in names)), _NEVER)
        )
        if step != "bought":
            return at
        # Only what was bought within the policy's days of closing counts.
        return sa.case((at - row.closed <= self._catalog.recovery.purchase_within_days * DAY_SECONDS, at))

    def _at(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        return seconds(self._tx, column)

    def _own(self) -> list[ColumnElement[Any]]:
        case = recovery_cases.c
        return [
            case.id,
            *(case[name] for name in _OF_CASES),
            *(self._at(case[column]).label(name) for name, column in _OWN_MOMENTS.items()),
        ]

    def _beside(self, parts: Mapping[str, _Part], gifts: sa.CTE | None) -> sa.CTE:
        """Look each case's records up by their index: what SQLite does best, which can join in loops only."""
        columns = self._own()
        joined: sa.FromClause = recovery_cases
        for name, part in parts.items():
            if part.rare:
                found = self._grouped(part).cte(name).prefix_with("MATERIALIZED")
                joined = joined.outerjoin(found, found.c.id == recovery_cases.c.id)
                columns.append(self._at(found.c.at).label(name))
                continue
            first = sa.select(sa.func.min(part.at)).select_from(part.source).where(part.of_case, *part.where)
            columns.append(self._at(first.correlate(recovery_cases).scalar_subquery()).label(name))
        if gifts is not None:
            joined = joined.outerjoin(gifts, gifts.c.case_id == recovery_cases.c.id)
            columns += [each for each in gifts.c if each.name != "case_id"]
        query = sa.select(*columns).select_from(joined).where(*self._cohort)
        return query.cte("laid_out").prefix_with("MATERIALIZED")

    def _grouped(self, part: _Part) -> sa.Select[Any]:
        case = recovery_cases.c
        query = sa.select(case.id, sa.func.min(part.at).label("at")).select_from(part.source)
        return query.join(recovery_cases, part.of_case).where(*self._cohort, *part.where).group_by(case.id)

    def _together(self, parts: Mapping[str, _Part], gifts: sa.CTE | None) -> sa.CTE:
        """Heap the records of all kinds up and group them by case: no guess at numbers can make that slow.

        Left to join them all, PostgreSQL has been seen to take minutes where it guessed wrong.
        """
        case = recovery_cases.c
        given = [each for each in gifts.c if each.name != "case_id"] if gifts is not None else []
        kinds: dict[str, Any] = {
            **{name: part.at for name, part in parts.items()},
            **{each.name: each for each in given},
        }

        def heap(key: ColumnElement[Any], **values: ColumnElement[Any]) -> sa.Select[Any]:
            return sa.select(
                key.label("id"),
                *(values.get(name, sa.cast(sa.null(), of.type)).label(name) for name, of in kinds.items()),
            )

        heaps = [heap(case.id).where(*self._cohort)]
        heaps += [
            heap(case.id, **{name: part.at})
            .select_from(part.source.join(recovery_cases, part.of_case))
            .where(*self._cohort, *part.where)
            for name, part in parts.items()
        ]
        if gifts is not None:
            heaps.append(heap(gifts.c.case_id, **{each.name: each for each in given}).select_from(gifts))
        rows = sa.union_all(*heaps).subquery()
        grouped = sa.select(rows.c.id, *(sa.func.min(rows.c[name]).label(name) for name in kinds)).group_by(rows.c.id)
        found = grouped.subquery()
        columns = [self._at(found.c[name]).label(name) if name in parts else found.c[name] for name in kinds]
        return sa.select(*self._own(), *columns).join(found, found.c.id == case.id).cte("laid_out")

    def _gifts(self, steps: Collection[str]) -> sa.CTE:
        """Return the first incentive of each case; what is shown on the screen is handed over at once."""
        given, case, earlier = issuances.c, recovery_cases.c, issuances.alias("earlier")
        on_screen = sa.cast(given.channels, sa.Text()) == "[]"
        columns: dict[str, ColumnElement[Any]] = {"incentive": given.incentive, "issued": self._at(given.issued_at)}
        if "delivered" in steps:
            at = _arrival(sa.func.min(outbox_messages.c.ended_at)).scalar_subquery()
            columns["delivered"] = self._at(sa.case((on_screen, given.issued_at), else_=at))
        if "channel" in steps:
            message = outbox_messages.c
            first = _arrival(message.channel).order_by(message.ended_at, message.id).limit(1).scalar_subquery()
            columns["channel"] = sa.case((on_screen, "screen"), else_=first)
        if "redeemed" in steps:
            columns["redeemed"] = self._at(_spending())
        before = sa.tuple_(earlier.c.issued_at, earlier.c.id) < sa.tuple_(given.issued_at, given.id)
        one_before = sa.exists().where(earlier.c.case_id == given.case_id, earlier.c.status == "issued", before)
        query = (
            sa.select(given.case_id, *(each.label(name) for name, each in columns.items()))
            .select_from(issuances.join(recovery_cases, case.id == given.case_id))
            .where(*self._cohort, given.status == "issued", sa.not_(one_before))
        )
        return query.cte("gifts").prefix_with("MATERIALIZED")


def _arrival(what: ColumnElement[Any]) -> sa.Select[Any]:
    """Return the query of what an issuance's messages that arrived say."""
    message, given = outbox_messages.c, issuances.c
    query = sa.select(what).where(
        message.issuance_id == given.id,
        message.status.in_(ARRIVED),
        # An apology may have gone out while the incentive waited for its approval.
        message.ended_at >= given.issued_at,
    )
    return query.correlate(issuances)


def _spending() -> ColumnElement[Any]:
    """Return when a voucher of an issuance was first redeemed."""
    spent = redemptions.c
    query = (
        sa.select(sa.func.min(spent.redeemed_at))
        .select_from(vouchers.join(redemptions, spent.voucher_id == vouchers.c.id))
        .where(vouchers.c.issuance_id == issuances.c.id, spent.reversed_at.is_(None))
    )
    return query.correlate(issuances).scalar_subquery()


def _spent_on_orders() -> sa.Select[Any]:
    """Return the query of which customer spent a voucher on an order, and when."""
    given, spent = issuances.c, redemptions.c
    return (
        sa.select(given.customer_id, spent.redeemed_at.label("at"))
        .select_from(redemptions)
        .join(vouchers, vouchers.c.id == spent.voucher_id)
        .join(issuances, given.id == vouchers.c.issuance_id)
        .where(spent.order_ref.is_not(None), spent.reversed_at.is_(None), given.customer_id.is_not(None))
    )


def _part(name: str) -> _Part:
    """Return what one kind of record says."""
    case, clock, step = recovery_cases.c, case_clocks.c, case_steps.c
    said, asked, paid = case_apologies.c, surveys.c, feedback.c
    done = {"contact_step": CONTACTS, "apology_step": ("apologize",), "fix_step": FIXES}
    met = {"contact_clock": "first_contact", "fix_clock": "fix"}
    if name in done:
        return _Part(case_steps, step.case_id == case.id, step.at, (step.status == "done", step.step.in_(done[name])))
    if name in met:
        return _Part(
            case_clocks, clock.case_id == case.id, clock.met_at, (clock.clock == met[name], clock.met_at.is_not(None))
        )
    if name == "apology":
        return _Part(case_apologies, said.case_id == case.id, said.at)
    if name in ("asked", "answered"):
        at = asked.sent_at if name == "asked" else asked.answered_at
        return _Part(surveys, asked.case_id == case.id, at, (at.is_not(None),))
    if name == "bought_reported":
        later = (paid.event == "purchase", paid.occurred_at > case.closed_at)
        return _Part(feedback, paid.customer_id == case.customer_id, paid.occurred_at, later)
    spent = _spent_on_orders().cte("spent").prefix_with("MATERIALIZED")
    return _Part(spent, spent.c.customer_id == case.customer_id, spent.c.at, (spent.c.at > case.closed_at,), rare=True)
