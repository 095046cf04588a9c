# ruff: noqa: E501 - a table is read across
"""The fields about safety, conditions and what requests may tell are read whole, and what cannot be meant is told."""

import pytest

from incentives.catalog.catalog import catalog_of, type_of_kind
from incentives.catalog.document import parse
from incentives.catalog.metadata import MetadataField, mistakes_in
from tests.unit.catalog_files import changed, mistakes
from tests.unit.catalog_safeguards import GUARDED


def test_every_field_is_read() -> None:
    catalog = parse(GUARDED)
    off, percent = catalog.incentives["off"], catalog.incentives["percent"]
    assert catalog.locations["london"].groups == ("airports", "uk")
    assert off.locations == ("london", "leeds")
    assert off.excluded_locations == ("leeds",)
    assert off.redeem_locations == ("london", "leeds")
    assert (off.min_order_minor, off.products, off.excluded_products) == (2000, ("socks", "shoes"), ("gift-cards",))
    assert (off.collections, off.redeemers) == (("winter",), ("till", "ana@example.com", "shop 12"))
    assert (off.exclusive_group, off.most_open_per_customer) == ("money", 2)
    assert (off.reversal_days, off.grace_days, off.most_extend_days) == (30, 0, 14)
    assert off.offer_when["all"][0] == {"fact": "customer.segment", "in": ("gold",), "missing": "pass"}
    assert off.offer_when["all"][1]["any"][1]["within_hours"] == 24
    assert off.redeem_when == {"fact": "location.group", "is": "uk"}
    assert off.redeem_when_message["es"] == "Solo en Gran Bretaña."
    assert (percent.max_redemptions, percent.charge_minor()) == (3, 6000)
    assert catalog.protocols["late"].undo_seconds == 45
    pot = catalog.budgets["all"]
    assert (pot.issue_tags, pot.basis, pot.expected_percent) == (("late",), "expected", 80)
    assert (pot.rollover, pot.break_glass_percent) == ("carry_over", 20)
    policy = catalog.approval_policies["large"]
    assert policy.levels[0] == {
        "roles": ("supervisor", "manager"),
        "people": (),
        "needed": 1,
        "escalate_after_minutes": 60,
    }
    assert policy.levels[1] == {"roles": (), "people": ("bob@example.com", "eve@example.com"), "needed": 2}
    assert (policy.at_least_minor, policy.issue_tags, policy.incentives) == ({"GBP": 5000}, ("late",), ("off",))
    assert (policy.locations, policy.fallback_roles, policy.lifetime_hours) == (("london", "leeds"), ("admin",), 48)
    assert catalog.abuse.review_hours == 12
    assert catalog.abuse.signals["issues_per_person"] == {"count": 20, "minutes": 60, "action": "hold"}
    assert catalog.abuse.signals["unknown_codes"] == {"count": 0}
    assert list(catalog.metadata_fields) == [
        "customer.lifetime_value",
        "customer.plan",
        "issuance.reason-code",
        "redemption.member",
    ]


def test_every_item_comes_back_from_its_json_form() -> None:
    catalog = parse(GUARDED)
    again = catalog_of([type_of_kind[each.item_kind].from_definition(each.definition()) for each in catalog.items()])
    assert again == catalog
    assert again.digest == catalog.digest


