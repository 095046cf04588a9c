"""The background loops: deliver what waits, respond to feedback, give in bulk, expire what is over, seal the books.

``SWEEPS`` and ``loops`` list all of it, once. ``incentives worker`` runs that in threads; with
``INCENTIVES_DELIVERY=in-process`` the serving process does; ``celery -A worker worker`` takes it as tasks, on as many
machines as are wanted (``celery_app.py``). Any number may run at once, of one kind or mixed: each message is leased,
and each sweep passes over what another has locked.
"""

import gc
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from incentives.flows.bulk_check import check_next
from incentives.flows.bulk_run import Pace, run_next
from incentives.flows.carry_over import carry_over_due
from incentives.flows.deliver import CHANNELS, deliver_next
from incentives.flows.escalate import escalate_due
from incentives.flows.escalate_approvals import escalate_approvals_due
from incentives.flows.expire import expire_due
from incentives.flows.follow_up import follow_up_due
from incentives.flows.forget import forget_due
from incentives.flows.keep_months import keep_months
from incentives.flows.reconcile import reconcile_due
from incentives.flows.reserve import lapse_due
from incentives.flows.respond import respond_due
from incentives.flows.salvage import salvage_due
from incentives.flows.seal import seal_due
from incentives.flows.watch_books import watch_books
from incentives.flows.watch_budgets import alert_due
from incentives.flows.watch_codes import watch_codes
from incentives.kernel import migrate
from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.kernel.errors import SettingsInvalid, StorageNotMigrated, StorageUnavailable

IDLE_SECONDS = 0.5
SWEEP_EVERY = timedelta(seconds=30)
SEAL_EVERY = timedelta(seconds=30)
_TROUBLE_SECONDS = 2.0
_ENDING_SECONDS = 5
_COLLECTED_AFTER = (50_000, 10, 10)

log = logging.getLogger("incentives.worker")

Ending = Callable[[], bool]
"""Whether the process is about to end, so that what takes long is broken off where that loses nothing."""


