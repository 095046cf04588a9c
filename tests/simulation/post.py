"""A provider as providers are: it takes a letter, refuses it for now, hangs, resets, or takes it and says no."""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from incentives.messages.port import Accepted, AnyLetter, Outcome, StatusReport, TryLater, WillNeverWork
from tests.simulation.schedule import Found, Player, current
from tests.world import START

TIMEOUT_SECONDS = 10
COPIES_MOST = 3

FATES = {
    "accepted": 14,
    "429": 2,
    "503": 2,
    "reset": 1,
    "hangs": 1,
    "accepted, then reset": 2,
    "accepted, then hangs": 1,
    "never": 1,
}
# What it reports of a copy that it has taken, and how it hands that over: late, twice, in any order.
REPORTS = {
    (): 2,
    ("sent",): 2,
    ("delivered",): 2,
    ("sent", "delivered"): 8,
    ("sent", "delivered", "opened"): 2,
    ("sent", "bounced"): 2,
    ("delivered", "bounced"): 1,
    ("delivered", "bounced", "opened"): 1,
}
TAKEN = ("sent", "delivered", "bounced")
_AFTER_ACCEPTING = {"accepted", "accepted, then reset", "accepted, then hangs"}


def _end(said: tuple[str, ...]) -> str:
    """Return where one copy stands: what was opened has arrived, what came back has not."""
    return "delivered" if "opened" in said else "bounced" if "bounced" in said else said[-1]


@dataclass(eq=False)
class InHand:
    """A message that a worker has claimed, and how far it got."""

    claimed_at: datetime  # by the clock of its process
    message_id: uuid.UUID | None = None
    accepted: bool = False
    excused: bool = False
    beside: list["InHand"] = field(default_factory=list, repr=False)  # what others had in hand when it was claimed


@dataclass
class Post:
    """The provider as it is in truth, and what excuses each copy that it got."""

    point: Callable[[Player, str], bool]
    sleep: Callable[[Player, float], None]
    status_of: Callable[[uuid.UUID], str]
    copies: Counter[uuid.UUID] = field(default_factory=Counter)
    excuses: Counter[uuid.UUID] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    never: set[uuid.UUID] = field(default_factory=set)
    said: dict[uuid.UUID, tuple[str, str | None]] = field(default_factory=dict)
    hands: dict[str, InHand] = field(default_factory=dict)  # by the worker's name
    calls: list[StatusReport] = field(default_factory=list)  # what is to be told yet, or once more
    reports: dict[uuid.UUID, dict[int, tuple[str, ...]]] = field(default_factory=dict)  # of each copy of a message
    calm: bool = False

    channel = "email"
    provider = "post"

    # --- what workers do ----------------------------------------------------------------------------------

    def claims(self, player: Player, now: datetime) -> None:
        """Hear that a worker is about to claim whatever has waited longest."""
        beside = [hand for name, hand in self.hands.items() if name != player.name]
        self.hands[player.name] = InHand(now, beside=beside)

    def done(self, player: Player) -> None:
        """Hear that a worker is done with what it had in hand; what was taken and is not known to be is sent again."""
        hand = self.hands.pop(player.name)
        if hand.accepted and not hand.excused and hand.message_id and self.status_of(hand.message_id) not in TAKEN:
            self._excuse(hand)

    def spares(self, player: Player) -> bool:
        """Return whether a worker must not fail now: one message is not struck twice, or copies had no bound."""
        hand = self.hands.get(player.name)
        return hand is not None and hand.message_id is not None and self.excuses[hand.message_id] > 0

    # --- the port -----------------------------------------------------------------------------------------

    def send(self, letter: AnyLetter) -> Outcome:
        """Do with a letter as the dice of whoever sends it say."""
        player = current()
        if player is None:
            return self._accept(letter, Random(str(letter.message_id)), START)
        hand = self.hands[player.name]
        hand.message_id = letter.message_id
        self._overtake(player, hand)
        self.point(player, "the provider is asked")
        fate = self._fate(player, letter)
        self.fates[fate] += 1
        outcome = self._accept(letter, player.dice, hand.claimed_at) if fate in _AFTER_ACCEPTING else None
        hand.accepted = outcome is not None
        self.point(player, f"the provider: {fate}")
        if fate.endswith("hangs"):
            self.sleep(player, TIMEOUT_SECONDS)
        if fate == "never":
            self.never.add(letter.message_id)
            return WillNeverWork("The mailbox is not there.")
        if fate == "accepted" and outcome:
            return outcome
        return TryLater(f"It could not be sent: {fate}.", 30.0 if fate == "429" else None)

    def _fate(self, player: Player, letter: AnyLetter) -> str:
        if self.calm:
            return "accepted"
        if letter.message_id in self.never:
            return "never"
        (fate,) = player.dice.choices(list(FATES), weights=list(FATES.values()))
        struck_twice = self.excuses[letter.message_id] > 0 and fate.startswith("accepted, ")
        return "accepted" if struck_twice or (fate == "never" and self.copies[letter.message_id]) else fate

    def _accept(self, letter: AnyLetter, dice: Random, now: datetime) -> Accepted:
        name = letter.message_id
        self.copies[name] += 1
        if self.copies[name] > 1 + self.excuses[name]:
            raise Found(f"message {name} was sent {self.copies[name]} times, with {self.excuses[name]} excuses")
        if self.copies[name] > COPIES_MOST:
            raise Found(f"message {name} was sent {self.copies[name]} times")
        says = (letter.to, getattr(letter, "code", None))
        if self.said.setdefault(name, says) != says:
            raise Found(f"a copy of message {name} says something else")
        self._report(letter, dice, now)
        return Accepted(f"{name}-{self.copies[name]}")

    def _report(self, letter: AnyLetter, dice: Random, now: datetime) -> None:
        """Have something to tell of a copy, perhaps before whoever sent it has written down that it was taken."""
        name, copy = letter.message_id, self.copies[letter.message_id]
        (said,) = dice.choices(list(REPORTS), weights=list(REPORTS.values()))
        self.reports.setdefault(name, {})[copy] = said
        for means in said:
            report = StatusReport(
                provider=self.provider,
                channel=letter.channel,
                event_key=f"{name}-{copy}-{means}",
                status=means,
                means=means,
                occurred_at=now,
                message_id=name,
                provider_message_id=f"{name}-{copy}",
                suppresses="bounced" if means == "bounced" and dice.randrange(4) == 0 else None,
                to=letter.to,
            )
            self.calls += [report] * dice.randint(1, 3)

    def says(self, message_id: uuid.UUID) -> str | None:
        """Return where a message stands by all that was reported of it; None where nothing was."""
        ends = {_end(said) for said in self.reports.get(message_id, {}).values() if said}
        return next((each for each in ("delivered", "bounced", "sent") if each in ends), None)

    def _overtake(self, player: Player, hand: InHand) -> None:
        """Look that nobody else has the same message in hand, unless one's lease was over by the other one's clock.

        Whose lease was over when it was claimed may have written down since that it was taken.
        """
        mine, others = hand.message_id, [each for name, each in self.hands.items() if name != player.name]
        for other in (*others, *(each for each in hand.beside if each.accepted)):
            if mine is None or other.message_id != mine or other.excused:
                continue
            if abs(hand.claimed_at - other.claimed_at) >= timedelta(seconds=TIMEOUT_SECONDS):
                self._excuse(other)
            elif other in others:
                raise Found(f"message {mine} is in two hands: {player.name} {hand}, and {other}")

    def _excuse(self, hand: InHand) -> None:
        if hand.message_id is not None:
            hand.excused = True
            self.excuses[hand.message_id] += 1
