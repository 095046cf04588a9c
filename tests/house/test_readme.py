"""The README's first screen, done as it says: the demo, an issue, a replay, a redemption, a refusal, the books."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.house.texts import ROOT
from tests.servers import free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
INCENTIVES = [sys.executable, "-c", "import wsgi; wsgi.main()"]
START_SECONDS = 60


@dataclass(frozen=True)
class Demo:
    """A running demo, in a folder of its own."""

    folder: Path
    base: str
    printed: str

    def environ(self) -> dict[str, str]:
        lines = (self.folder / "var" / "demo.env").read_text().splitlines()
        return {**os.environ, "PYTHONPATH": str(ROOT), **dict(line.split("=", 1) for line in lines)}

    def key(self, role: str) -> str:
        found = re.search(rf"^\s+{role}\s+(ik_\S+)$", self.printed, flags=re.MULTILINE)
        assert found
        return found[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    port = free_port()
    log = folder / "printed"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INCENTIVES_")}
    with log.open("w") as out:
        server = subprocess.Popen(
            [*INCENTIVES, "demo", "--port", str(port)],
            cwd=folder, stdout=out, stderr=out, env={**environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            base = f"http://127.0.0.1:{port}"
            _wait_for(f"{base}/api/v1/health/live", server, log)
            yield Demo(folder=folder, base=base, printed=log.read_text())
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the demo did not answer: {log.read_text()}")


def _curls() -> list[str]:
    blocks = re.findall(r"```sh\n(curl.*?)```", README, flags=re.DOTALL)
    return [block.replace("\\\n", " ") for block in blocks]


def _send(command: str, demo: Demo, **variables: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Do what a curl command says, so that nothing but Python is needed."""
    for name, value in variables.items():
        command = command.replace(f"'${name}'", value).replace(f"${name}", value)
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("http")).replace("http://127.0.0.1:8000", demo.base)
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1].encode()
    request = urllib.request.Request(url, data=body, headers=headers, method=words[words.index("-X") + 1])
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer), _lowered(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), _lowered(error.headers)


def _lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_the_first_screen_gets_a_newcomer_to_a_redeemed_voucher(demo: Demo) -> None:
    issue, redeem, report = _curls()
    status, issued, _ = _send(issue, demo, INTEGRATOR_KEY=demo.key("integrator"))
    assert status == 201
    again, replayed, headers = _send(issue, demo, INTEGRATOR_KEY=demo.key("integrator"))
    assert (again, replayed) == (201, issued)
    assert headers["idempotent-replayed"] == "true"

    code = issued["voucher"]["code"]
    status, redeemed, _ = _send(redeem, demo, TILL_KEY=demo.key("till"), CODE=code)
    assert status == 201
    status, problem, _ = _send(redeem.replace("my-sale", "another"), demo, TILL_KEY=demo.key("till"), CODE=code)
    assert status == 409
    assert problem["type"].endswith("/already-redeemed")
    assert problem["redeemed_at"] == redeemed["redeemed_at"]
    assert problem["location"] == "london"

    report = report.replace("'$(date -u +%FT%TZ)'", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    status, taken, _ = _send(report, demo, INTEGRATOR_KEY=demo.key("integrator"))
    assert (status, taken["status"]) == (202, "acted")
    assert taken["case_id"]
    assert taken["issuance_id"]
    assert _send(report, demo, INTEGRATOR_KEY=demo.key("integrator"))[1]["issuance_id"] == taken["issuance_id"]

    checked = subprocess.run(
        [*INCENTIVES, "books", "check"], cwd=demo.folder, env=demo.environ(), capture_output=True, text=True, check=True
    )
    assert "BROKEN" not in checked.stdout
    assert checked.stdout.count("ok ") >= 5


def test_the_demo_prints_a_sign_in_and_a_key_for_each_role_and_keeps_them_to_itself(demo: Demo) -> None:
    for role in ("frontline", "supervisor", "manager", "finance", "auditor", "till", "integrator", "admin"):
        assert re.search(rf"^\s+{role}\s+\S+@\S+\s+\S{{12,}}$", demo.printed, flags=re.MULTILINE)
        assert demo.key(role)
    for name in ("demo-secrets.json", "demo.env"):
        assert (demo.folder / "var" / name).stat().st_mode & 0o077 == 0


def test_the_demo_can_be_prepared_again_and_keeps_its_sign_ins(demo: Demo) -> None:
    again = subprocess.run(
        [*INCENTIVES, "demo", "--prepare-only", "--port", demo.base.rsplit(":", 1)[1]],
        cwd=demo.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert demo.key("till") in again.stdout


def test_the_readme_names_files_that_are_there() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", README)
    assert [name for name in named if not (ROOT / name).exists()] == []
