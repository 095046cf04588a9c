"""A shop with policies that say who decides, people who are in the database, and short words for deciding."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from incentives.access.tables import users
from incentives.flows.approve import DecideApproval, Decided, decide_approval
from incentives.flows.delegate import CreateDelegation, create_delegation
from incentives.flows.withdraw_request import Withdrawn, WithdrawRequest, withdraw_request
from incentives.kernel.actors import Actor
from incentives.kernel.errors import Refusal
from tests import dump
from tests.flows.shop import Shop, budget, catalog
from tests.world import START

OpenShop = Callable[..., Shop]

# Up to 30 pounds one supervisor decides; up to 60 two of them and then a manager; above, money itself.
POLICIES: Sequence[Mapping[str, Any]] = (
    {
        "key": "dear",
        "name": "Dear",
        "at_least_minor": {"GBP": 6000},
        "levels": [
            {"roles": ["manager"], "needed": 1, "escalate_after_minutes": 60},
            {"roles": ["finance"], "needed": 1, "escalate_after_minutes": 120},
        ],
        "fallback_roles": ["admin"],
        "lifetime_hours": 24,
    },
    {
        "key": "middle",
        "name": "Middle",
        "at_least_minor": {"GBP": 3001},
        "levels": [
            {"roles": ["supervisor"], "needed": 2, "escalate_after_minutes": 30},
            {"roles": ["manager"], "people": ["fay@example.com"], "needed": 1},
        ],
    },
    {
        "key": "odd",
        "name": "Odd",
        "issue_tags": ["odd"],
        "levels": [{"roles": ["finance"], "needed": 2}],
    },
)
LIMITS: Sequence[Mapping[str, Any]] = (
    {"role": "frontline", "currency": "GBP", "per_voucher_minor": 1000},
    {"role": "supervisor", "currency": "GBP", "per_voucher_minor": 4000},
    {"role": "manager", "currency": "GBP", "unlimited": True},
    {"role": "finance", "currency": "GBP", "unlimited": True},
    {"role": "admin", "currency": "GBP", "per_voucher_minor": 8000},
)


def policed(*budgets: Mapping[str, Any], policies: Sequence[Mapping[str, Any]] = POLICIES, **more: Any) -> str:
    """Return the shop's catalog with policies and budgets of its own."""
    document = orjson.loads(catalog(*budgets, limits=LIMITS))
    (service,) = document["protocols"]
    service["most_minor"] = {"GBP": 9500}
    odd = {**service, "key": "odd", "issue_tag": "odd"}
    document["protocols"] = [service, odd]
    document["approval_policies"] = list(policies)
    return orjson.dumps(document | more).decode()


POTS = (
    budget("fixed-pot", "incentive", of="fixed", cap_minor=100_000),
    budget("voucher-pot", "incentive", of="voucher", cap_minor=100_000),
)


def person(shop: Shop, name: str, role: str, *, location: str | None = None, email: str | None = None) -> Actor:
    """Let somebody in without the cost of a password."""
    found = Actor(
        kind="person",
        id=shop.core.ids.new(shop.core.clock.now()),
        name=name,
        email=email or f"{name.lower()}@example.com",
        role=role,
        location=location,
    )
    row: dict[str, Any] = {
        "id": found.id, "email": found.email, "name": name, "role": role, "location": location, "password_hash": "-",
        "skills": [], "created_at": START,
    }  # fmt: skip
    with shop.core.database.write() as tx:
        tx.execute(users.insert(), [row])
    return found


class Board:
    """The people who decide, and what they do."""

    def __init__(self, shop: Shop) -> None:
        """Let them in."""
        self.shop, self.core = shop, shop.core
        self.agent = person(shop, "Ada", "frontline", location="london")
        self.sam = person(shop, "Sam", "supervisor", location="london")
        self.sue = person(shop, "Sue", "supervisor", location="london")
        self.leo = person(shop, "Leo", "supervisor", location="leeds")
        self.mona = person(shop, "Mona", "manager")
        self.max = person(shop, "Max", "manager")
        self.fay = person(shop, "Fay", "finance")
        self.fred = person(shop, "Fred", "finance")
        self.adam = person(shop, "Adam", "admin")

    def ask(self, amount_minor: int = 5000, by: Actor | None = None, **more: Any) -> Any:
        """Ask for a voucher in London."""
        wanted = {"location": "london", "incentive": "voucher", "amount_minor": amount_minor, **more}
        return self.shop.ask(by or self.agent, **wanted)

    def vote(self, asked: Any, by: Actor, decision: str = "grant", **more: Any) -> Decided:
        """Have a say."""
        command = DecideApproval(approval_id=asked.approval_id, decision=decision, **more)
        return decide_approval(core=self.core, actor=by, command=command)

    def withdraw(self, asked: Any, by: Actor, reason: str | None = None, **more: Any) -> Withdrawn:
        """Take a request back."""
        command = WithdrawRequest(approval_id=asked.approval_id, reason=reason, **more)
        return withdraw_request(core=self.core, actor=by, command=command)

    def delegate(self, absent: Actor, to: Actor, *, by: Actor | None = None, hours: float = 8, **more: Any) -> Any:
        """Let somebody stand in for an absent one."""
        ends_at = self.core.clock.now() + timedelta(hours=hours)
        command = CreateDelegation(
            **{
                "delegate_email": to.email or "",
                "ends_at": ends_at,
                "reason": "On holiday.",
                "absent_email": absent.email,
                **more,
            }
        )
        return create_delegation(core=self.core, actor=by or absent, command=command).id

    def refused(self, kind: type[Refusal], deed: Any, *arguments: Any, **more: Any) -> Refusal:
        """Do what must be refused and must leave every table as it was."""
        before = dump.of(self.core)
        with pytest.raises(kind) as caught:
            deed(*arguments, **more)
        assert type(caught.value) is kind
        assert dump.differences(before, dump.of(self.core)) == {}
        return caught.value


@contextmanager
def statements(shop: Shop) -> Iterator[list[str]]:
    """Give a list of what is said to the database meanwhile."""
    said: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(" ".join(statement.split())[:90])

    engines = (shop.core.database.engine, shop.core.database._reader)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", hear)
    yield said
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", hear)
