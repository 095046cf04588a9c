"""The shop, opened anew for each test on each database."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.catalog.document import parse
from incentives.flows import publish
from incentives.kernel.database import Database, sqlalchemy_url
from tests.flows.shop import SHOP, Shop


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """Read each catalog file once: much of the time of opening a shop would go there."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publish, "parse", cache(parse))
        yield


class Relay:
    """One engine for all databases of a kind, one after the other.

    Half the time of a test would be spent on compiling the same statements again for an engine of its own.
    """

    def __init__(self) -> None:
        self._databases: dict[str, Database] = {}
        self._urls: dict[str, sa.URL] = {}

    def to(self, url: str) -> Database:
        """Return a database that connects to an address from now on."""
        target = sqlalchemy_url(url)
        kind = target.get_backend_name()
        self._urls[kind] = target
        if kind not in self._databases:
            self._databases[kind] = database = Database(url)
            for engine in (database.engine, database._reader):
                sa.event.listen(engine, "do_connect", self._direct)
        return self._databases[kind]

    def _direct(self, dialect: sa.Dialect, _record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        arguments[:], wanted = dialect.create_connect_args(self._urls[dialect.name])
        options.update(wanted)


@pytest.fixture(scope="session")
def relay() -> Relay:
    """The engines of this worker."""
    return Relay()


@pytest.fixture
def open_shop(new_database: Callable[..., str], relay: Relay) -> Iterator[Callable[..., Shop]]:
    """A function that opens a shop with a catalog of its own."""
    opened: list[Shop] = []

    def open_one(text: str = SHOP, **settings: Any) -> Shop:
        url = new_database()
        opened.append(Shop.opened(url, text, None if opened else relay.to(url), **settings))
        return opened[-1]

    yield open_one
    for shop in opened:
        shop.core.database.dispose()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop with the usual catalog."""
    return open_shop()
