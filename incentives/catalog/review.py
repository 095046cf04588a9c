"""A difference between two catalogs as people read it: grouped, in words, money with its currency, lists by members."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from babel.numbers import format_currency

from incentives.catalog.catalog import Catalog, Item
from incentives.catalog.difference import REORDERED, Change, FieldChange
from incentives.kernel.money import minor_digits

# What finance looks for first stands first.
SECTIONS: Mapping[str, str] = {
    "budget": "Budgets",
    "approval_limit": "Approval limits",
    "approval_policy": "Approval policies",
    "incentive": "Incentives",
    "protocol": "Protocols",
    "criterion": "Rules that act by themselves",
    "abuse_policy": "What is suspicious",
    "recovery_policy": "What holds for every recovery",
    "brand": "The brand",
    "location": "Locations",
    "team": "Teams",
    "segment": "Customer segments",
    "issue_tag": "Issue tags",
    "script": "Apology scripts",
    "root_cause": "Root causes",
    "source": "Sources of feedback",
    "metadata_field": "What requests may tell",
}
"""Each kind of items, as people call them, in the order in which a difference is read."""

_LOCALE = "en_US"  # the staff's pages and the command line are in one language
_NAMES = ("title", "label", "name")  # where an item says what people call it
_WORDS = {
    "amount_minor": "Amount",
    "cap_minor": "Cap",
    "cap_count": "Cap on how many",
    "per_voucher_minor": "Most per voucher",
    "per_day_minor": "Most per day",
    "per_day_count": "Most vouchers per day",
    "per_customer_minor": "Most per customer and month",
    "per_customer_count": "Most vouchers per customer and month",
    "min_amount_minor": "Least amount",
    "max_amount_minor": "Most amount",
    "max_discount_minor": "Most that it takes off",
    "accounting_cost_minor": "What it costs us",
    "min_order_minor": "Least order",
    "most_minor": "Most that may be given",
    "valid_days": "Good for (days)",
    "offerable_from_date": "Offered from",
    "offerable_until_date": "Offered until",
    "max_redemptions": "Can be used (times)",
    "break_glass_percent": "Emergency raise of the cap (%)",
    "on_expiry": "What expires goes",
    "of": "Of",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One field that changes: what people call it, and in words what it was and becomes; None is absent.

    Of a list ``added`` and ``removed`` name the members; then ``before`` and ``after`` are the whole of it.
    """

    path: str
    label: str
    before: str | None
    after: str | None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line for people: ``Cap: £1,000.00 → £1,500.00``."""
        if self.added or self.removed:
            parts = [*(f"+ {each}" for each in self.added), *(f"− {each}" for each in self.removed)]
            return f"{self.label}: {', '.join(parts)}"
        return f"{self.label}: {self.before or '(none)'} → {self.after or '(none)'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item that is added, removed or changed; of one that is removed nothing but its name is told."""

    action: str
    key: str
    name: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All that changes among the items of one kind."""

    item_kind: str
    words: str
    entries: tuple[Entry, ...] = field(default=())


def review(before: Catalog | None, after: Catalog, changes: tuple[Change, ...]) -> tuple[Section, ...]:
    """Return the changes from one catalog to another as people read them, what matters most first."""
    old = {(each.item_kind, each.key): each for each in before.items()} if before else {}
    new = {(each.item_kind, each.key): each for each in after.items()}
    found: dict[str, list[Entry]] = {kind: [] for kind in SECTIONS}
    for each in changes:
        name = (each.item_kind, each.key)
        found[each.item_kind].append(_entry(each, old.get(name), new.get(name)))
    return tuple(
        Section(item_kind=kind, words=SECTIONS[kind], entries=tuple(entries))
        for kind, entries in found.items()
        if entries
    )


def _entry(change: Change, old: Item | None, new: Item | None) -> Entry:
    if change.action == REORDERED:
        return Entry(action=change.action, key="", name="The order in which they are shown")
    item = new or old
    lines = tuple(_lines(change, old, new)) if new is not None else ()
    return Entry(action=change.action, key=change.key, name=_name(item) if item else change.key, lines=lines)


def _name(item: Item) -> str:
    words = next((getattr(item, name) for name in _NAMES if getattr(item, name, None)), None)
    if isinstance(words, Mapping):
        return str(words.get("en") or next(iter(words.values())))
    return str(words) if words else item.key


def _lines(change: Change, old: Item | None, new: Item | None) -> Iterator[Line]:
    for each in change.fields:
        if each.path not in ("key", "of_key"):
            yield _line(each, getattr(old, "currency", None), getattr(new, "currency", None))


def _line(each: FieldChange, old_currency: str | None, new_currency: str | None) -> Line:
    added, removed = _members(each.before, each.after)
    return Line(
        path=each.path,
        label=_label(each.path),
        before=_text(each.path, each.before, old_currency),
        after=_text(each.path, each.after, new_currency),
        added=added,
        removed=removed,
    )


def _members(before: Any, after: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which members a list gains and loses; nothing where one of the two is no plain list."""
    if not (isinstance(before, list) and isinstance(after, list)):
        return (), ()
    old, new = [_plain(each) for each in before], [_plain(each) for each in after]
    return tuple(each for each in new if each not in old), tuple(each for each in old if each not in new)


def _label(path: str) -> str:
    """Return what people call a field: ``title.en`` is “Title (en)”."""
    name, _, inside = path.partition(".")
    words = _WORDS.get(name) or name.removesuffix("_minor").replace("_", " ").capitalize()
    return f"{words} ({inside.replace('.', ', ')})" if inside else words


def _text(path: str, value: Any, currency: str | None) -> str | None:
    if value is None:
        return None
    parts = path.split(".")
    in_currency = parts[-1] if len(parts) > 1 and _of_money(parts[-2]) else currency
    if type(value) is int and in_currency and (_of_money(parts[-1]) or in_currency == parts[-1]):
        return money(value, in_currency)
    return _plain(value)


def _of_money(name: str) -> bool:
    return name.endswith(("_minor", "_minor_per_hour"))


def money(amount_minor: int, currency: str) -> str:
    """Return an amount as all pages of the staff say it, with exactly the currency's minor digits: ``£1,500.00``."""
    digits = minor_digits(currency)
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    value = Decimal(amount_minor).scaleb(-digits)
    return format_currency(value, currency, pattern, locale=_LOCALE, currency_digits=False)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "(none)"
    if isinstance(value, dict):
        return ", ".join(f"{str(name).replace('_', ' ')} {_plain(each)}" for name, each in value.items())
    return str(value)
