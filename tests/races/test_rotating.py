"""Every key is rotated under load, and nothing that is valid is refused; then the first is retired.

Once here; three times by the command that ``rotating`` is.
"""

from tests.races.rotating import HASTY, PLANS, rotate


def test_a_rotation_refuses_nothing(database_url: str) -> None:
    found = rotate(database_url, plans=PLANS[:3])
    assert found.told.wrong == []
    assert found.earlier.wrong == []
    assert found.told.asked["redeem"] > 20
    assert found.told.asked["the staff's form"] > 20
    assert (found.renewed > 0, found.left) == (True, 0)
    assert dict(found.retired) == {"409 /problems/code-retired": 40, "404 for the customer": 20}


def test_a_key_that_is_used_before_all_know_it_refuses_customers(database_url: str) -> None:
    """What the step between is for: without it this finds what it must never find with it."""
    found = rotate(database_url, plans=HASTY)
    assert {each.partition(":")[0] for each in found.told.wrong} >= {"the customer's page", "look up"}
