"""Who may do what: the table as the product says it, and deny by default."""

import uuid

import pytest

from incentives.kernel.actors import PERMISSIONS, SYSTEM, Actor, Role, may, permit, rule
from incentives.kernel.errors import NotPermitted

# A letter for each role that may: frontline, supervisor, manager, finance, auditor, till, integrator, admin.
MATRIX = {
    #                        FSMABTIN  (finance is B for books, admin N)
    "locations:read":       "FSMBATIN",
    "catalog:read":         "FSMBAIN",
    "offers:read":          "FSMIN",
    "issuances:create":     "FSMIN",
    "issuances:read":       "FSMBAIN",
    "cases:read":           "FSMBAIN",
    "cases:work":           "FSMIN",
    "cases:manage":         "SMN",
    "cases:responsible":    "SMAN",
    "feedback:create":      "FSMIN",
    "feedback:read":        "FSMBAIN",
    "feedback:repair":      "SMN",
    "forms:manage":         "SMN",
    "incidents:manage":     "SMN",
    "criteria:read":        "SMBAN",
    "vouchers:lookup":      "FSMBTIN",
    "redemptions:create":   "FSMTN",
    "vouchers:void":        "SMBIN",
    "vouchers:reissue":     "SMIN",
    "vouchers:resend":      "FSMIN",
    "vouchers:extend":      "SMIN",
    "vouchers:adjust":      "SMN",
    "vouchers:freeze":      "SMBN",
    "redemptions:reverse":  "SMBIN",
    "reservations:release": "SMN",
    "approvals:read":       "SMBAN",
    "approvals:decide":     "SMBN",
    "approvals:delegate":   "SMN",
    "budgets:read":         "SMBAIN",
    "budgets:propose":      "MBN",
    "budgets:approve":      "BN",
    "reports:read":         "SMBAN",
    "ledger:read":          "BAN",
    "books:check":          "BAN",
    "audit:read":           "BAN",
    "catalog:propose":      "MN",
    "catalog:approve":      "MBN",
    "caps:override":        "SMN",
    "reviews:read":         "SMBAN",
    "reviews:decide":       "SMBN",
    "switches:read":        "SMBAN",
    "switches:manage":      "SMBN",
    "lists:manage":         "MBN",
    "suppressions:manage":  "MN",
    "bulk:create":          "SMIN",
    "people:manage":        "N",
}  # fmt: skip
LETTERS = {
    "F": "frontline",
    "S": "supervisor",
    "M": "manager",
    "B": "finance",
    "A": "auditor",
    "T": "till",
    "I": "integrator",
    "N": "admin",
}


def actor(role: str | None, kind: str = "person") -> Actor:
    return Actor(kind=kind, id=uuid.UUID(int=1), name="Somebody", role=role)


@pytest.mark.parametrize("permission", MATRIX)
@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_what_the_table_says_and_nothing_else(permission: str, role: Role) -> None:
    allowed = role in {LETTERS[letter] for letter in MATRIX[permission]}
    assert may(actor(role), permission) is allowed
    if allowed:
        permit(actor(role), permission)
        return
    with pytest.raises(NotPermitted) as caught:
        permit(actor(role, "key"), permission)
    assert caught.value.facts == {"permission": permission, "role": role}


def test_the_table_is_whole() -> None:
    assert set().union(*PERMISSIONS.values()) == set(MATRIX)
    assert set(PERMISSIONS) == set(Role) == set(LETTERS.values())


@pytest.mark.parametrize("role", [None, "", "king", "FRONTLINE", "system", "frontline "])
def test_a_role_that_there_is_not_may_nothing(role: str | None) -> None:
    assert not any(may(actor(role), permission) for permission in MATRIX)


def test_a_permission_that_there_is_not_is_nobody_s() -> None:
    assert not any(may(actor(role), "everything:do") for role in Role)


def test_the_system_may_everything_and_nobody_can_call_themselves_that() -> None:
    assert all(may(SYSTEM, permission) for permission in MATRIX)
    assert not may(actor("system"), "people:manage")


def test_an_actor_is_recorded_by_kind_and_id() -> None:
    assert actor("till", "key").label == f"key:{uuid.UUID(int=1)}"
    assert len(actor("till").label) <= 64
    assert SYSTEM.label == f"system:{uuid.UUID(int=0)}"


def test_a_criterion_acts_as_a_program_under_a_name_that_stays_its_own() -> None:
    named = rule("late", "Late flights")
    assert (named.kind, named.role, named.name) == ("rule", Role.INTEGRATOR, "Late flights")
    assert named.label == rule("late", "Delays", team="desk").label != rule("lost", "Late flights").label
    assert len(named.label) <= 64
    assert not may(named, "cases:manage")
    assert not may(named, "approvals:decide")
