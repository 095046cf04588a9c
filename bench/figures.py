"""Figures that need no load: start-up, memory, weights, codes."""

import gzip
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections import Counter

import wsgi
from bench.servers import World
from channels.rendering import render_sms
from incentives.flows.issue import CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.kernel.keys import KeyRing
from incentives.kernel.migrate import HOUSE
from incentives.queries.inbox import captured_letters
from incentives.vouchers.codes import ALPHABET, code_of
from tests.small_catalog import TAG
from worker import drain

_START = """
import os, resource, sys, time
began = time.perf_counter()
import wsgi
imported = time.perf_counter() - began
app = wsgi.app()
built = time.perf_counter() - began
app.test_client().get("/api/v1/health/ready")
pages = int(open("/proc/self/statm").read().split()[1]) if os.path.exists("/proc/self/statm") else 0
print(imported, built, pages * resource.getpagesize() // 2**20)
"""


def start_up(environment: dict[str, str]) -> str:
    """Return how long a fresh process takes to import ``wsgi`` and to build the application, and what it holds then."""
    lines = ["Start-up of one worker (median of 5 fresh processes)"]
    for name, more in (
        ("with bytecode", {}),
        ("without bytecode", {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/nonexistent"}),
    ):
        runs = []
        for _ in range(5 if not more else 2):
            environ = {**os.environ, **environment, **more, "PYTHONPATH": str(HOUSE)}
            done = subprocess.run(
                [sys.executable, "-c", _START], env=environ, cwd=HOUSE, capture_output=True, text=True, check=True
            )
            runs.append([float(each) for each in done.stdout.split()])
        imported, built, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append(
            f"  {name:18} import wsgi {imported:5.2f} s, application built {built:5.2f} s, memory {memory:4.0f} MB"
        )
    return "\n".join(lines)


def weights(world: World) -> str:
    """Return what the voucher page weighs and how long the default SMS is."""
    command = IssueVoucher(
        issue_tag=TAG,
        location="here",
        channels=("email", "sms"),
        customer=CustomerGiven(name="Ada", email="ada@example.com", phone="+12025550123"),
    )
    result = issue_voucher(core=world.core, actor=world.key, command=command)
    assert isinstance(result, Issued)
    assert result.voucher
    drain(world.core)
    sms = next(each.letter for each in captured_letters(core=world.core) if each.letter.channel == "sms")
    rendered = render_sms(sms)
    client = wsgi.create_app(world.core).test_client()
    page = client.get(f"/v/{result.voucher.token}")
    assert page.status_code == 200
    css = (HOUSE / "channels" / "static" / "voucher.css").stat().st_size
    small = len(gzip.compress(page.data))
    return (
        f"Voucher page: {len(page.data)} bytes of HTML with its QR ({small} compressed), {css} bytes of style sheet\n"
        f"SMS: {len(rendered.text)} characters, {rendered.segments} segment, {rendered.encoding}"
    )


def codes() -> str:
    """Return how fast codes are derived, that a million have no duplicate, and how even their symbols are."""
    ring = KeyRing((("b", b"k" * 32),))
    ids = [uuid.UUID(int=number) for number in range(1_000_000)]
    began = time.perf_counter()
    made = {code_of(ring, "b", each) for each in ids}
    took = time.perf_counter() - began
    counts = Counter(symbol for code in made for symbol in code)
    even = counts.total() / len(ALPHABET)
    chi_square = sum((counts[symbol] - even) ** 2 / even for symbol in ALPHABET)
    speed = f"{len(ids)} in {took:.1f} s, {len(ids) / took:.0f} a second"
    return f"Codes: {speed}, {len(ids) - len(made)} duplicates, chi-square {chi_square:.1f} of 31 degrees of freedom"
