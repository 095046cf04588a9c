"""A model of the money that shares no code with the engine: it knows the audit trail and the catalog's text, no more.

Told every event in the order of their ids, it says what each pot holds and how each account stands, to the cent. A
gift is what one issuance promised; what a pot has is the sum of its gifts, never a sum of changes.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNTS = ("recovery-expense", "voucher-liability", "redemption-settlement", "breakage")
STATES = ("held", "committed", "spent")

Facts = Mapping[str, Any]
PotName = tuple[str, ...]


@dataclass(kw_only=True)
class Share:
    """What one pot has of a gift, in minor units. A limit that was charged later has only what was added then."""

    held: int = 0
    owed: int = 0
    spent: int = 0
    used: bool = False
    broke: bool = False
    counts: bool = True

    def count(self, gift: "Gift") -> tuple[int, int, int]:
        """Return where it counts: as one that waits, that is promised or that is spent; or no more."""
        return int(gift.waits), int(bool(gift.open) and not self.used), int(self.used)


@dataclass(kw_only=True)
class Gift:
    """What one issuance promised; ``open`` are its vouchers that can still be spent."""

    shares: dict[PotName, Share] = field(default_factory=dict)
    owed: int = 0
    waits: bool = False
    uses: int = 0
    open: set[str] = field(default_factory=set)

    def end(self, gone: int, *, spent: int = 0, kept: Collection[PotName] = ()) -> dict[PotName, tuple[int, int]]:
        """Let part of the promise be over: each pot goes on having what is still owed, and what was spent of the rest.

        Return what each pot gave back, and has spent of that.
        """
        self.owed -= gone
        moved = {}
        for pot, share in self.shares.items():
            freed = max(0, share.owed - self.owed)
            moved[pot] = (freed, freed if pot in kept else min(spent, freed))
            share.owed -= freed
            share.spent += moved[pot][1]
        return moved

    def close(self, voucher_id: str) -> None:
        """Let a voucher end unspent; where it was the last, no pot counts the gift any more but as spent."""
        self.open.discard(voucher_id)
        for share in self.shares.values():
            share.counts = share.counts and (bool(self.open) or share.used)


class Recount:
    """Everything that follows from the events so far."""

    def __init__(self, catalog_text: str) -> None:
        """Read of the catalog which budgets there are: whether they hold money, and whether they keep what expires."""
        self.budgets: dict[str, Facts] = {each["key"]: each for each in json.loads(catalog_text).get("budgets", ())}
        self.gifts: dict[str, Gift] = {}
        self.redeemed: dict[str, tuple[int, dict[PotName, tuple[int, int]]]] = {}
        self.accounts: Counter[tuple[str, ...]] = Counter()
        self.beside: Counter[tuple[PotName, str]] = Counter()  # what pots were allotted, and what bulk jobs hold

    def tell(self, events: Iterable[Facts]) -> None:
        """Take in what happened next. What the request of a budget tells of would be, if somebody agreed."""
        for event in events:
            facts = event["facts"]
            told = getattr(self, "_on_" + event["action"].replace(".", "_"), None)
            if told is not None:
                told(self.gifts.setdefault(facts.get("issuance_id") or event["subject_id"], Gift()), facts)
            for each in facts.get("allocations", ()) if event["action"] != "budget.requested" else ():
                for unit in ("minor", "count"):
                    self.beside[tuple(each["pot"]), f"allotted_{unit}"] += each.get(f"amount_{unit}", 0)

    def pots(self) -> dict[PotName, dict[str, int]]:
        """Return what each pot has, by counter; counters of nothing and pots of nothing are left out."""
        sums: dict[PotName, Counter[str]] = {}
        for gift in self.gifts.values():
            for pot, share in gift.shares.items():
                has = sums.setdefault(pot, Counter())
                if share.counts:
                    _add(has, "count", share.count(gift))
                # What is no budget is a limit, named role:manager:GBP/day; all of them are in a currency.
                if pot[0] not in self.budgets or self.budgets[pot[0]].get("currency") is not None:
                    _add(has, "minor", (share.held, share.owed, share.spent))
        for (pot, counter), amount in self.beside.items():
            sums.setdefault(pot, Counter())[counter] += amount
        found = {pot: {name: value for name, value in has.items() if value} for pot, has in sums.items()}
        return {pot: has for pot, has in found.items() if has}

    def balances(self) -> dict[tuple[str, ...], int]:
        """Return how each account stands in each currency; those that stand at nothing are left out."""
        return {account: amount for account, amount in self.accounts.items() if amount}

    def _book(self, facts: Facts, *amounts: int) -> None:
        """Book amounts to the accounts in their order: expense, liability, settlement, breakage."""
        if sum(amounts):
            raise AssertionError(f"the model books what does not balance: {amounts}")
        self.accounts.update({(name, facts["currency"]): by for name, by in zip(ACCOUNTS, amounts, strict=False)})

    def _on_voucher_issued(self, gift: Gift, facts: Facts) -> None:
        gift.shares = {tuple(each): Share(owed=facts["amount_minor"]) for each in facts["charged"]}
        gift.waits, gift.owed = False, facts["amount_minor"]
        if facts["voucher_id"]:
            gift.open.add(facts["voucher_id"])
            self._book(facts, gift.owed, -gift.owed)

    _on_approval_granted = _on_voucher_issued

    def _on_approval_requested(self, gift: Gift, facts: Facts) -> None:
        gift.shares = {tuple(each): Share(held=facts["amount_minor"]) for each in facts["charged"]}
        gift.waits = True

    def _on_approval_declined(self, gift: Gift, facts: Facts) -> None:
        for pot in map(tuple, facts["released"]):
            gift.shares[pot].held -= facts["amount_minor"]
        gift.waits = False

    _on_approval_withdrawn = _on_approval_expired = _on_approval_declined

    def _on_voucher_redeemed(self, gift: Gift, facts: Facts) -> None:
        spent, lapsed, over = (facts[f"{name}_minor"] for name in ("spent", "lapsed", "overestimated"))
        gone = spent + lapsed + over
        self.redeemed[facts["redemption_id"]] = gone, gift.end(gone, spent=spent)
        gift.uses += 1
        for share in gift.shares.values():
            share.used = True
        if facts["redeemed_count"] == facts["max_redemptions"]:
            gift.open.discard(facts["voucher_id"])
        gift.open |= {facts["remainder_id"]} - {None}
        self._book(facts, -over, gone, -spent, -lapsed)

    def _on_redemption_reversed(self, gift: Gift, facts: Facts) -> None:
        again, spent, unlapsed = (facts[f"{name}_minor"] for name in ("owed_again", "spent", "unlapsed"))
        gone, moved = self.redeemed.pop(facts["redemption_id"])
        gift.owed += again
        gift.uses -= 1
        for pot, (freed, used) in moved.items():
            gift.shares[pot].spent -= used
            gift.shares[pot].owed += again if freed == gone else min(freed, again)
        for share in gift.shares.values():
            share.used = share.used and (gift.uses > 0 or share.broke)
        gift.open = gift.open - {facts["gathered_id"]} | ({facts["restored_id"]} - {None})
        self._book(facts, again - spent - unlapsed, -again, spent, unlapsed)

    _on_redemption_annulled = _on_redemption_reversed

    def _on_voucher_expired(self, gift: Gift, facts: Facts) -> None:
        amount = facts["amount_minor"]
        kept = [pot for pot in gift.shares if self.budgets.get(pot[0], {}).get("on_expiry") == "keep"]
        gift.end(amount, kept=kept)
        for pot in kept:
            gift.shares[pot].used = gift.shares[pot].broke = True
        gift.close(facts["voucher_id"])
        self._book(facts, 0, amount, 0, -amount)

    def _on_voucher_voided(self, gift: Gift, facts: Facts) -> None:
        gift.end(facts["amount_minor"])
        gift.close(facts["voucher_id"])
        self._book(facts, -facts["amount_minor"], facts["amount_minor"])

    def _on_voucher_reissued(self, gift: Gift, facts: Facts) -> None:
        gift.open = gift.open - {facts["replaces_id"]} | {facts["voucher_id"]}
        gift.shares |= {tuple(pot): Share(counts=False) for pot in facts.get("released", ())}
        for pot in map(tuple, facts["charged"]):
            gift.shares[pot] = Share(owed=gift.owed, spent=gift.shares.get(pot, Share()).spent)

    def _on_voucher_adjusted(self, gift: Gift, facts: Facts) -> None:
        delta = facts["delta_minor"]
        self._book(facts, delta, -delta)
        if delta < 0:
            gift.end(-delta)
        gift.owed += max(0, delta)
        for *pot, added in facts["charged"] if delta > 0 else ():
            gift.shares.setdefault(tuple(pot), Share(counts=False)).owed += added

    def _on_bulk_held(self, _gift: Gift, facts: Facts) -> None:
        for sign, name in ((1, "held"), (-1, "released")):
            for *pot, minor, count in facts.get(name, ()):
                self.beside.update({(tuple(pot), "held_minor"): sign * minor, (tuple(pot), "held_count"): sign * count})

    _on_bulk_drawn = _on_bulk_released = _on_bulk_held


def _add(has: Counter[str], unit: str, numbers: Iterable[int]) -> None:
    has.update({f"{state}_{unit}": number for state, number in zip(STATES, numbers, strict=True)})
