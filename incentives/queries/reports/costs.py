"""What trouble costs, by tag and by cause: the incentives that were given, in the order of their weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid
from incentives.kernel.money import Money
from incentives.queries.reports.asked import Asked, Window, catalog_for, labels_of, window
from incentives.queries.reports.facts import kept_to
from incentives.queries.reports.funnel import share_bp
from incentives.queries.scope import seen_by
from incentives.recovery.tables import case_causes, recovery_cases
from incentives.vouchers.tables import issuances

BY = ("issue_tag", "cause", "location", "team", "incentive", "product")
_WHOLE_WEIGHT = 100
# What was given in a period was given for cases of about that period, and they lie side by side. PostgreSQL believes
# that each costs a far page to look up, and would rather read all cases that there ever were.
_LIE_TOGETHER = sa.select(sa.func.set_config("random_page_cost", "0.5", True))  # noqa: FBT003 - for this transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one of them cost; ``share_bp`` of all in its currency, and together with those before it."""

    key: str
    label: str
    number: int
    amount: Money
    share_bp: int | None
    running_bp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of what was given in a period, by currency the dearest first."""

    window: Window
    by: str
    rows: tuple[Cost, ...]


def costs(*, core: Core, actor: Actor, asked: Asked, by: str = "issue_tag") -> Costs:
    """Return what trouble cost. A case with several causes is shared by their weights. Raises ``InputInvalid``."""
    if by not in BY:
        raise InputInvalid(errors=[{"field": "by", "message": f"Choose one of {', '.join(BY)}."}])
    catalog = catalog_for(core, actor)
    span = window(catalog, core.clock.now(), asked)
    given, case = issuances.c, recovery_cases.c
    value: Any = {"cause": case_causes.c.cause, "incentive": given.incentive}.get(by)
    value = case[by] if value is None else value
    weight = case_causes.c.weight if by == "cause" else sa.literal(_WHOLE_WEIGHT)
    joined = issuances.join(recovery_cases, case.id == given.case_id)
    if by == "cause":
        joined = joined.join(case_causes, case_causes.c.case_id == case.id)
    query = (
        sa.select(value, given.currency, sa.func.count(), sa.func.sum(given.amount_minor * weight))
        .select_from(joined)
        .where(
            given.status == "issued",
            given.issued_at >= span.from_at,
            given.issued_at < span.until_at,
            seen_by(actor, case.location),
            *(
                kept_to(catalog, given.incentive if name == "incentive" else case[name], name, wanted)
                for name, wanted in asked.wanted().items()
                if name != "channel"
            ),
        )
        .group_by(value, given.currency)
    )
    with core.database.read_snapshot() as tx:
        if not core.database.sqlite:
            tx.execute(_LIE_TOGETHER)
        found = [(key or "", currency, number, int(total)) for key, currency, number, total in tx.execute(query)]
    return Costs(window=span, by=by, rows=_pareto(found, labels_of(catalog, by, {each[0] for each in found})))


def _pareto(found: list[tuple[str, str, int, int]], labels: Mapping[str, str]) -> tuple[Cost, ...]:
    totals: dict[str, int] = {}
    for _, currency, _, weighted in found:
        totals[currency] = totals.get(currency, 0) + weighted
    rows, running = [], dict.fromkeys(totals, 0)
    for key, currency, number, weighted in sorted(found, key=lambda each: (each[1], -each[3], each[0])):
        running[currency] += weighted
        rows.append(
            Cost(
                key=key,
                label=labels[key],
                number=number,
                amount=Money(weighted // _WHOLE_WEIGHT, currency),
                share_bp=share_bp(weighted, totals[currency]),
                running_bp=share_bp(running[currency], totals[currency]),
            )
        )
    return tuple(rows)
