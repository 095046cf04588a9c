"""Codes: read aloud, typed badly, and still the right one or none; tokens: signed, and nothing else."""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incentives.kernel.errors import CodeMalformed
from incentives.kernel.keys import KeyRing, sign
from incentives.vouchers import codes

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
RING = KeyRing((OLD,))
VOUCHERS = st.uuids(version=4)

# Twenty ways to type a code, from a printed one (XXXX-XXXX-XXXX-X).
SLOPPY: Mapping[str, Callable[[str], str]] = {
    "as it is printed": lambda code: code,
    "in small letters": str.lower,
    "in letters of all sizes": lambda code: "".join(
        each.lower() if place % 2 else each for place, each in enumerate(code)
    ),
    "without dashes": lambda code: code.replace("-", ""),
    "with spaces for dashes": lambda code: code.replace("-", " "),
    "with dots for dashes": lambda code: code.replace("-", "."),
    "with underscores for dashes": lambda code: code.replace("-", "_"),
    "with long dashes": lambda code: code.replace("-", "\u2014"),
    "with short dashes": lambda code: code.replace("-", "\u2013"),
    "with unbreakable hyphens": lambda code: code.replace("-", "\u2011"),
    "with minus signs": lambda code: code.replace("-", "\u2212"),
    "with middle dots": lambda code: code.replace("-", "·"),
    "with unbreakable spaces": lambda code: code.replace("-", "\u00a0"),
    "a space after each symbol": lambda code: " ".join(code.replace("-", "")),
    "a dash after each pair": lambda code: "-".join(
        code.replace("-", "")[place : place + 2] for place in range(0, 13, 2)
    ),
    "with spaces around dashes": lambda code: code.replace("-", " - "),
    "with a line break and spaces around": lambda code: f"  \t{code}\r\n",
    "broken over two lines": lambda code: code.replace("-", "-\n"),
    "with look-alikes in capitals": lambda code: code.replace("0", "O").replace("1", "I"),
    "with look-alikes in small letters": lambda code: code.replace("0", "o").replace("1", "l"),
}


def code_of(voucher_id: uuid.UUID, ring: KeyRing = RING) -> str:
    return codes.code_of(ring, ring.newest_id, voucher_id)


@given(VOUCHERS)
def test_a_code_has_sixty_bits_and_a_check_symbol(voucher_id: uuid.UUID) -> None:
    code = code_of(voucher_id)
    assert len(code) == codes.SYMBOLS + 1 == 13
    assert set(code) <= set(codes.ALPHABET)
    assert codes.check_symbol(code[:-1]) == code[-1]
    assert codes.normalized(code) == code
    assert codes.last4(code) == code[-4:]


def test_the_alphabet_has_no_look_alikes() -> None:
    assert len(set(codes.ALPHABET)) == 32
    assert not set("ILOU") & set(codes.ALPHABET)


@given(VOUCHERS)
def test_a_printed_code_is_four_four_four_and_one(voucher_id: uuid.UUID) -> None:
    code = code_of(voucher_id)
    assert codes.printed(code) == f"{code[:4]}-{code[4:8]}-{code[8:12]}-{code[12]}"


def test_there_are_twenty_sloppy_ways() -> None:
    assert len(SLOPPY) == 20


@pytest.mark.parametrize("sloppy", SLOPPY, ids=list(SLOPPY))
@given(voucher_id=VOUCHERS)
def test_each_sloppy_way_is_understood(sloppy: str, voucher_id: uuid.UUID) -> None:
    code = code_of(voucher_id)
    assert codes.normalized(SLOPPY[sloppy](codes.printed(code))) == code


@given(VOUCHERS)
def test_every_wrong_symbol_is_noticed(voucher_id: uuid.UUID) -> None:
    code = code_of(voucher_id)
    for place, right in enumerate(code):
        for wrong in set(codes.ALPHABET) - {right}:
            with pytest.raises(CodeMalformed):
                codes.normalized(code[:place] + wrong + code[place + 1 :])


@given(VOUCHERS)
def test_every_swap_of_two_is_noticed(voucher_id: uuid.UUID) -> None:
    """Not of neighbors only: any two different symbols that change places."""
    code = code_of(voucher_id)
    for first in range(len(code)):
        for second in range(first + 1, len(code)):
            if code[first] != code[second]:
                swapped = list(code)
                swapped[first], swapped[second] = swapped[second], swapped[first]
                with pytest.raises(CodeMalformed):
                    codes.normalized("".join(swapped))


@given(VOUCHERS, st.integers(0, 12), st.sampled_from(codes.ALPHABET))
def test_a_symbol_too_many_or_too_few_is_noticed(voucher_id: uuid.UUID, place: int, more: str) -> None:
    code = code_of(voucher_id)
    for text in (code[:place] + code[place + 1 :], code[:place] + more + code[place:]):
        with pytest.raises(CodeMalformed) as caught:
            codes.normalized(text)
        assert caught.value.facts == {"field": "code"}


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_code_or_refused(text: str) -> None:
    try:
        code = codes.normalized(text)
    except CodeMalformed:
        return
    assert codes.normalized(codes.printed(code)) == code


@given(st.text(alphabet=codes.ALPHABET, min_size=13, max_size=13))
def test_guessing_is_right_one_time_in_thirty_two(text: str) -> None:
    right = codes.check_symbol(text[:-1])
    for last in codes.ALPHABET:
        if last == right:
            assert codes.normalized(text[:-1] + last)
        else:
            with pytest.raises(CodeMalformed):
                codes.normalized(text[:-1] + last)


