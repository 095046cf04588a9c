"""What must hold whatever happens, looked at from beside: after each commit, every so often, and at the end."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.deeds.wanting import IssueVoucher
from incentives.flows.deliver import GIVE_UP_AFTER
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.idempotency import idempotency_keys
from incentives.messages.tables import delivery_attempts, outbox_messages
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
_OWN_IDS = ("id", "approval_id", "job_id")


class Watch:
    """Knows what happened in the order in which it was committed: ids tell the order of clocks, and these differ."""

    def __init__(self, core: Core, life: LifeBase, post: Post) -> None:
        """Look through a core of its own, that nothing befalls."""
        self.core, self.life, self.post = core, life, post
        self.model = life.model = Recount(lives_catalog())
        self.told: set[Any] = set()
        self.effects: defaultdict[str, list[list[str]]] = defaultdict(list)
        self.answers: defaultdict[str, list[Any]] = defaultdict(list)
        self.compared = self.commits = 0
        self.model.tell(self._news())  # what happened on the first day

    def committed(self, request: Request | None) -> None:
        """Take in what a transaction has written, and for which request."""
        self.commits += 1
        events = self._news()
        self.model.tell(events)
        deeds = [each["action"] for each in events if each["action"] not in _OF_REFUSALS]
        keys = self._given()
        if request is not None and deeds and not isinstance(request.command, IssueVoucher):
            keys.append(request.key)
        for key in keys:
            self.effects[key].append(deeds)
            if len(self.effects[key]) > 1:
                raise Found(f"{key} took effect twice: {self.effects[key]}")

    def _given(self) -> list[str]:
        """Return the keys for which something was given now: several requests may share a transaction."""
        table = issuances.c
        with self.core.database.read() as tx:
            rows = tx.execute(sa.select(table.id, table.order_ref).where(table.order_ref.is_not(None))).all()
        fresh = [row for row in rows if row.id not in self.told]
        self.told.update(row.id for row in fresh)
        return [row.order_ref for row in fresh]

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
        query = sa.select(table.id, table.status, table.ended_at, began.c.at).outerjoin(
            began, began.c.message_id == table.id
        )
        with self.core.database.read() as tx:
            rows = tx.execute(query).all()
        for row in rows:
            copies = self.post.copies[row.id]
            wrong = {
                "sent": copies == 0,
                "failed": row.id not in self.post.never and not _given_up(row),
                "withdrawn": copies > self.post.excuses[row.id],
                "held": copies > self.post.excuses[row.id],
            }
            if wrong.get(row.status, True):
                raise Found(f"message {row.id} is {row.status} at the end, and was taken {copies} times")

    def _keys(self) -> None:
        names = idempotency_keys.c
        with self.core.database.read() as tx:
            kept = Counter(tx.execute(sa.select(names.key)).scalars())
        for key, answers in self.answers.items():
            done = any(not isinstance(each, Refusal) for each in answers)
            if (len(self.effects[key]), kept[key]) != ((1, 1) if done else (0, 0)):
                raise Found(
                    f"{key} took effect {len(self.effects[key])} times and is kept {kept[key]} times: {answers}"
                )


def _given_up(row: Any) -> bool:
    """Return whether a message was tried for as long as one is."""
    return row.at is not None and row.ended_at is not None and row.ended_at >= row.at + GIVE_UP_AFTER
