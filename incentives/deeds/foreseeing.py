"""Foreseeing: what giving would do with each row of a bulk file, without doing it.

Not a flow: it opens no transaction, and what it is given cannot write. It walks as ``giving.give`` does and through
the same functions: understand, switches, whom it is for, what it charges, what is open, signals, the decision. The
budgets are read once and charged in memory; what a million customers would have used is kept in a scratch file.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import assessment, capping, deciding, giving, incident_gifts, stacking, suspecting, wording
from incentives.deeds.job_budgets import Need, is_held
from incentives.deeds.wanting import Draft, IssueVoucher
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import AlreadyGivenForIncident, BudgetExhausted, Refusal
from incentives.recovery import customers
from incentives.safeguards import signals
from incentives.spending import budgets
from incentives.spending.budgets import Pot, PotKey, Wanted
from incentives.vouchers.bulk_rows import problem_of
from incentives.vouchers.bulk_scratch import Scratch

_NOBODY = uuid.UUID(int=0)
# In the scratch file, where no incentive has such a key.
_SAME_CUSTOMER = f"signal:{signals.SAME_CUSTOMER}"
_TOLD = "told:contact"


class ReleaseChanged(Exception):
    """Another catalog came into force while a job was foreseen: what was judged so far says nothing any more."""


@dataclass(slots=True)
class Totals:
    """What a whole job would do: verdicts, money by currency, refusals by kind, and what it needs of which budget."""

    verdicts: dict[str, int] = field(default_factory=lambda: {"issued": 0, "pending_approval": 0, "refused": 0})
    currencies: dict[str, dict[str, int]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    needs: dict[PotKey, list[int]] = field(default_factory=dict)
    names: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    left: dict[PotKey, dict[str, int | None]] = field(default_factory=dict)
    short: dict[str, list[int]] = field(default_factory=dict)
    release: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return them as a job keeps them."""
        return {
            "release": self.release,
            "verdicts": self.verdicts,
            "currencies": self.currencies,
            "refusals": self.refusals,
            "needs": [Need(key, *sums).as_json() for key, sums in sorted(self.needs.items())],
            "budgets": [self._budget(key, *sums) for key, sums in sorted(self.needs.items())],
            "short": {key: {"amount_minor": by[0], "count": by[1]} for key, by in self.short.items()},
        }

    def _budget(self, key: PotKey, amount_minor: int, count: int) -> dict[str, Any]:
        name, currency = self.names[key.budget]
        return {
            **key._asdict(),
            "name": name,
            "currency": currency,
            "amount_minor": amount_minor,
            "count": count,
            "left_minor": self.left[key]["minor"],
            "left_count": self.left[key]["count"],
        }


@dataclass(slots=True)
class _Batch:
    """What foreseeing some rows needs."""

    drafts: list[Draft]
    pots: dict[PotKey, Pot] = field(default_factory=dict)
    rules: dict[PotKey, budgets.Rule] = field(default_factory=dict)
    owners: dict[uuid.UUID, tuple[uuid.UUID, ...]] = field(default_factory=dict)
    reasons: dict[uuid.UUID, tuple[str, ...]] = field(default_factory=dict)


