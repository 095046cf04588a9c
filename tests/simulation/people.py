"""Who plays: clerks, tills, supervisors, those who mind the money, and the workers, each by the verbs of the lives.

What a life looks up may be otherwise by the time it acts: others have gone on meanwhile. So nothing is asserted about
one deed here; what must hold whatever happens is looked at by the watch.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from random import Random
from typing import Any, Protocol

from incentives.deeds.wanting import IssueVoucher
from incentives.flows.deliver import deliver_next
from incentives.flows.escalate import escalate_due
from incentives.flows.follow_up import follow_up_due
from incentives.flows.hear import hear_reports
from incentives.flows.watch_codes import watch_codes
from incentives.kernel.core import Core
from incentives.kernel.errors import IdempotencyKeyInFlight, Refusal, StorageUnavailable
from tests.machines.lives import WEIGHTS, Life
from tests.simulation.chance import OwnClock
from tests.simulation.post import Post
from tests.simulation.schedule import Crashed, Found, Player, Schedule

RETRIES_MOST = 20

ROLES: Mapping[str, tuple[str, ...]] = {
    "clerk": ("issue", "issue", "issue_in_numbers", "withdraw_request", "reveal", "undo", "resend", "load_job"),
    "till": (
        "redeem", "redeem", "reserve", "commit", "release", "hold_longer", "annul", "redeem_what_is_over",
        "redeem_unknown",
    ),
    "supervisor": (
        "decide", "void", "extend", "freeze", "unfreeze", "reissue", "adjust", "reverse", "review", "resend",
        "start_job", "stop_job", "retry_job", "delegate", "set_switch", "lift_switch",
    ),
    "treasurer": (
        "decide", "propose_budget_change", "decide_budget_request", "withdraw_budget_request", "change_catalog",
        "list_value", "take_off_list", "lift_switch", "set_switch",
    ),
    "sender": ("deliver_one",),
    "caller": ("call_back",),
    "sweeper": (
        "sweep", "escalate", "tidy_holds", "carry_over", "alert", "check_jobs", "run_jobs", "run_jobs", "look_around",
    ),
}  # fmt: skip
IDLE_SECONDS = {
    "clerk": 2.0,
    "till": 2.0,
    "supervisor": 3.0,
    "treasurer": 6.0,
    "sender": 3.0,
    "sweeper": 3.0,
    "caller": 2.0,
}
WORKERS = ("sender", "sweeper", "caller")  # they go on for as long as anybody does
TOLD_AT_ONCE_MOST = 3


@dataclass
class Process:
    """A process with its own clock; what it has in memory is gone when it dies."""

    name: str
    core: Core
    clock: OwnClock


@dataclass(frozen=True)
class Request:
    """What somebody asked for under a key; the same key and request may be sent once more by anybody."""

    verb: str
    key: str
    flow: Callable[..., Any]
    who: str
    command: Any


class Sim(Protocol):
    """What a person needs of the simulation."""

    seed: str
    schedule: Schedule
    post: Post
    calm: bool
    echoes: list[Request]

    def more(self) -> bool:
        """Return whether another deed is wanted."""

    def answered(self, request: Request, answer: Any) -> None:
        """Hear what was answered to a request."""

    def unanswered(self, request: Request) -> None:
        """Hear that somebody left before there was an answer."""

    def plan(self, player: Player) -> None:
        """Draw what befalls a player's next deed."""

    def struck(self, player: Player) -> bool:
        """Return whether anything has befallen the deed."""

    def note(self, kind: str, verb: str) -> None:
        """Count what came of a deed."""


