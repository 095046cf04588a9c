"""Reading a bulk file row by row, CSV or NDJSON, with constant memory; and what a row must look like.

What cannot be read at all (a header, a column, an encoding) makes the whole file invalid, with the lines that say so.
What can be read and is wrong in itself (an amount that is no number) is one row's own trouble: it is refused when its
turn comes, and the others go on.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson

from incentives.kernel.errors import BulkFileInvalid, InputInvalid
from incentives.kernel.money import AMOUNT_MINOR_MAX

FORMATS = ("csv", "ndjson")
ROWS_MOST = 1_000_000
LINE_BYTES_MOST = 64 * 1024
MISTAKES_MOST = 20

_METADATA = "metadata."
_CUSTOMER = ("external_ref", "name", "email", "phone", "locale", "segment")
_PLAIN = ("issue_tag", "incentive", "location", "order_ref", "note")
_NUMBERS = ("amount_minor", "severity")
COLUMNS = (
    "issue_tag",
    "incentive",
    "amount_minor",
    "severity",
    *_CUSTOMER,
    "channels",
    "location",
    "order_ref",
    "note",
)

_LONGEST = {
    "issue_tag": 64,
    "incentive": 64,
    "location": 64,
    "order_ref": 200,
    "note": 2000,
    "external_ref": 200,
    "name": 200,
    "email": 320,
    "phone": 40,
    "locale": 20,
    "segment": 64,
}
_LOCALE = re.compile(r"[A-Za-z]{2,3}([_\-][A-Za-z0-9]{2,8})*")
_WHOLE = re.compile(r"-?[0-9]{1,16}")
_METADATA_ITEMS, _METADATA_NAME, _METADATA_TEXT, _METADATA_BYTES = 50, 64, 500, 8192  # as the API takes it


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: its line (from 1, a header counts) and what it asks for, as a request of issuing names it."""

    line: int
    body: Mapping[str, Any]


class _Unreadable(Exception):
    """A line that cannot be read, and why; nothing behind it is understood either when ``ends`` says so."""

    def __init__(self, line: int, message: str, *, ends: bool = False) -> None:
        super().__init__(message)
        self.line, self.message, self.ends = line, message, ends


def rows(file: BinaryIO, form: str) -> Iterator[Row]:
    """Yield the rows of a file from where it stands.

    Raises ``BulkFileInvalid`` naming up to twenty lines, at the latest after the last row.
    """
    mistakes: list[dict[str, Any]] = []
    count = 0
    for each in _csv(file) if form == "csv" else _ndjson(file):
        if isinstance(each, Row):
            count += 1
            if count > ROWS_MOST:
                mistakes.append({"line": each.line, "message": f"A file has at most {ROWS_MOST:,} rows. Split it."})
                break
            if not mistakes:
                yield each
        else:
            mistakes.append({"line": each.line, "message": each.message})
            if each.ends or len(mistakes) >= MISTAKES_MOST:
                break
    if not mistakes and not count:
        mistakes.append({"line": 1, "message": "The file has no rows."})
    if mistakes:
        first = mistakes[0]
        raise BulkFileInvalid(f"Line {first['line']}: {first['message']}", errors=mistakes)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str] | _Unreadable]:
    """Yield the lines, each decoded by itself. A line is never read further than it may be long."""
    number = 0
    while text := file.readline(LINE_BYTES_MOST + 1):
        number += 1
        if len(text) > LINE_BYTES_MOST:
            yield _Unreadable(number, f"A line has at most {LINE_BYTES_MOST // 1024} kB.", ends=True)
            return
        try:
            decoded = text.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield _Unreadable(number, "This is not UTF-8. Save the file as UTF-8 and send it again.", ends=True)
            return
        yield number, decoded


def _ndjson(file: BinaryIO) -> Iterator[Row | _Unreadable]:
    for each in _lines(file):
        if isinstance(each, _Unreadable):
            yield each
            continue
        number, text = each
        if text.strip():
            yield _object(number, text)


def _object(number: int, text: str) -> Row | _Unreadable:
    try:
        body = orjson.loads(text)
        # orjson keeps the last of two equal names and says nothing: 500 that is shown, and 5000 that is given.
        json.loads(text, object_pairs_hook=_once_each)
    except orjson.JSONDecodeError as error:
        return _Unreadable(number, f"This is not JSON: {error.msg} at column {error.colno}.")
    except (_Twice, RecursionError) as error:
        return _Unreadable(number, str(error) or "This is nested too deeply.")
    if not isinstance(body, dict):
        return _Unreadable(number, "Each line is one JSON object, as POST /issuances takes it.")
    unknown = [name for name in body if name not in (*_PLAIN, *_NUMBERS, "customer", "channels", "metadata")]
    customer = body.get("customer")
    if isinstance(customer, dict):
        unknown += [f"customer.{name}" for name in customer if name not in _CUSTOMER]
    if unknown:
        return _Unreadable(number, f"There is no member “{unknown[0][:60]}”.")
    return Row(number, {name: value for name, value in body.items() if value is not None})


class _Twice(Exception):
    """A name stands twice in one object."""


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _Twice(f"The name “{name[:60]}” stands twice in one object.")
        seen.add(name)


