"""The catalog may set what the safeguards count, by the same names, and people have words for all of it."""

from admin.safeguards import SCOPES
from admin.words import RULES_ASK
from incentives.catalog import reading_safeguards
from incentives.safeguards import signals
from incentives.safeguards.tables import SWITCH_SCOPES


def test_the_catalog_names_the_signals_that_there_are() -> None:
    """Concepts do not know each other, so that a signal has its name in two places."""
    assert set(reading_safeguards.SIGNALS) == set(signals.NAMES)
    assert set(reading_safeguards.ACTIONS) == set(signals.ACTIONS)


def test_every_signal_has_words() -> None:
    """For a review, and for whoever is asked to agree."""
    assert set(signals.NAMES) < set(signals.WORDS)
    asked = {each.name for each in signals.TABLE if each.at == signals.ISSUING} | {signals.REVIEWED}
    assert {f"abuse:{name}" for name in asked} <= set(RULES_ASK)


def test_only_two_signals_are_on_by_default() -> None:
    """What is normal differs from house to house: nothing else disturbs normal work."""
    assert {each.name for each in signals.TABLE if each.count} == {signals.SELF_DEALING, signals.UNKNOWN_CODES}


def test_every_scope_of_a_switch_has_a_word() -> None:
    """On the page too."""

    assert set(SCOPES) == set(SWITCH_SCOPES)
