"""docs/flows.md names each flow and each deed, and only flows open a session."""

import re

from tests.house.texts import ROOT

ROOMS = {
    room: {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "incentives" / room).glob("[!_]*.py")}
    for room in ("flows", "deeds")
}
WHOLE = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
TABLES = WHOLE.partition("The deeds in `incentives/deeds/`")
SESSION = re.compile(r"\bdatabase\.(?:write|read|read_snapshot)\(")


def named(text: str) -> set[str]:
    """Return the files in the first column of the tables of a part of the document."""
    return {
        name for cell in re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE) for name in re.findall(r"`(\w+\.py)`", cell)
    }


def test_each_flow_is_named_by_the_document_and_opens_a_session() -> None:
    assert named(TABLES[0]) == set(ROOMS["flows"])
    assert not [name for name, text in ROOMS["flows"].items() if not SESSION.search(text)]


def test_each_deed_is_named_by_the_document_and_opens_none() -> None:
    assert named(TABLES[2]) == set(ROOMS["deeds"])
    assert not [name for name, text in ROOMS["deeds"].items() if SESSION.search(text)]
