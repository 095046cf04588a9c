"""Many more ask for a voucher than the budget has room for: ``python -m tests.faults.last_room --issues 10000``.

Several processes answer over HTTP from one PostgreSQL. ``--kills 10`` kills so many of them with SIGKILL meanwhile, in
the middle of what they are at; others take their place, and the totals are the same.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass, field

from bench.servers import Server
from incentives.messages.tables import outbox_messages
from incentives.vouchers.tables import vouchers
from tests.faults.serving import Answer, House, Program, Seen, Work, at_work, house, kill, started, worker_pids
from tests.races.deeds import broken, counters, rows
from tests.run_folder import RunFolder
from tests.small_catalog import PRICE_MINOR, TAG, budget, catalog

THREADS = 64
PROCESSES = 4
_GROWN_UP_SECONDS = 8


@dataclass(slots=True)
class Story:
    """What came of it."""

    issues: int
    room: int
    codes: set[str] = field(default_factory=set)
    refused: int = 0
    kills: int = 0
    seconds: float = 0.0
    seen: Seen = field(default_factory=Seen)
    vouchers: int = 0
    messages: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        exact = {"committed_minor": self.room * PRICE_MINOR, "committed_count": self.room}
        looked_at = {
            "answers that no program may get": self.seen.wrong[:3],
            "statuses": sorted(set(self.seen.statuses) - {"201", "409 budget-exhausted", "503 storage-unavailable"}),
            "lines that were cut": self.seen.cut if not self.kills else [],
            "given": (len(self.codes), self.vouchers) if {len(self.codes), self.vouchers} != {self.room} else (),
            "refused": self.refused if self.refused != self.issues - self.room else 0,
            "messages": self.messages if self.messages != self.room else 0,
            "the budget": self.counters if self.counters != exact else {},
            "books": self.broken,
        }
        return [f"{name}: {what}" for name, what in looked_at.items() if what]


def play(run: RunFolder, issues: int, room: int, *, kills: int = 0, processes: int = PROCESSES) -> Story:
    """Let all ask, kill so many processes meanwhile, and look what came of it."""
    story = Story(issues, room)
    with house(run, catalog(budget(cap_minor=room * PRICE_MINOR))) as place:

        def deed(program: Program, number: int) -> None:
            status, content = program.ask(place.secret, "issuances", _wish(number), f"give-{number}")
            with story.seen.lock:
                story.refused += status == 409
                if status == 201:
                    story.codes.add(content["voucher"]["code"])

        server = place.server(processes=processes)
        with started(server):
            began = time.monotonic()
            work = at_work(THREADS, [server.port], story.seen, iter(range(issues)), deed)
            story.kills = _kill_some(server, work, kills, story, issues)
            work.end()
            story.seconds = time.monotonic() - began
        _look(story, place)
    return story


def _wish(number: int) -> Answer:
    return {"issue_tag": TAG, "channels": ["email"], "customer": {"email": f"{number}@customer.example"}}


def _kill_some(server: Server, work: Work, kills: int, story: Story, issues: int) -> int:
    """Kill a process each time when another share of all was answered: one of those that lived longest.

    The server takes one that dies again at once for a program that cannot run, and gives up.
    """
    first_seen = dict.fromkeys(worker_pids(server), -math.inf)
    done = 0
    while done < kills and work.goes_on:
        time.sleep(0.05)
        now = time.monotonic()
        living = {pid: first_seen.setdefault(pid, now) for pid in worker_pids(server)}
        eldest = min(living, key=living.__getitem__, default=None)
        share = (len(story.codes) + story.refused) / issues
        if eldest is not None and now - living[eldest] > _GROWN_UP_SECONDS and share >= (done + 1) / (kills + 2):
            kill(eldest)
            done += 1
    return done


def _look(story: Story, place: House) -> None:
    story.vouchers = rows(place.core, vouchers)
    story.messages = rows(place.core, outbox_messages)
    story.counters = counters(place.core)
    story.broken = broken(place.core)


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.last_room", description=__doc__)
    parser.add_argument("--issues", type=int, default=10_000)
    parser.add_argument("--room", type=int, default=1_234)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    said = parser.parse_args()
    with RunFolder.opened() as run:
        story = play(run, said.issues, said.room, kills=said.kills, processes=said.processes)
    seen = story.seen
    sys.stdout.write(f"{story.issues} asked in {story.seconds:.1f} s, {story.kills} processes killed\n")
    sys.stdout.write(
        f"answers: {dict(seen.statuses)}, {len(seen.cut)} lines cut, p99 {seen.p99_seconds * 1000:.0f} ms\n"
    )
    sys.stdout.write(f"{story.vouchers} vouchers, {story.messages} messages, budget {story.counters}\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
