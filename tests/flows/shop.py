"""A shop to test flows in: a catalog with one of everything, its people, and what they do all day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from incentives.deeds.assessment import Trouble
from incentives.flows.approve import DecideApproval, Decided, decide_approval
from incentives.flows.deliver import deliver_next
from incentives.flows.expire import expire_due
from incentives.flows.issue import AwaitingApproval, Issued, IssuedVoucher, IssueVoucher, issue_voucher, issue_vouchers
from incentives.flows.offer import Offers, offer_incentives
from incentives.flows.redeem import Redeemed, RedeemVoucher, redeem_voucher
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.database import Database
from incentives.kernel.errors import Refusal
from incentives.queries import books
from incentives.recovery.customers import CustomerGiven
from incentives.spending.tables import COUNTERS, budget_periods
from tests.schema import all_tables
from tests.world import Recording, actor, make_core, publish_catalog

EMAIL = "ana.lopez@example.com"
PHONE = "+442079460018"
ANA = CustomerGiven(email=EMAIL)
PLENTY = 100_000_000


def incentive(key: str, kind: str, **more: Any) -> dict[str, Any]:
    """Return an incentive in pounds that is good for thirty days, unless said otherwise."""
    words = {"en": f"The {key}", "es": f"El {key}"}
    always = {"key": key, "kind": kind, "title": words}
    voucher = {"terms": {"en": "One use.", "es": "Un solo uso."}, "currency": "GBP", "valid_days": 30}
    return {**always, **({} if kind == "apology_only" else voucher), **more}


def budget(key: str, scope: str = "organization", **more: Any) -> dict[str, Any]:
    """Return a budget of a month; one that caps money is in pounds unless said otherwise."""
    currency = {"currency": "GBP"} if "cap_minor" in more else {}
    return {"key": key, "name": f"Pot {key}", "scope": scope, "period": "month", **currency, **more}


INCENTIVES = (
    incentive("voucher", "amount_off", amount_minor=1000, min_amount_minor=500, max_amount_minor=8000),
    incentive("fixed", "amount_off", amount_minor=700),
    incentive(
        "credit",
        "store_credit",
        amount_minor=2000,
        min_amount_minor=100,
        max_amount_minor=10000,
        remainder="new_voucher",
    ),
    incentive("percent", "percent_off", percent=15, max_discount_minor=3000),
    incentive("refund", "refund_request", amount_minor=1200, expiry="instant"),
    incentive(
        "meal", "free_item", item={"en": "A meal", "es": "Un menú"}, accounting_cost_minor=800, locations=["london"]
    ),
    incentive("points", "points", points=500, accounting_cost_minor=250),
    incentive("gift", "free_shipping", accounting_cost_minor=0),
    incentive("dollars", "amount_off", currency="USD", amount_minor=1000),
    incentive("euros", "amount_off", currency="EUR", amount_minor=1000),
    incentive("retired", "amount_off", amount_minor=1000, active=False),
    incentive(
        "summer", "amount_off", amount_minor=1000, offerable_from_date="2027-06-01", offerable_until_date="2027-08-31"
    ),
    incentive("dear", "amount_off", amount_minor=7000, min_amount_minor=500, max_amount_minor=9000),
    incentive("sorry", "apology_only"),
    incentive("elsewhere", "amount_off", amount_minor=1000),
)

ROOMY = (
    budget("all-gbp", period="year", cap_minor=PLENTY),
    budget("all-usd", period="year", currency="USD", cap_minor=PLENTY),
)

LIMITS: tuple[Mapping[str, Any], ...] = (
    {
        "role": "frontline",
        "currency": "GBP",
        "per_voucher_minor": 2000,
        "per_day_minor": 10000,
        "per_day_count": 20,
        "per_customer_minor": 4000,
        "per_customer_count": 3,
    },
    {"role": "supervisor", "currency": "GBP", "per_voucher_minor": 4000},
    {"role": "manager", "currency": "GBP", "unlimited": True},
    {"role": "manager", "currency": "USD", "unlimited": True},
    {"role": "manager", "currency": "EUR", "unlimited": True},
)


BRAND = {
    "name": "Acme",
    "languages": ["en", "es"],
    "default_language": "en",
    "time_zone": "Europe/London",
    "currency": "GBP",
}


def catalog(
    *budgets: Mapping[str, Any],
    roomy: bool = True,
    limits: Sequence[Mapping[str, Any]] = LIMITS,
    incentives: Iterable[Mapping[str, Any]] = INCENTIVES,
) -> str:
    """Return the shop's catalog with some budgets besides the roomy ones of the organization."""
    words = {"en": "Words", "es": "Palabras"}
    keys = [each["key"] for each in INCENTIVES if each["key"] != "elsewhere"]
    tags = (
        {"key": "service"},
        {"key": "long-wait", "parent": "service"},
        {"key": "rude", "active": False},
        {"key": "odd"},
    )
    return orjson.dumps(
        {
            "brand": BRAND,
            "locations": [
                {"key": "london", "name": "London", "time_zone": "Europe/London", "currency": "GBP", "country": "GB"},
                {"key": "leeds", "name": "Leeds", "time_zone": "Europe/London", "currency": "GBP", "country": "GB"},
                {
                    "key": "new-york",
                    "name": "New York",
                    "time_zone": "America/New_York",
                    "currency": "USD",
                    "country": "US",
                },
            ],
            "teams": [{"key": "gates", "name": "Gates", "location": "london"}, {"key": "desk", "name": "Desk"}],
            "segments": ["gold"],
            "issue_tags": [{"label": words, "icon": "clock", "severity": 2, **tag} for tag in tags],
            "scripts": [
                {
                    "key": "sorry",
                    "text": {
                        "en": "Dear {customer_name}, {brand} is sorry about {order_ref}. {agent_name}: {incentive}",
                        "es": "{customer_name}, {brand} lo siente por {order_ref}. {agent_name} le da: {incentive}",
                    },
                },
            ],
            "incentives": list(incentives),
            "protocols": [
                {
                    "key": "service",
                    "issue_tag": "service",
                    "script": "sorry",
                    "steps": ["apologize", "document"],
                    "incentives": keys,
                    "default": "voucher",
                    "most_minor": {"GBP": 5000},
                },
            ],
            "budgets": [*(ROOMY if roomy else ()), *budgets],
            "approval_limits": list(limits),
        }
    ).decode()