def _once(_done: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Sweep:
    """A flow that is done every ``SWEEP_EVERY``, and done again at once while what it returns says ``more``."""

    name: str
    flow: Callable[..., Any]
    more: Callable[[Any], object] = bool


SWEEPS = (
    Sweep("expire", expire_due, lambda done: done.vouchers + done.approvals),
    Sweep("lapse", lapse_due),
    Sweep("escalate", escalate_due, lambda done: done.total),
    Sweep("escalate-approvals", escalate_approvals_due),
    Sweep("follow-up", follow_up_due),
    Sweep("watch-codes", watch_codes, _once),
    Sweep("carry-over", carry_over_due),
    Sweep("alert", alert_due, _once),
    Sweep("forget", forget_due),
    Sweep("salvage", salvage_due, lambda done: done.more),
    Sweep("keep-months", keep_months, _once),
)


@dataclass(frozen=True, slots=True)
class Loop:
    """Something that goes on beside all else: a step, and how long to rest where it says that there is no more to do.

    ``at_once`` is how many of them Celery lets work at about the same time; threads are one for each process.
    """

    name: str
    step: Callable[[Core, Ending], object]
    rests: timedelta
    at_once: int = 1


def loops() -> tuple[Loop, ...]:
    """Return all there is to do. What a loop remembers from step to step is not shared with those of another call."""
    soon = timedelta(seconds=IDLE_SECONDS)
    return (
        # Each channel has its own, so that a provider that hangs holds up nothing but its own messages.
        *(Loop(f"deliver-{channel}", partial(_deliver, channel), soon, at_once=10) for channel in CHANNELS),
        # A rush of feedback holds up no message, nor the sweeps, and the other way around.
        Loop("respond", _respond, soon, at_once=4),
        # A bulk job is foreseen and given beside all else, and one that is foreseen keeps no other from being given.
        Loop("foresee", _foresee, soon),
        # Chunks of one job wait for each other's budgets, and whoever gives by hand waits behind them.
        Loop("bulk", partial(_give_in_bulk, {}), soon),
        # Whoever asks a provider waits for it, and nothing else waits for whoever asks.
        Loop("reconcile", _reconcile, SWEEP_EVERY),
        # Proving the books reads every record there is; nothing else waits for that.
        Loop("books", _mind_books, SEAL_EVERY),
        Loop("sweep", _sweep, SWEEP_EVERY),
    )


def run(core: Core, stop: threading.Event) -> None:
    """Work until told to stop; the database going away, or a bug in one message, does not end the loops.

    Raises ``StorageNotMigrated`` and ``SettingsInvalid`` before anything is done, when it never could be.
    """
    if not _ready(core, stop):
        return
    collect_seldom()
    *beside, here = loops()
    threads = [
        threading.Thread(target=_repeat, args=(core, each, stop), name=each.name, daemon=True) for each in beside
    ]
    for thread in threads:
        thread.start()
    _repeat(core, here, stop)
    for thread in threads:
        # The one that is sending writes down what came of it, or the message would go out once more.
        thread.join(core.settings.provider_timeout_seconds + _ENDING_SECONDS)


def collect_seldom() -> None:
    """Let the collector of cycles look seldom: a chunk of a bulk job makes thousands of objects, and no cycles.

    Looking after every seven hundred takes a sixth of all that giving in bulk computes.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


def _ready(core: Core, stop: threading.Event) -> bool:
    """Wait until the database can be reached; False when told to stop first."""
    while not stop.is_set():
        try:
            migrate.check(core.database)
        except StorageUnavailable:
            log.warning("the database cannot be reached; trying again")
            stop.wait(_TROUBLE_SECONDS)
        else:
            return True
    return False


def _repeat(core: Core, loop: Loop, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            more = loop.step(core, stop.is_set)
        except StorageUnavailable:
            log.warning("the database cannot be reached; trying again")
            stop.wait(_TROUBLE_SECONDS)
        except Exception:
            # The message keeps its lease and comes back when that ends; the loop must not die with it.
            log.exception("the worker stumbled")
            stop.wait(_TROUBLE_SECONDS)
        else:
            if not more:
                stop.wait(loop.rests.total_seconds())


def _deliver(channel: str, core: Core, _ending: Ending) -> bool:
    return deliver_next(core=core, channel=channel) is not None


def _respond(core: Core, _ending: Ending) -> int:
    return respond_due(core=core)


def _foresee(core: Core, ending: Ending) -> bool:
    found = False
    for _ in check_next(core=core):
        found = True
        if ending():
            break  # Another worker begins it anew once this one's lease has ended.
    return found


def _give_in_bulk(paces: dict[uuid.UUID, Pace], core: Core, _ending: Ending) -> int:
    return run_next(core=core, paces=paces)


def _reconcile(core: Core, _ending: Ending) -> None:
    reconcile_due(core=core)


def _mind_books(core: Core, ending: Ending) -> None:
    try:
        while seal_due(core=core):
            if ending():
                return
    finally:
        # Whatever keeps us from sealing, a seal that somebody has damaged perhaps: that is for the proof to tell.
        if not ending():
            _prove_books(core)


def _prove_books(core: Core) -> None:
    if watch_books(core=core) is False:
        log.critical("the books do not hold; `incentives books check` and `incentives books verify` say where")


def _sweep(core: Core, _ending: Ending) -> None:
    sweep(core)


def sweep(core: Core) -> None:
    """Do every sweep: expire what is due, tell of what is late, ask every customer again whose time has come.

    One that meets a bug keeps none behind it from its turn. Raises what they met, once all had theirs.
    """
    met: list[Exception] = []
    for each in SWEEPS:
        try:
            while each.more(each.flow(core=core)):
                pass
        except StorageUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is about this one sweep
            error.add_note(f"It is the sweep {each.name} that met this.")
            met.append(error)
    if len(met) > 1:
        raise ExceptionGroup("several sweeps met a bug", met)
    if met:
        raise met[0]


def drain(core: Core) -> int:
    """Deliver everything that is due now and return how many messages that were."""
    count = 0
    while deliver_next(core=core) is not None:
        count += 1
    return count


def start_thread(core: Core) -> threading.Event:
    """Run the loops in threads of this process; setting the event that comes back ends them."""
    stop = threading.Event()
    threading.Thread(target=_run_or_say_why, args=(core, stop), name="worker", daemon=True).start()
    return stop


def _run_or_say_why(core: Core, stop: threading.Event) -> None:
    try:
        run(core, stop)
    except (StorageNotMigrated, SettingsInvalid) as refusal:
        log.critical("nothing is delivered here: %s %s", refusal.detail, refusal.next_step)


def take_turn(opened: Callable[[], Core], loop: Loop) -> None:
    """Take a loop's steps for as long as so many may work at once as it says, if one is begun at each of its rests.

    Whoever begins the next turn is not this process. Trouble is told and ends this turn.
    """
    until = elapsed_seconds() + loop.at_once * loop.rests.total_seconds()
    try:
        core = opened()
        while loop.step(core, _never) and elapsed_seconds() < until:
            pass
    except (StorageUnavailable, StorageNotMigrated) as refusal:
        log.warning("nothing is done here: %s", refusal.detail)
        time.sleep(_TROUBLE_SECONDS)
    except Exception:
        log.exception("the worker stumbled")


def _never() -> bool:
    """Return that no end is near: Celery lets a turn come to its end before it ends a process."""
    return False


def __getattr__(name: str) -> Any:
    """Make Celery's application when ``celery -A worker`` asks for it; nobody else needs Celery."""
    if name != "app":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import celery_app

    globals()["app"] = celery_app.make_app()
    return globals()["app"]
