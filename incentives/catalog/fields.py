"""Reading the fields of one item of the catalog file.

Every reader returns a value of the right type even when the field is wrong, because all mistakes are to be
found in one pass; nothing that was read is used once a mistake was noted.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from incentives.catalog.international import (
    is_country,
    is_currency,
    is_email,
    is_language,
    is_time_zone,
    time_zones,
)
from incentives.catalog.metadata import MetadataField
from incentives.catalog.yaml_tree import Mistakes, Node, OddNumber
from incentives.kernel.money import AMOUNT_MINOR_MAX

NAME_LONGEST = 80

GROUP = "group:"
"""What stands before the name of a group where a file lists locations."""

_WORD_LONGEST = 1000
_EMAIL_LONGEST = 254
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# Also the marks that turn the direction of text: what a reviewer sees must be what customers get.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MONEY = "a whole number of the currency's smallest unit, such as 2500 for 25.00"


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that names another item; looked for when all items are known."""

    node: Node
    item_kind: str
    key: str


@dataclass(slots=True)
class Reading:
    """What one pass over the file gathers."""

    mistakes: Mistakes
    references: list[Reference] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)  # the locations of each group, in the file's order
    attributes: list[MetadataField] = field(default_factory=list)  # what may be told of customers


class Fields:
    """The fields of one mapping of the file."""

    def __init__(self, node: Node, reading: Reading) -> None:
        """Take a mapping's node; what is no mapping is a mistake and reads as an empty one."""
        self.node = node
        self.reading = reading
        self._entries: Mapping[str, Node] = node.value if isinstance(node.value, dict) else {}
        if not isinstance(node.value, dict):
            self.wrong(node, "There must be fields here, each as “name: value”.")

    def under(self, node: Node) -> "Fields":
        """Return the fields of a mapping that stands somewhere below."""
        return Fields(node, self.reading)

    def wrong(self, node: Node, message: str, *, under: str = "") -> None:
        """Note a mistake at a node, or at a field that is missing under it."""
        self.reading.mistakes.add(node, message, under=under)

    def has(self, name: str) -> bool:
        """Return whether a field is there and not empty."""
        return name in self._entries and self._entries[name].value is not None

    def at(self, name: str) -> Node:
        """Return where a field stands, or where its item begins."""
        return self._entries.get(name, self.node)

    def only(self, required: Iterable[str], optional: Iterable[str] = (), *, of: str = "this") -> None:
        """Note the required fields that are missing and the fields that do not belong to “of”."""
        if not isinstance(self.node.value, dict):
            return
        known = [*required, *optional]
        for name in self._entries:
            if name not in known:
                self.wrong(self._entries[name], f"“{name}” does not belong to {of}; {hint(name, known)}")
        for name in required:
            if not self.has(name):
                self.wrong(self.node, f"“{name}” is missing; add it.", under=name)

    # --- words --------------------------------------------------------------------------------------------

    def text(self, name: str, *, longest: int = NAME_LONGEST) -> str:
        """Return a text."""
        return self.maybe_text(name, longest=longest) or ""

    def maybe_text(self, name: str, *, longest: int = NAME_LONGEST) -> str | None:
        """Return a text, or None when the field is absent."""
        return self._text_of(self.at(name), longest) if self.has(name) else None

    def _text_of(self, node: Node, longest: int, *, paragraphs: bool = False) -> str | None:
        problem = _problem_of_text(node.value, longest)
        if problem is None:
            # Names and titles go into subjects and text messages: one line, however they are folded.
            return str(node.value).strip() if paragraphs else " ".join(str(node.value).split())
        self.wrong(node, problem)
        return None

    def key(self, name: str = "key") -> str:
        """Return a key: small letters, digits and dashes."""
        return self._checked(name, _is_key, _NOT_A_KEY) or ""

    def _checked(self, name: str, check: Callable[[str], bool], message: str) -> str | None:
        text = self.maybe_text(name, longest=_WORD_LONGEST)
        if text is not None and not check(text):
            self.wrong(self.at(name), f"“{text}” {message}")
        return text

    def choice(self, name: str, choices: Sequence[str], default: str = "") -> str:
        """Return one of a few words."""
        text = self.maybe_text(name, longest=_WORD_LONGEST)
        if text is not None and text not in choices:
            self.wrong(self.at(name), f"“{text}” is not possible here; {hint(text, choices)}")
        return text or default

    def words(
        self,
        name: str,
        languages: Sequence[str],
        *,
        longest: int,
        paragraphs: bool = False,
    ) -> dict[str, str]:
        """Return texts by language: every language of the brand, no other; one line each, or paragraphs."""
        if not self.has(name):
            return {}
        entries = self.entries(name)
        for language in entries:
            if languages and language not in languages:
                known = ", ".join(languages)
                self.wrong(entries[language], f"“{language}” is not a language of the brand; it has: {known}.")
        present = {language: node for language, node in entries.items() if node.value is not None}
        for language in languages:
            if entries and language not in present:
                self.wrong(self.at(name), f"The words in “{language}” are missing; add them.", under=language)
        texts = {language: self._text_of(node, longest, paragraphs=paragraphs) for language, node in present.items()}
        return {language: text or "" for language, text in texts.items()}

    def maybe_words(self, name: str, languages: Sequence[str], *, longest: int) -> dict[str, str] | None:
        """Return texts by language, or None when the field is absent."""
        return self.words(name, languages, longest=longest) if self.has(name) else None

    # --- numbers and flags --------------------------------------------------------------------------------

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        if not self.has(name):
            return default
        value = self.at(name).value
        if not isinstance(value, bool):
            self.wrong(self.at(name), "Write true or false.")
        return value is True

    def number(self, name: str, *, least: int, most: int) -> int:
        """Return a whole number."""
        found = self.maybe_number(name, least=least, most=most)
        return least if found is None else found

    def maybe_number(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number, or None when the field is absent."""
        what = f"a whole number from {least} to {most}, without quotes"
        return self._number_of(self.at(name), least, most, what) if self.has(name) else None

    def number_or(self, default: int, name: str, *, least: int, most: int) -> int:
        """Return a whole number, or the default when the field is absent."""
        found = self.maybe_number(name, least=least, most=most)
        return default if found is None else found

    def maybe_amount(self, name: str, *, least: int = 1) -> int | None:
        """Return an amount in whole minor units, or None when the field is absent."""
        return self._number_of(self.at(name), least, AMOUNT_MINOR_MAX, _MONEY) if self.has(name) else None

    def amounts_by_currency(self, name: str) -> dict[str, int]:
        """Return amounts by currency; an absent field is no amounts."""
        found = {}
        for currency, node in self.entries(name).items():
            if not is_currency(currency):
                self.wrong(node, f"“{currency}” {NOT_A_CURRENCY}")
            found[currency] = self._number_of(node, 1, AMOUNT_MINOR_MAX, _MONEY) or 0
        return found

    def _number_of(self, node: Node, least: int, most: int, what: str) -> int | None:
        value = node.value
        if type(value) is int and least <= value <= most:
            return value
        if type(value) is int:
            self.wrong(
                node,
                f"{value} is too {'small' if value < least else 'large'}; {least} to {most} is possible.",
            )
        else:
            self.wrong(node, f"This must be {what}; {_shown(value)} is not.")
        return None

    # --- lists, maps and other items ----------------------------------------------------------------------

    def choices(self, name: str, choices: Sequence[str]) -> tuple[str, ...]:
        """Return some of a few words, in the order in which they stand."""
        texts = self.texts(name)
        for text, node in texts.items():
            if text not in choices:
                self.wrong(node, f"“{text}” is not possible here; {hint(text, choices)}")
        return tuple(texts)

    def reference(self, name: str, item_kind: str) -> str | None:
        """Return the key of another item, or None when the field is absent."""
        text = self.maybe_text(name, longest=_WORD_LONGEST)
        if text is not None:
            self.refer(self.at(name), item_kind, text)
        return text

    def references(self, name: str, item_kind: str) -> tuple[str, ...]:
        """Return keys of other items, in order."""
        texts = self.texts(name)
        for text, node in texts.items():
            self.refer(node, item_kind, text)
        return tuple(texts)

    def locations(self, name: str) -> tuple[str, ...]:
        """Return keys of locations, in order, each once; ``group:name`` stands for all that are of the group."""
        found: dict[str, None] = {}
        for text, node in self.texts(name).items():
            group = text.removeprefix(GROUP)
            if group == text:
                self.refer(node, "location", text)
                found[text] = None
            elif group in self.reading.groups:
                found |= dict.fromkeys(self.reading.groups[group])
            else:
                known = list(self.reading.groups)
                why = hint(group, known) if known else "add it to the “groups” of locations."
                self.wrong(node, f"No location is of the group “{group}”; {why}")
        return tuple(found)

    def refer(self, node: Node, item_kind: str, key: str) -> None:
        """Note that another item is named at a node."""
        self.reading.references.append(Reference(node, item_kind, key))

    def keys(self, name: str) -> tuple[str, ...]:
        """Return keys that stand in a list by themselves."""
        texts = self.texts(name)
        for text, node in texts.items():
            if not _is_key(text):
                self.wrong(node, f"“{text}” {_NOT_A_KEY}")
        return tuple(texts)

    def items(self, name: str) -> list["Fields"]:
        """Return the fields of each item of a section; an absent or empty section has none."""
        if not self.has(name) or self.at(name).value == []:
            return []
        return [Fields(node, self.reading) for node in self._items(name)]

    def inside(self, name: str) -> "Fields":
        """Return the fields of a mapping inside this one; an absent one has none."""
        node = self.at(name)
        return Fields(node if self.entries(name) else Node({}, node.line, node.path), self.reading)

    def languages(self, name: str) -> tuple[str, ...]:
        """Return BCP 47 languages; none when one is wrong, or all words in the file would seem wrong too."""
        texts = self.texts(name)
        wrong = [text for text in texts if not is_language(text)]
        for text in wrong:
            self.wrong(texts[text], f"“{text}” is not a language; write it as en, es or pt-BR.")
        return () if wrong else tuple(texts)

    def texts(self, name: str, *, longest: int = _WORD_LONGEST) -> dict[str, Node]:
        """Return the texts of a list with their places; one that stands there twice is a mistake."""
        return self.texts_of(self._items(name), longest=longest)

    def texts_of(self, nodes: Iterable[Node], *, longest: int) -> dict[str, Node]:
        """Return the texts at some nodes with their places; one that is there twice is a mistake."""
        found: dict[str, Node] = {}
        for node in nodes:
            text = self._text_of(node, longest)
            if text in found:
                self.wrong(node, f"“{text}” stands here twice; keep one of the two.")
            elif text:
                found[text] = node
        return found

    def _items(self, name: str) -> list[Node]:
        value = self.at(name).value if self.has(name) else []
        if isinstance(value, list) and (value or not self.has(name)):
            return value
        self.wrong(self.at(name), "This must be a list with at least one entry, such as [one, two].")
        return []

    def entries(self, name: str) -> dict[str, Node]:
        """Return the entries of a mapping whose names are the writer's own; an absent one has none."""
        value = self.at(name).value if self.has(name) else {}
        if isinstance(value, dict) and (value or not self.has(name)):
            return value
        self.wrong(self.at(name), "There must be entries here, each as “name: value”.")
        return {}

    # --- what the world knows -----------------------------------------------------------------------------

    def date(self, name: str) -> date | None:
        """Return a calendar date, or None when the field is absent."""
        text = self._checked(name, _is_date, "is not a date; write it as 2026-12-31.")
        return date.fromisoformat(text) if text and _is_date(text) else None

    def currency(self, name: str = "currency") -> str | None:
        """Return an ISO 4217 currency, or None when the field is absent."""
        return self._checked(name, is_currency, NOT_A_CURRENCY)

    def time(self, name: str) -> str | None:
        """Return a local time of day, ``HH:MM``, or None when the field is absent."""
        return self.time_of(self.at(name)) if self.has(name) else None

    def time_of(self, node: Node, *, or_else: str | None = None) -> str | None:
        """Return the local time of day at a node, ``HH:MM`` or one other text."""
        text = self._text_of(node, _WORD_LONGEST)
        if text is not None and text != or_else and not _TIME.fullmatch(text):
            self.wrong(node, f"“{text}” is not a time of day; write it as 08:30.")
            return None
        return text

    def country(self, name: str = "country") -> str:
        """Return an ISO 3166 country."""
        return self._checked(name, is_country, "is not a country of ISO 3166; write two letters, such as GB.") or ""

    def email(self, name: str) -> str | None:
        """Return an email address in small letters, or None when the field is absent."""
        text = self.maybe_text(name, longest=_EMAIL_LONGEST)
        if text is not None and not is_email(text):
            self.wrong(self.at(name), f"“{text}” is not an email address.")
        return text.lower() if text else None

    def time_zone(self, name: str = "time_zone") -> str | None:
        """Return an IANA time zone, or None when the field is absent."""
        text = self.maybe_text(name)
        if text is not None and not is_time_zone(text):
            guess = difflib.get_close_matches(text, sorted(time_zones()), 1)
            how = f"did you mean {guess[0]}?" if guess else "write it as Europe/London."
            self.wrong(self.at(name), f"“{text}” is not a time zone; {how}")
        return text


_NOT_A_KEY = "cannot be a key; use 1 to 63 small letters, digits and dashes."
NOT_A_CURRENCY = "is not a currency of ISO 4217; write three capital letters, such as EUR."


def _problem_of_text(value: object, longest: int) -> str | None:
    if isinstance(value, OddNumber) or not isinstance(value, str):
        return f"This must be text; {_shown(value)} is not. Put it in quotes if it is what you mean."
    text = value.strip()
    if not text:
        return "This is empty; write it, or leave the field out."
    if len(text) > longest:
        return f"This has {len(text)} characters; {longest} is the most."
    if _UNPRINTABLE.search(text):
        return "This has a character that cannot be seen; write it again by hand."
    return None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a group of fields"
    return "nothing" if value is None else f"{value}" if isinstance(value, (int, OddNumber)) else f"the text “{value}”"


def hint(word: str, known: Sequence[str]) -> str:
    """Return what might be meant by a word that is not among those known."""
    few = known[:200]  # A guess compares with each of them, letter by letter.
    guess = difflib.get_close_matches(word, few, 1)
    more = ", …" if len(known) > len(few) else ""
    return f"did you mean “{guess[0]}”?" if guess else f"it can be: {', '.join(few)}{more}."


def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def _is_date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False
