"""Who may import whom: the contracts hold, and each breaks when somebody breaks it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.texts import ROOT

_ROOMS = ("incentives", "api", "admin", "channels")

# One sin for each contract: the file that commits it, and the line.
_SINS = {
    "Doors know flows": ("incentives/kernel/sin.py", "import incentives.flows"),
    "Every room of the core": ("incentives/attic/__init__.py", ""),
    "Doors never know each other": ("api/sin.py", "import admin"),
    "Concepts never know each other": ("incentives/books/sin.py", "import incentives.vouchers"),
    "Flows never call flows": ("incentives/flows/sin.py", "import incentives.flows.issue"),
    "Doors use flows": ("admin/sin.py", "import incentives.spending"),
    "Tables are for": ("channels/sin.py", "import incentives.messages.tables"),
    "The core knows no web": ("incentives/queries/sin.py", "import flask"),
    "Celery is for": ("admin/sin_too.py", "import celery"),
    "SendGrid appears": ("api/sin_too.py", "import sendgrid"),
    "Prometheus' client appears": ("api/sin_again.py", "import prometheus_client"),
    "Twilio appears": ("channels/sin_too.py", "import twilio.rest"),
}


def test_the_contracts_hold() -> None:
    code, said = _lint(ROOT)
    assert code == 0, said


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The first words of the contracts that break in a house where every sin was committed."""
    house = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", house)
    for room in _ROOMS:
        shutil.copytree(ROOT / room, house / room, ignore=shutil.ignore_patterns("__pycache__", "static"))
    for file, line in _SINS.values():
        (house / file).parent.mkdir(exist_ok=True)
        (house / file).write_text(line + "\n")
    said = re.sub(r"\s+", " ", _lint(house)[1])
    return {contract for contract in _SINS if re.search(rf"{contract}(?:(?!KEPT).)*? BROKEN", said)}


@pytest.mark.parametrize("contract", _SINS)
def test_each_contract_can_break(contract: str, broken: set[str]) -> None:
    assert contract in broken


def _lint(house: Path) -> tuple[int, str]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=house,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr
