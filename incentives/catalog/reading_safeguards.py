"""The policies of the catalog file: who must agree to what, what is suspicious, and what requests may tell."""

import re
from collections.abc import Mapping
from typing import Any

from incentives.catalog.definitions import Brand
from incentives.catalog.fields import Fields, hint
from incentives.catalog.international import is_email
from incentives.catalog.metadata import OBJECTS, TYPES, MetadataField
from incentives.catalog.safeguarding import AbusePolicy, ApprovalPolicy
from incentives.catalog.yaml_tree import Node
from incentives.kernel.actors import PERMISSIONS, Role

SIGNALS = (
    "self_dealing", "same_customer_by_person", "issues_per_person", "issues_per_key", "issues_per_ip_block",
    "just_below_limit", "burst_at_end_of_shift", "redemptions_per_till", "redemptions_per_ip_block", "unknown_codes",
    "same_device_issue_and_redeem",
)  # fmt: skip
"""What the abuse policy may set; ``incentives.safeguards.signals`` has the same names."""

ACTIONS = ("allow", "step_up", "hold", "block")

_LEVELS_MOST = 5
_NEEDED_MOST = 10
_ESCALATE_MOST_MINUTES = 43_200
_LIFETIME_MOST_HOURS = 8760
_COUNT_MOST = 100_000
_SIGNAL_MOST_MINUTES = 43_200
_REVIEW_MOST_HOURS = 720
_DECIDE = "approvals:decide"
_FIELD = re.compile(r"[a-z][a-z0-9_-]*")
_FIELD_LONGEST = 40


def read_approval_policy(fields: Fields, _brand: Brand) -> ApprovalPolicy:
    """Read an approval policy, and look whether each of its levels can ever agree."""
    fields.only(
        ("key", "name", "levels"),
        ("at_least_minor", "issue_tags", "locations", "incentives", "fallback_roles", "lifetime_hours"),
        of="an approval policy",
    )
    levels = fields.items("levels")
    if fields.has("levels") and not levels:
        fields.wrong(fields.at("levels"), "Who decides? Add a level at least.")
    if len(levels) > _LEVELS_MOST:
        fields.wrong(fields.at("levels"), f"{_LEVELS_MOST} levels are the most.")
    return ApprovalPolicy(
        key=fields.key(),
        name=fields.text("name"),
        levels=tuple(_level(each) for each in levels),
        at_least_minor=fields.amounts_by_currency("at_least_minor"),
        issue_tags=fields.references("issue_tags", "issue_tag"),
        locations=fields.locations("locations"),
        incentives=fields.references("incentives", "incentive"),
        fallback_roles=_roles(fields, "fallback_roles"),
        lifetime_hours=fields.number_or(72, "lifetime_hours", least=1, most=_LIFETIME_MOST_HOURS),
    )


def _level(fields: Fields) -> Mapping[str, Any]:
    fields.only((), ("roles", "people", "needed", "escalate_after_minutes"), of="a level")
    people = fields.texts("people")
    for text, node in people.items():
        if not is_email(text):
            fields.wrong(node, f"“{text}” is not an email address; a person goes by theirs.")
    roles, needed = _roles(fields, "roles"), fields.number_or(1, "needed", least=1, most=_NEEDED_MOST)
    level = {
        "roles": roles,
        "people": tuple(text.lower() for text in people),
        "needed": needed,
        "escalate_after_minutes": fields.maybe_number("escalate_after_minutes", least=1, most=_ESCALATE_MOST_MINUTES),
    }
    if not fields.has("roles") and not fields.has("people"):
        fields.wrong(fields.node, "Who decides? Add “roles”, “people”, or both.", under="roles")
    elif not roles and people and needed > len(people):
        why = f"{needed} must agree, and {len(people)} can; name more people, or lower this."
        fields.wrong(fields.at("needed"), why)
    return {part: value for part, value in level.items() if value is not None}


def _roles(fields: Fields, name: str) -> tuple[str, ...]:
    roles = fields.texts(name)
    for text, node in roles.items():
        if text not in tuple(Role):
            fields.wrong(node, f"“{text}” is not a role; {hint(text, tuple(Role))}")
        elif _DECIDE not in PERMISSIONS[Role(text)]:
            fields.wrong(node, f"The role {text} never decides on approvals; name another one.")
    return tuple(roles)


def read_abuse_policy(fields: Fields) -> AbusePolicy:
    """Read what is suspicious; a signal that is absent has its default."""
    fields.only((), ("signals", "review_hours"), of="the abuse policy")
    signals = fields.inside("signals")
    signals.only((), SIGNALS, of="the signals")
    return AbusePolicy(
        signals={name: _signal(signals.inside(name)) for name in SIGNALS if signals.has(name)},
        review_hours=fields.number_or(24, "review_hours", least=1, most=_REVIEW_MOST_HOURS),
    )


def _signal(fields: Fields) -> Mapping[str, Any]:
    count = fields.maybe_number("count", least=0, most=_COUNT_MOST)
    fields.only(
        ("count",) if count == 0 else ("count", "minutes", "action"), ("minutes", "action", "stop_actor"), of="a signal"
    )
    found = {
        "count": count,
        "minutes": fields.maybe_number("minutes", least=1, most=_SIGNAL_MOST_MINUTES),
        "action": fields.choice("action", ACTIONS) or None,
        "stop_actor": fields.flag("stop_actor", default=False) or None,
    }
    return {part: value for part, value in found.items() if value is not None}


def read_metadata_field(fields: Fields, _brand: Brand) -> MetadataField:
    """Read a field that requests may tell."""
    fields.only(("of", "name", "type"), ("required", "choices"), of="a metadata field")
    found = MetadataField(
        of=fields.choice("of", OBJECTS),
        name=_field_name(fields),
        type=fields.choice("type", TYPES),
        required=fields.flag("required", default=False),
        choices=tuple(fields.texts("choices", longest=100)),
    )
    if (found.type == "choice") != fields.has("choices"):
        at: Node = fields.at("choices") if fields.has("choices") else fields.node
        why = "Only the type “choice” has choices; leave them out." if fields.has("choices") else "Add “choices”."
        fields.wrong(at, why, under="" if fields.has("choices") else "choices")
    if found.of == "customer":
        if found.required:
            why = "A customer may be nobody at all, so nothing is required of one; conditions say what is missed."
            fields.wrong(fields.at("required"), why)
        fields.reading.attributes.extend([found] if found.type in TYPES else [])
    return found


def _field_name(fields: Fields) -> str:
    name = fields.text("name", longest=_FIELD_LONGEST)
    if name and not _FIELD.fullmatch(name):
        fields.wrong(
            fields.at("name"), f"“{name}” cannot be a field; use small letters, digits, dashes and underscores."
        )
    return name