@given(VOUCHERS)
def test_a_code_is_made_again_from_its_voucher_and_key(voucher_id: uuid.UUID) -> None:
    rotated = KeyRing((OLD, NEW))
    assert codes.code_of(rotated, "old", voucher_id) == code_of(voucher_id)
    assert codes.code_of(rotated, "new", voucher_id) != code_of(voucher_id)
    assert codes.digest(RING, "old", code_of(voucher_id)) in codes.digests(rotated, code_of(voucher_id))


def test_a_digest_says_nothing_of_its_code() -> None:
    code = code_of(uuid.UUID(int=1))
    assert codes.digest(RING, "old", code) != codes.digest(KeyRing((NEW,)), "new", code)
    assert code not in codes.digest(RING, "old", code).upper()


def _codes_of(first: int) -> str:
    """Return the codes of a hundred thousand vouchers whose ids differ as little as ids of one millisecond do."""
    return "".join(codes.code_of(RING, "old", uuid.UUID(int=first + number)) for number in range(100_000))


def test_a_million_codes_have_no_duplicate() -> None:
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("forkserver")) as processes:
        text = "".join(processes.map(_codes_of, range(0, 1_000_000, 100_000)))
    assert len({text[start : start + 13] for start in range(0, len(text), 13)}) == 1_000_000
    # And they look random: each symbol stands as often as any other, whatever its place (the check symbol's included).
    assert max(_chi_square(Counter(text[place::13])) for place in range(13)) < CHI_SQUARE_MOST


CHI_SQUARE_MOST = 65.2
"""Of 31 degrees of freedom: fewer than one random text in a hundred is off by more in one of its thirteen places."""


def _chi_square(counts: Counter[str]) -> float:
    expected = counts.total() / len(codes.ALPHABET)
    return sum((counts[symbol] - expected) ** 2 / expected for symbol in codes.ALPHABET)


def test_codes_of_a_poor_key_would_be_found_out() -> None:
    """A symbol that stands a twentieth more often than others is off by far."""
    counts = Counter(dict.fromkeys(codes.ALPHABET, 31_250)) + Counter("A" * 1_600)
    assert _chi_square(counts) > CHI_SQUARE_MOST


# --- tokens ------------------------------------------------------------------------------------------------------


@given(VOUCHERS)
def test_a_token_is_short_and_names_its_voucher(voucher_id: uuid.UUID) -> None:
    token = codes.token_of(RING, voucher_id)
    assert len(token) == 45
    assert codes.voucher_of_token(RING, token) == voucher_id


@settings(max_examples=1000)
@given(VOUCHERS)
def test_every_flipped_bit_is_refused(voucher_id: uuid.UUID) -> None:
    token = codes.token_of(RING, voucher_id).encode()
    for place in range(len(token)):
        for bit in range(8):
            flipped = token[:place] + bytes([token[place] ^ 1 << bit]) + token[place + 1 :]
            assert codes.voucher_of_token(RING, flipped.decode("latin-1")) is None


@given(VOUCHERS, VOUCHERS)
def test_a_signature_is_good_for_its_voucher_only(one: uuid.UUID, other: uuid.UUID) -> None:
    first, second = codes.token_of(RING, one).split("."), codes.token_of(RING, other).split(".")
    if one != other:
        assert codes.voucher_of_token(RING, f"{first[0]}.{second[1]}") is None


def test_a_foreign_salt_or_length_is_refused() -> None:
    voucher_id = uuid.UUID(int=7)
    assert codes.voucher_of_token(RING, sign(RING, "session", voucher_id.bytes, short=True)) is None
    assert codes.voucher_of_token(RING, sign(RING, "voucher-link", voucher_id.bytes)) is None  # a long signature
    for value in (b"", b"x", voucher_id.bytes + b"x", voucher_id.bytes[1:]):
        assert codes.voucher_of_token(RING, sign(RING, "voucher-link", value, short=True)) is None
    assert codes.voucher_of_token(RING, sign(RING, "voucher-link", voucher_id.bytes, short=True)) == voucher_id


def test_keys_rotate_and_retire() -> None:
    voucher_id, both, only_new = uuid.UUID(int=7), KeyRing((OLD, NEW)), KeyRing((NEW,))
    token = codes.token_of(RING, voucher_id)
    assert codes.voucher_of_token(both, token) == voucher_id
    assert codes.voucher_of_token(only_new, token) is None
    assert codes.token_of(both, voucher_id) == codes.token_of(only_new, voucher_id) != token


@given(st.text())
def test_whatever_stands_in_a_link_is_a_token_or_refused(text: str) -> None:
    assert codes.voucher_of_token(RING, codes.token_in(text)) is None


@pytest.mark.parametrize(
    "around", ["{}", " {} ", "https://a.example/v/{}", "https://a.example/v/{}/", "/v/{}?a=b/v", "x/v/y/v/{}"]
)
def test_the_token_is_found_in_what_a_scanner_types(around: str) -> None:
    assert codes.token_in(around.format("TOKEN.SIG")) == "TOKEN.SIG"


def test_neighbors_in_time_have_nothing_in_common() -> None:
    found = [code_of(uuid.UUID(int=number)) for number in range(200)]
    for one, other in pairwise(found):
        assert sum(first == second for first, second in zip(one, other, strict=True)) < 7
