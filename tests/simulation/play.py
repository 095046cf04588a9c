"""One play: a seed, a place, so many deeds under fire, and then the quiet in which all must be found in order."""

import hashlib
import logging
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

import worker
from incentives.catalog.document import parse
from incentives.flows import publish
from incentives.flows.bulk_check import check_next
from incentives.flows.bulk_run import run_next
from incentives.flows.hear import hear_reports
from incentives.kernel import combiner
from incentives.kernel.core import Core
from incentives.kernel.ids import Ids
from incentives.messages.tables import outbox_messages
from incentives.vouchers.bulk_tables import bulk_jobs
from tests import dump
from tests.simulation.chance import OwnClock, Truth, seeded
from tests.simulation.people import WORKERS, Echo, Person, Process, Request
from tests.simulation.places import Place
from tests.simulation.post import Post
from tests.simulation.schedule import Crashed, Found, Player, Schedule, Turn, aside
from tests.simulation.watch import Watch

DEEDS = 80
CREW = {
    "web-1": (("clerk-1", "clerk"), ("till-1", "till"), ("supervisor-1", "supervisor")),
    "web-2": (
        ("clerk-2", "clerk"),
        ("till-2", "till"),
        ("treasurer-1", "treasurer"),
        ("echo", "echo"),
        ("caller-1", "caller"),
    ),
    "web-3": (("caller-2", "caller"),),
    "worker-1": (("sender-1", "sender"), ("sweeper-1", "sweeper")),
    "worker-2": (("sender-2", "sender"), ("sweeper-2", "sweeper")),
}
FAULTS = {"nothing": 66, "cut": 10, "crash": 8, "lost reply": 10, "crash after commit": 6}
AFTER_COMMIT = ("lost reply", "crash after commit")
POINTS_MOST = 18
STEPS_MOST = 100_000
OFF_SECONDS = (-120, -5, -1, 0, 0, 1, 5, 120)
JUMP_SECONDS = (20, 61, 300, 901, 7200, 32_400, 86_400, 345_600, 777_600)
CLOCK_STEP_ONE_IN, JUMP_ONE_IN, MONEY_ONE_IN, BOOKS_ONE_IN = 400, 250, 12, 80
_TAIL = 25

PARSED = cache(parse)


@dataclass
class Plan:
    """What befalls one deed, and where."""

    kind: str = "nothing"
    at: int = 0
    points: int = 0
    commits: int = 0
    struck: bool = False


@dataclass
class Story:
    """What happened, in numbers and in two digests: of every statement with its values, and of all that is stored."""

    seed: int
    steps: int = 0
    told: str = ""
    stored: str = ""
    deeds: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    compared: int = 0


