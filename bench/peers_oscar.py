"""django-oscar beside ours: its voucher classes behind the small views of ``bench/peer_projects/oscar_shop.py``."""

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bench.load import Request
from bench.peer import Environment, Side, Steward, Work, gunicorn, post, start
from bench.servers import Server

_KNOWN = 200
_DATES = {"start_datetime": "2020-01-01 00:00", "end_datetime": "2100-01-01 00:00"}


@contextlib.contextmanager
def started(environment: Environment, database_url: str, folder: Path) -> Iterator[Callable[[], Side]]:
    """Begin to fill an empty database; what is given waits for that and starts the server."""
    folder.mkdir()
    parts = urlsplit(database_url)
    variables = {
        "DJANGO_SETTINGS_MODULE": "oscar_settings",
        "SHOP_DATABASE": parts.path.removeprefix("/"),
        "SHOP_USER": str(parts.username),
        "SHOP_PORT": str(parts.port),
        "PYTHONPATH": "",
        "PYTHONDONTWRITEBYTECODE": "1",  # What is served lies in our own folder.
    }
    steward = Steward(environment, "oscar_steward.py", variables, folder / "steward.log")
    target = "django.core.wsgi:get_wsgi_application()"
    server = Server(target, variables, factory=False, way=gunicorn(environment))

    def side() -> Side:
        facts = steward.facts
        start(server, environment)
        return Side(name=f"django-oscar {facts['version']}", server=server, works=_works(steward))

    try:
        yield side
    finally:
        server.stop()
        steward.close()


def _works(steward: Steward) -> list[Work]:
    calls, holds = _Calls(steward), b'"voucher":'
    return [
        Work(kind="issue", name="a voucher", make=calls.vouchers, status=201, holds=holds),
        Work(kind="redeem", name="recorded on an order", make=calls.recordings, status=201, holds=holds),
        Work(kind="redeem", name="with the order placed", make=calls.check_outs, status=201, holds=b'"order":'),
        Work(kind="look-up", name="a voucher, by its code", make=calls.lookups, status=200, holds=b'"amount":'),
    ]


class _Calls:
    """Requests to the shop."""

    def __init__(self, steward: Steward) -> None:
        self._steward = steward
        self._known = steward.make("vouchers", _KNOWN)

    def vouchers(self, count: int) -> list[Request]:
        """Make vouchers, each to be used once, for the offer that is there."""
        codes = (uuid.uuid4().hex for _ in range(count))
        offers = [self._steward.facts["offer"]]
        same = {**_DATES, "usage": "Single use", "offers": offers}
        return [post("/create", {"name": code, "code": code, **same}, {}) for code in codes]

    def recordings(self, count: int) -> list[Request]:
        """Use vouchers for an order that is there, each another one."""
        order = self._steward.facts["order"]
        codes = self._steward.make("vouchers", count)
        return [post("/record", {"code": code, "order": order}, {}) for code in codes]

    def check_outs(self, count: int) -> list[Request]:
        """Use vouchers in baskets and place the orders, each another one."""
        both = zip(self._steward.make("vouchers", count), self._steward.make("baskets", count), strict=True)
        return [post("/checkout", {"code": code, "basket": basket}, {}) for code, basket in both]

    def lookups(self, count: int) -> list[Request]:
        """Look vouchers up that are there, some of them often."""
        codes = itertools.islice(itertools.cycle(self._known), count)
        return [post("/lookup", {"code": code}, {}) for code in codes]
