"""A shop whose processes know different keys, as they do while one takes the place of another."""

import base64
from dataclasses import replace

from tests.flows.shop import Shop
from tests.world import key_setting, make_core


def setting(purpose: str, *keys: str) -> str:
    """Return the keys of one purpose as a setting: ``t`` is what the shop has had so far, others may name a state."""
    made = []
    for each in keys:
        key_id, _, state = each.partition(":")
        secret = base64.b64encode(f"{purpose} {key_id}".encode().ljust(32, b".")).decode()
        known = key_setting(purpose) if key_id == "t" else f"{key_id}:{secret}"
        made.append(f"{known}:{state}" if state else known)
    return ",".join(made)


def process(shop: Shop, **keys: tuple[str, ...]) -> Shop:
    """Return the shop as another process sees it, whose settings name these keys: ``CODE=("t", "n:known")``."""
    settings = {f"INCENTIVES_{purpose}_KEYS": setting(purpose, *ids) for purpose, ids in keys.items()}
    url = shop.core.settings.database_url
    other = make_core(url, clock=shop.core.clock, senders=shop.core.senders, **settings)
    other.database.dispose()
    return Shop(**{**vars(shop), "core": replace(other, database=shop.core.database)})
