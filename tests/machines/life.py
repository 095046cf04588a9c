"""A shop that lives: people do whatever the dice say, and after each deed the model beside the books must agree.

What is done next is said by a ``random.Random``; a machine that looks for the shortest way to break something hands in
one that it steers itself. All that a deed needs to know it reads from the tables, as somebody at a screen would.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields, replace
from functools import partial
from random import Random
from typing import Any

import sqlalchemy as sa

from incentives.access.tables import users
from incentives.books.tables import audit_events
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import Refusal
from incentives.queries import books
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, redemptions, vouchers
from tests import dump
from tests.flows.shop import Shop
from tests.machines.agreement import balances_of, disagreements, pots_of
from tests.machines.lives_catalog import lives_catalog
from tests.machines.recount import Recount
from tests.schema import all_tables
from tests.world import actor

RECENT = 30
CLERKS = ("agent", "agent", "leeds", "supervisor", "manager", "manager", "second_manager")
TILLS = ("till", "till", "second_till", "supervisor", "manager")
# The worker does nothing until the dice say so.
_MAY_WAIT = ("nothing is stuck in the outbox", "no hold is older than its request")
_COUNTS = "SELECT " + ", ".join(f"(SELECT COUNT(*) FROM {each.name})" for each in all_tables().sorted_tables)

TRIES = frozenset({"redemption_attempts"})
SUSPICION = frozenset({"reviews", "audit_events"})
SUSPECTED = frozenset({"blocked-by-safeguards", "step-up-required", "voucher-not-found", "code-malformed"})
"""Refusals that somebody looks at: they leave a review and what the audit trail says of it."""


def _but_replayed(answer: Any) -> Any:
    """Return an answer, and the answers in it, without the mark that somebody got it before."""
    if isinstance(answer, dict):
        return {name: _but_replayed(value) for name, value in answer.items() if name != "replayed"}
    return answer


class LifeBase:
    """The shop, its people, and how a deed is done: refused without a trace, or once however often it is asked for."""

    def __init__(self, shop: Shop, *, count_one_in: int = 1, dump_one_in: int = 8) -> None:
        """Live in a shop; of so many deeds one is watched by the numbers of rows, and one by everything."""
        core = shop.core
        self.shop, self.core, self.dice = shop, core, Random(0)
        self.count_one_in, self.dump_one_in = count_one_in, dump_one_in
        self.people = {
            "agent": shop.agent,
            "leeds": actor(core, "frontline", location="leeds", email="leeds@example.com"),
            "supervisor": replace(shop.supervisor, email="supervisor@example.com"),
            "manager": replace(shop.manager, email="manager@example.com"),
            "second_manager": actor(core, "manager", email="second@example.com"),
            "finance": actor(core, "finance"),
            "second_finance": actor(core, "finance", email="books@example.com"),
            "admin": actor(core, "admin", email="admin@example.com"),
            "till": shop.till,
            "second_till": actor(core, "till", location="london"),
            "leeds_till": actor(core, "till", location="leeds"),
            "key": replace(actor(core, "integrator"), kind="key"),
        }
        self.done: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.repeated = self.keys = self.compared = 0
        self.model = Recount(lives_catalog())
        self._told: Any = None
        self._let_in()

    def _let_in(self) -> None:
        """Write down who has an address: who hands on a right, or gives in bulk, is looked up."""
        with self.core.database.write() as tx:
            for each in self.people.values():
                if each.email and each.kind == "person":
                    names = ("id", "email", "name", "role", "location", "team")
                    row = {name: getattr(each, name) for name in names}
                    tx.execute(users.insert(), {**row, "password_hash": "none", "created_at": self.now})

    # --- doing --------------------------------------------------------------------------------------------

    def do(self, verb: str, flow: Callable[..., Any], who: str, given: Any, *, leaves: Collection[str] = ()) -> Any:
        """Do something and return its result; None where it was refused, which leaves nothing but what is named.

        ``given`` is a command, or the flow's other arguments by their names.
        """
        said = given if isinstance(given, dict) else {"command": self._keyed(given)}
        deed = partial(flow, core=self.core, actor=self.people[who], **said)
        before = self._picture()
        try:
            done = deed()
        except Refusal as refusal:
            self.refused[verb, refusal.slug] += 1
            more = SUSPICION if refusal.slug in SUSPECTED else frozenset()
            self._same(before, f"{verb} refused as {refusal.slug}", {*leaves, *more})
            return None
        self.done[verb] += 1
        if getattr(said.get("command"), "idempotency_key", None):
            self._repeat(verb, deed, done)
        return done or True

    def _keyed(self, command: Any) -> Any:
        """Return a command, often with a key under which it is done once."""
        if any(each.name == "idempotency_key" for each in fields(command)) and self.chance(3):
            self.keys += 1
            return replace(command, idempotency_key=f"key-{self.keys}")
        return command

    def _repeat(self, verb: str, deed: Callable[[], Any], done: Any) -> None:
        """Ask for the same once more under its key: the first answer comes again, and nothing happens."""
        before = self._picture()
        again = deed()
        assert again.replayed, f"{verb} was done twice under one key"
        assert _but_replayed(asdict(again)) == _but_replayed(asdict(done)), verb
        self._same(before, f"{verb} repeated", ())
        self.repeated += 1

    def _picture(self) -> Any:
        if self.chance(self.dump_one_in):
            return dump.of(self.core)
        return self._counts() if self.chance(self.count_one_in) else None

    def _counts(self) -> tuple[int, ...]:
        with self.core.database.read() as tx:
            return tuple(tx.exec_driver_sql(_COUNTS).one())

    def _same(self, before: Any, what: str, but: Collection[str]) -> None:
        if isinstance(before, Mapping):
            found = dump.differences(before, dump.of(self.core))
            assert not found.keys() - set(but), f"{what}: {found}"
        elif before is not None:
            names = [each.name for each in all_tables().sorted_tables]
            pairs = zip(names, before, self._counts(), strict=True)
            assert not {name for name, was, now in pairs if was != now} - set(but), what

    # --- choosing -----------------------------------------------------------------------------------------

    def chance(self, one_in: int) -> bool:
        """Return true once in so many times."""
        return one_in == 1 or self.dice.randrange(one_in) == 0

    def of(self, *choices: Any) -> Any:
        """Return one of some choices."""
        return self.dice.choice(choices)

    def recent(self, table: sa.Table, *where: Any) -> Any:
        """Return one of the latest rows of a table, or None where there is none."""
        query = sa.select(table).where(*where).order_by(*(each.desc() for each in table.primary_key.columns))
        with self.core.database.read() as tx:
            rows = tx.execute(query.limit(RECENT)).all()
        return self.dice.choice(rows) if rows else None

    def voucher(self, *wanted: str) -> Any:
        """Return a voucher, mostly one that is in one of the wanted states."""
        states = () if self.chance(10) or not wanted else (vouchers.c.status.in_(wanted),)
        return self.recent(vouchers, *states)

    def code(self, voucher: Any) -> str:
        """Return a voucher's code as it is printed."""
        return lifecycle.secrets_of(self.core, voucher.id, voucher.code_key_id)[0]

    def issuance(self, voucher: Any) -> Any:
        """Return the issuance of a voucher."""
        return self.shop.one(issuances, issuances.c.id == voucher.issuance_id)

    @property
    def now(self) -> Any:
        """Return the present instant."""
        return self.shop.clock.now()

    # --- what always holds --------------------------------------------------------------------------------

    def check(self) -> None:
        """Prove everything: the books by their own checks, the model beside them, and what no voucher may do."""
        wrong = self.recount()
        assert not wrong, "\n".join(wrong)
        checks = books.check_books(core=self.core, actor=SYSTEM)
        broken = {each.name: each.broken for each in checks if not each.holds and each.name not in _MAY_WAIT}
        assert not broken, broken
        self._redeemed_within()
        self._within_caps()

    def recount(self) -> list[str]:
        """Tell the model what happened since, and return where the database says otherwise."""
        known = () if self._told is None else (audit_events.c.id > self._told,)
        with self.core.database.read() as tx:
            events = tx.execute(sa.select(audit_events).where(*known).order_by(audit_events.c.id)).mappings().all()
        if events:
            self._told = events[-1]["id"]
        self.model.tell(dict(each) for each in events)
        pots, balances = pots_of(self.core), balances_of(self.core)
        self.compared += len(pots) + len(balances)
        return disagreements(self.model, pots, balances)

    def _redeemed_within(self) -> None:
        standing = sa.func.count(redemptions.c.id)
        over = (
            sa.select(vouchers.c.id)
            .join(redemptions, redemptions.c.voucher_id == vouchers.c.id)
            .where(redemptions.c.reversed_at.is_(None))
            .group_by(vouchers.c.id, vouchers.c.max_redemptions)
            .having(standing > vouchers.c.max_redemptions)
        )
        with self.core.database.read() as tx:
            assert tx.execute(over).all() == []

    def _within_caps(self) -> None:
        """Look that no budget has promised more than the catalog's text and its allocations allow."""
        for (key, *_), has in pots_of(self.core).items():
            rule = self.model.budgets.get(key, {"basis": "none"})
            for unit in ("minor", "count"):
                cap = rule.get(f"cap_{unit}")
                if cap is not None and rule.get("basis", "face") == "face":
                    used = sum(has.get(f"{state}_{unit}", 0) for state in ("held", "committed", "spent"))
                    assert used <= cap + has.get(f"allotted_{unit}", 0), key
