"""All keys rotated three times while processes give, look up, redeem, show customers their pages and staff theirs.

Each process is an application with clients; to start it again is to build it anew from other settings, with a request
of each thread under way. Whatever one process gives, any other is asked about. By one command, on PostgreSQL:
``python -m tests.races.rotating --processes 4 --threads 4 --seconds 60``.
"""

import argparse
import base64
import contextlib
import queue
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from flask import Flask
from flask.testing import FlaskClient

from incentives.flows.renew import renew_all
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from incentives.queries.encrypted import keys_in_use
from tests.crew import freeze, processes
from tests.databases import PostgresDatabases
from tests.run_folder import RunFolder
from tests.small_catalog import LOCATION, TAG, catalog
from tests.world import KEYED, PASSWORD, api_key, key_setting, make_core, person, publish_catalog
from wsgi import create_app

ROTATIONS = 3
PLANS: tuple[tuple[str, ...], ...] = (
    ("t",),
    ("t", "b:known"),
    ("t", "b"),
    ("t", "b", "c:known"),
    ("t", "b", "c"),
    ("t", "b", "c", "d:known"),
    ("t", "b", "c", "d"),
)
"""What the settings of every purpose say, one after the other; each process is given the next one in its turn."""
HASTY: tuple[tuple[str, ...], ...] = (("t",), ("t", "b"))
"""The same without the step between: what it is for is seen without it."""
RETIRED = ("t:retired", "b", "c", "d")

_COOKIE = "staff"
_CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_ANSWER_SECONDS = 120
_EARLIER = 20
_ROUNDS = 6

Voucher = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Doorkey:
    """What opens the doors: API keys by role, and the session of somebody who is signed in."""

    secrets: dict[str, str]
    session: str


@dataclass(slots=True)
class Told:
    """What was asked, how often, and each answer that should have been another."""

    asked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Told") -> Self:
        self.asked += other.asked
        self.wrong += other.wrong
        return self


def settings(keys: Sequence[str]) -> dict[str, Any]:
    """Return settings in which every purpose has these keys."""
    return {f"INCENTIVES_{purpose}_KEYS": ",".join(_key(purpose, each) for each in keys) for purpose in KEYED}


def _key(purpose: str, named: str) -> str:
    key_id, _, state = named.partition(":")
    secret = base64.b64encode(f"{purpose} {key_id}".encode().ljust(32, b".")).decode()
    key = key_setting(purpose) if key_id == "t" else f"{key_id}:{secret}"
    return f"{key}:{state}" if state else key


def core_with(database_url: str, keys: Sequence[str]) -> Core:
    """Return a core whose settings have these keys."""
    return make_core(database_url, clock=SystemClock(), INCENTIVES_DATABASE_POOL_SIZE="8", **settings(keys))


class Asking:
    """One thread's clients: they give, and ask about what anybody gave."""

    def __init__(self, app: Flask, doorkey: Doorkey, told: Told, given: Any, forms: Any, name: str) -> None:
        """Take an application, and where what is given and the forms that were opened are handed on."""
        self._api: FlaskClient = app.test_client(use_cookies=False)
        self._staff: FlaskClient = app.test_client()
        self._staff.set_cookie(_COOKIE, doorkey.session)
        self._secrets = doorkey.secrets
        self.told, self._given, self._forms, self._name = told, given, forms, name
        self._number = 0

    def once(self) -> None:
        """Give a voucher, hand it on, take another's, and let everybody do with that what they do."""
        voucher = self.give()
        if voucher is not None:
            self._given.put(voucher)
        self._open_form()
        with contextlib.suppress(queue.Empty):
            self.use(self._given.get_nowait())
        with contextlib.suppress(queue.Empty):
            self._send_form(*self._forms.get_nowait())

    def give(self) -> Voucher | None:
        """Give to a customer, and hear it again by the same key."""
        self._number += 1
        key = f"{self._name}-{time.monotonic_ns()}-{self._number}"
        customer = {"email": f"{key}@customer.example", "name": "Ada"}
        body = {"issue_tag": TAG, "location": LOCATION, "channels": ["email"], "customer": customer}
        first = self._post("give", "/issuances", body, "manager", 201, key)
        again = self._post("give again", "/issuances", body, "manager", 201, key)
        if first is None or again is None:
            return None
        self._expect("the same code", first["voucher"]["code"] == again["voucher"]["code"], "another code")
        return {"code": first["voucher"]["code"], "token": first["voucher"]["token"]}

    def use(self, voucher: Voucher, *, by: str = "code") -> None:
        """Look at a voucher as a customer, then as a till, and redeem it."""
        shown = self._api.get(f"/v/{voucher['token']}")
        seen = shown.status_code == 200 and voucher["code"] in shown.text
        self._expect("the customer's page", seen, shown.status_code)
        found = self._post("look up", "/vouchers/lookup", {by: voucher[by]}, "till", 200)
        self._expect("redeemable", bool(found and found["redeemable"]), found)
        link = re.search(r'/f/([^"/]+)"', shown.text)
        form = self._api.get(f"/f/{link[1] if link else ''}")
        self._expect("the form", form.status_code == 200, form.status_code)
        self._number += 1
        key = f"{self._name}-r-{time.monotonic_ns()}-{self._number}"
        for what in ("redeem", "redeem again"):
            self._post(what, "/redemptions", {by: voucher[by]}, "till", 201, key)
        self._post("redeem twice", "/redemptions", {by: voucher[by]}, "till", 409, f"{key}-twice")

    def _open_form(self) -> None:
        page = self._staff.get("/scan")
        token = _CSRF.search(page.text)
        self._expect("the staff's page", page.status_code == 200 and token is not None, page.status_code)
        if token is not None:
            self._forms.put((token[1],))

    def _send_form(self, token: str) -> None:
        """Send a form that some process has shown. What is typed into it is no code."""
        answer = self._staff.post("/scan", data={"csrf_token": token, "code": "no code"})
        self._expect("the staff's form", answer.status_code == 422, answer.status_code)

    def _post(self, what: str, path: str, body: Any, role: str, expected: int, key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self._secrets[role]}"} | ({"Idempotency-Key": key} if key else {})
        answer = self._api.post(f"/api/v1{path}", json=body, headers=headers)
        said = answer.get_json(silent=True) or {}
        self._expect(what, answer.status_code == expected, f"{answer.status_code} {said.get('type')}")
        return said if answer.status_code == expected else None

    def _expect(self, what: str, so: bool, otherwise: Any) -> None:
        self.told.asked[what] += 1
        if not so:
            self.told.wrong.append(f"{what}: {otherwise}")


