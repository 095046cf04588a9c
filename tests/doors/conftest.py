"""What tests of several doors begin with, and what holds in all of them."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from marshmallow import ValidationError

from api.reading import Reader
from api.writing import Writer
from tests.databases import SqliteDatabases
from tests.doors.callbacks import Callbacks, opened
from tests.doors.staff import Staff, staff_of
from tests.run_folder import RunFolder


@pytest.fixture
def staff(sqlite: SqliteDatabases, run: RunFolder) -> Iterator[Staff]:
    """An application on the demo catalog with a person of each role, all of them signed in."""
    with staff_of(sqlite, run) as made:
        yield made


@pytest.fixture
def calls(database_url: str) -> Iterator[Callbacks]:
    """Messages that providers tell of, on each database."""
    with opened(database_url) as made:
        yield made


@pytest.fixture(autouse=True)
def written_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer of the API that a test here gets is what marshmallow itself would have written, byte by byte."""
    plain = Writer.__call__

    def both(writer: Writer, value: Any) -> Any:
        written = plain(writer, value)
        assert orjson.dumps(written) == orjson.dumps(writer._schema.dump(value))
        return written

    monkeypatch.setattr(Writer, "__call__", both)


@pytest.fixture(autouse=True)
def read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every body that a test here sends is read as marshmallow itself would have read it, or refused in its words."""
    plain = Reader.__call__

    def read_by(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ValidationError as error:
            return error.messages

    def both(reader: Reader, body: Any) -> Any:
        assert read_by(lambda: plain(reader, body)) == read_by(lambda: reader._schema.load(body))
        return plain(reader, body)

    monkeypatch.setattr(Reader, "__call__", both)
