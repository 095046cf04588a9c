"""Each section of the catalog file: which fields its items have, and what they may hold."""

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
BASES = ("face", "expected", "redemption")
ROLLOVERS = ("none", "carry_over")
SEVERITY_GRAVEST = 4

_SCRIPT_LONGEST = 1000
_OPEN_CASES_MOST = 1000
_COUNT_MOST = 1_000_000_000
_UNDO_MOST_SECONDS = 3600
_MAYBE_OF_A_BUDGET = ("on_expiry", "issue_tags", "basis", "expected_percent", "rollover", "break_glass_percent")
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
    fields.only(("key", "name", "time_zone", "currency", "country"), ("hours", "groups"), of="a location")
    groups = fields.keys("groups")
    key = fields.key()
    for group in groups:
        fields.reading.groups.setdefault(group, []).append(key)
    return Location(
        key=key,
        name=fields.text("name"),
        time_zone=fields.time_zone() or "UTC",
        currency=fields.currency() or "",
        country=fields.country(),
        groups=groups,
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


def read_protocol(fields: Fields, brand: Brand) -> Protocol:
    """Read a protocol."""
    fields.only(
        ("key", "issue_tag", "script", "steps", "incentives", "default"),
        ("severity", "location", "segment", "most_minor", "undo_seconds", *RECOVERY_FIELDS),
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
        undo_seconds=fields.number_or(0, "undo_seconds", least=0, most=_UNDO_MOST_SECONDS),
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
        ("of", "currency", "time_zone", "week_start", "cap_minor", "cap_count", *_MAYBE_OF_A_BUDGET),
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
        issue_tags=fields.references("issue_tags", "issue_tag"),
        basis=fields.choice("basis", BASES, "face"),
        expected_percent=fields.number_or(100, "expected_percent", least=1, most=100),
        rollover=fields.choice("rollover", ROLLOVERS, "none"),
        break_glass_percent=fields.number_or(0, "break_glass_percent", least=0, most=100),
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
    if fields.has("expected_percent") != (rule.basis == "expected"):
        why = "“basis: expected” and “expected_percent” go together; give both, or neither."
        fields.wrong(
            fields.at("expected_percent"), why, under="" if fields.has("expected_percent") else "expected_percent"
        )
    if rule.rollover != "none" and rule.period == PeriodKind.NONE:
        fields.wrong(
            fields.at("rollover"), "This budget has one period for ever: nothing is left over to carry; leave it out."
        )
    if rule.break_glass_percent and rule.cap_minor is None:
        fields.wrong(
            fields.at("break_glass_percent"), "Only a cap in money can be raised in an emergency; leave it out."
        )


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
