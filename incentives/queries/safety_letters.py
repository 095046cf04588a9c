"""What is told of a flood of unknown codes, when it is sent."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog import releases
from incentives.kernel.core import Core
from incentives.messages.port import SafetyLetter
from incentives.safeguards.tables import reviews

ABOUT = "unknown_codes"


def compose(tx: Connection, core: Core, message: Any, *, whatever: bool = False) -> SafetyLetter | None:
    """Return the letter of an alarm.

    None for whoever may not sign in any more, and, unless ``whatever`` became of it since is told, for an alarm that
    somebody has dealt with.
    """
    row = tx.execute(sa.select(reviews).where(reviews.c.id == message.about_id)).one()
    person = tx.execute(sa.select(users).where(users.c.id == message.user_id)).one()
    if person.disabled_at is not None or (row.status != "open" and not whatever):
        return None
    brand = releases.cached_current(tx, core).catalog.brand
    signal = row.signals[0]
    return SafetyLetter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=brand.default_language,
        to=person.email,
        staff_name=person.name,
        brand=brand.name,
        unknown=signal["count"],
        tries=signal["tries"],
        minutes=signal["minutes"],
        opened_at=row.opened_at,
        time_zone=brand.time_zone,
        url=f"{core.settings.public_url}/safeguards/reviews",
    )
