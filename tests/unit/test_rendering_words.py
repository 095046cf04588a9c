"""The languages: each says everything, with the same blanks to fill."""

from dataclasses import fields
from string import Formatter

import pytest

from channels.phrasing import speech_for
from channels.words import EN, LANGUAGES, Words, language_of, words_for

NAMES = [field.name for field in fields(Words)]
# The same in both by nature: nothing but a blank and punctuation, or a word that both languages share.
ALIKE: frozenset[str] = frozenset()


def blanks(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text)} - {None}


def test_there_are_two_languages() -> None:
    assert sorted(LANGUAGES) == ["en", "es"]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", NAMES)
def test_no_language_lacks_a_message_or_a_blank(language: str, name: str) -> None:
    text = getattr(LANGUAGES[language], name)
    assert text.strip()
    assert blanks(text) == blanks(getattr(EN, name))


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_nothing_was_left_in_english(language: str) -> None:
    same = {name for name in NAMES if getattr(LANGUAGES[language], name) == getattr(EN, name)}
    assert same == ALIKE


@pytest.mark.parametrize(
    ("locale", "language", "tag"),
    [
        ("en", "en", "en"),
        ("en-US", "en", "en-US"),
        ("en_GB", "en", "en-GB"),
        ("es-MX", "es", "es-MX"),
        ("ES-mx", "es", "es-MX"),
        ("es-419", "es", "es-419"),
        ("es-XX", "es", "es"),
        ("es-MX-x-nonsense", "es", "es"),
        ("spanish", "en", "en"),
        ("fr-FR", "en", "en"),
        ("zh-Hans-CN", "en", "en"),
        ("", "en", "en"),
        (None, "en", "en"),
        ("../../etc", "en", "en"),
        ("es/../en", "en", "en"),
        ("\x00", "en", "en"),
    ],
)
def test_which_language_a_locale_gets(locale: str | None, language: str, tag: str) -> None:
    speech = speech_for(locale)
    assert speech.words.language == language
    assert speech.words is words_for(locale)
    assert speech.tag == tag


def test_the_language_of_a_locale() -> None:
    assert [language_of(tag) for tag in ("es-MX", "ES", "en_US", "", None)] == ["es", "es", "en", "", ""]