SHOP = catalog()
_EVERYTHING = {
    table.name: f"SELECT * FROM {table.name} ORDER BY {', '.join(table.primary_key.columns.keys())}"
    for table in all_tables().sorted_tables
}


@dataclass(kw_only=True)
class Shop:
    """A core on its own database, and its people."""

    core: Core
    clock: FixedClock
    manager: Actor
    agent: Actor
    supervisor: Actor
    till: Actor

    @classmethod
    def opened(cls, database_url: str, text: str = SHOP, database: Database | None = None, **settings: Any) -> "Shop":
        """Return a shop with its catalog in force; ``database`` is one that is connected to the address already."""
        core = make_core(database_url, **settings)
        core = replace(core, database=database or core.database)
        publish_catalog(core, text)
        assert isinstance(core.clock, FixedClock)
        return cls(
            core=core,
            clock=core.clock,
            manager=actor(core, "manager"),
            agent=actor(core, "frontline", location="london", team="gates", email="agent@example.com"),
            supervisor=actor(core, "supervisor", location="london"),
            till=actor(core, "till", location="london"),
        )

    # --- deeds --------------------------------------------------------------------------------------------

    def issue(self, by: Actor | None = None, **command: Any) -> Issued:
        """Give something (the manager does unless said otherwise) and return what was given at once."""
        given = issue_voucher(core=self.core, actor=by or self.manager, command=wish(**command))
        assert isinstance(given, Issued), given
        return given

    def ask(self, by: Actor | None = None, **command: Any) -> AwaitingApproval:
        """Give something for which somebody else must be asked (the agent asks unless said otherwise)."""
        asked = issue_voucher(core=self.core, actor=by or self.agent, command=wish(**command))
        assert isinstance(asked, AwaitingApproval), asked
        return asked

    def issue_many(self, *wishes: IssueVoucher, by: Actor | None = None) -> list[Any]:
        """Give in numbers."""
        return list(issue_vouchers(core=self.core, actor=by or self.manager, commands=wishes))

    def voucher(self, by: Actor | None = None, **command: Any) -> IssuedVoucher:
        """Give something and return its voucher."""
        voucher = self.issue(by, **command).voucher
        assert voucher is not None
        return voucher

    def offer(self, by: Actor | None = None, **trouble: Any) -> Offers:
        """Return what may be offered."""
        command = Trouble(**{"issue_tag": "long-wait", **trouble})
        return offer_incentives(core=self.core, actor=by or self.manager, command=command)

    def decide(self, approval_id: Any, decision: str = "grant", by: Actor | None = None, **more: Any) -> Decided:
        """Decide a request; the manager does unless said otherwise."""
        command = DecideApproval(approval_id=approval_id, decision=decision, **more)
        return decide_approval(core=self.core, actor=by or self.manager, command=command)

    def redeem(self, code: str | None = None, by: Actor | None = None, **more: Any) -> Redeemed:
        """Spend a voucher at the till."""
        command = RedeemVoucher(code=code, **more)
        return redeem_voucher(core=self.core, actor=by or self.till, command=command)

    def expire(self) -> tuple[int, int]:
        """Sweep until nothing is due; return how many vouchers and requests ended."""
        total = (0, 0)
        while True:
            done = expire_due(core=self.core)
            if not done.vouchers + done.approvals:
                return total
            total = (total[0] + done.vouchers, total[1] + done.approvals)

    def deliver(self) -> list[str]:
        """Deliver what is due and return what became of each message."""
        statuses = []
        while (done := deliver_next(core=self.core)) is not None:
            statuses.append(done.status)
        return statuses

    def later(self, **step: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**step))

    # --- records ------------------------------------------------------------------------------------------

    def sender(self, channel: str = "email") -> Recording:
        """Return who carries a channel's messages."""
        sender = self.core.senders[channel]
        assert isinstance(sender, Recording)
        return sender

    def all(self, table: sa.Table, *where: Any) -> list[Any]:
        """Return the rows of a table in the order in which they were made."""
        with self.core.database.read() as tx:
            return list(tx.execute(sa.select(table).where(*where).order_by(*table.primary_key.columns)).all())

    def one(self, table: sa.Table, *where: Any) -> Any:
        """Return the only row there is."""
        (row,) = self.all(table, *where)
        return row

    def everything(self) -> dict[str, list[Any]]:
        """Return every row of every table: two of these that are equal mean that nothing happened."""
        with self.core.database.read() as tx:
            # Asked in plain SQL, which need not be compiled anew for each shop's own engine.
            return {name: list(tx.exec_driver_sql(query).all()) for name, query in _EVERYTHING.items()}

    def count(self) -> dict[str, int]:
        """Return how many rows each table has, but for those of the catalog and those without any."""
        counts = {name: len(rows) for name, rows in self.everything().items()}
        return {
            name: count for name, count in counts.items() if count and not name.startswith(("catalog_", "ledger_acc"))
        }

    def pots(self, unit: str = "minor") -> dict[tuple[str, str], tuple[int, int, int]]:
        """Return what was held, committed and spent, by budget and subject, in all periods; no empty pots."""
        found: dict[tuple[str, str], tuple[int, int, int]] = {}
        for row in self.all(budget_periods):
            if any(getattr(row, name) for name in COUNTERS):
                before = found.get((row.budget, row.subject), (0, 0, 0))
                sums = [getattr(row, f"{state}_{unit}") for state in ("held", "committed", "spent")]
                found[row.budget, row.subject] = (before[0] + sums[0], before[1] + sums[1], before[2] + sums[2])
        return found

    def pot(self, key: str, unit: str = "minor") -> tuple[int, int, int]:
        """Return what all pots of a budget have held, committed and spent."""
        sums = [
            sum(each) for each in zip(*(pot for name, pot in self.pots(unit).items() if name[0] == key), strict=True)
        ]
        return (sums[0], sums[1], sums[2]) if sums else (0, 0, 0)

    def balances(self) -> dict[str, int]:
        """Return the accounts' balances in pounds; debits are positive. Accounts without any are left out."""
        found = books.list_balances(core=self.core, actor=SYSTEM)
        return {each.account: each.balance.amount_minor for each in found if each.balance.currency == "GBP"}

    def check(self, *may_wait: str) -> None:
        """Prove the books, but for checks of what a sweep that has not run yet would have done."""
        checks = books.check_books(core=self.core, actor=SYSTEM)
        assert {each.name: each.broken for each in checks if not each.holds and each.name not in may_wait} == {}

    def refused(self, refusal: type[Refusal], deed: Any, *arguments: Any, **more: Any) -> Refusal:
        """Do something that must be refused and must leave nothing; return the refusal."""
        before = self.everything()
        with pytest.raises(refusal) as caught:
            deed(*arguments, **more)
        assert type(caught.value) is refusal
        assert self.everything() == before
        return caught.value


def wish(**command: Any) -> IssueVoucher:
    """Return a command to give the default incentive for a long wait to Ana, on screen, unless said otherwise."""
    return IssueVoucher(**{"issue_tag": "long-wait", "customer": ANA, **command})


def named(email: str | None = None, **more: Any) -> CustomerGiven:
    """Return a customer."""
    return CustomerGiven(email=email, **more)


def moved(who: Actor, **values: Any) -> Actor:
    """Return an actor who differs in something."""
    return replace(who, **values)
