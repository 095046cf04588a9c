"""pretix beside ours: its vouchers, gift cards and tickets over its own REST API, on PostgreSQL and Redis.

What it leaves to its background processes goes into Redis and is worked off by nobody, as ours stays in the outbox.
"""

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.load import Request
from bench.peer import Environment, Side, Steward, Work, gunicorn, post, start
from bench.servers import Server

_API = "/api/v1/organizers/bench"
_KNOWN = 200
_WORTH = "25.00"
_CONFIGURATION = """
[pretix]
instance_name=bench
url=http://127.0.0.1
currency=USD
datadir={folder}/data
[database]
backend=postgresql
name={database}
user={user}
host={host}
port={port}
[redis]
location={redis}/0
sessions=true
[celery]
backend={redis}/1
broker={redis}/2
[django]
secret=protects-nothing
[mail]
from=bench@example.com
"""


@contextlib.contextmanager
def started(environment: Environment, database_url: str, redis: str, folder: Path) -> Iterator[Callable[[], Side]]:
    """Begin to fill an empty database; what is given waits for that and starts the server."""
    folder.mkdir()
    variables = {"PRETIX_CONFIG_FILE": str(_configured(folder, database_url, redis)), "PYTHONPATH": ""}
    variables["DJANGO_SETTINGS_MODULE"] = "pretix.settings"
    steward = Steward(environment, "pretix_steward.py", variables, folder / "steward.log")
    server = Server("pretix.wsgi", variables, factory=False, way=gunicorn(environment))

    def side() -> Side:
        facts = steward.facts
        start(server, environment)
        return Side(name=f"pretix {facts['version']}", server=server, works=_works(steward))

    try:
        yield side
    finally:
        server.stop()
        steward.close()


def _configured(folder: Path, database_url: str, redis: str) -> Path:
    parts = urlsplit(database_url)
    text = _CONFIGURATION.format(
        folder=folder,
        database=parts.path.removeprefix("/"),
        user=parts.username,
        host=parts.hostname,
        port=parts.port,
        redis=redis,
    )
    file = folder / "pretix.cfg"
    file.write_text(text, encoding="utf-8")
    return file


def _works(steward: Steward) -> list[Work]:
    """Return what is asked: programs issue with the token of a team, tills redeem and look up as a device."""
    calls = _Calls(steward)
    found = b'"count":1,'
    return [
        Work(kind="issue", name="a voucher, with a key", make=calls.vouchers, status=201, holds=b'"code":'),
        Work(kind="issue", name="a gift card, with a key", make=calls.gift_cards, status=201, holds=b'"secret":'),
        Work(
            kind="issue", name="a gift card, without", make=calls.keyless(calls.gift_cards), status=201, holds=b'"id":'
        ),
        Work(kind="redeem", name="a gift card, with a key", make=calls.spendings, status=200, holds=b'"value":"0.00"'),
        Work(
            kind="redeem",
            name="a gift card, without",
            make=calls.keyless(calls.spendings),
            status=200,
            holds=b'"value":"0.00"',
        ),
        Work(kind="redeem", name="a ticket, by check-in", make=calls.check_ins, status=201, holds=b'"status":"ok"'),
        Work(kind="look-up", name="a voucher, by its code", make=calls.voucher_lookups, status=200, holds=found),
        Work(kind="look-up", name="a gift card, by its secret", make=calls.card_lookups, status=200, holds=found),
    ]


class _Calls:
    """Requests to pretix."""

    def __init__(self, steward: Steward) -> None:
        self._steward, facts = steward, steward.facts
        self._item, self._list = facts["item"], facts["list"]
        self._program = {"Authorization": f"Token {facts['token']}"}
        self._till = {"Authorization": f"Device {facts['device']}"}
        self._known_vouchers = steward.make("vouchers", _KNOWN)
        self._known_cards = [secret for _, secret in steward.make("gift_cards", _KNOWN)]

    def vouchers(self, count: int) -> list[Request]:
        """Make vouchers that take money off, each to be used once."""
        body = {"item": self._item, "max_usages": 1, "price_mode": "subtract", "value": _WORTH, "tag": "late"}
        path = f"{_API}/events/bench/vouchers/"
        return [post(path, body, {**self._program, **_key()}) for _ in range(count)]

    def gift_cards(self, count: int) -> list[Request]:
        """Make gift cards with money on them."""
        bodies = ({"value": _WORTH, "currency": "USD", "secret": uuid.uuid4().hex} for _ in range(count))
        return [post(f"{_API}/giftcards/", body, {**self._program, **_key()}) for body in bodies]

    def spendings(self, count: int) -> list[Request]:
        """Take all the money off gift cards, each another one. The till knows the card's number already."""
        body: dict[str, Any] = {"value": f"-{_WORTH}", "text": "till"}
        cards = self._steward.make("gift_cards", count)
        return [post(f"{_API}/giftcards/{card}/transact/", body, {**self._till, **_key()}) for card, _ in cards]

    def check_ins(self, count: int) -> list[Request]:
        """Let people with tickets in, each with another one. The nonce is what repeating is known by."""
        bodies = (
            {"secret": secret, "lists": [self._list], "nonce": uuid.uuid4().hex}
            for secret in self._steward.make("tickets", count)
        )
        return [post(f"{_API}/checkinrpc/redeem/", body, self._till) for body in bodies]

    def voucher_lookups(self, count: int) -> list[Request]:
        """Look for vouchers that are there, some of them often; a till may not, so it is the program."""
        codes = itertools.islice(itertools.cycle(self._known_vouchers), count)
        return [Request("GET", f"{_API}/events/bench/vouchers/?code={code}", self._program, b"") for code in codes]

    def card_lookups(self, count: int) -> list[Request]:
        """Look for gift cards that are there, some of them often."""
        secrets = itertools.islice(itertools.cycle(self._known_cards), count)
        return [Request("GET", f"{_API}/giftcards/?secret={each}", self._till, b"") for each in secrets]

    @staticmethod
    def keyless(make: Callable[[int], list[Request]]) -> Callable[[int], list[Request]]:
        """Return the same requests without a key: one that is repeated takes effect twice."""

        def made(count: int) -> list[Request]:
            for each in (requests := make(count)):
                del each.headers[_KEY]
            return requests

        return made


_KEY = "X-Idempotency-Key"


def _key() -> dict[str, str]:
    return {_KEY: uuid.uuid4().hex}
