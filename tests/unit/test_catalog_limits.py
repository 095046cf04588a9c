"""Catalog files that are large or odd: they are answered, soon, with mistakes and never with a bug."""

from time import perf_counter

import pytest

from incentives.catalog.document import parse
from incentives.catalog.yaml_tree import FOUND_MOST
from incentives.kernel.errors import CatalogInvalid

SECONDS = 20
"""A bound that only what grows with the square of a file passes, on any machine."""


def mistakes(text: str) -> list[str]:
    with pytest.raises(CatalogInvalid) as refused:
        parse(text)
    return [each["message"] for each in refused.value.facts["errors"]]


def chain(number: int, last: str) -> str:
    parents = [*(f"t{each}" for each in range(1, number)), last]
    tags = "".join(f"- {{key: t{each}, parent: {parent}}}\n" for each, parent in enumerate(parents))
    return f"brand: {{name: x}}\nissue_tags:\n{tags}"


@pytest.mark.parametrize("last", ["t0", "nobody"])
def test_a_long_line_of_parents_is_walked_once(last: str) -> None:
    began = perf_counter()
    told = mistakes(chain(3000, last))
    assert perf_counter() - began < SECONDS
    assert 1 <= len(told) <= FOUND_MOST
    assert max(map(len, told)) < 1000


def test_two_circles_and_a_tail_are_told_apart() -> None:
    rows = {"a": "b", "b": "a", "tail": "a", "c": "d", "d": "e", "e": "c", "own": "own"}
    tags = "".join(f"- {{key: {key}, parent: {parent}}}\n" for key, parent in rows.items())
    told = [each for each in mistakes(f"brand: {{name: x}}\nissue_tags:\n{tags}") if "circle" in each]
    assert [each.partition(": ")[2].partition(";")[0] for each in told] == [
        "a → b → a",
        "b → a → b",
        "c → d → e → c",
        "d → e → c → d",
        "e → c → d → e",
        "own → own",
    ]


def test_a_file_in_which_no_name_is_right_is_answered_soon() -> None:
    tags = "".join(f"- {{key: tag-number-{each}, parent: tag-nummer-{each}}}\n" for each in range(2500))
    began = perf_counter()
    told = mistakes(f"brand: {{name: x}}\nissue_tags:\n{tags}")
    assert perf_counter() - began < SECONDS
    assert len(told) == FOUND_MOST


@pytest.mark.parametrize("text", ['a: "\\U00110000"', 'a: "\\UFFFFFFFF"'])
def test_a_character_that_does_not_exist_is_a_mistake(text: str) -> None:
    assert "does not exist" in mistakes(text)[0]
