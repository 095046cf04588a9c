"""What an administrator is told of a provider that refuses our settings, when it is sent."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog import releases
from incentives.kernel.core import Core
from incentives.messages.port import ProviderLetter
from incentives.messages.tables import message_providers

ABOUT = "provider"
_NO_REASON = "It refuses our settings."


def compose(tx: Connection, core: Core, message: Any, *, whatever: bool = False) -> ProviderLetter | None:
    """Return the letter; None for whoever may not sign in any more, and, unless ``whatever``, once it works again."""
    row = tx.execute(sa.select(message_providers).where(message_providers.c.id == message.about_id)).one()
    person = tx.execute(sa.select(users).where(users.c.id == message.user_id)).one()
    if person.disabled_at is not None or (row.status != "resting" and not whatever):
        return None
    brand = releases.cached_current(tx, core).catalog.brand
    return ProviderLetter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=brand.default_language,
        to=person.email,
        staff_name=person.name,
        brand=brand.name,
        provider=row.provider,
        carries=row.channel,
        reason=row.reason or _NO_REASON,
        since_at=row.changed_at or message.created_at,
        time_zone=brand.time_zone,
        url=f"{core.settings.public_url}/audit",
    )
