"""The background loops: deliver what waits, respond to feedback, give in bulk, expire what is over, seal the books.

The same flows run here too.

``incentives worker`` is these loops by themselves; with ``INCENTIVES_DELIVERY=in-process`` the serving process runs
them in threads. Any number may run at once: each message is leased, and each sweep passes over what another has locked.
"""

import gc
import logging
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta

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
from incentives.flows.seal import seal_due
from incentives.flows.watch_books import watch_books
from incentives.flows.watch_budgets import alert_due
from incentives.flows.watch_codes import watch_codes
from incentives.kernel import migrate
from incentives.kernel.core import Core
from incentives.kernel.errors import SettingsInvalid, StorageNotMigrated, StorageUnavailable

IDLE_SECONDS = 0.5
SWEEP_EVERY = timedelta(seconds=30)
SEAL_EVERY = timedelta(seconds=30)
_TROUBLE_SECONDS = 2.0
_ENDING_SECONDS = 5
_COLLECTED_AFTER = (50_000, 10, 10)

log = logging.getLogger("incentives.worker")


def run(core: Core, stop: threading.Event) -> None:
    """Work until told to stop; the database going away, or a bug in one message, does not end the loops.

    Each channel has a loop of its own, so that a provider that hangs holds up nothing but its own messages. Raises
    ``StorageNotMigrated`` and ``SettingsInvalid`` before anything is done, when it never could be.
    """
    if not _ready(core, stop):
        return
    collect_seldom()
    loops = [
        threading.Thread(target=_deliver, args=(core, stop, channel), name=f"deliver-{channel}", daemon=True)
        for channel in CHANNELS
    ]
    # A rush of feedback holds up no message, nor the sweep, and the other way around.
    loops.append(threading.Thread(target=_respond, args=(core, stop), name="respond", daemon=True))
    # A bulk job is foreseen and given beside all else, and one that is foreseen keeps no other from being given.
    loops.append(threading.Thread(target=_foresee, args=(core, stop), name="foresee", daemon=True))
    loops.append(threading.Thread(target=_give_in_bulk, args=(core, stop), name="bulk", daemon=True))
    # Whoever asks a provider waits for it, and nothing else waits for whoever asks.
    loops.append(threading.Thread(target=_reconcile, args=(core, stop), name="reconcile", daemon=True))
    # Proving the books reads every record there is; nothing else waits for that.
    loops.append(threading.Thread(target=_mind_books, args=(core, stop), name="books", daemon=True))
    for loop in loops:
        loop.start()
    _repeat(lambda: _sweep_and_rest(core, stop), stop)
    for loop in loops:
        # The one that is sending writes down what came of it, or the message would go out once more.
        loop.join(core.settings.provider_timeout_seconds + _ENDING_SECONDS)


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


def _deliver(core: Core, stop: threading.Event, channel: str) -> None:
    def step() -> None:
        if deliver_next(core=core, channel=channel) is None:
            stop.wait(IDLE_SECONDS)

    _repeat(step, stop)


def _respond(core: Core, stop: threading.Event) -> None:
    def step() -> None:
        if not respond_due(core=core):
            stop.wait(IDLE_SECONDS)

    _repeat(step, stop)


def _foresee(core: Core, stop: threading.Event) -> None:
    def step() -> None:
        idle = True
        for _ in check_next(core=core):
            idle = False
            if stop.is_set():
                return  # Another worker begins it anew once this one's lease has ended.
        if idle:
            stop.wait(IDLE_SECONDS)

    _repeat(step, stop)


def _give_in_bulk(core: Core, stop: threading.Event) -> None:
    paces: dict[uuid.UUID, Pace] = {}

    def step() -> None:
        if not run_next(core=core, paces=paces):
            stop.wait(IDLE_SECONDS)

    _repeat(step, stop)


def _mind_books(core: Core, stop: threading.Event) -> None:
    def step() -> None:
        try:
            while seal_due(core=core):
                if stop.is_set():
                    return
        finally:
            # Whatever keeps us from sealing, a seal that somebody has damaged perhaps: that is for the proof to tell.
            if not stop.is_set():
                _prove_books(core)
        stop.wait(SEAL_EVERY.total_seconds())

    _repeat(step, stop)


def _reconcile(core: Core, stop: threading.Event) -> None:
    def step() -> None:
        reconcile_due(core=core)
        stop.wait(SWEEP_EVERY.total_seconds())

    _repeat(step, stop)


def _prove_books(core: Core) -> None:
    if watch_books(core=core) is False:
        log.critical("the books do not hold; `incentives books check` and `incentives books verify` say where")


def _sweep_and_rest(core: Core, stop: threading.Event) -> None:
    sweep(core)
    stop.wait(SWEEP_EVERY.total_seconds())


def _repeat(step: Callable[[], None], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            step()
        except StorageUnavailable:
            log.warning("the database cannot be reached; trying again")
            stop.wait(_TROUBLE_SECONDS)
        except Exception:
            # The message keeps its lease and comes back when that ends; the loop must not die with it.
            log.exception("the worker stumbled")
            stop.wait(_TROUBLE_SECONDS)


def sweep(core: Core) -> None:
    """Expire everything that is due, tell of what is late, and ask every customer again whose time has come."""
    while (done := expire_due(core=core)).vouchers + done.approvals:
        pass
    while lapse_due(core=core):
        pass
    while escalate_due(core=core).total:
        pass
    while escalate_approvals_due(core=core):
        pass
    while follow_up_due(core=core):
        pass
    watch_codes(core=core)
    while carry_over_due(core=core):
        pass
    alert_due(core=core)
    while forget_due(core=core):
        pass
    keep_months(core=core)


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
