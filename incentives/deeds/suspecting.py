"""Suspecting: which signals of abuse a gift shows, and what follows from them.

Not a flow: it opens no transaction. Everything that must be counted is counted by one statement, and by none where no
signal that counts is on and no list has an entry. It is counted before the budgets are locked, for whoever waits for
those would wait for it; two gifts at the same instant may so both be the last that is normal. Caps are budgets, and
exact; signals are for what is out of the ordinary.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog.safeguarding import AbusePolicy
from incentives.deeds import assessment, same_hands
from incentives.deeds.answers import Issued
from incentives.deeds.assessment import Proposal
from incentives.deeds.batch import Batch
from incentives.deeds.suspecting_lists import (
    LISTED,
    LISTED_PERSON,
    Part,
    digests_of,
    listed_part,
    listed_people,
    made_by,
    of_actor,
    of_contact,
)
from incentives.deeds.wanting import Draft
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import BlockedBySafeguards
from incentives.kernel.throttle import block_of
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.safeguards import lists, reviews, signals
from incentives.safeguards.signals import Rule, Suspicion
from incentives.vouchers.bulk_tables import bulk_jobs
from incentives.vouchers.tables import issuances

HELD = "held"  # of a message: it waits until somebody has looked at what it is about

_SHIFT = "shift"
_HUNDRED = 100

Counts = Counter[tuple[str, str | None]]
"""How many there are, by what is counted and for whom."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """What one deed counted before it decides, and what it has given since."""

    actor: Actor
    policy: AbusePolicy
    rules: dict[str, Rule]
    counts: Counts
    own: frozenset[uuid.UUID]
    emails: Sequence[str] = ()
    listed: dict[uuid.UUID, frozenset[str]] = field(default_factory=dict)

    def look(self, draft: Draft) -> Suspicion:
        """Return what a draft is suspected of."""
        proposal = draft.proposal
        if proposal is None or not proposal.incentive_item.gives_voucher:
            return signals.NOTHING
        on = self.listed.get(draft.id, frozenset())
        if "deny" in on:
            return signals.suspicion([(by_list(signals.DENIED, signals.BLOCK), 1)])
        if "allow" in on:
            return signals.NOTHING
        found = [] if "review" not in on else [(by_list(signals.REVIEWED, signals.HOLD), 1)]
        for name, rule in self.rules.items():
            count = self._count(name, proposal)
            if count > (0 if name == signals.SELF_DEALING else rule.count):
                found.append((rule, count))
        return signals.suspicion(found)

    def _count(self, name: str, proposal: Proposal) -> int:
        """Return how many there are of what a signal counts, the proposal itself included."""
        if name == signals.SELF_DEALING:
            return int(self._is_own(proposal))
        return self._given(name, proposal)

    def _given(self, name: str, proposal: Proposal) -> int:
        if name == signals.SAME_CUSTOMER:
            before = sum(self.counts[name, str(each)] for each in proposal.customers)
            return before + 1 if proposal.customers else 0
        if name == signals.JUST_BELOW_LIMIT:
            near = _near_limit(proposal, self.actor)
            return self.counts[name, proposal.currency] + 1 if near and _is_near(near, proposal) else 0
        if name == signals.PER_IP_BLOCK and block_of(self.actor.ip) is None:
            return 0
        count = self.counts[name, None] + 1
        if name == signals.BURST and count * 2 <= self.counts[_SHIFT, None] + 1:
            return 0
        return count

    def _is_own(self, proposal: Proposal) -> bool:
        return is_own(self.emails, proposal.ground.contact) or not self.own.isdisjoint(proposal.customers)

    def saw(self, draft: Draft) -> None:
        """Count a draft that was given or asked for, by the same hand or from the same network, for those after it.

        A bulk job counts as one gift where it is counted how many somebody gives, for that it gives to many is what it
        is for; who has a customer in several files, or several times in one, is counted row by row.
        """
        proposal = draft.proposal
        if proposal is None or not self.rules:
            return
        if draft.command.job_id is None and block_of(draft.actor.ip) == block_of(self.actor.ip):
            self.counts[signals.PER_IP_BLOCK, None] += 1
        if draft.actor.label != self.actor.label:
            return
        if draft.command.job_id is None:
            for name in (signals.PER_PERSON, signals.PER_KEY, signals.BURST, _SHIFT):
                self.counts[name, None] += 1
        for each in proposal.customers[:1]:
            self.counts[signals.SAME_CUSTOMER, str(each)] += 1
        near = _near_limit(proposal, self.actor)
        if near and _is_near(near, proposal):
            self.counts[signals.JUST_BELOW_LIMIT, proposal.currency] += 1


def by_list(name: str, action: str) -> Rule:
    """Return what standing on a list wants done."""
    return Rule(name=name, count=0, minutes=0, action=action)


def own_contacts(tx: Connection, core: Core, actor: Actor) -> list[Contact]:
    """Return whom an actor may be as a customer, by a key of theirs too: looked up with those they give to."""
    return [Contact(email=email) for email in same_hands.emails_of(tx, core, actor)]


def own_customers(core: Core, own: Sequence[Contact], known: Mapping[str, uuid.UUID]) -> tuple[uuid.UUID, ...]:
    """Return the customers that an actor is known as; ``known`` are those that were looked up."""
    return tuple(each for contact in own for each in customers.matches(core, contact, known))


def is_own(emails: Iterable[str], contact: Contact) -> bool:
    """Return whether a contact's address leads to one of the mailboxes."""
    theirs = contact.email and customers.canonical_email(contact.email)
    return bool(theirs) and any(customers.canonical_email(each) == theirs for each in emails)