_BROKEN = {
    "unknown group": ('locations: ["group:uk"]\n    excluded', 'locations: ["group:ku"]\n    excluded', "incentives[off].locations[0]", "it can be: airports, uk"),
    "nowhere to redeem": ("redeem_locations: [london, leeds]", "excluded_locations: [london, leeds]", "incentives[off].excluded_locations", ""),
    "redeemed in another currency": ("redeem_locations: [london, leeds]", "redeem_locations: [new-york]", "incentives[off].redeem_locations", "could never be redeemed there"),
    "a remainder of many": ("    redeem_locations:", "    max_redemptions: 2\n    redeem_locations:", "incentives[off].remainder", "leaves no remainder"),
    "a till role that never redeems": ("[till, Ana@", "[finance, Ana@", "incentives[off].redeemers[0]", "never redeems"),
    "a redeemer's address": ("Ana@Example.com, shop", "Ana@, shop", "incentives[off].redeemers[1]", "not an email"),
    "wanted and excluded": ("[gift-cards]", "[gift-cards, socks]", "incentives[off].excluded_products", "both wanted and excluded"),
    "a message without a condition": ("    redeem_when: {fact: location.group, is: uk}\n", "", "incentives[off].redeem_when_message", "without “redeem_when”"),
    "undo for ever": ("undo_seconds: 45", "undo_seconds: 4500", "protocols[late].undo_seconds", "too large"),
    "expected without a percent": (" expected_percent: 80,", "", "budgets[all].expected_percent", "go together"),
    "a percent without expected": ("basis: expected", "basis: face", "budgets[all].expected_percent", "go together"),
    "carry over for ever": ("period: month, cap_minor", "period: none, cap_minor", "budgets[all].rollover", "nothing is left over"),
    "break glass over all": ("break_glass_percent: 20", "break_glass_percent: 101", "budgets[all].break_glass_percent", "too large"),
    "no levels": ("    levels:\n      - {roles: [supervisor, manager], escalate_after_minutes: 60}\n      - {people: [Bob@Example.com, eve@example.com], needed: 2}\n", "    levels: []\n", "approval_policies[large].levels", "Add a level"),
    "a level of nobody": ("{roles: [supervisor, manager], escalate", "{escalate", "approval_policies[large].levels[0].roles", "Who decides?"),
    "a role unknown": ("[supervisor, manager]", "[supervisor, manger]", "approval_policies[large].levels[0].roles[1]", "did you mean “manager”?"),
    "a role that never decides": ("[supervisor, manager]", "[frontline]", "approval_policies[large].levels[0].roles[0]", "never decides"),
    "an address": ("Bob@Example.com", "Bob", "approval_policies[large].levels[1].people[0]", "not an email"),
    "more than there are": ("needed: 2", "needed: 3", "approval_policies[large].levels[1].needed", "3 must agree, and 2 can"),
    "an unknown tag of a policy": ("    issue_tags: [late]\n", "    issue_tags: [lite]\n", "approval_policies[large].issue_tags[0]", "There is no issue tag"),
    "an unknown signal": ("unknown_codes:", "unknown_code:", "abuse.signals.unknown_code", "did you mean “unknown_codes”?"),
    "a signal without an action": (", action: hold", "", "abuse.signals.issues_per_person.action", "missing"),
    "an unknown action": ("action: hold", "action: stop", "abuse.signals.issues_per_person.action", "not possible here"),
    "a field twice": ("{of: redemption, name: member", "{of: customer, name: plan", "metadata_fields[3]", "stands in line"),
    "a choice without choices": (", choices: [basic, plus]", "", "metadata_fields[1].choices", "Add “choices”"),
    "choices of a text": ("type: text, required: true", "type: text, choices: [a]", "metadata_fields[2].choices", "Only the type “choice”"),
    "required of a customer": ("name: lifetime_value, type: number", "name: lifetime_value, type: number, required: true", "metadata_fields[0].required", "nobody at all"),
    "a field's name": ("name: member", "name: Member", "metadata_fields[3].name", "cannot be a field"),
}  # fmt: skip


@pytest.mark.parametrize("case", _BROKEN)
def test_what_cannot_be_meant_is_told(case: str) -> None:
    old, new, path, message = _BROKEN[case]
    told = mistakes(changed(old, new, GUARDED))
    assert [each for each in told if each["path"].startswith(path) and message in each["message"]], told
    assert len(told) <= 3


def test_an_apology_and_a_refund_are_not_redeemed_several_times() -> None:
    words = "{key: words, kind: apology_only,"
    (told,) = mistakes(changed(words, f"{words} max_redemptions: 2,", GUARDED))
    assert "does not belong to an incentive of kind apology_only" in told["message"]
    refund = mistakes(changed("kind: percent_off", "kind: refund_request", GUARDED))
    assert "incentives[percent].max_redemptions" in [each["path"] for each in refund]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"reason": "x", "note": "x"}, "metadata.note"),
        ({}, "metadata.reason"),
        ({"reason": None}, "metadata.reason"),
        ({"reason": 3}, "metadata.reason"),
        ({"reason": ""}, "metadata.reason"),
        ({"reason": "x", "count": True}, "metadata.count"),
        ({"reason": "x", "on": "2026-13-01"}, "metadata.on"),
        ({"reason": "x", "size": "xl"}, "metadata.size"),
        ({"reason": "x", "yes": 1}, "metadata.yes"),
    ],
)
def test_metadata_that_is_not_as_declared_is_told(given: dict[str, object], field: str) -> None:
    (told,) = mistakes_in(_DECLARED, given, of="issuance", inside="metadata")
    assert told["field"] == field


def test_metadata_as_declared_is_no_mistake() -> None:
    good = {"reason": "x", "count": 3, "on": "2026-12-31", "size": "s", "yes": False}
    assert mistakes_in(_DECLARED, good, of="issuance", inside="metadata") == []
    assert mistakes_in(_DECLARED, {"anything": [1]}, of="redemption", inside="metadata") == []


_DECLARED = [
    MetadataField(of="issuance", name="reason", type="text", required=True),
    MetadataField(of="issuance", name="count", type="number"),
    MetadataField(of="issuance", name="on", type="date"),
    MetadataField(of="issuance", name="size", type="choice", choices=("s", "m")),
    MetadataField(of="issuance", name="yes", type="flag"),
]
