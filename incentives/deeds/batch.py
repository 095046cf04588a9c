"""The rows that a deed lays out in memory while its budgets are locked, written together with a statement a table.

Not a flow: it opens no transaction. Issuing, granting and redeeming give vouchers, move budgets and tell customers,
and do it here in the same words.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import audit, ledger
from incentives.catalog import eligibility
from incentives.catalog.incentive import Incentive
from incentives.deeds import answers, asking, capping, caring
from incentives.deeds.answers import Issued, IssuedVoucher
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.many import RowsTogether, insert_many
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.safeguards import reviews
from incentives.spending import budgets
from incentives.spending.tables import approvals
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, redemption_attempts, redemptions, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Gift:
    """What one customer is to be given."""

    issuance_id: uuid.UUID
    case_id: uuid.UUID
    incentive: Incentive
    incentive_item_id: uuid.UUID
    amount: Money
    time_zone: str
    channels: tuple[str, ...]
    tell_at: datetime | None = None  # nothing about it is sent before
    wish: capping.Wish = capping.NOTHING  # the room that its messages take


@dataclass(slots=True, kw_only=True)
class Batch:
    """Everything that one transaction will write, at one instant, in the name of one actor.

    Where requests of several people share a transaction, each has a batch ``by`` their own name, and all lay their
    rows into the same lists.
    """

    core: Core
    actor: Actor
    now: datetime
    cases: list[caring.CaseRows] = field(default_factory=list)
    given_in: dict[uuid.UUID, frozenset[str]] = field(default_factory=dict)  # the clocks that giving stops, by case
    givers: dict[uuid.UUID, Actor] = field(default_factory=dict)  # who gave, by case
    issuances: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    vouchers: list[dict[str, Any]] = field(default_factory=list)
    redemptions: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    entries: list[ledger.Entry] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    movements: list[dict[str, Any]] = field(default_factory=list)
    allocations: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    room: capping.Room | None = None  # what the contacts may be promised; None: nobody counts

    def by(self, actor: Actor) -> "Batch":
        """Return the same batch in another actor's name."""
        return self if actor is self.actor else replace(self, actor=actor)

    def give(self, gift: Gift) -> Issued:
        """Lay out a voucher (an apology by itself has none), its promise on the books, and the messages about it."""
        issued = self._voucher(gift)
        messages = self.tell(gift.issuance_id, issued.id if issued else None, gift.channels, gift.tell_at)
        if self.room:
            self.room.take(gift.wish, messages)
        # What is told by a letter apologizes: the letter begins with the protocol's script.
        apologizes = bool(messages) or issued is None
        stopped = {"incentive", "first_contact", *(["apology"] if apologizes else [])}
        self.given_in[gift.case_id] = self.given_in.get(gift.case_id, frozenset()) | stopped
        self.givers[gift.case_id] = self.actor
        return Issued(
            id=gift.issuance_id, case_id=gift.case_id, voucher=issued, deliveries=answers.deliveries(messages)
        )

    def tell(
        self,
        issuance_id: uuid.UUID,
        voucher_id: uuid.UUID | None,
        channels: Iterable[str],
        tell_at: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Lay out a message for each channel, not to be sent before an instant: about a voucher, or an apology."""
        messages = [
            outbox.message(
                core=self.core,
                now=self.now,
                issuance_id=issuance_id,
                voucher_id=voucher_id,
                channel=channel,
                template="voucher" if voucher_id else "apology",
                available_at=tell_at,
            )
            for channel in channels
        ]
        self.messages += messages
        return messages

    def _voucher(self, gift: Gift) -> IssuedVoucher | None:
        expires_at = eligibility.expires_at(gift.incentive, gift.time_zone, self.now)
        if expires_at is None:
            return None
        made = lifecycle.make(
            core=self.core,
            now=self.now,
            issuance_id=gift.issuance_id,
            number=1,
            incentive_item_id=gift.incentive_item_id,
            amount=gift.amount,
            expires_at=expires_at,
            time_zone=gift.time_zone,
            max_redemptions=gift.incentive.max_redemptions,
        )
        self.vouchers.append(dict(made.row))
        self.entries.append(ledger.promised(self.core, made.row, self.now, actor=self.actor.label))
        return answers.shown(made)

    def note(
        self, action: str, gift_id: uuid.UUID, case_id: uuid.UUID, reason: str | None, facts: Mapping[str, Any]
    ) -> None:
        """Lay out an audit event about an issuance."""
        self.events.append(
            audit.event(
                core=self.core,
                actor=self.actor,
                now=self.now,
                action=action,
                subject_kind="issuance",
                subject_id=gift_id,
                case_id=case_id,
                reason=reason,
                facts=facts,
            )
        )

    def move(
        self, pot: budgets.Pot, issuance_id: uuid.UUID, source_id: uuid.UUID, kind: str, changes: Mapping[str, int]
    ) -> None:
        """Change a locked pot and lay out the movement that explains it."""
        self.movements.append(
            budgets.movement(
                core=self.core,
                now=self.now,
                actor=self.actor.label,
                pot=pot,
                issuance_id=issuance_id,
                source_id=source_id,
                kind=kind,
                changes=changes,
            )
        )

    def allot(self, pot: budgets.Pot, kind: str, source_id: uuid.UUID, reason: str, amounts: Mapping[str, int]) -> None:
        """Let a locked pot hold more than its cap, and lay out the allocation that explains it."""
        self.allocations.append(
            budgets.allotment(
                core=self.core,
                now=self.now,
                actor=self.actor.label,
                pot=pot,
                kind=kind,
                source_id=source_id,
                reason=reason,
                amounts=amounts,
            )
        )

    def write(self, tx: Connection, pots: Collection[budgets.Pot], *, last: bool = False) -> None:
        """Write everything; the budgets, which others wait for, come last.

        ``last`` where the caller's transaction has nothing to do after it: then it is committed in the same go.
        """
        for case in self.cases:
            caring.met_already(case, self.given_in.get(case.id, ()), self.now)
        before = self.given_in.keys() - {each.id for each in self.cases}
        for clocks in {self.given_in[case_id] for case_id in before}:
            caring.meet(tx, [each for each in before if self.given_in[each] == clocks], clocks, self.now)
        caring.touch(
            tx, {row["case_id"] for row in self.issuances} - {each.id for each in self.cases} | before, self.now
        )
        fresh = {each.id: each.case["protocol_item_id"] for each in self.cases if each.id in self.given_in}
        asked = asking.asked_after_giving(tx, self.core, fresh=fresh, before=before)
        with RowsTogether(tx, last=last) as rows:
            caring.write(rows, self.cases)
            insert_many(rows, issuances, self.issuances)
            insert_many(rows, approvals, self.approvals)
            insert_many(rows, vouchers, self.vouchers)
            insert_many(rows, redemptions, self.redemptions)
            insert_many(rows, redemption_attempts, self.attempts)
            ledger.post(rows, core=self.core, actor=self.actor.label, now=self.now, entries=self.entries)
            outbox.enqueue(rows, self.messages)
            if self.room:
                self.room.write(rows)
            audit.record_all(rows, self.events)
            if asked or self.reviews:
                rows.write()
                reviews.write(tx, self.reviews)
                asking.given(tx, self.core, self.now, {each: self.givers[each] for each in asked})
            budgets.write(rows, pots, self.movements, self.allocations)