def watch(
    tx: Connection, core: Core, actor: Actor, drafts: Sequence[Draft], fresh: customers.Newcomers, now: datetime
) -> Watch | None:
    """Return what there is to know before anything is decided; None where there is nothing to decide."""
    asked = [(draft, draft.proposal) for draft in drafts if draft.proposal is not None]
    if not asked:
        return None
    policy = asked[0][1].ground.catalog.abuse
    rules = {
        name: rule
        for name, rule in signals.rules(policy.signals, signals.ISSUING).items()
        if name not in _NOT_FOR.get(actor.kind, _PERSONAL)
    }
    themselves = own_contacts(tx, core, actor)
    own = frozenset(own_customers(core, themselves, fresh.known))
    emails = [contact.email for contact in themselves if contact.email]
    found = Watch(actor=actor, policy=policy, rules=rules, counts=Counter(), own=own, emails=emails)
    any_listed = lists.standing(tx, core)
    values = _values(core, actor, asked) if any_listed else {}
    makers = made_by(tx, core, actor) if any_listed else []
    jobs = {draft.command.job_id for draft, _ in asked if draft.command.job_id is not None}
    parts = _parts(actor, [proposal for _, proposal in asked], jobs, rules, now)
    if values:
        parts.append(listed_part(now, {*makers, *(digest for each in values.values() for digest in each)}))
        parts += listed_people(now, {each for _, proposal in asked for each in proposal.customers})
    on: dict[str, set[str]] = {}
    for name, key, count in tx.execute(sa.union_all(*parts)).all() if parts else ():
        if name.startswith(LISTED):
            on.setdefault(key, set()).add(name.removeprefix(LISTED))
        elif name.startswith(LISTED_PERSON):
            on.setdefault(str(uuid.UUID(key)), set()).add(name.removeprefix(LISTED_PERSON))
        else:
            found.counts[name, _key(name, key)] += count
    if values:
        found.listed = {draft.id: _listed(on, values[draft.id], makers, proposal) for draft, proposal in asked}
    return found


def _listed(
    on: Mapping[str, set[str]], values: Sequence[str], makers: Sequence[str], proposal: Proposal
) -> frozenset[str]:
    """Return the lists that a draft stands on: by what was said, by whom the customer is known to be, by who gives.

    Who is trusted is trusted in person: that a key of theirs gives makes nobody trusted.
    """
    told = [*values, *(str(each) for each in proposal.customers)]
    found = {name for each in told for name in on.get(each, ())}
    return frozenset(found | {name for each in makers for name in on.get(each, ()) if name != "allow"})


