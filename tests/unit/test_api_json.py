"""JSON in: what a reader of money must not let pass."""

import pytest

from api.json_text import DEPTH_MAX, read
from api.problems import MalformedJson


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": 1, "b": {"a": 2}}', {"a": 1, "b": {"a": 2}}),
        (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
        ('{"n": "é \\ud83d\\ude00"}'.encode(), {"n": "é \U0001f600"}),
        (b'{"n": "\\"a\\": 1, \\"a\\": 2"}', {"n": '"a": 1, "a": 2'}),
        (b"4069.0", 4069.0),
        (b"9223372036854775807", 2**63 - 1),
    ],
)
def test_what_is_json_is_read(text: bytes, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"{'a': 1}", b'{"a": 1,}', b"NaN", b"-Infinity", b"1e999", b"01", b'"\\ud800"', b'"\xc3"',
        b"\xef\xbb\xbf{}", b'{"a": 1, "a": 1}', b'{"b": [{"a": 1, "\\u0061": 2}]}', b'{"a": 1} {"a": 2}',
        b'"\x00"', b"[1] //",
    ],
)  # fmt: skip
def test_what_is_not_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(MalformedJson) as refusal:
        read(text)
    assert str(refusal.value.description).endswith(".")


@pytest.mark.parametrize("around", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_has_an_end(around: tuple[bytes, bytes]) -> None:
    opening, closing = around
    assert read(opening * DEPTH_MAX + b"1" + closing * DEPTH_MAX)
    for depth in (DEPTH_MAX + 1, 900, 100_000):
        with pytest.raises(MalformedJson):
            read(opening * depth + b"1" + closing * depth)
