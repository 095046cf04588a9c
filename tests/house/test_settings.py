"""Every setting is written down where an operator looks, and nothing else is."""

import re

from incentives.kernel.settings import SETTINGS
from tests.house.texts import ROOT

_NAMES = {setting.name for setting in SETTINGS}


def test_the_example_environment_lists_exactly_the_settings_with_their_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    listed = dict(re.findall(r"^#?\s?(INCENTIVES_[A-Z0-9_]+)=(.*)$", text, flags=re.MULTILINE))
    assert set(listed) == _NAMES
    assert listed == {setting.name: setting.default for setting in SETTINGS}


def test_the_example_environment_counts_the_kinds_of_keys() -> None:
    text = (ROOT / ".env.example").read_text()
    count = [each.kind for each in SETTINGS].count("keys")
    assert f"prints the {('four', 'five', 'six')[count - 4]} keys" in text


def test_the_documents_name_exactly_the_settings() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert set(re.findall(r"INCENTIVES_[A-Z0-9_]+", text)) == _NAMES


def test_the_documents_explain_each_setting_as_the_code_does() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert [setting.name for setting in SETTINGS if setting.help not in text] == []
