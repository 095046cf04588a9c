"""The dump that other tests compare with sees every change."""

from tests import dump
from tests.flows.shop import Shop


def test_it_sees_what_changed_and_nothing_else(shop: Shop) -> None:
    before = dump.of(shop.core)
    assert dump.differences(before, dump.of(shop.core)) == {}
    shop.issue()
    changed = dump.changed_tables(before, dump.of(shop.core))
    assert {"issuances", "vouchers", "ledger_entries", "audit_events", "budget_movements"} <= changed
    assert not changed & {"redemptions", "users", "catalog_items"}
    assert "vouchers" not in dump.of(shop.core, without=("vouchers",))
