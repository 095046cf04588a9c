"""What the crew does when it responds, and the twins of the same deeds with a guard taken out."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.deeds import firing_case
from incentives.deeds.firing_piece import Piece
from incentives.flows import respond
from incentives.flows.respond import respond_due, respond_to
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.recovery import breakers
from incentives.recovery.breakers import ANY_CURRENCY, Breaker, Hour
from incentives.recovery.feedback_tables import criteria_hours, feedback
from tests.crew import A_MOMENT_SECONDS, Outcome
from tests.flows.reported import giving, report
from tests.small_catalog import LIMITS, LOCATION, TAG, catalog
from tests.world import publish_catalog

ROBOT: Mapping[str, Any] = {"role": "integrator", "currency": "USD", "unlimited": True}


def prepare(core: Core, *, count_per_hour: int = 1000) -> None:
    """Put a criterion in force that gives a dollar for a bad score."""
    made = orjson.loads(catalog(limits=(*LIMITS, ROBOT)))
    made["criteria"] = [giving(breaker={"count_per_hour": count_per_hour})]
    publish_catalog(core, orjson.dumps(made).decode())


def reported(core: Core, number: int = 1, **more: Any) -> uuid.UUID:
    """Report something bad and return its id."""
    given = {"location": LOCATION, "tags": (TAG,), **more}
    found: uuid.UUID = report(SimpleNamespace(core=core, clock=core.clock), number, **given)  # type: ignore[arg-type]  # what a report needs of a shop
    return found


def respond_one(core: Core, feedback_id: uuid.UUID) -> Outcome:
    """Respond to one piece."""
    (done,) = respond_to(core=core, feedback_ids=[feedback_id])
    return Outcome(done.status, done.issuance_id)


def respond_all(core: Core, _turn: int) -> Outcome:
    """Respond until nothing is due; the value is how many pieces this process acted on."""
    done = 0
    while each := respond_due(core=core, limit=5):
        done += each
    return Outcome("Done", done)


@contextmanager
def look_then_claim() -> Iterator[None]:
    """Look whether a piece is due, and then take it."""

    def naive(tx: Connection, feedback_id: uuid.UUID, now: datetime) -> Any:
        row = tx.execute(sa.select(feedback).where(feedback.c.id == feedback_id)).one()
        if row.status != "settling":
            return None
        time.sleep(A_MOMENT_SECONDS)
        tx.execute(feedback.update().where(feedback.c.id == feedback_id).values(status="acted", acted_at=now))
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(respond, "claim", naive)
        yield


@contextmanager
def look_then_count() -> Iterator[None]:
    """Look whether the hour has room before giving, and count whatever was given."""

    def naive(tx: Connection, hour: Hour, breaker: Breaker, amount: Money) -> bool:
        del breaker
        return charge(tx, hour, Breaker(), amount)

    charge = breakers.charge
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(breakers, "charge", naive)
        yield


@contextmanager
def without_waiting() -> Iterator[None]:
    """Open a case without waiting for whoever opens one for the same customer."""

    def naive(tx: Connection, piece: Piece) -> None:
        del tx, piece
        time.sleep(A_MOMENT_SECONDS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firing_case, "lock_customer", naive)
        yield


def counted(core: Core) -> int:
    """Return how many gifts the breaker has counted."""
    with core.database.read() as tx:
        query = sa.select(sa.func.sum(criteria_hours.c.count)).where(criteria_hours.c.currency == ANY_CURRENCY)
        return int(tx.execute(query).scalar_one() or 0)
