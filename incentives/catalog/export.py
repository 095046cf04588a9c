"""A catalog written back as one YAML file, from which ``document.parse`` makes the very same catalog again."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from incentives.catalog.catalog import Catalog, Item

_SECTIONS: Mapping[str, str] = {
    "location": "locations",
    "team": "teams",
    "segment": "segments",
    "issue_tag": "issue_tags",
    "script": "scripts",
    "incentive": "incentives",
    "protocol": "protocols",
    "budget": "budgets",
    "approval_limit": "approval_limits",
    "root_cause": "root_causes",
    "recovery_policy": "recovery",
    "source": "sources",
    "criterion": "criteria",
    "approval_policy": "approval_policies",
    "abuse_policy": "abuse",
    "metadata_field": "metadata_fields",
}
_SINGLE = ("recovery_policy", "abuse_policy")
_WIDTH = 4096  # lines are not folded: what a difference tool compares is a field


def to_yaml(catalog: Catalog) -> str:
    """Return a catalog as the text of a file. Groups of locations are written out; everything means the same."""
    document: dict[str, Any] = {"brand": _written(catalog.brand)}
    for item in catalog.items():
        if item.item_kind == "brand":
            continue
        section = _SECTIONS[item.item_kind]
        if item.item_kind in _SINGLE:
            document[section] = _written(item)
        elif item.item_kind == "segment":
            document.setdefault(section, []).append(_quoted(item.key))
        else:
            document.setdefault(section, []).append(_written(item))
    yaml = YAML(typ="rt", pure=True)
    yaml.width = _WIDTH
    yaml.allow_unicode = True
    yaml.representer.ignore_aliases = lambda _data: True
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def _written(item: Item) -> dict[str, Any]:
    return {name: _quoted(value) for name, value in item.definition().items()}


def _quoted(value: Any) -> Any:
    """Return a value with its texts in quotes: ``no``, ``2026-12-31`` and ``08:30`` must stay the texts they are."""
    if isinstance(value, str):
        return DoubleQuotedScalarString(value)
    if isinstance(value, list):
        return [_quoted(each) for each in value]
    if not isinstance(value, dict):
        return value
    # Keys are texts too: a currency or a language may be spelled as YAML spells a truth value (NO, on). A list of
    # nothing is left out, as people do.
    return {_quoted(name): _quoted(each) for name, each in value.items() if each != []}
