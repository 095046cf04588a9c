"""Figures that need no load: start-up, memory, statements and round trips, weights, codes."""

import gzip
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

import wsgi
from bench.servers import World
from channels.rendering import render_sms
from incentives.flows.assessment import Trouble
from incentives.flows.issue import CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.flows.offer import offer_incentives
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.kernel.keys import KeyRing
from incentives.kernel.migrate import HOUSE
from incentives.queries.inbox import captured_letters
from incentives.queries.vouchers import lookup
from incentives.vouchers.codes import code_of
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
memory = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 2**20 if os.path.exists("/proc/self/statm") else 0
print(imported, built, memory)
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


def statements(world: World) -> str:
    """Return how many statements and round trips each hot deed takes on PostgreSQL.

    A batch of rows for one statement goes out in one round trip, since the driver pipelines it; BEGIN travels with
    the first statement, and COMMIT is one more.
    """
    core, actor = world.core, world.key
    customer = CustomerGiven(email=f"{uuid.uuid4().hex}@example.com")
    given: list[Issued] = []

    def issue() -> None:
        command = IssueVoucher(
            issue_tag=TAG, location="here", customer=customer, channels=("email",), idempotency_key=uuid.uuid4().hex
        )
        result = issue_voucher(core=core, actor=actor, command=command)
        assert isinstance(result, Issued)
        given.append(result)

    def code() -> str:
        voucher = given[-1].voucher
        assert voucher is not None
        return voucher.code

    deeds: dict[str, Callable[[], Any]] = {
        "issue": issue,
        "offers": lambda: offer_incentives(
            core=core, actor=actor, command=Trouble(issue_tag=TAG, location="here", customer=customer)
        ),
        "look-up": lambda: lookup(core=core, actor=actor, code=code()),
        "redeem": lambda: redeem_voucher(
            core=core, actor=actor, command=RedeemVoucher(code=code(), idempotency_key=uuid.uuid4().hex)
        ),
    }
    for deed in deeds.values():  # the first time fills what a process keeps
        deed()
    counts = {name: _count(core, deed) for name, deed in deeds.items()}
    lines = ["Statements of each deed (the API key's look-up is one more); round trips are these and one commit"]
    return "\n".join([*lines, *(f"  {name:10} {count:3}" for name, count in counts.items())])


def _count(core: Any, deed: Callable[[], Any]) -> int:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    sa.event.listen(core.database.engine, "before_cursor_execute", note)
    try:
        deed()
    finally:
        sa.event.remove(core.database.engine, "before_cursor_execute", note)
    return len(seen)


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
    styles = [
        HOUSE / "channels" / "static" / name
        for name in os.listdir(HOUSE / "channels" / "static")
        if name.endswith(".css")
    ]
    css = sum(path.stat().st_size for path in styles)
    small = len(gzip.compress(page.data))
    return (
        f"Voucher page: {len(page.data)} bytes of HTML with its QR ({small} compressed), {css} bytes of style sheets\n"
        f"SMS: {len(rendered.text)} characters, {rendered.segments} segment, {rendered.encoding}"
    )


def codes() -> str:
    """Return how fast codes are derived, and that a hundred thousand have no duplicate."""
    ring = KeyRing((("b", b"k" * 32),))
    ids = [uuid.UUID(int=number) for number in range(100_000)]
    began = time.perf_counter()
    made = {code_of(ring, "b", each) for each in ids}
    took = time.perf_counter() - began
    return f"Codes: {len(ids) / took:.0f} a second, {len(ids) - len(made)} duplicates in {len(ids)}"
