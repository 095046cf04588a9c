"""Mappings read any document, by JSON Pointers as RFC 6901 has them, and never break on one."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel.errors import InputInvalid
from incentives.recovery import mapping
from incentives.recovery.feedback import is_echo, tags_by_words
from incentives.recovery.inbox import stripped

# The document and the answers of RFC 6901, section 5.
RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}
ANSWERS = {
    "": RFC, "/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1, "/c%d": 2, "/e^f": 3, "/g|h": 4,
    "/i\\j": 5, '/k"l': 6, "/ ": 7, "/m~0n": 8,
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize("pointer", ANSWERS)
def test_pointers_are_those_of_the_rfc(pointer: str) -> None:
    assert mapping.at(RFC, pointer) == ANSWERS[pointer]


@pytest.mark.parametrize(
    "pointer", ["/foo/2", "/foo/01", "/foo/-1", "/foo/-", "/foo/bar", "/nope", "/foo/0/0", "/foo/\u0660"]
)
def test_what_is_not_there_is_absent(pointer: str) -> None:
    assert mapping.at(RFC, pointer) is mapping.ABSENT


def _places(document: Any, at: str = "") -> list[tuple[str, Any]]:
    """Return every place of a document with what stands there."""
    found = [(at, document)]
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, child in children:
        found += _places(child, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    return found


@given(JSON)
def test_every_place_of_any_document_is_found(document: Any) -> None:
    for pointer, value in _places(document):
        assert mapping.at(document, pointer) == value


@given(JSON, st.text(max_size=10))
def test_no_pointer_breaks(document: Any, pointer: str) -> None:
    mapping.at(document, f"/{pointer}")


def test_the_first_place_that_is_there_counts_and_null_is_nothing() -> None:
    fields = {"a": ("/none", "/two", "/three"), "b": ("/none", "=usual"), "c": ("/nowhere",), "d": ("/no",)}
    document = {"none": None, "two": 2, "three": 3, "no": False}
    assert mapping.read(document, fields) == {"a": 2, "b": "usual", "d": False}


def test_words_of_the_source_become_ours_in_any_case_of_letters() -> None:
    found = {"location": " lhr", "issue_tags": ["Late", "Rude"], "consent": True, "score": 3}
    values = {"location": {"LHR": "london"}, "issue_tags": {"late": "delay"}, "consent": {"true": "yes"}}
    assert mapping.translated(found, values) == {
        "location": "london", "issue_tags": ["delay", "Rude"], "consent": "yes", "score": 3,
    }  # fmt: skip


def test_numbers_with_a_fraction_are_never_floats() -> None:
    assert mapping.document_of(b'{"score": 4.1}', "application/json") == {"score": Decimal("4.1")}


def test_a_form_is_an_object_of_texts() -> None:
    assert mapping.document_of(b"a=1&b=x+y&b=z&c=", mapping.FORM) == {"a": "1", "b": ["x y", "z"], "c": ""}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"1" * 5000, b"1e-" + b"9" * 30])
def test_what_cannot_be_read_is_refused_and_breaks_nothing(body: bytes) -> None:
    with pytest.raises(InputInvalid) as caught:
        mapping.document_of(body, "application/json")
    assert caught.value.facts["errors"][0]["field"] == "body"


@pytest.mark.parametrize(
    ("value", "several"),
    [("a, b,,c ", ["a", "b", "c"]), (["a", 1, None, {}], ["a", 1]), (5, [5]), (None, []), ({"a": 1}, [])],
)
def test_one_several_or_none(value: Any, several: list[Any]) -> None:
    assert mapping.listed(value) == several


def test_credentials_are_taken_out_of_headers_and_nothing_else() -> None:
    headers = {
        "Authorization": "Bearer x", "Cookie": "x", "X-Api-Key": "x", "Proxy-Authorization": "x", "X-Auth-Token": "x",
        "X-Webhook-Secret": "x", "User-Agent": "tool/1", "X-Signature": "sha256=ab", "Content-Type": "text/plain",
    }  # fmt: skip
    assert sorted(stripped(headers)) == ["Content-Type", "User-Agent", "X-Signature"]


def test_words_that_nobody_sees_hide_nothing() -> None:
    words = {"late": ("waited", "too long"), "food": ("cold",), "none": ()}
    assert tags_by_words("It was CO\u200bLD, and we waited too\n long", words) == ["late", "food"]
    assert tags_by_words("colder, awaited", words) == []
    assert tags_by_words("\uff37aited", words) == ["late"]


@pytest.mark.parametrize("tag", ["service_recovery", "Service Recovery", " SERVICE-RECOVERY "])
def test_our_own_mark_is_known_however_it_is_written(tag: str) -> None:
    assert is_echo(["late", tag])
    assert not is_echo(["late", f"{tag}-2"])
