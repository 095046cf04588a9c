"""A run of a hundred vouchers through the vendors' real clients, judged by Prism from the vendors' own OpenAPI.

Prism stands between our senders and the stand-in and refuses, with a 422, whatever is off the contract, in
the request or in the answer. It comes from npm, and the files by ``TEST_VENDOR_SPECS``: see docs/testing.md.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path

import pytest

from channels.sendgrid_email import SendGridSender
from channels.twilio_sms import TwilioSender
from incentives.messages.port import Accepted, Letter, Sender, WillNeverWork
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

PRISM = "@stoplight/prism-cli@5.14.2"
RUN = 100
READY_WITHIN_SECONDS = 60

pytestmark = pytest.mark.timeout(300)

Prism = Callable[[str, str], str]


@pytest.fixture(scope="module")
def prism_command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that starts Prism, installed for this run."""
    folder = tmp_path_factory.mktemp("prism")
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
    return ["node", str(folder / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js")]


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


def hundred(channel: str) -> Iterator[Letter]:
    """Return a hundred letters: every kind in several languages, with names that are hard to write."""
    locales = ("en", "en-GB", "es", "es-MX", "de-AT")
    names = ("Ana Ruiz", 'Zoë "Zo" O’Brien', "李小龍", None)
    to = "ana+{n}@customer.example" if channel == "email" else "+1500555{n:04}"
    mix = product(names, locales, KINDS)
    for number, (name, locale, kind) in enumerate(islice((each for _ in range(RUN) for each in mix), RUN)):
        yield letter_of_kind(kind, channel=channel, locale=locale, customer_name=name, to=to.format(n=number))


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


def accepted(sender: Sender) -> int:
    outcomes = [sender.send(letter) for letter in hundred(sender.channel)]
    assert [outcome for outcome in outcomes if not isinstance(outcome, Accepted)] == []
    return len(outcomes)


def test_sendgrid_takes_every_email_of_the_run(sendgrid_url: str, sendgrid_upstream: StandIn) -> None:
    before = len(sendgrid_upstream.asked)
    assert accepted(sendgrid_sender(sendgrid_url, 30)) == RUN
    assert len(sendgrid_upstream.asked) - before == RUN


def test_twilio_takes_every_sms_of_the_run(twilio_url: str, twilio_upstream: StandIn) -> None:
    before = len(twilio_upstream.asked)
    assert accepted(twilio_sender(twilio_url, 30)) == RUN
    assert len(twilio_upstream.asked) - before == RUN


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
