"""The contact cap while a key changes: whose number is spelled anew is no stranger, and is promised no more for it."""

from typing import Any

import pytest

from incentives.flows.renew import renew_all
from incentives.kernel.errors import ContactCap
from incentives.recovery import promised
from tests.flows.rotating import process
from tests.flows.shop import Shop
from tests.flows.test_contact_cap import SMS, full, with_cap
from tests.flows.test_contact_cap import promised as promised_to


@pytest.fixture
def shop(open_shop: Any) -> Shop:
    strict: Shop = open_shop(INCENTIVES_CONTACT_CAP="3")
    return strict


def test_who_is_spelled_anew_while_their_row_is_waited_for_is_found_at_the_second_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(shop)
    lock, looks = promised.lock, []

    def gone_at_first(tx: Any, digests: Any) -> Any:
        looks.append(digests)
        return lock(tx, digests) if len(looks) > 1 else {}

    monkeypatch.setattr(promised, "lock", gone_at_first)
    shop.refused(ContactCap, shop.issue, **SMS)
    assert len(looks) == 2


def test_what_stood_under_three_keys_is_added_up(shop: Shop) -> None:
    """Two old spellings of one number become one in the same go: neither writes over what the other brought."""
    second, third = (with_cap(process(shop, CONTACT=keys)) for keys in (("n",), ("m",)))
    every = with_cap(process(shop, CONTACT=("t", "n", "m")))
    for each in (shop, second, third):
        each.issue(**SMS)
    every.refused(ContactCap, every.issue, **SMS)
    list(renew_all(core=every.core))
    assert promised_to(shop) == [3]
    third.refused(ContactCap, third.issue, **SMS)
