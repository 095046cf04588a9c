"""How many SMS a text is: GSM 03.38's seven-bit alphabet where every character is in it, else UCS-2.

A text longer than one SMS is cut into parts that each give up room for the header that joins them again (3GPP
TS 23.040): 153 of 160 septets, or 67 of 70 UTF-16 units. Neither an escaped character nor a surrogate pair is
cut in two.
"""

from dataclasses import dataclass
from unicodedata import combining, normalize

# GSM 03.38's basic alphabet in its own order; the escape (0x1B) is no character of a text.
GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these goes out as an escape and a second septet.
GSM_EXTENSION = "\f^{}\\[~]|€"

_SEPTETS = {**dict.fromkeys(GSM_BASIC, 1), **dict.fromkeys(GSM_EXTENSION, 2)}
ONE_PART = {"GSM-7": 160, "UCS-2": 70}
_EACH_PART = {"GSM-7": 153, "UCS-2": 67}
_ASTRAL_FROM = 0x10000

# Typography that says the same in the seven-bit alphabet: quotation marks, dashes, ellipsis, unusual spaces.
_PLAIN_TYPOGRAPHY = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u02bc": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
        "\u2026": "...", "\u2022": "-", "\u00b7": "-",
        "\u00a0": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "\t": " ",
        "\u200b": "", "\u200e": "", "\u200f": "", "\u2060": "", "\ufeff": "",
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SmsSize:
    """What a text costs: its encoding, its length in that encoding's units, and how many SMS carry it."""

    encoding: str  # "GSM-7" or "UCS-2"
    units: int  # septets, or UTF-16 code units
    segments: int


def size_of(text: str) -> SmsSize:
    """Return how a text travels as SMS; the empty text is one SMS, as networks count it."""
    encoding = "GSM-7" if all(character in _SEPTETS for character in text) else "UCS-2"
    widths = [_width(character, encoding) for character in text]
    units = sum(widths)
    if units <= ONE_PART[encoding]:
        return SmsSize(encoding, units, 1)
    return SmsSize(encoding, units, _parts(widths, _EACH_PART[encoding]))


def _width(character: str, encoding: str) -> int:
    if encoding == "GSM-7":
        return _SEPTETS[character]
    return 2 if ord(character) >= _ASTRAL_FROM else 1


def _parts(widths: list[int], room: int) -> int:
    """Return how many parts hold the characters, none of which may be cut in two."""
    parts, used = 1, 0
    for width in widths:
        if used + width > room:
            parts, used = parts + 1, 0
        used += width
    return parts


def plain_typography(text: str) -> str:
    """Return the text with the seven-bit alphabet's quotation marks, dashes and spaces. No letter changes."""
    return text.translate(_PLAIN_TYPOGRAPHY)


def fold(text: str) -> str:
    """Return our own words in the seven-bit alphabet: ``código`` becomes ``codigo``, ``é`` stays.

    For our own words only, never for a name: Zoë and José keep their letters, and the SMS takes the room it
    needs.
    """
    return "".join(_folded(character) for character in plain_typography(text))


def _folded(character: str) -> str:
    if character in _SEPTETS:
        return character
    bare = "".join(part for part in normalize("NFD", character) if not combining(part))
    return bare if bare and all(part in _SEPTETS for part in bare) else character


def shorten(text: str, characters: int) -> str:
    """Return the text cut at a word's end to at most so many characters, with three dots if it was cut."""
    if len(text) <= characters:
        return text
    kept = text[: max(characters - len("..."), 0)]
    if not text[len(kept)].isspace():
        kept = kept.rpartition(" ")[0] or kept
    return kept.rstrip(" ,;:.-") + "..." if kept else ""