_PERSONAL = frozenset({signals.PER_PERSON, signals.PER_KEY, signals.SAME_CUSTOMER, signals.JUST_BELOW_LIMIT,
                       signals.BURST, signals.PER_IP_BLOCK})  # fmt: skip
"""What is no sign in what a rule gives: its breaker and its ceiling say how much that may be."""

_NOT_FOR = {
    "person": frozenset({signals.PER_KEY}),
    "key": frozenset({signals.PER_PERSON, signals.SAME_CUSTOMER, signals.BURST}),
}


def _key(name: str, key: str | None) -> str | None:
    return str(uuid.UUID(key)) if name == signals.SAME_CUSTOMER and key else key


def counting(name: str, key: Any, *where: sa.ColumnElement[bool]) -> Part:
    """Return a query that counts gifts for one signal."""
    text = sa.cast(key, sa.String(64)).label("key")
    return sa.select(sa.literal(name, sa.String(40)).label("name"), text, sa.func.count().label("number")).where(*where)


def _parts(
    actor: Actor, proposals: Sequence[Proposal], jobs: set[uuid.UUID], rules: dict[str, Rule], now: datetime
) -> list[Part]:
    """Return the queries that count what the signals which are on need, each over an index of its own.

    ``jobs`` are those that the proposals are rows of: what is given now counts by itself.
    """
    table, nobody = issuances.c, sa.null()
    theirs, alone = table.actor == actor.label, table.job_id.is_(None)
    since = {name: table.requested_at > now - timedelta(minutes=rule.minutes) for name, rule in rules.items()}
    often = (signals.PER_PERSON, signals.PER_KEY, signals.BURST)
    minutes = {name: rules[name].minutes for name in often if name in rules}
    if signals.BURST in rules:
        minutes[_SHIFT] = signals.SHIFT_MINUTES
    found = []
    for name, window in minutes.items():
        began = now - timedelta(minutes=window)
        found.append(counting(name, nobody, theirs, alone, table.requested_at > began))
        found.append(counting(name, nobody, *_jobs_of(actor, jobs, began)))
    block = block_of(actor.ip)
    if signals.PER_IP_BLOCK in rules and block:
        name = signals.PER_IP_BLOCK
        found.append(counting(name, nobody, table.ip_block == block, alone, since[name]))
    if signals.SAME_CUSTOMER in rules:
        found += _same_customer(proposals, theirs, since[signals.SAME_CUSTOMER])
    if signals.JUST_BELOW_LIMIT in rules:
        found += _just_below(actor, proposals, theirs, since[signals.JUST_BELOW_LIMIT])
    return found


def _jobs_of(actor: Actor, but: set[uuid.UUID], since: datetime) -> list[sa.ColumnElement[bool]]:
    """Return what finds the bulk jobs by which somebody gave since an instant: each counts as one gift."""
    table = bulk_jobs.c
    found = [
        table.actor == actor.label,
        table.rows_issued + table.rows_pending > 0,
        sa.or_(table.ended_at.is_(None), table.ended_at > since),
    ]
    return [*found, table.id.not_in(sorted(but, key=str))] if but else found


def _same_customer(proposals: Sequence[Proposal], *where: sa.ColumnElement[bool]) -> list[Part]:
    people = {each for proposal in proposals for each in proposal.customers}
    if not people:
        return []
    table = issuances.c
    part = counting(signals.SAME_CUSTOMER, table.customer_id, *where, table.customer_id.in_(sorted(people, key=str)))
    return [part.group_by(table.customer_id)]


def _just_below(actor: Actor, proposals: Sequence[Proposal], *where: sa.ColumnElement[bool]) -> list[Part]:
    bounds = {each.currency: near for each in proposals if (near := _near_limit(each, actor))}
    table = issuances.c
    return [
        counting(
            signals.JUST_BELOW_LIMIT,
            sa.literal(currency),
            *where,
            table.currency == currency,
            table.amount_minor.between(*near),
        )
        for currency, near in bounds.items()
    ]