class Foresight:
    """Foresees the rows of one job, a batch after the other. ``close`` it in the end."""

    def __init__(self, core: Core, actor: Actor, now: datetime) -> None:
        """Begin with the budgets as they are."""
        self.totals = Totals()
        self._core, self._actor, self._now = core, actor, now
        self._shared: dict[PotKey, Pot] = {}
        self._near_limit: Counter[str] = Counter()
        self._scratch = Scratch()

    def close(self) -> None:
        """Throw away what was remembered."""
        self._scratch.close()

    def judge(self, tx: Connection, rows: Sequence[IssueVoucher | Refusal]) -> list[dict[str, Any]]:
        """Return the verdict of each row, in order: what giving it now, after all before it, would come to."""
        drafts = [self._draft(each) for each in rows]
        with self._scratch:
            batch = _Batch(drafts)
            self._understand(tx, batch)
            known = self._meet(tx, batch)
            self._weigh(tx, batch)
            self._decide(tx, batch, known)
            self._remember(batch)
        return [self._verdict(batch, draft) for draft in drafts]

    def _draft(self, row: IssueVoucher | Refusal) -> Draft:
        if isinstance(row, Refusal):
            return Draft(actor=self._actor, command=IssueVoucher(issue_tag=""), id=_NOBODY, claim=None, result=row)
        return Draft(actor=self._actor, command=row, id=self._core.ids.new(self._now), claim=None)

    def same_release(self, tx: Connection) -> releases.CurrentCatalog:
        """Return the catalog in force. Raises ``ReleaseChanged`` when it is another than at the first row."""
        current = releases.cached_current(tx, self._core)
        if self.totals.release not in (0, current.number):
            raise ReleaseChanged
        self.totals.release = current.number
        return current

    def _understand(self, tx: Connection, batch: _Batch) -> None:
        current = self.same_release(tx)
        for draft in giving.still_open(batch.drafts):
            giving.attempt(draft, lambda each: giving.understand(each, current, self._actor, self._now))
        for draft in giving.still_open(batch.drafts):
            giving.attempt(draft, lambda each: giving.refuse_stopped(tx, self._core, self._actor, each))

    def _meet(self, tx: Connection, batch: _Batch) -> Mapping[str, uuid.UUID]:
        """Say whom each row is for: known customers, or strangers that a row before may have named."""
        ready = [(draft, draft.ground) for draft in giving.still_open(batch.drafts) if draft.ground]
        contacts = [ground.contact for _, ground in ready]
        known = customers.known(tx, self._core, [*contacts, *suspecting.own_contacts(tx, self._core, self._actor)])
        groups = customers.groups(tx, set(known.values()))
        together: dict[uuid.UUID, set[uuid.UUID]] = {}
        for each, group in groups.items():
            together.setdefault(group, set()).add(each)
        for draft, ground in ready:
            digests = [self._core.contacts.digests(kind, text) for kind, text in customers.identities(ground.contact)]
            found = {known[each] for some in digests for each in some if each in known}
            found |= self._scratch.owners([some[0] for some in digests]) if digests else set()
            people = {member for each in found for member in together.get(groups.get(each, each), {each})}
            batch.owners[draft.id] = self._name(found, people, [some[0] for some in digests if some[0] not in known])
        return known

    def _name(self, found: set[uuid.UUID], people: set[uuid.UUID], new: Sequence[str]) -> tuple[uuid.UUID, ...]:
        """Remember whose the new identities are, and who turned out to be the same; return all of them."""
        if not found and not new:
            return ()
        if not found:
            owner = uuid.UUID(hex=new[0][:32])  # as good as any that issuing would draw, and the same each time
            self._scratch.name(new, owner)
            return (owner,)
        self._scratch.name(new, min(found))
        everybody = self._scratch.linked(people)
        if len(found) > 1:
            self._scratch.link(everybody)
        return tuple(sorted(everybody))

    def _weigh(self, tx: Connection, batch: _Batch) -> None:
        for draft in giving.still_open(batch.drafts):
            giving.attempt(draft, lambda each: self._propose(each, batch))
        wanted = [each for draft in giving.still_open(batch.drafts) for each in draft.wanted]
        batch.rules = {each.pot: each.rule for each in wanted}
        fresh = budgets.read(tx, [each for each in wanted if each.pot not in self._shared])
        theirs = [key for key in fresh if batch.rules[key].scope == "customer"]
        for key, changes in self._scratch.used(theirs).items():
            fresh[PotKey(*key)].add(changes)
        for key, pot in fresh.items():
            if batch.rules[key].scope != "customer":
                self._shared[key] = pot
                self._note_room(key, batch.rules[key], pot)
        batch.pots = {**self._shared, **fresh}

    def _propose(self, draft: Draft, batch: _Batch) -> None:
        if draft.ground is None or draft.incentive is None:
            raise AssertionError("a row is weighed before it was understood")
        draft.proposal = assessment.propose(
            draft.ground,
            self._actor,
            draft.incentive,
            amount_minor=draft.command.amount_minor,
            customers=batch.owners[draft.id],
        )
        draft.wanted.extend(assessment.charges(draft.proposal, self._actor, self._now))

    def _note_room(self, key: PotKey, rule: budgets.Rule, pot: Pot) -> None:
        self.totals.names[key.budget] = (rule.name, rule.currency)
        caps = {"minor": rule.cap_minor if rule.currency else None, "count": rule.cap_count}
        self.totals.left[key] = {
            unit: None if cap is None else cap + pot.allowance(unit) - pot.used(unit, rule)
            for unit, cap in caps.items()
        }

    def _decide(self, tx: Connection, batch: _Batch, known: Mapping[str, uuid.UUID]) -> None:
        drafts = giving.still_open(batch.drafts)
        given = incident_gifts.given_before(tx, drafts)
        wishes = [(deciding.proposed(draft), draft.command.case_id) for draft in drafts]
        stack = stacking.stack(tx, wishes, self._now, lock=False)
        self._lay_down(stack, drafts)
        newcomers = customers.Newcomers(frozenset(), frozenset(), known)
        watch = suspecting.watch(tx, self._core, self._actor, drafts, newcomers, self._now)
        if watch:
            self._recall(watch, drafts)
        room = self._room(tx, drafts)
        for draft in drafts:
            proposal = deciding.proposed(draft)
            draft.suspicion = watch.look(draft) if watch else draft.suspicion
            refusal = given.refusal(draft) or self._given_by_a_row(draft) or stack.refusal(proposal, None)
            refusal = refusal or suspecting.blocked(draft, self._actor, self._core, self._now)
            reasons = refusal or deciding.judge(draft, batch.pots, self._actor)
            reasons = reasons or room.refusal(draft.wish) or ()
            if isinstance(reasons, Refusal):
                self._refuse(draft, reasons)
                continue
            batch.reasons[draft.id] = reasons
            self._charge(draft, batch, held=bool(reasons))
            if not reasons:
                room.foresee(draft.wish)
                for _, digests in draft.wish.reached:
                    self._scratch.open(_TOLD, _address(digests))
            stack.add(proposal, _NOBODY, draft.id)
            if watch:
                self._saw(watch, draft)
            if draft.command.incident_id:
                self._scratch.give(proposal.customers)

    def _room(self, tx: Connection, drafts: Iterable[Draft]) -> capping.Room:
        """Return what room contacts have after the rows before, whose messages are counted as of now."""
        for draft in drafts:
            contact, due_at = deciding.proposed(draft).ground.contact, wording.tell_at(draft, self._actor, self._now)
            draft.wish = capping.wish(self._core, contact, draft.channels, due_at, self._now)
        room = capping.look(tx, self._core, [draft.wish for draft in drafts], self._now)
        for each in {(channel, tuple(digests)) for draft in drafts for channel, digests in draft.wish.reached}:
            for _ in range(self._scratch.opened(_TOLD, _address(each[1]))):
                room.foresee(capping.Wish(reached=(each,), due_ms=room.now_ms))
        return room

    def _recall(self, watch: suspecting.Watch, drafts: Iterable[Draft]) -> None:
        """Count what rows before would have been given, as giving counts what was."""
        for currency, number in self._near_limit.items():
            watch.counts[signals.JUST_BELOW_LIMIT, currency] += number
        if signals.SAME_CUSTOMER in watch.rules:
            for each in {one for draft in drafts for one in deciding.proposed(draft).customers}:
                watch.counts[signals.SAME_CUSTOMER, str(each)] += self._scratch.opened(_SAME_CUSTOMER, each)

    def _saw(self, watch: suspecting.Watch, draft: Draft) -> None:
        proposal = deciding.proposed(draft)
        name = (signals.JUST_BELOW_LIMIT, proposal.currency)
        before = watch.counts[name]
        watch.saw(draft)
        self._near_limit[proposal.currency] += watch.counts[name] - before
        if signals.SAME_CUSTOMER in watch.rules and proposal.customers:
            self._scratch.open(_SAME_CUSTOMER, proposal.customers[0])

    def _given_by_a_row(self, draft: Draft) -> Refusal | None:
        people = deciding.proposed(draft).customers
        if draft.command.incident_id and people and self._scratch.given(people):
            return AlreadyGivenForIncident("A row before this one gives to the same customer.")
        return None

    def _lay_down(self, stack: stacking.Stack, drafts: Iterable[Draft]) -> None:
        """Count what rows before would have given, where a customer may have only so much open at a time."""
        counted: set[tuple[str, uuid.UUID]] = set()
        for draft in drafts:
            proposal = deciding.proposed(draft)
            if proposal.incentive_item.most_open_per_customer is None or not proposal.customers:
                continue
            name = (proposal.incentive, proposal.customers[0])
            if name not in counted:
                counted.add(name)
                for _ in range(self._scratch.opened(*name)):
                    stack.add(proposal, _NOBODY, _NOBODY)

    def _refuse(self, draft: Draft, refusal: Refusal) -> None:
        draft.result = refusal
        if isinstance(refusal, BudgetExhausted):
            short = self.totals.short.setdefault(str(refusal.facts["budget"]), [0, 0])
            short[0] += deciding.proposed(draft).amount.amount_minor
            short[1] += 1

    def _charge(self, draft: Draft, batch: _Batch, *, held: bool) -> None:
        for each, changes in deciding.charged(draft, held=held):
            batch.pots[each.pot].add(changes)
            if is_held(each.rule):
                self._need(each, changes)

    def _need(self, each: Wanted, changes: Mapping[str, int]) -> None:
        sums = self.totals.needs.setdefault(each.pot, [0, 0])
        for name, value in changes.items():
            sums[name.endswith("_count")] += value

    def _remember(self, batch: _Batch) -> None:
        theirs = {key: pot for key, pot in batch.pots.items() if key not in self._shared and any(pot.changes.values())}
        self._scratch.use({key: {name: by for name, by in pot.changes.items() if by} for key, pot in theirs.items()})
        for draft in batch.drafts:
            if draft.result is None and deciding.proposed(draft).incentive_item.most_open_per_customer is not None:
                for each in deciding.proposed(draft).customers:
                    self._scratch.open(deciding.proposed(draft).incentive, each)

    def _verdict(self, batch: _Batch, draft: Draft) -> dict[str, Any]:
        totals = self.totals
        if isinstance(draft.result, Refusal):
            slug = draft.result.slug
            totals.verdicts["refused"] += 1
            totals.refusals[slug] = totals.refusals.get(slug, 0) + 1
            return {"status": "refused", **problem_of(self._core, draft.result)}
        proposal, reasons = deciding.proposed(draft), batch.reasons[draft.id]
        status = "pending_approval" if reasons else "issued"
        totals.verdicts[status] += 1
        sums = totals.currencies.setdefault(proposal.currency, {"issued_minor": 0, "pending_minor": 0})
        sums["pending_minor" if reasons else "issued_minor"] += proposal.amount.amount_minor
        said = {"status": status, "incentive": proposal.incentive, **proposal.amount.as_json()}
        return {**said, "reasons": list(reasons)} if reasons else said


def _address(digests: Sequence[str]) -> uuid.UUID:
    """Return what stands for an address in the scratch file."""
    return uuid.UUID(hex=digests[0][:32])
