"""Signals: what looks like abuse, how much of it is still normal, and what happens beyond that.

The approved catalog (``abuse``) sets other numbers and actions. What is normal in one house is a robbery in another, so
only two are on by default: nobody gives to themselves, and a flood of unknown codes is told to whoever leads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ALLOW = "allow"
STEP_UP = "step_up"
HOLD = "hold"
BLOCK = "block"
ACTIONS = (ALLOW, STEP_UP, HOLD, BLOCK)  # the mildest first

ISSUING = "issuing"
REDEEMING = "redeeming"
LOOKING_UP = "looking_up"

SELF_DEALING = "self_dealing"
SAME_CUSTOMER = "same_customer_by_person"
PER_PERSON = "issues_per_person"
PER_KEY = "issues_per_key"
PER_IP_BLOCK = "issues_per_ip_block"
JUST_BELOW_LIMIT = "just_below_limit"
BURST = "burst_at_end_of_shift"
PER_TILL = "redemptions_per_till"
REDEEMED_PER_IP_BLOCK = "redemptions_per_ip_block"
SAME_DEVICE = "same_device_issue_and_redeem"
UNKNOWN_CODES = "unknown_codes"

DENIED = "deny_list"
REVIEWED = "review_list"

_DAY = 24 * 60

NEAR_LIMIT_PERCENT = 90
"""From this part of what somebody may give by themselves on, a gift is just below the limit."""

SHIFT_MINUTES = 8 * 60
"""A burst is more than half of what somebody gave in a shift of so many minutes, within the signal's own minutes."""

UNKNOWN_SHARE_PERCENT = 20
"""Unknown codes alarm when they are also at least this part of all tries: a busy day has more typing mistakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal, as it stands where the catalog does not say otherwise.

    It shows when there are more than ``count`` within ``minutes``, the present one included; 0 is off. ``words`` end
    a sentence that begins with who did it, for people; ``counts`` says what is counted.
    """

    name: str
    at: str
    count: int
    minutes: int
    action: str
    words: str
    counts: str


TABLE: tuple[Signal, ...] = (
    Signal(name=SELF_DEALING, at=ISSUING, count=1, minutes=1, action=BLOCK,
           words="gave to an address of their own",
           counts="the customer's addresses, and all that are linked to them, against the giver's own email"),
    Signal(name=SAME_CUSTOMER, at=ISSUING, count=0, minutes=30 * _DAY, action=HOLD,
           words="gave to the same customer again and again",
           counts="what the same person gave to the customer, linked ones included"),
    Signal(name=PER_PERSON, at=ISSUING, count=0, minutes=60, action=HOLD,
           words="gave unusually often",
           counts="what one person gave or asked for"),
    Signal(name=PER_KEY, at=ISSUING, count=0, minutes=60, action=HOLD,
           words="gave unusually often for a program",
           counts="what one API key gave or asked for"),
    Signal(name=PER_IP_BLOCK, at=ISSUING, count=0, minutes=60, action=HOLD,
           words="was one of many that were given from one network",
           counts="what was given or asked for from one network (IPv4 /24, IPv6 /48)"),
    Signal(name=JUST_BELOW_LIMIT, at=ISSUING, count=0, minutes=_DAY, action=STEP_UP,
           words="gave just below their limit again and again",
           counts="what one person gave at 90 % or more of what they may give by themselves"),
    Signal(name=BURST, at=ISSUING, count=0, minutes=30, action=HOLD,
           words="gave most of a shift's gifts at the end of it",
           counts="what one person gave, where that is more than half of what they gave in eight hours"),
    Signal(name=PER_TILL, at=REDEEMING, count=0, minutes=10, action=STEP_UP,
           words="redeemed unusually often",
           counts="what one till redeemed"),
    Signal(name=REDEEMED_PER_IP_BLOCK, at=REDEEMING, count=0, minutes=10, action=STEP_UP,
           words="was one of many that were redeemed from one network",
           counts="what was redeemed from one network (IPv4 /24, IPv6 /48)"),
    Signal(name=SAME_DEVICE, at=REDEEMING, count=0, minutes=60, action=STEP_UP,
           words="redeemed what had been given from the same network just before",
           counts="the network that the voucher was given from, against the one that redeems it"),
    Signal(name=UNKNOWN_CODES, at=LOOKING_UP, count=200, minutes=15, action=ALLOW,
           words="tried many codes that do not exist",
           counts="unknown and malformed codes at all tills together, where they are 20 % of all tries or more"),
)  # fmt: skip

NAMES = tuple(each.name for each in TABLE)

WORDS: Mapping[str, str] = {
    **{each.name: each.words for each in TABLE},
    DENIED: "is, or gave to somebody who is, on the deny list",
    REVIEWED: "is, or gave to somebody who is, on the review list",
    "break_glass": "gave beyond a budget by breaking the glass",
}
"""What each signal says to people, the lists' and the broken glass's too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A signal that is on, with the numbers that hold now. ``stop_actor`` stops whoever shows it until lifted."""

    name: str
    count: int
    minutes: int
    action: str
    stop_actor: bool = False

    def shown(self, count: int) -> dict[str, Any]:
        """Return what a review keeps of it: JSON values, no names."""
        return {"name": self.name, "count": count, "limit": self.count, "minutes": self.minutes, "action": self.action}


def rules(said: Mapping[str, Mapping[str, Any]], at: str) -> dict[str, Rule]:
    """Return the signals that are on at a place (``issuing``, ``redeeming``, ``looking_up``), as the catalog says."""
    found = {}
    for signal in TABLE:
        if signal.at != at:
            continue
        own = said.get(signal.name, {})
        rule = Rule(
            name=signal.name,
            count=int(own.get("count", signal.count)),
            minutes=int(own.get("minutes", signal.minutes)),
            action=str(own.get("action", signal.action)),
            stop_actor=bool(own.get("stop_actor", False)),
        )
        if rule.count > 0:
            found[rule.name] = rule
    return found


def strongest(actions: Iterable[str]) -> str:
    """Return the sternest of what several signals want; without any, it is allowed."""
    return max(actions, key=ACTIONS.index, default=ALLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What the signals that show want done, and what a review keeps of them; ``allow`` without any is normal."""

    action: str = ALLOW
    shown: tuple[Mapping[str, Any], ...] = ()
    stop_actor: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the signals that want what is done."""
        return tuple(str(each["name"]) for each in self.shown if each["action"] == self.action)


NOTHING = Suspicion()


def suspicion(shown: Sequence[tuple[Rule, int]]) -> Suspicion:
    """Return what several signals with their counts come to."""
    action = strongest(rule.action for rule, _ in shown)
    return Suspicion(
        action=action,
        shown=tuple(rule.shown(count) for rule, count in shown),
        stop_actor=any(rule.stop_actor for rule, _ in shown if rule.action == BLOCK),
    )