class _Feed:
    """Gives the csv reader its lines, and remembers which one it has come to and what stopped it."""

    def __init__(self, lines: Iterable[tuple[int, str] | _Unreadable], first: str) -> None:
        self.line = 0
        self.stopped: _Unreadable | None = None
        self._lines = iter(lines)
        self._first: str | None = first

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        self.line += 1
        if self._first is not None:
            text, self._first = self._first, None
            return text
        each = next(self._lines)
        if isinstance(each, _Unreadable):
            self.stopped = each
            raise StopIteration
        return each[1]


def _csv(file: BinaryIO) -> Iterator[Row | _Unreadable]:
    lines = _lines(file)
    first = next(lines, None)
    if first is None or isinstance(first, _Unreadable):
        yield first or _Unreadable(1, "The file is empty.", ends=True)
        return
    feed = _Feed(lines, first[1])
    reader = csv.reader(feed, delimiter=_delimiter(first[1]), strict=True)
    header: list[str] | None = None
    while True:
        line = feed.line + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield _Unreadable(line, f"This is not CSV: {error}.", ends=True)
            return
        if feed.stopped is not None:
            yield feed.stopped
            return
        if cells is None:
            return
        if header is None:
            header = [name.strip() for name in cells]
            if wrong := _wrong_header(header):
                yield _Unreadable(1, wrong, ends=True)
                return
        elif any(cell.strip() for cell in cells):
            yield _row(line, header, cells)


def _delimiter(header: str) -> str:
    """Return what parts the cells: spreadsheets of half the world write semicolons."""
    return ";" if ";" in header and "," not in header else ","


def _wrong_header(header: list[str]) -> str | None:
    for name in header:
        if not (name in COLUMNS or (name.startswith(_METADATA) and len(name) > len(_METADATA))):
            return f"There is no column “{name[:60]}”. The columns are {', '.join(COLUMNS)} and metadata.*."
    twice = next((name for name in header if header.count(name) > 1), None)
    return f"The column “{twice}” stands twice." if twice else None


def _row(line: int, header: list[str], cells: list[str]) -> Row | _Unreadable:
    if len(cells) != len(header):
        return _Unreadable(line, f"This row has {len(cells)} cells, and the header has {len(header)}.")
    body: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        text = cell.strip()
        if not text:
            continue
        if name.startswith(_METADATA):
            body.setdefault("metadata", {})[name.removeprefix(_METADATA)] = text
        elif name in _CUSTOMER:
            body.setdefault("customer", {})[name] = text
        elif name == "channels":
            body[name] = text.replace(",", " ").split()
        else:
            body[name] = int(text) if name in _NUMBERS and _WHOLE.fullmatch(text) else text
    return Row(line, body)


def addressed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's request if it is for anybody. Raises ``InputInvalid``.

    A gift to nobody, told to nobody, is good for nobody, or for whoever comes by its code: in a file, which nobody
    looks at row by row, it is a mistake.
    """
    if not (body.get("channels") or any((body.get("customer") or {}).values())):
        raise InputInvalid(
            "The row names neither a customer nor a channel.",
            errors=[{"field": "customer", "message": "Say whom it is for: an email, a phone or a reference."}],
        )
    return dict(body)


def checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's request with everything in it of the right kind and length. Raises ``InputInvalid``."""
    mistakes = [each for each in _mistakes(body) if each[1]]
    if mistakes:
        raise InputInvalid(
            " ".join(f"{field}: {message}" for field, message in mistakes[:3]),
            errors=[{"field": field, "message": message} for field, message in mistakes],
        )
    return dict(body)


def _mistakes(body: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    if not body.get("issue_tag"):
        yield "issue_tag", "Say what went wrong."
    for name in _PLAIN:
        yield name, _wrong_text(name, body.get(name))
    for name in _NUMBERS:
        yield name, _wrong_number(body.get(name))
    customer = body.get("customer") or {}
    if not isinstance(customer, Mapping):
        yield "customer", "Send an object."
        return
    for name in customer:
        yield f"customer.{name}", _wrong_text(name, customer[name])
    channels = body.get("channels") or []
    if not isinstance(channels, list) or not all(isinstance(each, str) for each in channels):
        yield "channels", "A channel is email or sms."
    yield "metadata", _wrong_metadata(body.get("metadata") or {})


def _wrong_text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return "Send a text."
    if not 1 <= len(value) <= _LONGEST[name]:
        return f"Send 1 to {_LONGEST[name]} characters."
    if "\x00" in value or (name == "locale" and not _LOCALE.fullmatch(value)):
        return "This has characters that cannot stand here."
    return None


def _wrong_number(value: Any) -> str | None:
    if value is None or (type(value) is int and abs(value) <= AMOUNT_MINOR_MAX):
        return None
    return "Send a whole number."


def _wrong_metadata(value: Any) -> str | None:
    if not isinstance(value, Mapping) or len(value) > _METADATA_ITEMS:
        return f"Send an object of at most {_METADATA_ITEMS} names."
    for name, item in value.items():
        if not 1 <= len(name) <= _METADATA_NAME or "\x00" in name:
            return f"A name has 1 to {_METADATA_NAME} characters."
        if isinstance(item, str):
            if len(item) > _METADATA_TEXT or "\x00" in item:
                return f"A text has at most {_METADATA_TEXT} characters."
        elif not isinstance(item, bool | int | float) or abs(item) > AMOUNT_MINOR_MAX:
            return "Send a text, a number, true or false."
    if value and len(json.dumps(dict(value)).encode()) > _METADATA_BYTES:
        return f"Send at most {_METADATA_BYTES} bytes."
    return None
