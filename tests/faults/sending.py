"""A worker whose emails go by the real client to a stand-in, and what the stand-in has seen of each message."""

import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from channels.sendgrid_email import SendGridSender
from incentives.flows.issue import CustomerGiven, IssueVoucher, issue_vouchers
from incentives.kernel.clock import Clock, FixedClock
from incentives.kernel.core import Core
from tests.providers.stand_in import Answer, StandIn
from tests.races.deeds import MANAGER
from tests.small_catalog import TAG, catalog
from tests.world import make_core, publish_catalog

ACCEPTED = Answer(202, {"X-Message-Id": "a-message"})


def provider() -> StandIn:
    """Return a provider that accepts everything, to be served by the test."""
    return StandIn(ACCEPTED)


def sender(provider_url: str, timeout_seconds: int) -> SendGridSender:
    return SendGridSender(
        api_key="SG.test",
        base_url=provider_url,
        email_from="care@brand.example",
        email_from_name="Brand",
        timeout_seconds=timeout_seconds,
    )


def sending_core(
    database_url: str, provider_url: str, *, clock: Clock, timeout_seconds: int = 1, pool_size: int = 4
) -> Core:
    """Return the core of a worker that sends emails to a provider at an address."""
    core = make_core(
        database_url,
        clock=clock,
        INCENTIVES_PROVIDER_TIMEOUT_SECONDS=str(timeout_seconds),
        INCENTIVES_DATABASE_POOL_SIZE=str(pool_size),
    )
    return replace(core, senders={"email": sender(provider_url, timeout_seconds)})


def at(core: Core, instant: datetime) -> Core:
    """Return the core at another time."""
    return replace(core, clock=FixedClock(instant))


def give_by_email(core: Core, number: int) -> None:
    """Give vouchers to so many customers, each by one email."""
    publish_catalog(core, catalog())
    commands = [
        IssueVoucher(issue_tag=TAG, customer=CustomerGiven(email=f"{each}@customer.example"), channels=("email",))
        for each in range(number)
    ]
    given = issue_vouchers(core=core, actor=MANAGER, commands=commands)
    assert len(given) == number


def copies(provider: StandIn) -> Counter[str]:
    """Return how many emails each customer was sent."""
    return Counter(recipient(each.json) for each in list(provider.asked))


def recipient(body: dict[str, Any]) -> str:
    """Return to whom an email goes."""
    return str(body["personalizations"][0]["to"][0]["email"])


def wait_until(holds: Any, seconds: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
