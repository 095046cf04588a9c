"""The requests that come by the thousand: what each asks of PostgreSQL stands in a document, and no more creeps in."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.queries.vouchers import lookup
from tests.flows.shop import Shop, named

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
_TABLE = {"INSERT": r"INSERT INTO (\w+)", "SELECT": r"FROM (?!\(|unnest)(\w+)", "UPDATE": r"UPDATE (\w+)"}

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])


def what(statement: str) -> str:
    """Return what a statement does, in as few words as tell it from the others: ``INSERT vouchers``, with a lock."""
    text = " ".join(statement.split())
    if text.startswith("WITH"):
        return " + ".join(what(part) for part in _parts(text))
    verb = text.partition(" ")[0]
    table = re.search(_TABLE[verb], text)
    assert table, text
    return f"{verb} {table[1]}" + (" FOR UPDATE" if " FOR " in text else "")


def _parts(text: str) -> list[str]:
    return re.findall(r"(?:INSERT INTO|UPDATE) \w+", text)


@contextmanager
def heard(shop: Shop) -> Iterator[list[str]]:
    """Hear every statement, of readers and writers."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(what(statement))

    engines = (shop.core.database.engine, shop.core.database._reader)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)


def asked(shop: Shop, request: str) -> list[str]:
    """Return what a request asks once everything is known that is kept in mind."""
    codes = [shop.voucher(customer=named(f"known{number}@example.com"), channels=("email",)).code for number in (1, 2)]
    deeds: dict[str, Callable[[str], Any]] = {
        "issue": lambda name: shop.issue(
            customer=named(f"{name}@example.com"), channels=("email",), idempotency_key=f"issue-{name}"
        ),
        "redeem": lambda name: shop.redeem(codes[int(name[-1])], idempotency_key=f"redeem-{name}"),
        "look-up": lambda name: lookup(core=shop.core, actor=shop.till, code=codes[int(name[-1])]),
    }
    deeds[request]("first0")
    with heard(shop) as found:
        deeds[request]("second1")
    return found


@pytest.mark.parametrize("request_name", ["issue", "redeem", "look-up"])
def test_a_hot_request_asks_what_the_document_says(shop: Shop, request_name: str) -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("## What hot requests ask\n")[2].partition("\n## ")[0]
    listed = re.findall(rf"^\| {request_name} \| \d+ \| `(.+)` \|$", section, re.MULTILINE)
    assert asked(shop, request_name) == listed
