"""Overriding: a customer's caps let one gift pass, for a reason, where somebody who leads gives it.

Not a flow: it opens no transaction. A cap is never edited: its pot is allotted just what it lacks for the gift, by an
entry that says why. What passes a cap that was lowered since is none of that. It is for the caps of customers alone,
since two people may seem to be one; money has its own ways.
"""

from collections.abc import Mapping, Sequence

from incentives.deeds import reasons
from incentives.deeds.batch import Batch
from incentives.deeds.wanting import Draft
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import CustomerCapReached
from incentives.recovery.customers import Newcomers, matched_by
from incentives.spending import budgets

OVERRIDE = "override"


def check(actor: Actor, reason: str | None) -> None:
    """Refuse whoever may not override, and a reason that is none. Raises ``NotPermitted`` and ``InputInvalid``."""
    if reason is not None:
        permit(actor, "caps:override")
        reasons.reason(reason, "override.reason")


def overrides(draft: Draft, wanted: budgets.Wanted) -> bool:
    """Return whether a draft passes a cap: a customer's, and none that only asks for an approval."""
    of_a_customer = wanted.rule.scope == "customer" and not wanted.rule.asks_approval
    return draft.command.override_reason is not None and of_a_customer


def allot(draft: Draft, pots: Mapping[budgets.PotKey, budgets.Pot], batch: Batch) -> None:
    """Allot the customer's pots what they lack for a draft, which is no more than it is, before it is charged."""
    reason = draft.command.override_reason
    if reason is None or draft.proposal is None:
        return
    most = {"minor": draft.proposal.amount.amount_minor, "count": 1}
    for each in draft.wanted:
        over = pots[each.pot].lacks(each.rule, most["minor"], most["count"]) if overrides(draft, each) else {}
        lacks = {unit: min(by, most[unit]) for unit, by in over.items()}
        if lacks:
            batch.allot(pots[each.pot], OVERRIDE, draft.id, reason, lacks)
            amounts = {f"amount_{unit}": lacks.get(unit, 0) for unit in ("minor", "count")}
            draft.allotted.append(
                {"pot": list(each.pot), "kind": OVERRIDE, **amounts, "currency": each.rule.currency, "reason": reason}
            )


def explain(core: Core, drafts: Sequence[Draft], fresh: Newcomers) -> None:
    """Say of what a customer's cap refused by what the customer was recognized, and how many they were linked to."""
    for draft in drafts:
        if isinstance(draft.result, CustomerCapReached) and draft.proposal is not None:
            contact = draft.proposal.ground.contact
            draft.result.facts["matched_by"] = list(matched_by(core, contact, fresh))
            draft.result.facts["linked_customers"] = len(set(draft.proposal.customers) - fresh.customers)
