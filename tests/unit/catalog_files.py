"""A small catalog in which every kind of item stands once, and ways to break it."""

from typing import Any

import pytest

from incentives.catalog.document import parse
from incentives.kernel.errors import CatalogInvalid

SMALL = """\
brand:
  name: Meridian
  languages: [en, es]
  default_language: en
  time_zone: Europe/London
  currency: GBP
  support_email: Care@Example.com
locations:
  - {key: london, name: London, time_zone: Europe/London, currency: GBP, country: GB}
  - {key: new-york, name: New York, time_zone: America/New_York, currency: USD, country: US}
teams:
  - {key: gates, name: Gates, location: london}
segments: [gold]
issue_tags:
  - {key: flight, label: {en: Flight, es: Vuelo}, icon: plane, severity: 2}
  - {key: late, parent: flight, label: {en: Late, es: Tarde}, icon: clock, severity: 3}
  - {key: very-late, parent: late, label: {en: Very late, es: Muy tarde}, icon: clock, severity: 4}
  - {key: gone, label: {en: Gone, es: Ido}, icon: other, severity: 1, active: false}
scripts:
  - key: sorry
    text:
      en: "Dear {customer_name}, {brand} is sorry."
      es: "{brand} lo siente, {customer_name}."
incentives:
  - key: off
    kind: amount_off
    title: {en: Ten off, es: Diez menos}
    terms: {en: One use., es: Un uso.}
    currency: GBP
    valid_days: 30
    amount_minor: 1000
    min_amount_minor: 500
    max_amount_minor: 5000
    remainder: new_voucher
  - key: percent
    kind: percent_off
    title: {en: A tenth off, es: Un décimo menos}
    terms: {en: One use., es: Un uso.}
    currency: GBP
    valid_days: 30
    percent: 10
    max_discount_minor: 2000
  - key: meal
    kind: free_item
    title: {en: A meal, es: Una comida}
    terms: {en: Today., es: Hoy.}
    currency: USD
    valid_days: 1
    item: {en: A meal, es: Una comida}
    accounting_cost_minor: 1500
    locations: [new-york]
    offerable_from_date: 2026-11-01
    offerable_until_date: 2026-11-30
  - {key: words, kind: apology_only, title: {en: Our apology, es: Nuestra disculpa}}
protocols:
  - key: everything
    issue_tag: "*"
    script: sorry
    steps: [apologize, document]
    incentives: [words, off, percent, meal]
    default: words
  - key: late
    issue_tag: late
    script: sorry
    steps: [apologize, review, fix, follow_up, document]
    incentives: [off, words]
    default: off
    most_minor: {GBP: 4000}
budgets:
  - {key: all, name: All, scope: organization, currency: GBP, period: month, cap_minor: 100000}
  - {key: each-team, name: Each team, scope: team, period: week, week_start: sunday, cap_count: 10}
approval_limits:
  - {role: frontline, currency: GBP, per_voucher_minor: 2000, per_day_minor: 9000}
  - {person: Ana@Example.com, currency: GBP, unlimited: true}
"""


def changed(old: str, new: str, text: str = SMALL) -> str:
    """Return a catalog in which one place reads otherwise."""
    assert text.count(old) == 1, f"{old!r} must stand in the catalog exactly once"
    return text.replace(old, new)


def added(section: str, item: str, text: str = SMALL) -> str:
    """Return a catalog with one more item at the head of a section; ``item`` is written in flow style."""
    return changed(f"\n{section}:\n", f"\n{section}:\n  - {item}\n", text)


def mistakes(text: str | bytes) -> list[dict[str, Any]]:
    """Return what a broken catalog is told: line, path and message of every mistake."""
    with pytest.raises(CatalogInvalid) as refused:
        parse(text)
    errors: list[dict[str, Any]] = refused.value.facts["errors"]
    return errors


def line_of(text: str, part: str) -> int:
    """Return the number of the one line that has a part."""
    lines = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    assert len(lines) == 1, f"{part!r} must stand in one line, not in {lines}"
    return lines[0]
