"""The shop, opened anew for each test on each database."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from incentives.catalog.document import parse
from incentives.flows import publish

# So that what the shop asserts is explained as what a test asserts is.
pytest.register_assert_rewrite("tests.flows.shop")

from tests.flows.shop import SHOP, Shop  # noqa: E402 - after the line above, which is about it


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """Read each catalog file once: most of the time of opening a shop would go there."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publish, "parse", cache(parse))
        yield


@pytest.fixture
def open_shop(new_database: Callable[..., str]) -> Iterator[Callable[..., Shop]]:
    """A function that opens a shop with a catalog of its own."""
    opened: list[Shop] = []

    def open_one(text: str = SHOP, **settings: Any) -> Shop:
        opened.append(Shop.opened(new_database(), text, **settings))
        return opened[-1]

    yield open_one
    for shop in opened:
        shop.core.database.dispose()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop with the usual catalog."""
    return open_shop()