def _near_limit(proposal: Proposal, actor: Actor) -> tuple[int, int] | None:
    """Return between what amounts a gift is just below what its giver may give alone; None without such a limit."""
    limit = assessment.limit_of(proposal.ground.catalog, actor, proposal.currency)
    most = limit.per_voucher_minor if limit and not limit.unlimited else None
    return None if most is None else (-(-most * signals.NEAR_LIMIT_PERCENT // _HUNDRED), most)


def _is_near(near: tuple[int, int], proposal: Proposal) -> bool:
    return near[0] <= proposal.amount.amount_minor <= near[1]


def _values(core: Core, actor: Actor, asked: Sequence[tuple[Draft, Proposal]]) -> dict[uuid.UUID, list[str]]:
    """Return the digests under which a draft could be listed, by draft."""
    common = digests_of(core, of_actor(actor))
    return {draft.id: common + digests_of(core, of_contact(proposal.ground.contact)) for draft, proposal in asked}


def blocked(draft: Draft, actor: Actor, core: Core, now: datetime) -> BlockedBySafeguards | None:
    """Return the refusal of what signals block, with the review that is left of it, or None."""
    if draft.suspicion.action != signals.BLOCK or draft.proposal is None:
        return None
    proposal = draft.proposal
    refusal = BlockedBySafeguards()
    refusal.review = {
        "stop_actor": draft.suspicion.stop_actor,
        **reviews.opened(
            core=core,
            actor=actor,
            now=now,
            kind="issuance",
            subject_id=f"{actor.label}/{_about(core, proposal)}/{draft.suspicion.names[0]}",
            action=signals.BLOCK,
            signals=draft.suspicion.shown,
            location=proposal.location,
            amount=proposal.amount,
            hours=proposal.ground.catalog.abuse.review_hours,
        ),
    }
    return refusal


def _about(core: Core, proposal: Proposal) -> str:
    """Return what stands for the customer of a try: whoever tries again and again has one review of it open.

    A customer whom nobody knew is not there any more once the try was taken back: their address stands for them.
    """
    found = customers.identities(proposal.ground.contact)
    if found:
        return core.contacts.digests(*found[0])[0][:32]
    return str(proposal.customers[0]) if proposal.customers else "-"


def reasons(draft: Draft, *, asked: bool) -> tuple[str, ...]:
    """Return why somebody else must agree: what signals want done by two.

    What would be held back is put to whoever is ``asked`` anyway, with the signal: one second look is enough.
    """
    if draft.suspicion.action == signals.STEP_UP or (asked and draft.suspicion.action == signals.HOLD):
        return tuple(f"abuse:{name}" for name in draft.suspicion.names)
    return ()


def held(draft: Draft) -> tuple[str, ...]:
    """Return why what is given is held back: the signals that want it, or nothing."""
    return draft.suspicion.names if draft.suspicion.action == signals.HOLD else ()


def hold_back(draft: Draft, issued: Issued, batch: Batch) -> Issued:
    """Freeze what a draft was given, hold its messages, and open the review that decides; return the answer anew."""
    proposal = draft.proposal
    if issued.voucher is None or proposal is None:
        return issued
    batch.vouchers[-1]["frozen_at"] = batch.now
    told = {each.id for each in issued.deliveries}
    for message in batch.messages:
        if message["id"] in told:
            message["status"] = HELD
    review = reviews.opened(
        core=batch.core,
        actor=batch.actor,
        now=batch.now,
        kind="issuance",
        subject_id=draft.id,
        issuance_id=draft.id,
        action=signals.HOLD,
        signals=draft.suspicion.shown,
        location=proposal.location,
        amount=proposal.amount,
        hours=proposal.ground.catalog.abuse.review_hours,
    )
    batch.reviews.append(review)
    return replace(issued, deliveries=tuple(replace(each, status=HELD) for each in issued.deliveries))
