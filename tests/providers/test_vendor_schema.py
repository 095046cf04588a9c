"""A run of a hundred vouchers through the vendors' real clients, judged by Prism from the vendors' own OpenAPI.

Prism stands between our senders and the stand-in and refuses, with a 422, whatever is off the contract, in
the request or in the answer. It comes from npm, and the files by ``TEST_VENDOR_SPECS``: see docs/testing.md.
"""

import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from channels.sendgrid_email import SendGridSender
from channels.twilio_sms import TwilioSender
from incentives.deeds.answers import Issued
from incentives.flows.deliver import deliver_next
from incentives.flows.issue import IssueVoucher, issue_vouchers
from incentives.kernel.core import Core
from incentives.messages.port import Accepted, WillNeverWork
from incentives.recovery.customers import CustomerGiven
from tests.databases import SqliteDatabases
from tests.letters import KINDS, letter_of_kind
from tests.providers.conftest import (
    API_KEY,
    AUTH_TOKEN,
    TwilioStandIn,
    sendgrid_sender,
    twilio_sender,
)
from tests.providers.stand_in import Answer, StandIn
from tests.providers.vendor_schema import SENDGRID_SPEC, TWILIO_SPEC, specs_folder
from tests.run_folder import RunFolder
from tests.world import actor, make_core, publish_catalog

PRISM = "@stoplight/prism-cli@5.14.2"
RUN = 100
READY_WITHIN_SECONDS = 60

pytestmark = pytest.mark.timeout(300)

Prism = Callable[[str, str], str]


@pytest.fixture(scope="module")
def prism_command(run: RunFolder) -> list[str]:
    """The command that starts Prism, installed once for the run."""
    return ["node", run.once("prism", lambda: _install(run.path / "prism"))["program"]]


def _install(folder: Path) -> dict[str, str]:
    folder.mkdir()
    npm = shutil.which("npm")
    assert npm is not None
    done = subprocess.run(
        [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), PRISM],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, f"npm could not install {PRISM}:\n{done.stdout}\n{done.stderr}"
    return {"program": str(folder / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js")}


@pytest.fixture(scope="module")
def prism(prism_command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prism]:
    """A function that puts Prism with a specification in front of a stand-in and returns its address."""
    started: list[subprocess.Popen[bytes]] = []
    folder = specs_folder()
    assert folder is not None

    def start(specification: str, upstream: str) -> str:
        port = _free_port()
        log = tmp_path_factory.mktemp("log") / "prism.log"
        arguments = [
            "proxy",
            "--errors",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            str(folder / specification),
            upstream,
        ]
        with log.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [*prism_command, *arguments], stdout=output, stderr=subprocess.STDOUT, env=_environment()
                )
            )
        _wait_for(port, started[-1], log)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"Prism does not listen:\n{log.read_text()}")


def give_a_hundred(core: Core) -> None:
    """Give a hundred vouchers, by email and SMS each, for several troubles and in several languages."""
    tags = ("flight-delayed", "bag-late", "noisy-room", "unkind-service", "bag-damaged")
    names = ("Ana Ruiz", 'Zoë "Zo" O’Brien', "李小龍", None)
    locales = ("en-GB", "es-ES", "es-MX", "fr-FR", None)
    for first in range(0, RUN, RUN // 2):  # an agent alone would reach their limit
        commands = [
            IssueVoucher(
                issue_tag=tags[number % len(tags)],
                customer=CustomerGiven(
                    name=names[number % len(names)],
                    email=f"customer{number}@gmail.com",
                    phone=f"+4474001234{number:02}",
                    locale=locales[number // len(tags) % len(locales)],
                ),
                channels=("email", "sms"),
                location="london",
                idempotency_key=str(number),
            )
            for number in range(first, first + RUN // 2)
        ]
        results = issue_vouchers(core=core, actor=actor(core, "manager", location="london"), commands=commands)
        assert [result for result in results if not isinstance(result, Issued)] == []


@pytest.fixture(scope="module")
def sendgrid_upstream() -> Iterator[StandIn]:
    with StandIn(Answer(202)).serving() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def twilio_upstream() -> Iterator[StandIn]:
    with TwilioStandIn().serving() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def sendgrid_url(prism: Prism, sendgrid_upstream: StandIn) -> str:
    return prism(SENDGRID_SPEC, sendgrid_upstream.url)


@pytest.fixture(scope="module")
def twilio_url(prism: Prism, twilio_upstream: StandIn) -> str:
    return prism(TWILIO_SPEC, twilio_upstream.url)


def test_both_vendors_take_every_message_of_the_run(
    sqlite: SqliteDatabases, sendgrid_url: str, twilio_url: str, sendgrid_upstream: StandIn, twilio_upstream: StandIn
) -> None:
    url = sqlite.new()
    core = make_core(url, senders={"email": sendgrid_sender(sendgrid_url, 10), "sms": twilio_sender(twilio_url, 10)})
    publish_catalog(core)
    give_a_hundred(core)
    before = len(sendgrid_upstream.asked), len(twilio_upstream.asked)
    outcomes = Counter(delivered.status for delivered in iter(lambda: deliver_next(core=core), None))
    core.database.dispose()
    sqlite.drop(url)
    assert outcomes == {"sent": 2 * RUN}
    assert len(sendgrid_upstream.asked) - before[0] == RUN
    assert len(twilio_upstream.asked) - before[1] == RUN


@pytest.mark.parametrize("locale", ["en", "es-MX"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_vendors_take_every_kind_in_every_language(
    sendgrid_url: str, twilio_url: str, kind: str, locale: str
) -> None:
    email = letter_of_kind(kind, locale=locale)
    sms = letter_of_kind(kind, locale=locale, channel="sms", to="+447400123456")
    assert isinstance(sendgrid_sender(sendgrid_url, 10).send(email), Accepted)
    assert isinstance(twilio_sender(twilio_url, 10).send(sms), Accepted)


def test_the_judge_is_awake_for_emails(sendgrid_url: str, sendgrid_upstream: StandIn) -> None:
    before = len(sendgrid_upstream.asked)
    wrong = SendGridSender(
        api_key=API_KEY, base_url=sendgrid_url, email_from="nobody", email_from_name="", timeout_seconds=30
    )
    assert isinstance(wrong.send(letter_of_kind("amount_off")), WillNeverWork)
    assert len(sendgrid_upstream.asked) == before


def test_the_judge_is_awake_for_sms(twilio_url: str, twilio_upstream: StandIn) -> None:
    before = len(twilio_upstream.asked)
    wrong = TwilioSender(
        account_sid="XX123",
        auth_token=AUTH_TOKEN,
        messaging_service_sid=None,
        sms_from="+15005550001",
        base_url=twilio_url,
        timeout_seconds=30,
    )
    assert isinstance(wrong.send(letter_of_kind("amount_off", channel="sms", to="+15005550006")), WillNeverWork)
    assert len(twilio_upstream.asked) == before
