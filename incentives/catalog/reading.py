"""Each section of the catalog file: which fields its items have, and what they may hold."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from incentives.catalog import scripts
from incentives.catalog.definitions import (
    EVERYTHING,
    ApprovalLimit,
    Brand,
    BudgetRule,
    IssueTag,
    Location,
    Protocol,
    Script,
    Team,
)
from incentives.catalog.fields import Fields
from incentives.catalog.incentive import (
    END_OF_LOCAL_DAY,
    FIELDS_OF_KIND,
    FORFEIT,
    INSTANT,
    NEW_VOUCHER,
    Incentive,
)
from incentives.catalog.international import is_email
from incentives.catalog.reading_recovery import RECOVERY_FIELDS, read_aliases, read_hours, read_words, recovery_fields
from incentives.kernel.actors import Role
from incentives.kernel.business_hours import WEEKDAYS
from incentives.kernel.periods import PeriodKind

ICONS = (
    "bag", "bed", "box", "card", "chat", "clean", "clock", "door",
    "food", "noise", "other", "person", "plane", "seat", "tools", "wifi",
)  # fmt: skip
"""The pictures that an issue tag may have; the staff pages draw each of them."""

STEPS = ("apologize", "review", "fix", "follow_up", "document", "gather", "resolve", "survey")
SCOPES = ("organization", "location", "team", "agent", "issue_tag", "incentive", "customer")
SEVERITY_GRAVEST = 4
VALID_DAYS_MOST = 3650

_TITLE_LONGEST = 60
_TERMS_LONGEST = 500
_SCRIPT_LONGEST = 1000
_OPEN_CASES_MOST = 1000
_COUNT_MOST = 1_000_000_000
_POINTS_MOST = 100_000_000
_ITEM_SCOPES = ("location", "team", "issue_tag", "incentive")


def read_brand(fields: Fields) -> Brand:
    """Read the brand."""
    required = ("name", "languages", "default_language", "time_zone", "currency")
    fields.only(required, ("support_email", "hours"), of="the brand")
    languages = fields.languages("languages")
    return Brand(
        name=fields.text("name"),
        languages=languages,
        default_language=fields.choice("default_language", languages) if languages else "",
        time_zone=fields.time_zone() or "UTC",
        currency=fields.currency() or "",
        support_email=fields.email("support_email"),
        hours=read_hours(fields),
    )


def read_location(fields: Fields, _brand: Brand) -> Location:
    """Read a location."""
    fields.only(("key", "name", "time_zone", "currency", "country"), ("hours",), of="a location")
    return Location(
        key=fields.key(),
        name=fields.text("name"),
        time_zone=fields.time_zone() or "UTC",
        currency=fields.currency() or "",
        country=fields.country(),
        hours=read_hours(fields),
    )


def read_team(fields: Fields, _brand: Brand) -> Team:
    """Read a team."""
    fields.only(("key", "name"), ("location", "skills", "most_open_cases"), of="a team")
    return Team(
        key=fields.key(),
        name=fields.text("name"),
        location=fields.reference("location", "location"),
        skills=fields.references("skills", "issue_tag"),
        most_open_cases=fields.maybe_number("most_open_cases", least=1, most=_OPEN_CASES_MOST),
    )


def read_issue_tag(fields: Fields, brand: Brand) -> IssueTag:
    """Read an issue tag."""
    fields.only(("key", "label", "icon", "severity"), ("parent", "active", "aliases", "words"), of="an issue tag")
    return IssueTag(
        key=fields.key(),
        label=fields.words("label", brand.languages, longest=40),
        icon=fields.choice("icon", ICONS),
        severity=fields.number("severity", least=1, most=SEVERITY_GRAVEST),
        parent=fields.reference("parent", "issue_tag"),
        active=fields.flag("active", default=True),
        aliases=read_aliases(fields),
        words=read_words(fields, "words"),
    )


def read_script(fields: Fields, brand: Brand) -> Script:
    """Read an apology script, and look at its placeholders in every language."""
    fields.only(("key", "text"), of="a script")
    text = fields.words("text", brand.languages, longest=_SCRIPT_LONGEST, paragraphs=True)
    for language, words in text.items():
        for mistake in scripts.mistakes_in(words):
            fields.wrong(fields.at("text").value[language], mistake)
    return Script(key=fields.key(), text=text)


def read_incentive(fields: Fields, brand: Brand) -> Incentive:
    """Read an incentive; its kind says which fields it must have, and it has no others."""
    kind = fields.choice("kind", tuple(FIELDS_OF_KIND))
    if kind in FIELDS_OF_KIND:
        has = FIELDS_OF_KIND[kind]
        fields.only(has.required, has.optional, of=f"an incentive of kind {kind}")
    else:
        every = [name for has in FIELDS_OF_KIND.values() for name in (*has.required, *has.optional)]
        fields.only(("key", "kind", "title"), dict.fromkeys(every), of="an incentive")
    incentive = Incentive(
        key=fields.key(),
        kind=kind,
        title=fields.words("title", brand.languages, longest=_TITLE_LONGEST),
        active=fields.flag("active", default=True),
        locations=fields.references("locations", "location"),
        offerable_from_date=fields.date("offerable_from_date"),
        offerable_until_date=fields.date("offerable_until_date"),
    )
    incentive = replace(incentive, **_voucher_fields(fields, brand), **_value_fields(fields, brand))
    _check_dates(fields, incentive)
    _check_range(fields, incentive)
    return incentive


def _voucher_fields(fields: Fields, brand: Brand) -> dict[str, Any]:
    return {
        "terms": fields.maybe_words("terms", brand.languages, longest=_TERMS_LONGEST),
        "currency": fields.currency(),
        "valid_days": fields.maybe_number("valid_days", least=1, most=VALID_DAYS_MOST),
        "expiry": fields.choice("expiry", (END_OF_LOCAL_DAY, INSTANT), END_OF_LOCAL_DAY),
        "remainder": fields.choice("remainder", (FORFEIT, NEW_VOUCHER), FORFEIT),
    }


def _value_fields(fields: Fields, brand: Brand) -> dict[str, Any]:
    return {
        "amount_minor": fields.maybe_amount("amount_minor"),
        "min_amount_minor": fields.maybe_amount("min_amount_minor"),
        "max_amount_minor": fields.maybe_amount("max_amount_minor"),
        "percent": fields.maybe_number("percent", least=1, most=100),
        "max_discount_minor": fields.maybe_amount("max_discount_minor"),
        "item": fields.maybe_words("item", brand.languages, longest=_TITLE_LONGEST),
        "points": fields.maybe_number("points", least=1, most=_POINTS_MOST),
        "accounting_cost_minor": fields.maybe_amount("accounting_cost_minor", least=0),
    }


def _check_dates(fields: Fields, incentive: Incentive) -> None:
    first, last = incentive.offerable_from_date, incentive.offerable_until_date
    if first and last and last < first:
        fields.wrong(fields.at("offerable_until_date"), f"This is before the first day ({first}); put them in order.")


def _check_range(fields: Fields, incentive: Incentive) -> None:
    if incentive.kind not in FIELDS_OF_KIND or "min_amount_minor" not in FIELDS_OF_KIND[incentive.kind].optional:
        return
    has_least, has_most = fields.has("min_amount_minor"), fields.has("max_amount_minor")
    if has_least != has_most:
        there = "min_amount_minor" if has_least else "max_amount_minor"
        fields.wrong(fields.at(there), "Give both min_amount_minor and max_amount_minor, or neither.")
    bounds, amount = incentive.amount_bounds, incentive.amount_minor
    if bounds is None or amount is None:
        return
    if not bounds[0] <= amount <= bounds[1]:
        fields.wrong(fields.at("amount_minor"), f"{amount} is not between the bounds {bounds[0]} and {bounds[1]}.")


def read_protocol(fields: Fields, brand: Brand) -> Protocol:
    """Read a protocol."""
    fields.only(
        ("key", "issue_tag", "script", "steps", "incentives", "default"),
        ("severity", "location", "segment", "most_minor", *RECOVERY_FIELDS),
        of="a protocol",
    )
    everything = fields.at("issue_tag").value == EVERYTHING
    steps = fields.choices("steps", STEPS)
    protocol = Protocol(
        key=fields.key(),
        issue_tag=EVERYTHING if everything else fields.reference("issue_tag", "issue_tag") or "",
        severity=fields.maybe_number("severity", least=1, most=SEVERITY_GRAVEST),
        location=fields.reference("location", "location"),
        segment=fields.reference("segment", "segment"),
        script=fields.reference("script", "script") or "",
        steps=steps,
        incentives=fields.references("incentives", "incentive"),
        default=fields.maybe_text("default", longest=1000) or "",
        most_minor=fields.amounts_by_currency("most_minor"),
        **recovery_fields(fields, brand, steps),
    )
    if protocol.default and protocol.incentives and protocol.default not in protocol.incentives:
        fields.wrong(
            fields.at("default"),
            f"“{protocol.default}” is not among this protocol's incentives; add it there.",
        )
    return protocol


def read_budget(fields: Fields, brand: Brand) -> BudgetRule:
    """Read a budget. Its zone is written out, so that moving the brand's shows as a change of the budget."""
    fields.only(
        ("key", "name", "scope", "period"),
        ("of", "currency", "time_zone", "week_start", "cap_minor", "cap_count", "on_expiry"),
        of="a budget",
    )
    scope = fields.choice("scope", SCOPES)
    rule = BudgetRule(
        key=fields.key(),
        name=fields.text("name"),
        scope=scope,
        of=_budget_of(fields, scope),
        currency=fields.currency(),
        period=fields.choice("period", tuple(PeriodKind)),
        time_zone=fields.time_zone() or brand.time_zone,
        week_start=fields.choice("week_start", WEEKDAYS, "monday"),
        cap_minor=fields.maybe_amount("cap_minor", least=0),
        cap_count=fields.maybe_number("cap_count", least=0, most=_COUNT_MOST),
        on_expiry=fields.choice("on_expiry", ("release", "keep"), "release"),
    )
    _check_budget(fields, rule)
    return rule


