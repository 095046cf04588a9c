"""docs/flows.md names each file of the flows, and tells those that are flows from those that open no transaction."""

import re

from tests.house.texts import ROOT

FLOWS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "incentives" / "flows").glob("[!_]*.py")}
WHOLE = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
TABLES = WHOLE.partition("These files beside them")
SESSION = re.compile(r"\bdatabase\.(?:write|read)\(\)")


def named(text: str) -> set[str]:
    """Return the files in the first column of the tables of a part of the document."""
    return {
        name for cell in re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE) for name in re.findall(r"`(\w+\.py)`", cell)
    }


def test_each_file_that_opens_a_session_is_a_flow_of_the_document() -> None:
    assert named(TABLES[0]) == {name for name, text in FLOWS.items() if SESSION.search(text)}


def test_each_other_file_is_named_as_one_that_opens_none() -> None:
    assert named(TABLES[2]) == {name for name, text in FLOWS.items() if not SESSION.search(text)}