class Person(Life):
    """A life among others: everybody does one deed at a time, and others go on within it."""

    def __init__(self, shared: Life, sim: Sim, process: Process, name: str, role: str) -> None:
        """Live in the shop of a life that has let everybody in."""
        vars(self).update(vars(shared))
        self.sim, self.process, self.name, self.role = sim, process, name, role
        self.number = self.tries = 0
        self.request: Request | None = None
        self.move_in()

    def move_in(self) -> None:
        """Work in the process as it is now: it has begun anew."""
        self.core = self.process.core
        self.shop = replace(self.shop, core=self.core, clock=self.process.clock)

    def live(self, player: Player) -> None:
        """Do one thing after the other until no more is wanted."""
        self.player = player
        while not self.sim.schedule.ended and (self.sim.more() or self.role in WORKERS):
            self._deed()
            self.rest(self.dice.expovariate(1 / IDLE_SECONDS[self.role]))

    def rest(self, seconds: float) -> None:
        """Let others go on for a while; dying does not concern who rests."""
        self.player.busy = False
        try:
            self.sim.schedule.sleep(self.player, seconds)
        except Crashed:
            self.player.doomed = False
        self.player.busy = True

    def _deed(self) -> None:
        self.number += 1
        self.dice = Random(f"{self.sim.seed} {self.name} {self.number}")
        verbs = ROLES[self.role]
        verb = self.dice.choices(verbs, weights=[WEIGHTS.get(each, 3) for each in verbs])[0]
        self._under_fire(verb, getattr(self, verb))

    def _under_fire(self, verb: str, deed: Callable[[], Any]) -> Any:
        """Do something; return its refusal, what befell it, or what it returned."""
        self.tries += 1
        self.player.dice = Random(f"{self.sim.seed} {self.name} {self.number} {self.tries}")
        self.sim.plan(self.player)
        self.player.busy = True
        try:
            return deed()
        except Crashed as crashed:
            self.player.doomed = False
            self.move_in()
            return crashed
        except (StorageUnavailable, IdempotencyKeyInFlight) as refusal:
            if not self.sim.struck(self.player):
                raise Found(f"{verb}: {refusal.slug} though nothing was wrong") from refusal
            return refusal
        except Refusal as refusal:
            self.sim.note(refusal.slug, verb)
            return refusal

    def _wish(self) -> IssueVoucher:
        wish = super()._wish()
        named = wish.case_id is None and not self.chance(3)
        return replace(wish, channels=("email",)) if named else wish

    # --- asking for something under a key -----------------------------------------------------------------

    def do(self, verb: str, flow: Callable[..., Any], who: str, given: Any, *, leaves: Collection[str] = ()) -> Any:
        """Ask for something until there is an answer; nothing is returned, for it may be old by now."""
        if isinstance(given, dict) or not any(each.name == "idempotency_key" for each in fields(given)):
            said = given if isinstance(given, dict) else {"command": given}
            flow(core=self.core, actor=self.people[who], **said)
            self.sim.note("done", verb)
            return
        key = f"{self.name}-{self.number}"
        command = replace(given, idempotency_key=key)
        if isinstance(command, IssueVoucher):
            command = replace(command, order_ref=key)  # by which what was given for it is found
        request = Request(verb, key, flow, who, command)
        if self.chance(5):
            self.sim.echoes.append(request)  # Their thumb slipped, or something on the way sent it twice.
        self.ask(request)

    def ask(self, request: Request) -> None:
        """Send a request again and again, as who has got no answer does."""
        for _ in range(RETRIES_MOST):
            answer = self._once(request)
            if not isinstance(answer, Crashed | StorageUnavailable | IdempotencyKeyInFlight):
                self.sim.answered(request, answer)
                return
            self.rest(self.dice.choice((0.5, 5, 40)))
            if self.sim.schedule.ended:
                self.sim.unanswered(request)
                return
        raise Found(f"{request.verb} was never answered")

    def _once(self, request: Request) -> Any:
        self.request = request
        actor = self.people[request.who]
        deed = partial(request.flow, core=self.core, actor=actor, command=request.command)
        answer = self._under_fire(f"{request.verb}.", deed)
        self.request = None
        return answer

    # --- what workers do besides --------------------------------------------------------------------------

    def deliver_one(self) -> None:
        """Claim, send and record one message."""
        self.sim.post.claims(self.player, self.core.clock.now())
        try:
            done = deliver_next(core=self.core)
        finally:
            self.sim.post.done(self.player)
        self.sim.note("delivered" if done else "idle", done.status if done else "deliver")

    def call_back(self) -> None:
        """Tell what the provider has to tell, some of it once more; what nobody answers to is told again."""
        calls = self.sim.post.calls
        told = [calls.pop(self.dice.randrange(len(calls))) for _ in range(min(self.upto(), len(calls)))]
        again = told
        try:
            new = hear_reports(core=self.core, said=told)
            again = [each for each in told if self.chance(4)]
        finally:
            calls += again
        self.sim.note("new" if new else "known", "hear")

    def upto(self) -> int:
        """Return how many reports are told at once."""
        return self.dice.randint(1, TOLD_AT_ONCE_MOST)

    def look_around(self) -> None:
        """Do the sweeps that no life knows."""
        sweep = self.of(escalate_due, follow_up_due, watch_codes)
        sweep(core=self.core)


class Echo(Person):
    """Sends the requests of others a second time, as soon as they have been sent once."""

    def live(self, player: Player) -> None:
        """Wait for something to repeat."""
        self.player = player
        self.dice = Random(f"{self.sim.seed} {self.name}")
        while not self.sim.schedule.ended:
            player.busy = False
            try:
                player.pause(lambda: bool(self.sim.echoes) or self.sim.schedule.ended)
            except Crashed:
                player.doomed = False
            if self.sim.echoes:
                self.number += 1
                self.ask(self.sim.echoes.pop(0))
