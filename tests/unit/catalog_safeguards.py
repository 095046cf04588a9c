"""A catalog in which every field about safety and conditions stands once, and ways to break it."""

from tests.unit.catalog_files import SMALL, changed

_LOCATIONS = """\
locations:
  - {key: london, name: London, time_zone: Europe/London, currency: GBP, country: GB, groups: [airports, uk]}
  - {key: leeds, name: Leeds, time_zone: Europe/London, currency: GBP, country: GB, groups: [uk]}
  - {key: new-york, name: New York, time_zone: America/New_York, currency: USD, country: US, groups: [airports]}
metadata_fields:
  - {of: customer, name: lifetime_value, type: number}
  - {of: customer, name: plan, type: choice, choices: [basic, plus]}
  - {of: issuance, name: reason-code, type: text, required: true}
  - {of: redemption, name: member, type: flag}
"""
_OFF = """\
    remainder: new_voucher
    locations: ["group:uk"]
    excluded_locations: [leeds]
    redeem_locations: [london, leeds]
    min_order_minor: 2000
    products: [socks, shoes]
    excluded_products: [gift-cards]
    collections: [winter]
    redeemers: [till, Ana@Example.com, shop 12]
    exclusive_group: money
    most_open_per_customer: 2
    reversal_days: 30
    grace_days: 0
    most_extend_days: 14
    offer_when:
      all:
        - {fact: customer.segment, in: [gold], missing: pass}
        - any:
            - {fact: order.total_minor, at_least: 3000}
            - {fact: customer.attributes.lifetime_value, at_least: 100, within_hours: 24}
        - not: {fact: time.weekday, in: [saturday, sunday]}
    offer_when_message: {en: For larger orders., es: Para pedidos mayores.}
    redeem_when: {fact: location.group, is: uk}
    redeem_when_message: {en: In Britain only., es: Solo en Gran Bretaña.}
"""
_POLICIES = """\
approval_policies:
  - key: large
    name: Large amounts
    at_least_minor: {GBP: 5000}
    issue_tags: [late]
    locations: ["group:uk"]
    incentives: [off]
    levels:
      - {roles: [supervisor, manager], escalate_after_minutes: 60}
      - {people: [Bob@Example.com, eve@example.com], needed: 2}
    fallback_roles: [admin]
    lifetime_hours: 48
abuse:
  review_hours: 12
  signals:
    issues_per_person: {count: 20, minutes: 60, action: hold}
    unknown_codes: {count: 0}
"""


def _guarded() -> str:
    head, tail = SMALL.split("locations:\n", 1)
    text = head + _LOCATIONS + "teams:\n" + tail.split("teams:\n", 1)[1]
    text = changed("    remainder: new_voucher\n", _OFF, text)
    text = changed("    max_discount_minor: 2000\n", "    max_discount_minor: 2000\n    max_redemptions: 3\n", text)
    text = changed("    most_minor: {GBP: 4000}\n", "    most_minor: {GBP: 4000}\n    undo_seconds: 45\n", text)
    pot = "period: month, cap_minor: 100000"
    more = "issue_tags: [late], basis: expected, expected_percent: 80, rollover: carry_over, break_glass_percent: 20"
    return changed(pot, f"{pot}, {more}", text) + _POLICIES


GUARDED = _guarded()