def _budget_of(fields: Fields, scope: str) -> str | None:
    if scope in _ITEM_SCOPES:
        return fields.reference("of", scope)
    of = fields.maybe_text("of", longest=254)
    if of is None or not scope:
        return of
    if scope == "organization":
        fields.wrong(fields.at("of"), "There is one organization; leave “of” out.")
    elif scope == "agent" and not is_email(of):
        fields.wrong(fields.at("of"), f"“{of}” is not an email address; an agent goes by theirs.")
    elif scope == "customer" and not _is_uuid(of):
        fields.wrong(fields.at("of"), "A customer goes by their id; leave “of” out to cap every customer.")
    return of.lower()


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _check_budget(fields: Fields, rule: BudgetRule) -> None:
    if not fields.has("cap_minor") and not fields.has("cap_count"):
        fields.wrong(fields.node, "A budget needs a cap: add “cap_minor” (money), “cap_count” (issuances), or both.")
    if fields.has("cap_minor") and not fields.has("currency"):
        fields.wrong(fields.node, "A cap in money needs a currency; add it.", under="currency")
    if fields.has("week_start") and rule.period != PeriodKind.WEEK:
        fields.wrong(fields.at("week_start"), "Only a budget with the period “week” has a first day; leave it out.")


_LIMIT_MONEY = ("per_voucher_minor", "per_day_minor", "per_customer_minor")
_LIMIT_COUNTS = ("per_day_count", "per_customer_count")


