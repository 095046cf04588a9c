"""What must hold whatever happens, looked at from beside: after each commit, every so often, and at the end."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.deeds.wanting import IssueVoucher
from incentives.flows.deliver import GIVE_UP_AFTER
from incentives.flows.redeem import RedeemVoucher
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.idempotency import KEPT, idempotency_keys
from incentives.messages.outbox import UNCERTAIN, UNSURE_MOST
from incentives.messages.tables import delivery_attempts, delivery_events, outbox_messages
from incentives.queries import books
from incentives.vouchers.tables import issuances
from tests.machines.agreement import balances_of, disagreements, pots_of
from tests.machines.life import LifeBase
from tests.machines.lives_catalog import lives_catalog
from tests.machines.recount import Recount
from tests.simulation.people import Request
from tests.simulation.post import Post
from tests.simulation.schedule import Found

# The worker does nothing until the dice say so.
_MAY_WAIT = ("nothing is stuck in the outbox", "no hold is older than its request")
_OF_REFUSALS = ("review.opened", "switch.set")  # what a refusal by rules against abuse leaves
# How far a message has come; what it is before a provider has it may change back and forth.
_PLACES = {"sent": 1, "failed": 1, "suppressed": 1, "withdrawn": 1, "delivered": 2, "bounced": 2}
_TOLD = ("sent", "delivered", "bounced", "failed", "suppressed")
_OWN_IDS = ("id", "approval_id", "job_id")


class Watch:
    """Knows what happened in the order in which it was committed: ids tell the order of clocks, and these differ."""

    def __init__(self, core: Core, life: LifeBase, post: Post) -> None:
        """Look through a core of its own, that nothing befalls."""
        self.core, self.life, self.post = core, life, post
        self.model = life.model = Recount(lives_catalog())
        self.told: set[Any] = set()
        self.effects: defaultdict[str, list[list[str]]] = defaultdict(list)
        self.claimed_at: dict[str, datetime | None] = {}
        self.answers: defaultdict[str, list[Any]] = defaultdict(list)
        self.unheard: set[str] = set()  # the keys under which somebody asked who left before the answer
        self.compared = self.commits = 0
        self.statuses: dict[Any, str] = {}
        self.model.tell(self._news())  # what happened on the first day

    def committed(self, request: Request | None) -> None:
        """Take in what a transaction has written, and for which request."""
        self.commits += 1
        events = self._news()
        self.model.tell(events)
        self._moved(events)
        deeds = [each["action"] for each in events if each["action"] not in _OF_REFUSALS]
        keys = [*self._given(), *self._redeemed()]
        if request is not None and deeds and not isinstance(request.command, IssueVoucher | RedeemVoucher):
            keys.append(request.key)
        for key in keys:
            self.effects[key].append(deeds)
            self.claimed_at[key] = self._claimed_at(key)
            if len(self.effects[key]) > 1:
                raise Found(f"{key} took effect twice: {self.effects[key]}")

    def unseen(self) -> None:
        """Take in what was done while nobody looked at each transaction."""
        self.model.tell(self._news())
        self.statuses = self._statuses()

    def _statuses(self) -> dict[Any, str]:
        table = outbox_messages.c
        with self.core.database.read() as tx:
            return {row.id: row.status for row in tx.execute(sa.select(table.id, table.status))}

    def messages(self) -> None:
        """Look at what the provider was heard to say, where nobody else is at work."""
        events = self._news()
        self.model.tell(events)
        self._moved(events)

    def _moved(self, events: list[Mapping[str, Any]]) -> None:
        """Look that no message goes back, and that the audit trail tells of each change once."""
        now = self._statuses()
        moved = {each: status for each, status in now.items() if self.statuses.get(each) != status}
        for each, status in moved.items():
            if _PLACES.get(status, 0) < _PLACES.get(self.statuses.get(each, ""), 0):
                raise Found(f"message {each} went back from {self.statuses[each]} to {status}")
        told = Counter(
            (each["facts"]["message_id"], each["action"].removeprefix("message."))
            for each in events
            if each["action"].startswith("message.")
        )
        changes = Counter((str(each), status) for each, status in moved.items() if status in _TOLD)
        if {each: count for each, count in told.items() if each[1] in _TOLD} != changes:
            raise Found(f"messages moved {dict(changes)}, and the audit trail says {dict(told)}")
        self.statuses = now

    def _given(self) -> list[str]:
        """Return the keys for which something was given now: several requests may share a transaction."""
        table = issuances.c
        with self.core.database.read() as tx:
            rows = tx.execute(sa.select(table.id, table.order_ref).where(table.order_ref.is_not(None))).all()
        fresh = [row for row in rows if row.id not in self.told]
        self.told.update(row.id for row in fresh)
        return [row.order_ref for row in fresh]

    def _redeemed(self) -> list[str]:
        """Return the keys for which something was redeemed now: as above. A refused one keeps no key."""
        names = idempotency_keys.c
        with self.core.database.read() as tx:
            kept = tx.execute(sa.select(names.key).where(names.scope.like("%:redemptions"))).scalars()
            fresh = [each for each in kept if ("redeemed", each) not in self.told]
        self.told.update(("redeemed", each) for each in fresh)
        return fresh

    def _news(self) -> list[Mapping[str, Any]]:
        # Nobody else commits meanwhile, so what is new is what this transaction wrote; in it, ids tell the order.
        table = audit_events.c
        with self.core.database.read() as tx:
            fresh = [each for each in tx.execute(sa.select(table.id)).scalars() if each not in self.told]
            self.told.update(fresh)
            query = sa.select(audit_events).where(table.id.in_(fresh)).order_by(table.id)
            return [dict(each) for each in tx.execute(query).mappings()] if fresh else []

    def answered(self, request: Request, answer: Any) -> None:
        """Take in what somebody was answered, and look that it fits to what happened under their key."""
        self.answers[request.key].append(answer)
        done = [each for each in self.answers[request.key] if not isinstance(each, Refusal)]
        effects = self.effects[request.key]
        if len(effects) != (1 if done else len(effects)):
            raise Found(f"{request.verb} was answered as done, and took effect {len(effects)} times")
        ids = {getattr(each, name) for each in done for name in _OWN_IDS[:1] if hasattr(each, name)}
        if len(ids) > 1:
            raise Found(f"{request.verb} was answered with {len(ids)} different results under one key")

    # --- every so often -----------------------------------------------------------------------------------

    def money(self) -> None:
        """Compare pots and accounts with the model, and look that nothing is used too often or promised too much."""
        pots, balances = pots_of(self.core), balances_of(self.core)
        self.compared += len(pots) + len(balances)
        if wrong := disagreements(self.model, pots, balances):
            raise Found("\n".join(wrong))
        self.life._redeemed_within()
        self.life._within_caps()

    def books(self, *may_wait: str) -> None:
        """Prove the books by their own checks."""
        checks = books.check_books(core=self.core, actor=SYSTEM)
        broken = {each.name: each.broken for each in checks if not each.holds and each.name not in may_wait}
        if broken:
            raise Found(str(broken))

    def everything(self) -> None:
        """Look at all that holds while the workers still have something to do."""
        self.money()
        self.books(*_MAY_WAIT)

    # --- at the end ---------------------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """Look at what holds once the faults have ceased and the workers have nothing left to do."""
        self.model.tell(self._news())
        self.money()
        self.books()
        self._messages()
        self._keys()

    def _messages(self) -> None:
        table, tried = outbox_messages.c, delivery_attempts.c
        first = sa.select(tried.message_id, sa.func.min(tried.started_at).label("at")).group_by(tried.message_id)
        began = first.subquery()
        names = (table.id, table.status, table.ended_at, table.reason, table.unsure_tries)
        query = sa.select(*names, began.c.at).outerjoin(began, began.c.message_id == table.id)
        with self.core.database.read() as tx:
            rows = tx.execute(query).all()
            heard = set(tx.execute(sa.select(delivery_events.c.event_key)).scalars())
        for row in rows:
            copies, says = self.post.copies[row.id], self.post.says(row.id)
            wrong = {
                "sent": copies == 0 or says not in ("sent", None),
                "delivered": says != "delivered",
                "bounced": says != "bounced",
                "suppressed": copies > self.post.excuses[row.id],
                "failed": row.id not in self.post.never and not _given_up(row) and not _uncertain(row),
                "withdrawn": copies > self.post.excuses[row.id],
                "held": copies > self.post.excuses[row.id],
            }
            if wrong.get(row.status, True):
                raise Found(f"message {row.id} is {row.status} at the end, was taken {copies} times, and is {says}")
        if lost := {each.event_key for each in self.post.calls} - heard:
            raise Found(f"{len(lost)} reports are lost")

    def _keys(self) -> None:
        names = idempotency_keys.c
        with self.core.database.read() as tx:
            kept = Counter(tx.execute(sa.select(names.key)).scalars())
        for key, answers in self.answers.items():
            done = any(not isinstance(each, Refusal) for each in answers)
            if (done or key in self.unheard) and self._may_be_forgotten(key):
                kept[key] = 1
            may_be = {(1, 1)} if done else {(0, 0), (1, 1)} if key in self.unheard else {(0, 0)}
            if (len(self.effects[key]), kept[key]) not in may_be:
                raise Found(
                    f"{key} took effect {len(self.effects[key])} times and is kept {kept[key]} times: {answers}"
                )

    def _may_be_forgotten(self, key: str) -> bool:
        """Return whether a key was claimed so long ago that it need not be kept any more, by the slowest clock."""
        at = self.claimed_at.get(key)
        return at is not None and self.core.clock.now() - at > KEPT - timedelta(hours=1)

    def _claimed_at(self, key: str) -> datetime | None:
        """Return when a key was claimed, by the clock of whoever did; time may have passed until it took effect."""
        names = idempotency_keys.c
        with self.core.database.read() as tx:
            at: datetime | None = tx.execute(
                sa.select(sa.func.min(names.created_at, type_=names.created_at.type)).where(names.key == key)
            ).scalar_one()
        return at


def _uncertain(row: Any) -> bool:
    """Return whether so many died over a message that a person is to ask whether it arrived."""
    return bool(row.reason == UNCERTAIN and row.unsure_tries >= UNSURE_MOST)


def _given_up(row: Any) -> bool:
    """Return whether a message was tried for as long as one is."""
    return row.at is not None and row.ended_at is not None and row.ended_at >= row.at + GIVE_UP_AFTER
