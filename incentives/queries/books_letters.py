"""What is told of books that do not hold, when it is sent."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books.tables import books_checks
from incentives.catalog import releases
from incentives.kernel.core import Core
from incentives.messages.port import BooksLetter

ABOUT = "books_check"


def compose(tx: Connection, core: Core, message: Any) -> BooksLetter | None:
    """Return the letter of a breach, whatever became of it since; None for whoever may not sign in any more."""
    row = tx.execute(sa.select(books_checks).where(books_checks.c.id == message.about_id)).one()
    person = tx.execute(sa.select(users).where(users.c.id == message.user_id)).one()
    if person.disabled_at is not None:
        return None
    brand = releases.cached_current(tx, core).catalog.brand
    return BooksLetter(
        message_id=message.id,
        channel=message.channel,
        template=message.template,
        locale=brand.default_language,
        to=person.email,
        staff_name=person.name,
        brand=brand.name,
        broken=tuple(row.broken or ()),
        ended_at=row.ended_at or row.started_at,
        time_zone=brand.time_zone,
        url=f"{core.settings.public_url}/finance#checks",
    )
