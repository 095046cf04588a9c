"""Giving: a customer gets an incentive, or somebody is asked whether they may.

Not a flow: it opens no transaction. Issuing and responding to feedback give by it: claim → lock and check → change →
post → enqueue → audit, for a sequence of commands at once. A refused command leaves nothing and disturbs no neighbor.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import (
    answers,
    assessment,
    capping,
    deciding,
    guarding,
    incident_gifts,
    overriding,
    stacking,
    suppressing,
    suspecting,
    telling,
    wording,
)
from incentives.deeds.answers import AwaitingApproval, Delivery, Issued, IssuedVoucher
from incentives.deeds.batch import Batch
from incentives.deeds.job_budgets import JobHold
from incentives.deeds.wanting import AUTOMATION_CEILING, RULE_ASKS, Draft, IssueVoucher
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseNotFound, InputInvalid, Refusal
from incentives.kernel.idempotency import Claim
from incentives.kernel.together import NotTogetherError
from incentives.recovery import cases, customers
from incentives.recovery.customers import CustomerGiven
from incentives.spending import budgets

__all__ = [
    "AUTOMATION_CEILING",
    "RULE_ASKS",
    "AwaitingApproval",
    "CustomerGiven",
    "Delivery",
    "IssueVoucher",
    "Issued",
    "IssuedVoucher",
    "give",
]


def give(
    tx: Connection,
    core: Core,
    actor: Actor,
    commands: Sequence[IssueVoucher],
    now: datetime,
    *,
    job: JobHold | None = None,
) -> list[Issued | AwaitingApproval | Refusal]:
    """Give incentives of one actor in numbers; everything else is as ``give_all`` has it."""
    return give_all(tx, core, [(actor, command) for command in commands], now, job=job)


def give_all(
    tx: Connection,
    core: Core,
    wishes: Sequence[tuple[Actor, IssueVoucher]],
    now: datetime,
    *,
    job: JobHold | None = None,
    strangers: bool = False,
    last: bool = False,
) -> list[Issued | AwaitingApproval | Refusal]:
    """Give incentives in numbers within the caller's transaction; each command gets its own answer, in order.

    A refusal is an answer and leaves no trace. Raises nothing that is about one command, but
    ``IdempotencyKeyInFlight``. Those of ``strangers`` know nothing of each other: where one is refused that has told
    something of another's customer, ``NotTogetherError`` is raised, for that must leave no trace. ``job`` is what a
    bulk job holds of the budgets: what its rows charge is given back of it first, in the very same locks. ``last``
    where the caller's transaction has nothing more to do: it is committed then, unless everybody is refused.
    """
    if not wishes:
        return []
    drafts = [_draft(core, actor, command, now) for actor, command in wishes]
    _claim(tx, core, drafts, now)
    current = releases.cached_current(tx, core)
    for draft in still_open(drafts):
        attempt(draft, lambda each: understand(each, current, each.actor, now))
    for draft in still_open(drafts):
        attempt(draft, lambda each: refuse_stopped(tx, core, each.actor, each))
    incident_gifts.find_cases(tx, core, still_open(drafts))
    fresh = _meet_customers(tx, core, still_open(drafts), now)
    proposals = [(deciding.proposed(draft), draft.command.case_id) for draft in still_open(drafts)]
    stack = stacking.stack(tx, proposals, now)
    watches = _watches(tx, core, still_open(drafts), fresh, now)
    wanted = [each for draft in still_open(drafts) for each in draft.wanted]
    room = capping.hold(tx, core, [draft.wish for draft in still_open(drafts)], now, fresh)
    pots = budgets.lock(tx, core, wanted, now, newcomers=fresh.customers)
    given = incident_gifts.given_before(tx, still_open(drafts))
    lent = job.lend(tx, pots, wanted) if job else None
    batch = Batch(core=core, actor=drafts[0].actor, now=now, room=room)
    for draft in still_open(drafts):
        attempt(draft, lambda each: refuse_stopped(tx, core, each.actor, each))  # it may have waited for the budgets
    for draft in still_open(drafts):
        watch = watches.get(_same_hand(draft.actor))
        draft.suspicion = watch.look(draft) if watch else draft.suspicion
        proposal = deciding.proposed(draft)
        refusal = given.refusal(draft) or stack.refusal(proposal, draft.command.case_id)
        draft.result = refusal or (lent or deciding).decide(draft, pots, batch.by(draft.actor))
        given.note(draft)
        if not isinstance(draft.result, Refusal):
            stack.add(proposal, draft.result.case_id, draft.id)
            _tell(watches, draft)
    if lent:
        lent.settle(batch, pots)
    _keep_apart(drafts if strangers else (), fresh)
    overriding.explain(core, drafts, fresh)
    suppressing.hold_back(tx, core, drafts, batch)
    _give_back(tx, core, drafts, fresh)
    batch.write(tx, pots.values(), last=last and any(not isinstance(draft.result, Refusal) for draft in drafts))
    return [draft.result for draft in drafts if draft.result is not None]


def _draft(core: Core, actor: Actor, command: IssueVoucher, now: datetime) -> Draft:
    issuance_id = core.ids.new(now)
    key = command.idempotency_key
    claim = Claim(f"{actor.label}:issuances", key, command.request, issuance_id) if key else None
    return Draft(actor=actor, command=command, id=issuance_id, claim=claim)


def still_open(drafts: Sequence[Draft]) -> list[Draft]:
    """Return those that nothing has answered yet."""
    return [draft for draft in drafts if draft.result is None]


def attempt(draft: Draft, step: Any) -> None:
    """Let a step refuse one command without disturbing the others."""
    try:
        step(draft)
    except Refusal as refusal:
        draft.result = refusal


def _claim(tx: Connection, core: Core, drafts: Sequence[Draft], now: datetime) -> None:
    """Claim the keys; answer those that were used before, in the database or earlier in this very sequence."""
    claims = [draft.claim for draft in drafts if draft.claim]
    before = idempotency.claim(tx, core.keys.codes, claims, now)
    first: dict[tuple[str, str], Claim] = {}
    for draft in drafts:
        if draft.claim is None:
            continue
        name = (draft.claim.scope, draft.claim.key)
        found = before.get(name)
        if first.setdefault(name, draft.claim) is not draft.claim:
            draft.key_is_anothers = True
            draft.result = InputInvalid(
                errors=[{"field": "Idempotency-Key", "message": "The same key stands twice in one request."}]
            )
        elif found is not None:
            draft.key_is_anothers = True
            draft.result = found if isinstance(found, Refusal) else answers.replay(tx, core, found)


def understand(draft: Draft, current: releases.CurrentCatalog, actor: Actor, now: datetime) -> None:
    """Find the protocol and check the command against the catalog."""
    command = draft.command
    overriding.check(actor, command.override_reason)
    ground = assessment.ground(current, actor, command.trouble)
    draft.ground = ground
    draft.channels = assessment.addressed(command.channels, ground.contact)
    incentive = (
        ground.catalog.incentive(command.incentive)
        if command.incentive
        else assessment.default_incentive(ground, now=now)
    )
    telling.check_metadata(ground, actor, command.metadata)
    assessment.check_allowed(ground, incentive, amount_minor=command.amount_minor, now=now)
    wording.check(command, ground, incentive, now)
    draft.incentive = incentive


def refuse_stopped(tx: Connection, core: Core, actor: Actor, draft: Draft) -> None:
    """Refuse what a switch stops now; an apology by itself gives nothing, and is never stopped."""
    ground, incentive = draft.ground, draft.incentive
    if ground is None or incentive is None or not incentive.gives_voucher or not guarding.anything_stopped(tx, core):
        return
    subjects = guarding.Subjects(
        location=ground.location,
        incentive=incentive.key,
        issue_tags=ground.catalog.lineage(ground.issue_tag),
        team=ground.team,
        actor=actor.label,
        source=draft.command.source,
    )
    guarding.refuse_stopped(tx, core, guarding.ISSUING, subjects)


def _meet_customers(tx: Connection, core: Core, drafts: Sequence[Draft], now: datetime) -> customers.Newcomers:
    """Recognize the customers and make the new ones, check the cases, and say what each command will charge.

    Returns the customers and identities that are new.
    """
    known_cases = cases.existing(tx, (draft.command.case_id for draft in drafts if draft.command.case_id))
    for draft in drafts:
        if draft.command.case_id and draft.command.case_id not in known_cases:
            draft.result = CaseNotFound(field="case_id")
    ready = [(draft, draft.ground, draft.incentive) for draft in still_open(drafts) if draft.ground and draft.incentive]
    contacts = [(ground.contact, ground.locale) for _, ground, _ in ready]
    named = any(customers.identities(contact) for contact, _ in contacts) or bool(known_cases)
    hands = {_same_hand(draft.actor): draft.actor for draft in drafts} if named else {}
    own = [contact for each in hands.values() for contact in suspecting.own_contacts(tx, core, each)]
    for draft, ground, _ in ready:
        due_at = wording.tell_at(draft, draft.actor, now)
        draft.wish = capping.wish(core, ground.contact, draft.channels, due_at, now)
    promised = capping.foreseen(core, [draft.wish for draft, _, _ in ready])
    people, fresh = customers.settle(tx, core, contacts, now, beside=own, promised=promised)
    for (draft, ground, incentive), theirs in zip(ready, people, strict=True):
        case = known_cases.get(draft.command.case_id) if draft.command.case_id else None
        # Who is helped within a case is its customer, named again or not: their caps count.
        found = customers.together(tx, [case.customer_id]) if case and case.customer_id and not theirs else theirs
        draft.proposal = assessment.propose(
            ground, draft.actor, incentive, amount_minor=draft.command.amount_minor, customers=found
        )
        attempt(draft, lambda each, case=case: _weigh(each, case, now))
    return fresh


_Watches = dict[tuple[str, str | None], suspecting.Watch]


def _watches(
    tx: Connection, core: Core, drafts: Sequence[Draft], fresh: customers.Newcomers, now: datetime
) -> _Watches:
    """Return what there is to know of everybody who gives, by who they are and where they sit."""
    by_hand: dict[tuple[str, str | None], list[Draft]] = {}
    for draft in drafts:
        by_hand.setdefault(_same_hand(draft.actor), []).append(draft)
    found = {hand: suspecting.watch(tx, core, some[0].actor, some, fresh, now) for hand, some in by_hand.items()}
    return {hand: watch for hand, watch in found.items() if watch is not None}


def _tell(watches: _Watches, draft: Draft) -> None:
    """Let everybody who watches know of a gift."""
    for each in watches.values():
        each.saw(draft)


def _same_hand(actor: Actor) -> tuple[str, str | None]:
    return actor.label, actor.ip


def _weigh(draft: Draft, case: cases.KnownCase | None, now: datetime) -> None:
    """Check that the command belongs into its case, and say what it will charge."""
    if draft.proposal is None:
        raise AssertionError("a command is weighed before it was understood")
    if case is not None:
        case.check(draft.proposal.customers)
    draft.wanted.extend(assessment.charges(draft.proposal, draft.actor, now))


def _keep_apart(drafts: Sequence[Draft], fresh: customers.Newcomers) -> None:
    """Raise ``NotTogetherError`` where what a refused command told has become part of somebody else's customer."""
    theirs = [(draft, set(draft.proposal.customers)) for draft in drafts if draft.proposal]
    for draft, own in theirs:
        if len(drafts) > 1 and isinstance(draft.result, Refusal) and own:
            others = (found for other, found in theirs if other is not draft)
            if not own.isdisjoint(fresh.linked.union(*others)):
                raise NotTogetherError


def _give_back(tx: Connection, core: Core, drafts: Sequence[Draft], fresh: customers.Newcomers) -> None:
    """Leave no trace of refused commands: neither their keys nor what they alone told about customers."""
    refused = [draft for draft in drafts if isinstance(draft.result, Refusal)]
    if not refused:
        return
    idempotency.release(tx, [draft.claim for draft in refused if draft.claim and not draft.key_is_anothers])
    given = [draft.proposal for draft in drafts if draft.proposal and not isinstance(draft.result, Refusal)]
    customers.forget(tx, core, fresh, [(proposal.ground.contact, proposal.customers) for proposal in given])
