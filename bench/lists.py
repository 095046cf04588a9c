"""Is memory flat while everything is read? ``python -m bench.lists --rows 1000000`` fails above 200 MB.

The books are filled with so many rows (a fifth of them entries of the ledger, two fifths their lines, two fifths events
of the audit trail). Then the server hands out the whole ledger and the whole trail page by page, and `incentives books
seal` and `books verify` read all of it in processes of their own.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.seal import fill
from bench.servers import Server, granian
from incentives.kernel.clock import FixedClock
from incentives.kernel.migrate import HOUSE, upgrade
from tests.run_folder import RunFolder
from tests.servers import Postgres
from tests.world import START, api_key, environ, make_core

MEGABYTES_MAX = 200
_PAGE = 200
_LISTS = ("ledger/entries", "audit")


@dataclass(slots=True)
class Figures:
    """What was read, and what that held in memory at most."""

    rows: int
    read: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, list[int]] = field(default_factory=dict)

    @property
    def most_megabytes(self) -> int:
        """Return the most that any process held."""
        return max(most for each in self.megabytes.values() for most in each)


def measure(run: RunFolder, rows: int) -> Figures:
    """Fill, read, and return the figures."""
    figures, postgres = Figures(rows), Postgres(run)
    postgres.start()
    try:
        upgrade(postgres.url())
        clock = FixedClock(START)
        core = make_core(postgres.url(), clock=clock)
        auditor, _ = api_key(core, "auditor")
        fill(core, clock, rows // 5)
        core.database.dispose()
        settings = environ(postgres.url())
        server = Server("wsgi:app", settings, factory=True, way=granian(1))
        try:
            server.start()
            for name in _LISTS:
                _read(server, auditor, name, figures)
        finally:
            server.stop()
        for words in ("seal", "verify"):
            _run(words, settings, figures)
    finally:
        postgres.remove()
    return figures


def _read(server: Server, secret: str, name: str, figures: Figures) -> None:
    """Read a list to its end; note what the server held at the tenth page and at most."""
    began, held = time.monotonic(), [0, 0]
    for number, items in enumerate(_pages(server.port, secret, name), start=1):
        figures.read[name] = figures.read.get(name, 0) + items
        if number % 10 == 0:
            now = server.worker_megabytes
            held = [held[0] or now, max(held[1], now)]
    figures.seconds[name], figures.megabytes[name] = time.monotonic() - began, held


def _pages(port: int, secret: str, name: str) -> Iterator[int]:
    after: str | None = ""
    while after is not None:
        address = f"http://127.0.0.1:{port}/api/v1/{name}?limit={_PAGE}{after and '&after='}{after}"
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {secret}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - the server that we started
            page = json.load(answer)
        yield len(page["items"])
        after = page["next"]


def _run(words: str, settings: dict[str, str], figures: Figures) -> None:
    """Run a command of the operator's; note the most that it held."""
    began = time.monotonic()
    command = [sys.executable, "-c", _MEASURED, "books", words]
    environment = {**os.environ, **settings, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(command, env=environment, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures.read[f"books {words}"] = figures.rows
    figures.seconds[f"books {words}"] = time.monotonic() - began
    figures.megabytes[f"books {words}"] = [int(done.stderr.split()[-1]) // 1024]


_MEASURED = """
import resource, sys, wsgi
try:
    wsgi.main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def main() -> int:
    """Print the figures; return 1 where a process held too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    with RunFolder.opened() as run:
        figures = measure(run, parser.parse_args().rows)
    for name, read in figures.read.items():
        held = " then ".join(f"{each} MB" for each in figures.megabytes[name])
        print(f"{name:16}{read:10} rows in {figures.seconds[name]:.1f} s, {held}")
    return int(figures.most_megabytes > MEGABYTES_MAX)


if __name__ == "__main__":
    sys.exit(main())
