"""A message and a report go by what their provider calls them, and two providers may call theirs alike."""

from datetime import timedelta

from incentives.messages.tables import outbox_messages
from tests.flows.shop import Shop
from tests.flows.test_hear import hear, report, status


def test_what_is_known_by_a_report_only_goes_on_by_the_provider_s_own_id(shop: Shop) -> None:
    """Its answer never came: the first callback bears our id, and one that comes later may not."""
    given = shop.issue(channels=("email",))
    with shop.core.database.write() as tx:
        tx.execute(outbox_messages.update().values(attempts=1, available_at=shop.clock.now() + timedelta(minutes=1)))
    hear(shop, report(shop, "sent", message_id=given.deliveries[0].id))
    assert shop.one(outbox_messages).provider_message_id == "m-1"
    hear(shop, report(shop, "bounced"))
    assert status(shop) == "bounced"


def test_two_providers_may_call_their_reports_alike(shop: Shop) -> None:
    given = shop.issue(channels=("email",))
    ours = given.deliveries[0].id
    assert hear(shop, report(shop, "sent", key="e-1", message_id=ours)) == 1
    assert hear(shop, report(shop, "delivered", key="e-1", message_id=ours, provider="twilio")) == 1
    assert hear(shop, report(shop, "delivered", key="e-1", message_id=ours, provider="twilio")) == 0
    assert status(shop) == "delivered"