class Play:
    """Everything of one seed."""

    calm = False

    def __init__(self, seed: int, place: Place, truth: Truth) -> None:
        """Begin on the first day."""
        self.number, self.place, self.seed = seed, place, f"play {seed}"
        self.truth, self.dice = truth, Random(self.seed)
        self.schedule = Schedule(self.dice, self.truth, place.wires.stuck if place.waits else None)
        self.post = Post(self.point, self.schedule.sleep, self._status_of)
        self.story = Story(seed)
        self.echoes: list[Request] = []
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.digest = hashlib.sha256()
        self.plans: dict[str, Plan] = {}
        self.people: dict[str, Person] = {}
        self.dead: list[Process] = []
        self.deeds = 0
        life = place.life
        self.processes = [self._process(name, life.core) for name in CREW]
        observer = self._process("the watch", life.core).core
        life.core = observer
        self.watch = Watch(observer, life, self.post)

    def _process(self, name: str, core: Core) -> Process:
        clock = OwnClock(self.truth, timedelta(0))
        senders = {"email": self.post, "sms": self.post}
        fresh = replace(core, clock=clock, ids=Ids(), database=self.place.database, senders=senders, cache={})
        return Process(name, fresh, clock)

    # --- what people and wires ask ------------------------------------------------------------------------

    def more(self) -> bool:
        """Return whether another deed is wanted; count it."""
        self.deeds += 1
        return self.deeds <= DEEDS

    def plan(self, player: Player) -> None:
        """Draw what befalls a player's next deed."""
        dice = player.dice
        (kind,) = dice.choices(list(FAULTS), weights=list(FAULTS.values()))
        at = dice.choice((1, 1, 1, 2)) if kind in AFTER_COMMIT else dice.randrange(1, POINTS_MOST)
        self.plans[player.name] = Plan("nothing" if self.calm else kind, at)

    def struck(self, player: Player) -> bool:
        """Return whether anything has befallen the deed."""
        return self.plans[player.name].struck

    def note(self, kind: str, verb: str) -> None:
        """Count what came of a deed."""
        self.story.deeds[f"{verb.strip('.')}: {kind}"] += 1

    def answered(self, request: Request, answer: Any) -> None:
        """Take in what was answered to a request."""
        self.note(getattr(answer, "slug", "done"), request.verb)
        self.watch.answered(request, answer)

    def unanswered(self, request: Request) -> None:
        """Take in that nobody knows what became of a request."""
        self.watch.unheard.add(request.key)

    def point(self, player: Player, what: str) -> bool:
        """Give up the turn before something; return whether the connection is lost then. Raises ``Crashed``."""
        if player.doomed:
            raise Crashed
        player.pause()
        self.tell(f"{player.name}: {what}")
        plan = self.plans.get(player.name, Plan())
        plan.points += 1
        due = plan.kind in ("cut", "crash") and plan.points >= plan.at and not plan.struck
        outside = "provider" in what
        if not due or self.post.spares(player) or (outside and plan.kind == "cut"):
            return False
        return self._strike(player, plan)

    def committed(self, player: Player) -> bool:
        """Hear that a player's transaction is committed; return whether the reply is lost. Raises ``Crashed``."""
        with aside():
            self.watch.committed(self.people[player.name].request)
            self._look()
        plan = self.plans.get(player.name, Plan())
        plan.commits += 1
        due = plan.kind in AFTER_COMMIT and plan.commits == plan.at
        return due and self._strike(player, plan)

    def _strike(self, player: Player, plan: Plan) -> bool:
        plan.struck = True
        process = self.people[player.name].process
        for other in self.schedule.players:  # What went along in the same transaction is struck with it.
            if other.follows and self.people[other.name].process is process:
                self.plans[other.name].struck = True
        self.story.faults[plan.kind] += 1
        self.tell(f"{player.name}: {plan.kind}")
        if plan.kind.startswith("crash"):
            self.dead.append(process)
            player.doomed = True
            raise Crashed
        return True

    def _look(self) -> None:
        if self.watch.commits % MONEY_ONE_IN == 0:
            self.watch.money()
        if self.watch.commits % BOOKS_ONE_IN == 0:
            self.watch.everything()

    def tell(self, what: str) -> None:
        """Write down what happens next."""
        self.digest.update(what.encode())
        self.tail.append(f"{self.schedule.steps} {self.truth.at:%d %H:%M:%S} {' '.join(what.split())[:150]}")

    # --- playing ------------------------------------------------------------------------------------------

    def run(self) -> Story:
        """Play until everybody has done their deeds; then let the workers do what is left, and look at everything."""
        self.place.wires.judge = self
        try:
            for process in self.processes:
                for name, role in CREW[process.name]:
                    person = (Echo if role == "echo" else Person)(self.place.life, self, process, name, role)
                    self.people[name] = person
                    self.schedule.add(name, person.live)
            while self._goes_on():
                self._turn()
            self.calm = self.post.calm = True
        finally:
            self.schedule.end()
            self.place.wires.judge = None
        self._drain()
        self._hear_the_rest()
        self._drain()
        self.watch.at_the_end()
        return self._told()

    def _goes_on(self) -> bool:
        if self.schedule.steps > STEPS_MOST:
            raise Found("it does not come to an end")
        people = [each for each in self.schedule.players if self.people[each.name].role not in WORKERS]
        return any(not each.over and (each.name != "echo" or each.busy or self.echoes) for each in people)

    def _turn(self) -> None:
        self.schedule.step()
        while self.dead:
            self._bury(self.dead.pop())
        if self.dice.randrange(CLOCK_STEP_ONE_IN) == 0:
            process = self.dice.choice(self.processes)
            process.clock.off = timedelta(seconds=self.dice.choice(OFF_SECONDS))
            self.story.faults["clock step"] += 1
            self.tell(f"{process.name}: its clock is off by {process.clock.off}")
        if self.dice.randrange(JUMP_ONE_IN) == 0 and not any(map(self.post.spares, self.schedule.players)):
            self.truth.passes(self.dice.choice(JUMP_SECONDS))
            self.tell("time passes")

    def _bury(self, process: Process) -> None:
        """Let everybody in a process die with it, and begin it anew."""
        inside = [self.people[name] for name, _ in CREW[process.name]]
        victims = [each for each in self.schedule.players if each.busy and self.people[each.name] in inside]
        self.schedule.crash([each for each in victims if not each.over], self.place.wires.cut)
        process.core = replace(process.core, ids=Ids(), cache={})
        for person in inside:
            person.move_in()

    def _drain(self) -> None:
        """Let time pass and one worker work until nothing waits any more."""
        core = self._process("the last worker", self.place.life.core).core
        for _ in range(200):
            worker.sweep(core)
            for _ in check_next(core=core):
                pass
            while run_next(core=core, paces={}):
                pass
            worker.drain(core)
            due_at = self._next_due_at(core)
            if due_at is None:
                return
            self.truth.passes(max(600.0, (due_at - self.truth.at).total_seconds()))
        raise Found("the workers do not come to an end")

    def _hear_the_rest(self) -> None:
        """Let the provider tell what it has not told yet, in any order."""
        self.watch.unseen()
        self.dice.shuffle(self.post.calls)
        for call in self.post.calls:
            hear_reports(core=self.watch.core, said=[call])
            self.watch.messages()

    def _status_of(self, message_id: uuid.UUID) -> str:
        with aside(), self.watch.core.database.read() as tx:
            query = sa.select(outbox_messages.c.status).where(outbox_messages.c.id == message_id)
            return str(tx.execute(query).scalar_one())

    def _next_due_at(self, core: Core) -> datetime | None:
        """Return when something is to be done again; None when nothing is left to do."""
        letters, jobs = outbox_messages.c, bulk_jobs.c
        sending = sa.case((letters.status == "sending", letters.lease_until_at), else_=letters.available_at)
        waiting = sa.select(sa.func.min(sending, type_=sending.type)).where(letters.status.in_(("queued", "sending")))
        working = sa.select(sa.func.count()).where(jobs.status.in_(("checking", "running", "stopping")))
        with core.database.read() as tx:
            found: datetime | None = tx.execute(waiting).scalar_one()
            return self.truth.at if found is None and tx.execute(working).scalar_one() else found

    def _told(self) -> Story:
        self.story.steps = self.schedule.steps
        if self.schedule.waits:
            self.story.faults["wait for a lock"] = self.schedule.waits
        self.story.told = self.digest.hexdigest()
        self.story.stored = hashlib.sha256(repr(sorted(dump.of(self.watch.core).items())).encode()).hexdigest()
        self.story.copies, self.story.compared = sum(self.post.copies.values()), self.watch.compared
        self.story.faults.update({f"provider: {fate}": number for fate, number in self.post.fates.items()})
        return self.story


class _Complaints(logging.Handler):
    """Hears what the engine logs as a bug: it goes on after many, and nobody else would hear of them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))

    def refuse(self) -> None:
        """Raise what was heard."""
        if self.heard:
            raise Found("\n".join(self.heard))


def play(seed: int, place: Place) -> Story:
    """Play one seed. Raises ``Found``, with the step and what happened last, when anything is not as it must be."""
    complaints = _Complaints()
    logging.getLogger("incentives").addHandler(complaints)
    play_now = None
    try:
        with seeded(f"play {seed}", truth := Truth()), pytest.MonkeyPatch.context() as patch:
            patch.setattr(publish, "parse", PARSED)
            patch.setattr(combiner, "Turn", Turn)
            place.fresh()
            play_now = Play(seed, place, truth)
            story = play_now.run()
            complaints.refuse()
            return story
    except (Exception, Found) as trouble:
        if play_now is None:
            raise
        told = "\n".join(play_now.tail)
        text = f"{type(trouble).__name__} at step {play_now.schedule.steps} of seed {seed}: {trouble}"
        raise Found(f"{text}\n\n{told}") from trouble
    finally:
        logging.getLogger("incentives").removeHandler(complaints)
