"""What if: how long it takes to decide once more what was given, on PostgreSQL.

``python -m bench.what_if --issuances 5000``. The other catalog has a budget for each location that has room for a
quarter of what was given there, so it must refuse the rest.
"""

import argparse
import json
import tempfile
import time
import uuid
from pathlib import Path

from bench.servers import World
from incentives.flows.issue import IssueVoucher, issue_vouchers
from incentives.flows.what_if import WhatIf, what_if
from incentives.recovery.customers import CustomerGiven
from tests.small_catalog import INCENTIVE, TAG
from tests.world import actor

_PLACES = 50
_AT_ONCE = 500


def main() -> None:
    """Give, ask, and print how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--issuances", type=int, default=5000)
    issuances: int = parser.parse_args().issuances
    with tempfile.TemporaryDirectory() as folder, World.opened(Path(folder)) as world:
        for start in range(0, issuances, _AT_ONCE):
            wishes = [_wish(number) for number in range(start, min(start + _AT_ONCE, issuances))]
            issue_vouchers(core=world.core, actor=world.key, commands=wishes)
        asked_at = time.perf_counter()
        room = issuances // _PLACES // 4
        command = WhatIf(text=_tighter(world.catalog(), room), days=30)
        report = what_if(core=world.core, actor=actor(world.core, "finance"), command=command)
        seconds = time.perf_counter() - asked_at
        refused = sum(report.reasons.values())
        assert refused == issuances - room * _PLACES, report.reasons
        print(f"{issuances:,} issuances decided once more in {seconds:.1f} s; {refused:,} would have been refused")


def _wish(number: int) -> IssueVoucher:
    customer = CustomerGiven(email=f"{uuid.uuid4().hex}@customer.example")
    return IssueVoucher(issue_tag=TAG, incentive=INCENTIVE, location=f"place-{number % _PLACES}", customer=customer)


def _tighter(text: str, room: int) -> str:
    catalog = json.loads(text)
    (each_location,) = [budget for budget in catalog["budgets"] if budget["key"] == "each-location"]
    each_location["cap_count"] = room
    return json.dumps(catalog)


if __name__ == "__main__":
    main()
