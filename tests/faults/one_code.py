"""One voucher is spent once however many ask for it over HTTP: ``python -m tests.faults.one_code --redeems 10000``."""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from incentives.kernel.core import Core
from incentives.vouchers.tables import redemption_attempts, redemptions, vouchers
from tests.faults.serving import House, Program, Seen, at_work, give, house, redeem, started
from tests.races.deeds import broken, counters, rows
from tests.run_folder import RunFolder
from tests.small_catalog import PRICE_MINOR, catalog

THREADS = 64
PROCESSES = 4


@dataclass(slots=True)
class Story:
    """What came of it."""

    redeems: int
    codes: int
    won: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    unnamed: int = 0
    seconds: float = 0.0
    seen: Seen = field(default_factory=Seen)
    stored: tuple[int, int, int] = (0, 0, 0)  # redemptions, tries written down, vouchers that are spent
    counters: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        spent = {"spent_minor": self.codes * PRICE_MINOR, "spent_count": self.codes}
        stored = (self.codes, self.redeems, self.codes)
        looked_at = {
            "answers that no program may get": self.seen.wrong[:3],
            "statuses": sorted(set(self.seen.statuses) - {"201", "409 already-redeemed"}),
            "lines that were cut": self.seen.cut,
            "spent": self.won if len(self.won) != self.codes or set(self.won.values()) != {1} else {},
            "refused": self.lost if self.lost != self.redeems - self.codes else 0,
            "refusals that do not say when and where": self.unnamed,
            "stored": self.stored if self.stored != stored else (),
            "the budget": self.counters if self.counters != spent else {},
            "books": self.broken,
        }
        return [f"{name}: {what}" for name, what in looked_at.items() if what]


def play(run: RunFolder, redeems: int, *, codes: int = 1, processes: int = PROCESSES) -> Story:
    """Let all ask for the same few codes, and look what came of it."""
    story = Story(redeems, codes)
    with house(run, catalog()) as place:
        server = place.server(processes=processes)
        with started(server):
            program = Program(server.port, Seen())
            known = [give(program, place, f"give-{number}")[1]["voucher"]["code"] for number in range(codes)]
            program.close()

            def deed(program: Program, number: int) -> None:
                code = known[number * codes // redeems]  # all ask for the same at the same time
                status, content = redeem(program, place, code, f"redeem-{number}")
                with story.seen.lock:
                    story.won[code] += status == 201
                    story.lost += status == 409
                    story.unnamed += status == 409 and not content.get("redeemed_at")

            began = time.monotonic()
            at_work(THREADS, [server.port], story.seen, iter(range(redeems)), deed).end()
            story.seconds = time.monotonic() - began
        _look(story, place)
    return story


def _look(story: Story, place: House) -> None:
    core: Core = place.core
    spent = rows(core, vouchers, vouchers.c.status == "redeemed")
    story.stored = (rows(core, redemptions), rows(core, redemption_attempts), spent)
    story.counters = counters(core)
    story.broken = broken(core)


def main() -> int:
    """Tell what happened; return 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.one_code", description=__doc__)
    parser.add_argument("--redeems", type=int, default=10_000)
    parser.add_argument("--codes", type=int, default=1)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    said = parser.parse_args()
    with RunFolder.opened() as run:
        story = play(run, said.redeems, codes=said.codes, processes=said.processes)
    seen = story.seen
    sys.stdout.write(f"{story.redeems} asked for {story.codes} vouchers in {story.seconds:.1f} s\n")
    sys.stdout.write(f"answers: {dict(seen.statuses)}, p99 {seen.p99_seconds * 1000:.0f} ms\n")
    faults = story.faults()
    sys.stdout.write("\n".join(faults) + "\n" if faults else "all as it must be\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
