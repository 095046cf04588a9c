"""No committed text knows the machine it was written on, and none leaves a thing undone."""

import re

import pytest

from tests.house.texts import texts

# Letters in brackets, so that this file is not what it looks for.
_REGISTRY = r"py[p]i\.org|pythonh[o]sted|npm[j]s\.|yarnp[k]g\.|deb\.[d]ebian|unp[k]g\.|jsd[e]livr|cdn[j]s\."
_MACHINE = r"""(?:^|[\s"'=(:`,])/(?:[w]ork|[f]arm|[r]oot|[t]mp|[h]ome/\w+|[U]sers/\w+)/[A-Za-z0-9._]"""
# In quotation marks, the three letters are ISO 4217's code for what has no currency.
_UNDONE = r"""\b(?:TO[D]O|FIX[M]E|HA[C]K)\b|(?<!["'])\bX[X]X\b(?!["'])|Not[I]mplementedError"""
_SWITCHED_OFF = (
    r"pytest\.(?:mark\.)?(?:s[k]ip|x[f]ail)|importors[k]ip"
    r"|#\s*no[q]a\s*$|type:\s*ign[o]re\s*$|pragma:\s*no [c]over"
)


@pytest.mark.parametrize("pattern", [_REGISTRY, _MACHINE], ids=["registries", "machine paths"])
def test_no_address_of_a_registry_or_a_machine_is_committed(pattern: str) -> None:
    assert _found(pattern) == []


@pytest.mark.parametrize("pattern", [_UNDONE, _SWITCHED_OFF], ids=["undone", "switched off"])
def test_nothing_is_left_undone_or_switched_off(pattern: str) -> None:
    assert _found(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (_REGISTRY, "https://" + "py" + "pi.org/simple"),
        (_MACHINE, "see /" + "tmp/notes"),
        (_MACHINE, '"/' + 'home/ann/x"'),
        (_UNDONE, "# TO" + "DO later"),
        (_UNDONE, "# X" + "XX: later"),
        (_SWITCHED_OFF, "@pytest.mark." + "skip"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: str, text: str) -> None:
    assert re.search(pattern, text)


def test_the_code_of_no_currency_is_not_taken_for_something_undone() -> None:
    assert re.search(_UNDONE, f'ANY_CURRENCY = "{"X" * 3}"') is None


def _found(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if wanted.search(line)
    ]
