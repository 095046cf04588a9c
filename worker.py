"""The background loop: deliver what waits, expire what is over. The same flows run here as anywhere else.

``incentives worker`` is this loop by itself; with ``INCENTIVES_DELIVERY=in-process`` the serving process runs it in a
thread. Any number may run at once: each message is leased, and each sweep passes over what another has locked.
"""

import logging
import threading
from datetime import datetime, timedelta

from incentives.flows.deliver import deliver_next
from incentives.flows.expire import expire_due
from incentives.kernel.core import Core
from incentives.kernel.errors import StorageUnavailable

IDLE_SECONDS = 0.5
SWEEP_EVERY = timedelta(seconds=30)
_TROUBLE_SECONDS = 2.0

log = logging.getLogger("incentives.worker")


def run(core: Core, stop: threading.Event) -> None:
    """Work until told to stop; the database going away, or a bug in one message, does not end the loop."""
    swept_at: datetime | None = None
    while not stop.is_set():
        try:
            now = core.clock.now()
            if swept_at is None or now - swept_at >= SWEEP_EVERY:
                sweep(core)
                swept_at = now
            if deliver_next(core=core) is None:
                stop.wait(IDLE_SECONDS)
        except StorageUnavailable:
            log.warning("the database cannot be reached; trying again")
            stop.wait(_TROUBLE_SECONDS)
        except Exception:
            # The message keeps its lease and comes back when that ends; the loop must not die with it.
            log.exception("the worker stumbled")
            stop.wait(_TROUBLE_SECONDS)


def sweep(core: Core) -> None:
    """Expire everything that is due."""
    while True:
        done = expire_due(core=core)
        if done.vouchers + done.approvals == 0:
            return


def drain(core: Core) -> int:
    """Deliver everything that is due now and return how many messages that were."""
    count = 0
    while deliver_next(core=core) is not None:
        count += 1
    return count


def start_thread(core: Core) -> threading.Event:
    """Run the loop in a thread of this process; setting the event that comes back ends it."""
    stop = threading.Event()
    threading.Thread(target=run, args=(core, stop), name="worker", daemon=True).start()
    return stop