def read_approval_limit(fields: Fields, _brand: Brand) -> ApprovalLimit:
    """Read an approval limit of a role or a person."""
    fields.only(("currency",), ("role", "person", "unlimited", *_LIMIT_MONEY, *_LIMIT_COUNTS), of="an approval limit")
    amounts = {name: fields.maybe_amount(name, least=0) for name in _LIMIT_MONEY}
    counts = {name: fields.maybe_number(name, least=0, most=_COUNT_MOST) for name in _LIMIT_COUNTS}
    limit = ApprovalLimit(
        currency=fields.currency() or "",
        role=fields.choice("role", tuple(Role)) or None,
        person=fields.email("person"),
        unlimited=fields.flag("unlimited", default=False),
        **amounts,
        **counts,
    )
    _check_limit(fields, limit)
    return limit


def _check_limit(fields: Fields, limit: ApprovalLimit) -> None:
    if fields.has("role") == fields.has("person"):
        fields.wrong(fields.node, "A limit is for a role or for a person: give exactly one of the two.", under="role")
    numbers = [name for name in (*_LIMIT_MONEY, *_LIMIT_COUNTS) if fields.has(name)]
    for name in numbers if limit.unlimited else ():
        fields.wrong(fields.at(name), "This limit says “unlimited: true”; leave the numbers out, or that.")
    if not limit.unlimited and not fields.has("per_voucher_minor"):
        why = "“per_voucher_minor” is missing; add it, or write “unlimited: true”."
        fields.wrong(fields.node, why, under="per_voucher_minor")
