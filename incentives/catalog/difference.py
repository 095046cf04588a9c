"""What a proposed catalog changes, item by item and field by field, and what in it deserves a second look."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from incentives.catalog.catalog import Catalog, Item
from incentives.catalog.definitions import EVERYTHING, OUR_SOURCES
from incentives.kernel.actors import Role

ADDED = "added"
REMOVED = "removed"
CHANGED = "changed"
REORDERED = "reordered"

_GIVERS = (Role.FRONTLINE, Role.SUPERVISOR, Role.MANAGER)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of an item: its path (``title.en``), what it was and what it becomes; None is absent."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return one line for people: ``amount_minor: 2500 → 3000``."""
        return f"{self.path}: {_shown(self.before)} → {_shown(self.after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One item that is added, removed or changed; or a whole kind whose items only change places (no key)."""

    action: str
    item_kind: str
    key: str
    fields: tuple[FieldChange, ...] = ()

    def __str__(self) -> str:
        """Return lines for people: the item, and when it changes each field that does."""
        head = f"{self.action} {self.item_kind.replace('_', ' ')} {self.key}".rstrip()
        lines = [f"    {each}" for each in self.fields] if self.action == CHANGED else []
        return "\n".join([head, *lines])


def _shown(value: object) -> str:
    return "(none)" if value is None else json.dumps(value, ensure_ascii=False)


def difference(before: Catalog | None, after: Catalog) -> tuple[Change, ...]:
    """Return every change from the approved catalog (None: there is none yet) to a proposed one."""
    old = _by_name(before)
    new = _by_name(after)
    changes = [_change(old.get(name), item) for name, item in new.items() if not _same(old.get(name), item)]
    changes += [_removal(item) for name, item in old.items() if name not in new]
    return (*changes, *_reordered(list(old), list(new)))


def _by_name(catalog: Catalog | None) -> dict[tuple[str, str], Item]:
    return {(item.item_kind, item.key): item for item in catalog.items()} if catalog else {}


def _same(old: Item | None, new: Item) -> bool:
    return old is not None and old.digest == new.digest


def _change(old: Item | None, new: Item) -> Change:
    fields = tuple(_field_changes(old.definition() if old else {}, new.definition()))
    return Change(action=CHANGED if old else ADDED, item_kind=new.item_kind, key=new.key, fields=fields)


def _removal(old: Item) -> Change:
    fields = tuple(_field_changes(old.definition(), {}))
    return Change(action=REMOVED, item_kind=old.item_kind, key=old.key, fields=fields)


def _field_changes(old: Mapping[str, Any], new: Mapping[str, Any], under: str = "") -> Iterator[FieldChange]:
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if all(each is None or isinstance(each, dict) for each in (before, after)):
            yield from _field_changes(before or {}, after or {}, f"{under}{name}.")
        else:
            yield FieldChange(f"{under}{name}", before, after)


def _reordered(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> Iterator[Change]:
    stayed = set(old) & set(new)
    for kind in dict.fromkeys(kind for kind, _ in new):
        places_before = [name for name in old if name[0] == kind and name in stayed]
        places_after = [name for name in new if name[0] == kind and name in stayed]
        if places_before != places_after:
            yield Change(action=REORDERED, item_kind=kind, key="")


def warnings_of(catalog: Catalog) -> tuple[str, ...]:
    """Return what is allowed but probably not meant, in plain words."""
    return (
        *_unfunded(catalog), *_uncovered(catalog), *_unreachable(catalog),
        *_inactive_defaults(catalog), *_without_limits(catalog), *_without_aliases(catalog), *_misspelled(catalog),
    )  # fmt: skip


def _currencies(catalog: Catalog) -> dict[str, None]:
    return dict.fromkeys(each.currency for each in catalog.incentives.values() if each.currency)


def _unfunded(catalog: Catalog) -> Iterator[str]:
    rules = catalog.budgets.values()
    funded = {each.currency for each in rules if each.scope == "organization" and each.cap_minor is not None}
    for currency in _currencies(catalog):
        if currency not in funded:
            yield (
                f"No organization-wide budget holds money in {currency}: nothing in it could be issued. "
                f"Add a budget with scope organization, currency {currency} and cap_minor."
            )


def _uncovered(catalog: Catalog) -> Iterator[str]:
    open_to_all = (None, None, None)
    protocols = catalog.protocols.values()
    covered = {each.issue_tag for each in protocols if (each.severity, each.location, each.segment) == open_to_all}
    if EVERYTHING in covered:
        return
    for tag in catalog.issue_tags.values():
        if tag.active and not covered & set(catalog.lineage(tag.key)):
            yield f"No protocol always covers the issue tag “{tag.key}”. Add one, or one for everything."


def _unreachable(catalog: Catalog) -> Iterator[str]:
    offered = {key for protocol in catalog.protocols.values() for key in protocol.incentives}
    for key in catalog.incentives:
        if key not in offered:
            yield f"No protocol allows the incentive “{key}”: it can never be offered. Add it to a protocol."
    used = {protocol.script for protocol in catalog.protocols.values()}
    for key in catalog.scripts:
        if key not in used:
            yield f"No protocol uses the script “{key}”. Name it in a protocol, or take it out."


def _inactive_defaults(catalog: Catalog) -> Iterator[str]:
    for protocol in catalog.protocols.values():
        if not catalog.incentives[protocol.default].active:
            yield f"The default of the protocol “{protocol.key}” is not active. Choose another one."


def _without_limits(catalog: Catalog) -> Iterator[str]:
    for currency in _currencies(catalog):
        for role in _GIVERS:
            if catalog.approval_limit(role=role, email=None, currency=currency) is None:
                yield (
                    f"The role {role} has no approval limit in {currency}: all they give needs an approval. "
                    "Add a limit if that is not meant."
                )


def _without_aliases(catalog: Catalog) -> Iterator[str]:
    aliases = {name for tag in catalog.issue_tags.values() for name in tag.aliases}
    known = aliases | {name.partition(":")[0] for name in aliases}
    for source in catalog.sources.values():
        name = source.tag_source or source.key
        if "issue_tags" in source.fields and "issue_tags" not in source.values and name not in known:
            yield (
                f"No issue tag has an alias for “{name}”: all that the source “{source.key}” reports stays untagged. "
                f"Add aliases, such as {{{name}: [late]}}, to the issue tags."
            )


def _misspelled(catalog: Catalog) -> Iterator[str]:
    # A program may send its feedback without being a source of the catalog, so that only what looks much like one that
    # is known is told.
    known = (*catalog.sources, *OUR_SOURCES)
    for criterion in catalog.criteria.values():
        for name in criterion.when.get("sources", ()):
            guess = difflib.get_close_matches(name, known, 1)
            if name not in known and guess:
                yield f"The criterion “{criterion.key}” waits for the source “{name}”; did you mean “{guess[0]}”?"
