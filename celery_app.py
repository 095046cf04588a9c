"""The worker's loops as Celery's tasks: ``celery -A worker worker`` and ``celery -A worker beat``, on several machines.

A task is a tick and nothing else: it says that it is time for a loop's turn, and carries no id, no address, no code.
What there is to do stands in the database. A tick that is lost costs its interval, one that comes twice finds nothing,
and so does one that comes beside ``incentives worker``: leases and locks are the same. ADR 0026 says why.
"""

import logging
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery, signals
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedule
from kombu import Exchange, Queue

import worker
from incentives.kernel import migrate
from incentives.kernel.clock import elapsed_seconds
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal, StorageUnavailable
from incentives.kernel.settings import Settings

PREFIX = "incentives."
_ANSWERS_WITHIN_SECONDS = 5
_VISIBILITY_SECONDS = 120
"""So long after a worker died its tick is given to another; a turn that takes longer is begun twice, and finds that."""

_DAWN = datetime(2000, 1, 1, tzinfo=UTC)
_EXCHANGE = Exchange("incentives")

log = logging.getLogger("incentives.ticks")


def make_app() -> Celery:
    """Return Celery's application as the environment says; ends the process with a sentence where that cannot be."""
    try:
        url = Settings.from_environ(os.environ).broker_url
    except Refusal as refusal:
        sys.exit(_said(refusal))
    if not url:
        sys.exit("INCENTIVES_BROKER_URL: is missing. One machine needs no broker: `incentives worker` does the same.")
    app = Celery("incentives", broker=url, set_as_current=False)
    app.conf.update(_configuration(url))
    for each in worker.loops():
        app.task(_turn(each.name), name=PREFIX + each.name)
    signals.worker_init.connect(_look_first, weak=False)
    return app


def _said(refusal: Refusal) -> str:
    return f"{refusal.detail.removesuffix('.')}. {refusal.next_step}"


def _names() -> list[str]:
    """Return what tasks and their queues are called, and what finds a queue."""
    return [PREFIX + each.name for each in worker.loops()]


def _configuration(url: str) -> dict[str, Any]:
    redis = {
        "visibility_timeout": _VISIBILITY_SECONDS,
        "socket_timeout": _ANSWERS_WITHIN_SECONDS,  # By itself it would wait for a Redis that hangs without end.
        "socket_connect_timeout": _ANSWERS_WITHIN_SECONDS,
    }
    return {
        "accept_content": ["json"],
        "task_ignore_result": True,
        # A queue each, taken from in turn: whatever piles up in one holds no other up.
        "task_queues": [Queue(name, _EXCHANGE, routing_key=name) for name in _names()],
        "task_routes": {name: {"queue": name} for name in _names()},
        "task_create_missing_queues": False,
        # Nobody takes a tick that they cannot begin, so that it is there for whoever can.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": _ANSWERS_WITHIN_SECONDS,
        "broker_transport_options": redis if url.startswith("redis") else {},
        "beat_scheduler": Ticker,
        "beat_schedule": {
            each.name: {"task": PREFIX + each.name, "schedule": schedule(each.rests, nowfun=_elapsed)}
            for each in worker.loops()
        },
        # Who tells of every task, and what was told of workers, is of no use to anybody here.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
    }


def _elapsed() -> datetime:
    """Return by what beat tells whether a tick is due; a machine's clock that is set back would keep it from all."""
    return _DAWN + timedelta(seconds=elapsed_seconds())


class Ticker(Scheduler):
    """Puts each tick into its queue, unless one waits there: what nobody takes must not pile up.

    It keeps no file, and any number of them may run: a tick more is a look more.
    """

    away = False

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:  # noqa: ARG002 - Celery's signature
        """Put an entry's tick. Where the broker is away it is not put at all: the next one will do."""
        try:
            with self.app.connection_or_acquire() as connection:
                queue = self.app.amqp.queues[entry.task].bind(connection.default_channel)
                if not queue.queue_declare().message_count:
                    self.app.tasks[entry.task].apply_async(connection=connection, retry=False)
        except Exception as error:  # noqa: BLE001 - each transport has errors of its own
            self._tell(away=True, why=type(error).__name__)
        else:
            self._tell(away=False)

    def _tell(self, *, away: bool, why: str = "") -> None:
        """Say it once, and not at each of ten ticks a second."""
        if away != self.away:
            log.warning("the broker cannot be reached (%s)" if away else "the broker is back%s", why)
        self.away = away


def _turn(name: str) -> Any:
    def turn() -> None:
        worker.take_turn(_CORE.opened, _LOOPS.named[name])

    return turn


class _OneCore:
    """The core of this process, made when it is first needed: what was made before a fork must not be used after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._core: Core | None = None

    def opened(self) -> Core:
        """Return the core. Raises ``StorageUnavailable`` and ``StorageNotMigrated`` until its database can be used."""
        with self._lock:
            if self._core is None:
                self._core = _checked_core()
                worker.collect_seldom()
            return self._core


class _Loops(threading.local):
    """The loops of this thread, for bulk jobs remember how fast they go."""

    def __init__(self) -> None:
        self.named = {each.name: each for each in worker.loops()}


_CORE = _OneCore()
_LOOPS = _Loops()


def _checked_core() -> Core:
    from wsgi import build_core

    core = build_core(os.environ)
    try:
        migrate.check(core.database)
    except Refusal:
        core.database.dispose()
        raise
    return core


def _look_first(**_given: object) -> None:
    """End a worker before it forks where its database was not migrated; one that is away just now is waited for."""
    try:
        _checked_core().database.dispose()
    except StorageUnavailable:
        log.warning("the database cannot be reached; trying again")
    except Refusal as refusal:
        sys.exit(_said(refusal))
