"""What is hashed of a row: nothing that was altered has the digest of what it was."""

from typing import Any

import pytest

from incentives.books.seals import digest, names_twice


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ('{"a": 1, "a": 1}', True),
        ('{"a": 1, "b": 1}', False),
        ('{"a" :1,"b":":"}', False),
        ('[{"b": {"x": 1, "x": 2}}]', True),
        (r'{"a": 1, "\u0061": 2}', True),
        (r'{"a": "\u003a", "a": ":"}', True),
        (r'{"a": "\u003A"}', False),
        (r'{"a": "\\u003a", "b": 1}', False),
        (b'{"a": 2, "a": 1}', True),
        (b"\xff", False),
        ("x:x:", False),
        ("", False),
        (None, False),
        (1, False),
    ],
)
def test_a_name_with_two_values_is_seen_however_it_is_spelled(text: Any, *, twice: bool) -> None:
    assert names_twice(text) is twice


def test_what_is_not_finite_is_not_nothing() -> None:
    spelled = {digest([1, each]) for each in (None, float("inf"), -float("inf"), 1.5)}
    assert len(spelled) == 4
