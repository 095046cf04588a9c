"""A flood of guesses: codes that could be some, five hundred a second, by a hundred stolen keys from a hundred places.

Time is the flood's own, so that it takes as long as it takes. By one command, in SQLite:
``python -m tests.doors.guessing --codes 100000``.
"""

import argparse
import random
import sys
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from incentives.flows.watch_codes import watch_codes
from incentives.kernel.clock import FixedClock
from incentives.kernel.throttle import Throttle
from incentives.safeguards.tables import reviews
from incentives.vouchers import codes
from tests.databases import SqliteDatabases
from tests.doors.machines import Machines
from tests.run_folder import RunFolder
from tests.world import DEMO_CATALOG, START, api_key, make_core, person, publish_catalog

DEVICES = 100
A_SECOND = 500
_MINUTE = 60
_SWEEP_SECONDS = 30
_GOOD_EVERY = 50
_RULE = "unknown_codes: {count: 100, minutes: 15, action: allow}"
ALARM = "unknown_codes: {count: 50, minutes: 1, action: allow}"


@dataclass(frozen=True, slots=True)
class Flood:
    """What came of a flood: the answers, the most guesses that one device had answered in any minute, the good codes.

    ``alarm_after`` is how many guesses had been answered when the alarm was told, None where it was not.
    """

    answers: Counter[int]
    most_in_a_minute: int
    good: Counter[int]
    alarms: int
    alarm_after: int | None
    seconds: float


def flood(database_url: str, *, count: int, devices: int = DEVICES, seed: int = 5) -> Flood:
    """Guess so often, and use a good code at an enrolled till now and then."""
    clock, dice = FixedClock(START), random.Random(seed)
    core = make_core(database_url, clock=clock)
    publish_catalog(core, DEMO_CATALOG.read_text(encoding="utf-8").replace(_RULE, ALARM))
    person(core, "manager")
    machines = Machines(core, {role: api_key(core, role)[0] for role in ("till", "frontline", "manager")})
    machines.app.extensions["throttle"] = Throttle(seconds=partial(_seconds, clock))
    code = machines.new_code()
    keys = [api_key(core, "till")[0] for _ in range(devices)]
    answers, good, alarms = Counter[int](), Counter[int](), 0
    recent: defaultdict[int, deque[float]] = defaultdict(deque)
    most, alarm_after, next_sweep = 0, None, 0.0
    for number in range(count):
        clock.advance(timedelta(seconds=1 / A_SECOND))
        now = _seconds(clock)
        device = dice.randrange(devices)
        status = _guess(machines, keys[device], device, dice)
        answers[status] += 1
        if status != 429:
            most = max(most, _within_a_minute(recent[device], now))
        if number % (count // _GOOD_EVERY) == 0:
            good[machines.post("/vouchers/lookup", {"code": code}, "till").status_code] += 1
        if now >= next_sweep:
            next_sweep = now + _SWEEP_SECONDS
            if watch_codes(core=core):
                alarms += 1
                alarm_after = alarm_after or number
    good[machines.redeem(code=code).status_code] += 1
    with core.database.read() as tx:
        told = len(tx.execute(reviews.select()).all())
    machines.close()
    if told != alarms:
        raise AssertionError("each alarm is one review")
    return Flood(answers, most, good, alarms, alarm_after, _seconds(clock))


def _seconds(clock: FixedClock) -> float:
    return (clock.now() - START).total_seconds()


def _guess(machines: Machines, key: str, device: int, dice: random.Random) -> int:
    """Look up, or redeem, what could be a code: its check symbol is right, as whoever guesses well makes it."""
    symbols = "".join(dice.choices(codes.ALPHABET, k=codes.SYMBOLS))
    code = codes.printed(symbols + codes.check_symbol(symbols))
    path = dice.choice(("/vouchers/lookup", "/redemptions"))
    headers = {"Authorization": f"Bearer {key}"}
    return machines.call(
        "POST",
        path,
        None,
        key=code if path == "/redemptions" else None,
        json={"code": code},
        headers=headers,
        environ_overrides={"REMOTE_ADDR": f"198.51.{device}.7"},
    ).status_code


def _within_a_minute(times: deque[float], now: float) -> int:
    times.append(now)
    while now - times[0] >= _MINUTE:
        times.popleft()
    return len(times)


def main() -> int:
    """Flood by what the command line says, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.doors.guessing", description=__doc__)
    parser.add_argument("--codes", type=int, default=100_000)
    said = parser.parse_args()
    with RunFolder.opened() as run:
        found = flood(SqliteDatabases(run).new(), count=said.codes)
    sys.stdout.write(
        f"{said.codes} guesses by {DEVICES} devices, {A_SECOND} a second: {dict(found.answers)}\n"
        f"the most that one device had answered in any minute: {found.most_in_a_minute}\n"
        f"alarms told: {found.alarms}, the first after {found.alarm_after} guesses\n"
        f"good codes at an enrolled till meanwhile: {dict(found.good)}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