def _live(
    pipe: Any, database_url: str, doorkey: Doorkey, given: Any, forms: Any, rounds: Any, threads: int, name: str
) -> None:
    """Serve with what keys the pipe says, until it says None; then say what was asked."""
    freeze()
    told: list[Told] = []
    while (keys := pipe.recv()) is not None:
        core = core_with(database_url, keys)
        app, stop = create_app(core), threading.Event()
        mine = [Told() for _ in range(threads)]
        hands = [
            threading.Thread(
                target=_until,
                args=(stop, rounds, Asking(app, doorkey, each, given, forms, f"{name}-{number}")),
                daemon=True,
            )
            for number, each in enumerate(mine)
        ]
        for hand in hands:
            hand.start()
        pipe.send("serving")
        pipe.recv()  # "stop"
        stop.set()
        for hand in hands:
            hand.join(_ANSWER_SECONDS)
        told += mine
        core.database.dispose()
    total = Told()
    for each in told:
        total += each
    pipe.send((total.asked, total.wrong))


def _until(stop: threading.Event, rounds: Any, asking: Asking) -> None:
    try:
        while not stop.is_set():
            asking.once()
            with rounds.get_lock():
                rounds.value += 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        asking.told.wrong.append(f"a thread died: {error!r}")


@contextlib.contextmanager
def _crew(database_url: str, doorkey: Doorkey, count: int, threads: int) -> Iterator[list[tuple[Any, Any]]]:
    """Start processes; each has a pipe, and a number of the rounds that it has done."""
    given, forms = processes.Queue(), processes.Queue()
    members = []
    for number in range(count):
        ours, theirs = processes.Pipe()
        rounds = processes.Value("i", 0)
        arguments = (theirs, database_url, doorkey, given, forms, rounds, threads, f"p{number}")
        member = processes.Process(target=_live, args=arguments, daemon=True)
        member.start()
        members.append((member, ours, rounds))
    try:
        yield [(pipe, rounds) for _, pipe, rounds in members]
    finally:
        for queued in (given, forms):
            queued.cancel_join_thread()
        for member, _, _ in members:
            member.kill()
            member.join()


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of it: what was asked and wrongly answered meanwhile, and what became of what older keys made."""

    told: Told
    renewed: int
    left: int
    earlier: Told
    retired: Counter[str]
    seconds: float


def rotate(
    database_url: str,
    *,
    count: int = 2,
    threads: int = 2,
    seconds: float = 0,
    plans: Sequence[Sequence[str]] = PLANS,
) -> Rotated:
    """Let processes serve, start each again with each plan in its turn, renew, and retire the first key at the end.

    Between two of them all go on for some rounds, and for their part of the seconds.
    """
    core = core_with(database_url, plans[0])
    publish_catalog(core, catalog())
    doorkey = _let_in(core)
    first = Asking(create_app(core), doorkey, Told(), queue.Queue(), queue.Queue(), "first")
    earlier = [voucher for voucher in (first.give() for _ in range(2 * _EARLIER)) if voucher]
    began, pause = time.monotonic(), seconds / (len(plans) * count)
    renewed = 0
    with _crew(database_url, doorkey, count, threads) as pipes:
        for number, keys in enumerate(plans):
            for place, (pipe, _) in enumerate(pipes):
                if number:
                    pipe.send("stop")
                pipe.send(keys)
                if pipe.recv() != "serving":
                    raise AssertionError("a process does not serve")
                _go_on([rounds for _, rounds in (pipes if number else pipes[: place + 1])], pause)
            if ":" not in keys[-1]:
                renewed += _renew(database_url, keys)
        total = Told()
        for pipe, _ in pipes:
            pipe.send("stop")
            pipe.send(None)
            asked, wrong = pipe.recv()
            total += Told(asked, wrong)
    took = time.monotonic() - began
    core.database.dispose()
    last = core_with(database_url, plans[-1])
    left = sum(each.count for each in keys_in_use(core=last) if _is_left(each.purpose, each.key_id, each.what, plans))
    now = Asking(create_app(last), doorkey, Told(), queue.Queue(), queue.Queue(), "last")
    for number, voucher in enumerate(earlier[:_EARLIER]):
        now.use(voucher, by="token" if number % 2 else "code")
    last.database.dispose()
    return Rotated(total, renewed, left, now.told, _when_retired(database_url, doorkey, earlier[_EARLIER:]), took)


def _go_on(rounds: Sequence[Any], seconds: float) -> None:
    """Wait for so many seconds, and until each process has done some rounds more."""
    wanted, began = [each.value + _ROUNDS for each in rounds], time.monotonic()
    while time.monotonic() < began + seconds or any(
        each.value < least for each, least in zip(rounds, wanted, strict=True)
    ):
        if time.monotonic() > began + seconds + _ANSWER_SECONDS:
            raise AssertionError("a process does nothing any more")
        time.sleep(0.02)


def _is_left(purpose: str, key_id: str, what: str, plans: Sequence[Sequence[str]]) -> bool:
    """Return whether something is left of a key that is not the newest, of what can be renewed."""
    return purpose == "contact" and key_id != plans[-1][-1] and what in ("values", "digests")


def _let_in(core: Core) -> Doorkey:
    secrets = {role: api_key(core, role)[0] for role in ("manager", "till")}
    person(core, "till", email="till@example.com", location=LOCATION)
    browser = create_app(core).test_client()
    token = _CSRF.search(browser.get("/sign-in").text)
    form = {"csrf_token": token[1] if token else "", "email": "till@example.com", "password": PASSWORD}
    browser.post("/sign-in", data={**form, "next": "/"})
    cookie = browser.get_cookie(_COOKIE)
    if cookie is None:
        raise AssertionError("nobody could sign in")
    return Doorkey(secrets, cookie.value)


def _renew(database_url: str, keys: Sequence[str]) -> int:
    """Renew beside everybody who gives."""
    core = core_with(database_url, keys)
    renewed = sum(each.renewed for each in renew_all(core=core))
    core.database.dispose()
    return renewed


def _when_retired(database_url: str, doorkey: Doorkey, vouchers: Sequence[Voucher]) -> Counter[str]:
    """Return how tills are answered about vouchers whose key was retired, by code and by link, and customers."""
    core = core_with(database_url, RETIRED)
    client = create_app(core).test_client(use_cookies=False)
    headers = {"Authorization": f"Bearer {doorkey.secrets['till']}"}
    answers: Counter[str] = Counter()
    for voucher in vouchers:
        for by in ("code", "token"):
            answer = client.post("/api/v1/vouchers/lookup", json={by: voucher[by]}, headers=headers)
            answers[f"{answer.status_code} {(answer.get_json() or {}).get('type')}"] += 1
        answers[f"{client.get('/v/' + voucher['token']).status_code} for the customer"] += 1
    core.database.dispose()
    return answers


def main() -> int:
    """Rotate by what the command line says, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.races.rotating", description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30)
    said = parser.parse_args()
    with RunFolder.opened() as run, contextlib.closing(PostgresDatabases(run)) as databases:
        found = rotate(databases.new(), count=said.processes, threads=said.threads, seconds=said.seconds)
    what = f"{said.processes} processes of {said.threads} threads, each started again {len(PLANS) - 1} times"
    lines = [
        f"{ROTATIONS} rotations of {len(KEYED)} keys in {found.seconds:.0f} s, {what}",
        *(f"{count:8} {what}" for what, count in found.told.asked.most_common()),
        f"{sum(found.told.asked.values()):8} asked in all, {len(found.told.wrong)} wrongly answered",
        *(f"         {each}" for each in sorted(set(found.told.wrong))[:20]),
        f"{found.renewed:8} values renewed, {found.left} left under older keys",
        f"{_EARLIER:8} vouchers of the first key used at the end, {len(found.earlier.wrong)} refused",
        *(f"{count:8} {what} (once the first key was retired)" for what, count in found.retired.items()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return min(len(found.told.wrong) + len(found.earlier.wrong) + found.left, 1)


if __name__ == "__main__":
    sys.exit(main())
