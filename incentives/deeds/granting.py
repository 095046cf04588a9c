"""Granting what was asked for, less of it, or another incentive; and giving back what was held for it.

Not a flow: it opens no transaction. The budgets have held the amount since it was asked. Another incentive charges
its own budgets and frees the old one's in the same transaction, with all pots locked in one go.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog import eligibility, protocols, releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.incentive import Incentive
from incentives.deeds import (
    assessment,
    capping,
    guarding,
    owning,
    readdressing,
    stacking,
    suspecting_addresses,
    unneeded,
)
from incentives.deeds.answers import Issued
from incentives.deeds.assessment import Ground, Proposal
from incentives.deeds.batch import Batch, Gift
from incentives.deeds.voting import Ballot, Voter
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    ApprovalAlreadyDecided,
    ApprovalAmountInvalid,
    ApproverLimitExceeded,
    IncentiveNotOfferable,
)
from incentives.kernel.money import Money
from incentives.recovery import customers
from incentives.recovery.customers import Contact
from incentives.spending import budgets, limits
from incentives.spending.approving import Terms
from incentives.vouchers.tables import issuances


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be granted. ``ground`` stands where it is another incentive than was asked for."""

    incentive: Incentive
    item_id: uuid.UUID
    amount: Money
    ground: Ground | None

    @property
    def other(self) -> bool:
        """Return whether it is another incentive than was asked for."""
        return self.ground is not None


def choose(
    tx: Connection,
    core: Core,
    on: Ballot,
    *,
    incentive: str | None,
    amount_minor: int | None,
    now: datetime,
) -> Choice:
    """Return what a vote grants: what is on the table, unless it names less or another incentive.

    ``amount_minor`` is the whole promise, as the request shows it. Raises ``ApprovalAmountInvalid``, and of another
    incentive ``UnknownIncentive`` and what ``assessment.check_allowed`` raises; ``IncentiveNotOfferable``.
    """
    asked, terms = on.asked, on.terms
    on_table = terms.incentive or asked.incentive
    key = incentive or on_table
    if key == asked.incentive:
        item_id, ground, usual_minor = asked.incentive_item_id, None, asked.requested_amount_minor
        wanted = releases.incentive_of(tx, item_id, core.cache)
        _check_active(tx, core, key)
    else:
        ground = _ground(tx, core, asked)
        wanted = ground.catalog.incentive(key)
        item_id, usual_minor = ground.current.item_ids["incentive", key], wanted.charge_minor()
    chosen = _amount(wanted, terms, amount_minor, terms.most_minor if key == on_table else usual_minor)
    if ground is not None:
        _check_other(ground, wanted, asked, chosen, now)
    return Choice(incentive=wanted, item_id=item_id, amount=Money(chosen, asked.currency), ground=ground)


def _check_active(tx: Connection, core: Core, key: str) -> None:
    """Refuse with ``IncentiveNotOfferable`` what was taken out of use since it was asked for.

    What else has changed of it holds for who asks from now on: it is granted as it was when it was asked for.
    """
    incentive = releases.cached_current(tx, core).catalog.incentives.get(key)
    if incentive is None or not incentive.active:
        raise IncentiveNotOfferable(field="incentive", incentive=key, blocked_reasons=[eligibility.INACTIVE])


