"""In which languages the catalog speaks: how much there is in each, what is missing, what looks untranslated."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from incentives.catalog.catalog import Catalog

_WORDS = ("label", "title", "terms", "item", "text", "guidance", "offer_when_message", "redeem_when_message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One language: how many texts there are in it of how many, which are missing, and which are as in the default.

    A place is an item and its field: ``incentive late-20: title``. The same words in two languages are seldom meant.
    """

    language: str
    required: bool
    present: int
    total: int
    missing: tuple[str, ...]
    same_as_default: tuple[str, ...]


def coverage(catalog: Catalog) -> tuple[Coverage, ...]:
    """Return each language of the brand, and each that stands anywhere beside them."""
    texts = list(_texts(catalog))
    spoken = dict.fromkeys((*catalog.brand.languages, *(language for _, words in texts for language in words)))
    return tuple(_of(language, texts, catalog) for language in spoken)


def _texts(catalog: Catalog) -> Iterator[tuple[str, Mapping[str, str]]]:
    for item in catalog.items():
        for name in _WORDS:
            words = getattr(item, name, None)
            if isinstance(words, Mapping) and words:
                yield f"{item.item_kind.replace('_', ' ')} {item.key}: {name.replace('_', ' ')}", words


def _of(language: str, texts: list[tuple[str, Mapping[str, str]]], catalog: Catalog) -> Coverage:
    default = catalog.brand.default_language
    return Coverage(
        language=language,
        required=language in catalog.brand.languages,
        present=sum(bool(words.get(language)) for _, words in texts),
        total=len(texts),
        missing=tuple(place for place, words in texts if not words.get(language)),
        same_as_default=tuple(
            place for place, words in texts if language != default and words.get(language) == words.get(default)
        ),
    )
