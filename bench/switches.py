"""How long a switch takes to hold: the time from setting it to the last gift, over four processes on PostgreSQL."""

import statistics
import tempfile
from pathlib import Path

from bench.servers import World
from incentives.flows.switch import lift_switch
from incentives.kernel.actors import SYSTEM
from incentives.queries.switches import list_switches
from tests.races.streaming import PROCESSES, Stopped, stop_a_stream

ROUNDS = 5
VOUCHERS = 1600


def main(rounds: int = ROUNDS) -> None:
    """Print the figures; ``python -m bench.switches``."""
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        print(times(world, rounds))


def times(world: World, rounds: int) -> str:
    """Return when the last gift and the last redemption went through after the switch was set."""
    lines = [f"\nFrom a switch to the last success, {PROCESSES} processes on PostgreSQL, {rounds} rounds"]
    for stops, codes in (("issuing", 0), ("redeeming", VOUCHERS)):
        found = [_round(world, stops, codes) for _ in range(rounds)]
        slowest = max(each.last_seconds for each in found)
        usual = statistics.median(each.last_seconds for each in found)
        before = sum(each.before for each in found)
        after = sum(each.after for each in found)
        lines.append(
            f"  {stops:10} median {usual * 1000:6.0f} ms, slowest {slowest * 1000:6.0f} ms; "
            f"{before} went through before it was set and {after} after"
        )
    return "\n".join(lines)


def _round(world: World, stops: str, codes: int) -> Stopped:
    found = stop_a_stream(world.core.settings.database_url, stops, codes=codes)
    for each in list_switches(core=world.core, actor=SYSTEM).items:
        lift_switch(core=world.core, actor=SYSTEM, switch_id=each.id, reason="The round is over.")
    return found


if __name__ == "__main__":
    main()
