"""What waits is rare among what was sent: whoever looks for it reads no more of the outbox however much there is."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.messages import outbox
from incentives.messages.tables import outbox_messages
from tests.flows.shop import Shop, named

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])

SENT = 10_000
OFTEN = 8  # until the driver has it prepared, and the server may keep a plan
READ_MOST = 40 * OFTEN

_READ = """
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
WHERE relid = 'outbox_messages'::regclass
"""


def _told(shop: Shop) -> None:
    """Let there be many messages that were sent and told of, long ago and lately."""
    shop.issue(customer=named("a@example.com"), channels=("email",))
    names = [column.name for column in outbox_messages.c]
    values = {
        "id": "gen_random_uuid()",
        "copy": "number",
        "status": "'sent'",
        "provider": "'sendgrid'",
        "provider_message_id": "number::text",
        "ended_at": "available_at - number * interval '1 minute'",
        "settled_at": "available_at",
    }
    chosen = ", ".join(values.get(name, name) for name in names)
    with shop.core.database.write() as tx:
        tx.exec_driver_sql(
            f"INSERT INTO outbox_messages ({', '.join(names)}) SELECT {chosen} "
            f"FROM outbox_messages, generate_series(1000, {1000 + SENT}) AS number"
        )
        tx.exec_driver_sql("DELETE FROM outbox_messages WHERE status = 'queued'")
    with shop.core.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE outbox_messages")


def claim(shop: Shop) -> Callable[[sa.Connection], Any]:
    said: dict[str, Any] = {"lease_seconds": 30.0, "asking_seconds": 10.0, "carriers": {"email": "sendgrid"}}
    return lambda tx: outbox.claim_next(tx, lease_id=uuid.uuid4(), now=shop.core.clock.now(), **said)


def ask(shop: Shop) -> Callable[[sa.Connection], Any]:
    day = timedelta(days=1)
    said: dict[str, Any] = {"providers": ["sendgrid"], "since": day, "until": 3 * day, "every": day}
    return lambda tx: outbox.claim_untold(tx, now=shop.core.clock.now(), **said)


def settle(shop: Shop) -> Callable[[sa.Connection], Any]:
    return lambda tx: outbox.settle(tx, now=shop.core.clock.now(), after=timedelta(days=3), most=100) or None


@pytest.mark.parametrize("sweep", [claim, ask, settle])
def test_what_waits_is_found_among_what_was_sent(shop: Shop, sweep: Callable[[Shop], Callable[..., Any]]) -> None:
    _told(shop)
    look = sweep(shop)
    with shop.core.database.write() as tx:
        for _ in range(OFTEN):
            assert look(tx) is None
        assert tx.exec_driver_sql(_READ).scalar_one() <= READ_MOST