def _amount(incentive: Incentive, terms: Terms, amount_minor: int | None, usual_minor: int) -> int:
    """Return the whole promise of a choice: what was named, else the usual. Raises ``ApprovalAmountInvalid``.

    A value that is fixed is granted as it is or not at all; one that is not may be lowered, to the same for each use.
    """
    uses, bounds = incentive.max_redemptions, incentive.amount_bounds
    if bounds is None:
        least = most = usual_minor
    else:
        least, most = bounds[0] * uses, min(bounds[1] * uses, terms.most_minor)
        usual_minor = min(usual_minor, most // uses * uses)
    wanted = usual_minor if amount_minor is None else amount_minor
    if most > terms.most_minor or not least <= wanted <= most or wanted % uses:
        field = "incentive" if max(least, most) > terms.most_minor else "amount_minor"
        raise ApprovalAmountInvalid(field=field, least_minor=least, most_minor=terms.most_minor)
    return wanted


def _check_other(ground: Ground, incentive: Incentive, asked: Any, chosen_minor: int, now: datetime) -> None:
    face_minor = chosen_minor // incentive.max_redemptions if incentive.amount_bounds else None
    assessment.check_allowed(ground, incentive, amount_minor=face_minor, now=now)
    if incentive.gives_voucher and incentive.currency != asked.currency:
        raise IncentiveNotOfferable(
            field="incentive", incentive=incentive.key, blocked_reasons=["wrong-currency"], currency=asked.currency
        )


def _ground(tx: Connection, core: Core, asked: Any) -> Ground:
    """Return the trouble of a request as the catalog in force understands it."""
    current = releases.cached_current(tx, core)
    catalog, location = current.catalog, asked.location
    return Ground(
        current=current,
        resolution=protocols.resolve(
            catalog, issue_tag=asked.issue_tag, severity=asked.severity, location=location, segment=asked.segment
        ),
        issue_tag=asked.issue_tag,
        severity=asked.severity,
        location=location,
        team=asked.team,
        contact=Contact.from_text(core.contacts.decrypt(asked.contact)),
        segment=asked.segment,
        locale=asked.locale,
        time_zone=catalog.time_zone(location),
        currency=asked.currency,
        order_ref=asked.order_ref,
    )


def check_limit(tx: Connection, core: Core, voting: Voter, amount: Money) -> None:
    """Refuse with ``ApproverLimitExceeded`` who grants more than they, or whom they stand in for, may give at once."""
    limit = assessment.limit_of(releases.cached_current(tx, core).catalog, voting.principal, amount.currency)
    if limits.over_voucher(limit, amount.amount_minor):
        raise ApproverLimitExceeded(
            field="amount_minor", most_minor=(limit.per_voucher_minor or 0) if limit else 0, currency=amount.currency
        )


def grant(
    tx: Connection, core: Core, voting: Voter, on: Ballot, choice: Choice, comment: str | None, now: datetime
) -> Issued:
    """Give what was chosen, and turn what is held into what is committed.

    It counts under the limits for a day and for a customer of whoever completes it, or of whom they stand in for: they
    give it, and two who have given all that they may cannot grant each other more. Raises ``ApprovalAlreadyDecided``,
    ``ApproverLimitExceeded``, ``ContactCap``, ``IssuingStopped``, ``BlockedBySafeguards``, and what the budgets of
    another incentive refuse.
    """
    asked, batch = on.asked, Batch(core=core, actor=voting.actor, now=now)
    catalog = releases.cached_current(tx, core).catalog
    location = catalog.locations.get(asked.location or "")
    _move_issuance(
        tx,
        asked.issuance_id,
        status="issued",
        amount_minor=choice.amount.amount_minor,
        issued_at=now,
        **({"incentive": choice.incentive.key, "incentive_item_id": choice.item_id} if choice.other else {}),
    )
    issued = batch.give(
        Gift(
            issuance_id=asked.issuance_id,
            case_id=asked.case_id,
            incentive=choice.incentive,
            incentive_item_id=choice.item_id,
            amount=choice.amount,
            time_zone=location.time_zone if location else catalog.brand.time_zone,
            channels=tuple(asked.channels),
            tell_at=asked.deliver_after_at,
        )
    )
    own = _own_limits(tx, catalog, voting, asked, choice, now)
    change = _exchange if choice.other else _commit
    pots, charged = change(tx, batch, asked, choice, own)
    _check_switches(tx, core, voting, asked, choice)
    suspecting_addresses.refuse_denied(tx, core, voting.actor, asked, catalog.abuse, now)
    facts = {
        **choice.amount.as_json(),
        "incentive": choice.incentive.key,
        "approval_id": str(asked.id),
        "requested_amount_minor": asked.requested_amount_minor,
        "requested_incentive": asked.incentive,
        "requested_by": asked.requested_by,
        "charged": [list(each) for each in charged],
        "voucher_id": str(issued.voucher.id) if issued.voucher else None,
        "last4": issued.voucher.last4 if issued.voucher else None,
        "agreed": [each.on_behalf_of or each.actor for each in on.votes],
        **voting.facts,
    }
    by_id = {pot.id: pot for pot in pots}
    # What a cap was passed by for more than is given is no room for the next gift.
    if allocations := unneeded.take_back(tx, batch, {asked.issuance_id: asked.id}, by_id):
        facts["allocations"] = allocations
    batch.note("approval.granted", asked.issuance_id, asked.case_id, comment, facts)
    batch.write(tx, pots)
    return issued


def give_back(
    tx: Connection,
    core: Core,
    actor: Actor,
    asked: Any,
    *,
    status: str,
    reason: str | None,
    now: datetime,
    **facts: Any,
) -> None:
    """End a request without giving (``status`` is ``declined`` or ``withdrawn``): what is held is free again.

    Raises ``ApprovalAlreadyDecided``.
    """
    batch = Batch(core=core, actor=actor, now=now)
    _move_issuance(tx, asked.issuance_id, status=status)
    held, pots = budgets.lock_charged(tx, [asked.issuance_id])
    for each in held:
        batch.move(pots[each.pot_id], asked.issuance_id, asked.id, "release", _freed(each))
    said = {
        "amount_minor": asked.requested_amount_minor,
        "currency": asked.currency,
        "incentive": asked.incentive,
        "approval_id": str(asked.id),
        "requested_by": asked.requested_by,
        "released": [list(each.pot) for each in held],
        **facts,
    }
    if allocations := unneeded.take_back(tx, batch, {asked.issuance_id: asked.id}, pots):
        said["allocations"] = allocations
    batch.note(f"approval.{status}", asked.issuance_id, asked.case_id, reason, said)
    batch.write(tx, pots.values())


def _move_issuance(tx: Connection, issuance_id: uuid.UUID, **values: Any) -> None:
    moved = tx.execute(
        issuances.update()
        .where(issuances.c.id == issuance_id, issuances.c.status == "pending_approval")
        .values(**values)
    )
    if moved.rowcount != 1:
        raise ApprovalAlreadyDecided


_Charged = tuple[Collection[budgets.Pot], list[budgets.PotKey]]


def _own_limits(
    tx: Connection, catalog: Catalog, voting: Voter, asked: Any, choice: Choice, now: datetime
) -> list[budgets.Wanted]:
    """Return the counting parts of the limit of whoever grants. Of an apology by itself nothing is counted."""
    if not choice.incentive.gives_voucher:
        return []
    limit = assessment.limit_of(catalog, voting.principal, choice.amount.currency)
    rules = limits.rules(limit, catalog.brand.time_zone)
    by_customer = asked.customer_id and any(rule.scope == "customer" for rule in rules)
    people = customers.together(tx, [asked.customer_id]) if by_customer else ()
    return budgets.matching(rules, readdressing.dimensions(catalog, voting.principal, asked, people), now)


def _charge_own(
    batch: Batch, asked: Any, choice: Choice, own: list[budgets.Wanted], pots: Mapping[budgets.PotKey, budgets.Pot]
) -> list[budgets.PotKey]:
    """Charge the limits of whoever grants; return their pots. Raises ``ApproverLimitExceeded``."""
    amount = choice.amount
    for each in own:
        lacks = pots[each.pot].lacks(each.rule, amount.amount_minor)
        if lacks:
            most_minor = 0 if "count" in lacks else max(0, amount.amount_minor - lacks["minor"])
            raise ApproverLimitExceeded(
                field="amount_minor", most_minor=most_minor, currency=amount.currency, reasons=[each.rule.name]
            )
        pots[each.pot].rule = each.rule
        changes = {"committed_minor": amount.amount_minor, "committed_count": 1}
        batch.move(pots[each.pot], asked.issuance_id, asked.id, "commit", changes)
    return [each.pot for each in own]


def _commit(tx: Connection, batch: Batch, asked: Any, choice: Choice, own: list[budgets.Wanted]) -> _Charged:
    """Turn what is held into what is committed; the rest is free again. Charge also whoever grants (``own``)."""
    held = budgets.charges_of(tx, [asked.issuance_id])
    batch.room = capping.room_of(tx, batch.core, asked.contact, batch.messages, batch.now)
    pots = budgets.lock(tx, batch.core, own, batch.now, also=[each.pot for each in held])
    taken = {"committed_minor": choice.amount.amount_minor, "committed_count": 1}
    for each in held:
        changes = {**_freed(each), **each.in_its_unit(taken)}
        batch.move(pots[each.pot], asked.issuance_id, asked.id, "grant", changes)
    theirs = _charge_own(batch, asked, choice, own, pots)
    return pots.values(), [*(each.pot for each in held), *theirs]


def _freed(each: budgets.Charged) -> dict[str, int]:
    return each.in_its_unit({"held_minor": -each.sums["held_minor"], "held_count": -each.sums["held_count"]})


def _exchange(tx: Connection, batch: Batch, asked: Any, choice: Choice, own: list[budgets.Wanted]) -> _Charged:
    """Free what is held for what was asked, and charge all budgets that match what is given instead.

    Raises ``BudgetExhausted``, ``CustomerCapReached``, ``NoBudget``, ``ExclusiveGroupTaken`` and ``TooManyOpen``. A
    limit of who asked is not charged: what somebody else agrees to does not use it up. Theirs (``own``) is.
    """
    proposal, requester = _proposal(tx, asked, choice)
    _check_stacking(tx, proposal, asked, batch.now)
    wanted = [each for each in assessment.charges(proposal, requester, batch.now) if not each.rule.asks_approval]
    held = budgets.charges_of(tx, [asked.issuance_id])
    batch.room = capping.room_of(tx, batch.core, asked.contact, batch.messages, batch.now)
    pots = budgets.lock(tx, batch.core, [*wanted, *own], batch.now, also=[each.pot for each in held])
    for each in held:
        batch.move(pots[each.pot], asked.issuance_id, asked.id, "release", _freed(each))
    refusal = assessment.burst(wanted, pots, choice.amount.amount_minor)
    if refusal:
        raise refusal
    taken = {"committed_minor": choice.amount.amount_minor, "committed_count": 1}
    for one in wanted:
        pots[one.pot].rule = one.rule
        changes = budgets.in_unit(one.rule.currency, taken)
        batch.move(pots[one.pot], asked.issuance_id, asked.id, "commit", changes)
    theirs = _charge_own(batch, asked, choice, own, pots)
    return pots.values(), [*(one.pot for one in wanted), *theirs]


def _proposal(tx: Connection, asked: Any, choice: Choice) -> tuple[Proposal, Actor]:
    """Return a choice as a proposal of whoever asked, and them: their budgets are charged, not the approver's."""
    if choice.ground is None:
        raise AssertionError("only another incentive than was asked for is proposed anew")
    kind, _, number = asked.requested_by.partition(":")
    user_id = owning.person_id(asked.requested_by)
    person = tx.execute(sa.select(users).where(users.c.id == user_id)).one_or_none() if user_id else None
    requester = Actor(
        kind=kind,
        id=uuid.UUID(number),
        name=person.name if person else kind,
        role=person.role if person else None,
        email=person.email if person else None,
        location=asked.location,
        team=asked.team,
    )
    people = customers.together(tx, [asked.customer_id]) if asked.customer_id else ()
    proposal = Proposal(
        ground=choice.ground,
        incentive_item=choice.incentive,
        amount=choice.amount,
        agent_names=tuple(name for name in (requester.label, requester.email) if name),
        customers=people,
    )
    return proposal, requester


def _check_stacking(tx: Connection, proposal: Proposal, asked: Any, now: datetime) -> None:
    """Refuse what may not be laid on what is open; the request itself, which it takes the place of, does not count."""
    open_already = stacking.stack(tx, [(proposal, asked.case_id)], now)
    open_already.open = [each for each in open_already.open if each.issuance_id != asked.issuance_id]
    refusal = open_already.refusal(proposal, asked.case_id)
    if refusal:
        raise refusal


def _check_switches(tx: Connection, core: Core, voting: Voter, asked: Any, choice: Choice) -> None:
    """Refuse what a switch stops now: asked after the budgets are locked, for which it may have waited long."""
    catalog = releases.cached_current(tx, core).catalog
    guarding.refuse_stopped(
        tx,
        core,
        guarding.ISSUING,
        guarding.Subjects(
            location=asked.location,
            incentive=choice.incentive.key,
            issue_tags=catalog.lineage(asked.issue_tag),
            team=asked.team,
            actor=voting.actor.label,
            source=asked.source,
            issued_by=asked.requested_by,
        ),
    )
