"""Changing every key by the steps of docs/runbook.md, with the commands that it names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from incentives.books.tables import audit_events
from incentives.flows.hear import STOP, OptOut, hear_opt_out
from incentives.flows.seal import seal_due
from incentives.kernel.errors import CodeRetired
from incentives.vouchers.tables import issuances
from tests.doors.operator import Operator
from tests.flows.shop import EMAIL, PHONE, Shop, named
from tests.world import KEYED, environ, make_core

HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def operator(database_url: str) -> Operator:
    return Operator(database_url)


class House:
    """An operator who changes keys, and the shop as its processes see it with the settings of the moment."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.lists = {f"INCENTIVES_{purpose}_KEYS": environ("")[f"INCENTIVES_{purpose}_KEYS"] for purpose in KEYED}
        self.shop = Shop.opened(operator.url)
        self.restart()

    def restart(self, **lists: str) -> Shop:
        """Change settings, and start everything again."""
        self.lists |= lists
        self.operator.settings = dict(self.lists)
        self.shop.core.database.dispose()
        core = make_core(self.operator.url, clock=self.shop.clock, senders=self.shop.core.senders, **self.lists)
        self.shop = Shop(**{**vars(self.shop), "core": core})
        return self.shop

    def add(self, state: str) -> None:
        """Append fresh keys to all lists."""
        fresh = dict(line.split("=", 1) for line in self.operator.gets("keys", "new").splitlines())
        self.restart(**{name: f"{self.lists[name]},{fresh[name]}{state}" for name in fresh})

    def checked(self) -> set[tuple[str, str, str, int]]:
        """Return what `keys check` says: purpose, whether it is the first key, its state, how much."""
        lines = self.operator.gets("keys", "check").splitlines()
        found = (re.split(r"  +", line) for line in lines[1:])
        return {(purpose, "t" if key == "t" else "new", state, int(count)) for purpose, key, state, count, _ in found}


@pytest.fixture
def house(operator: Operator) -> Iterator[House]:
    house = House(operator)
    yield house
    house.shop.core.database.dispose()


def test_the_steps_of_the_runbook(house: House) -> None:
    first = house.shop.voucher(customer=named(EMAIL))
    house.add(":known")
    assert ("code", "new", "known", 0) in house.checked()
    second = house.shop.voucher()
    shop = house.restart(**{name: keys.removesuffix(":known") for name, keys in house.lists.items()})
    third = shop.voucher()
    assert {("code", "t", "in use", 2), ("code", "new", "in use", 1)} <= house.checked()
    shop.redeem(second.code)
    renewed = house.operator.gets("keys", "renew").splitlines()
    assert re.split(r"  +", renewed[1]) == ["customers", "1", "1", "1", "0"]
    assert [row.action for row in shop.all(audit_events)].count("keys.renewed") == 1
    left = {(key, count) for purpose, key, _, count in house.checked() if purpose == "contact"}
    assert {count for key, count in left if key == "t"} == {0}
    assert max(count for key, count in left if key == "new") > 0
    shop = house.restart(
        **{
            name: f"t:{keys.split(':', 2)[1].replace(',', ':retired,', 1)}:{keys.split(':', 2)[2]}"
            for name, keys in house.lists.items()
            if name != "INCENTIVES_SEAL_KEYS"
        }
    )
    assert ("code", "t", "retired", 1) in house.checked()
    with pytest.raises(CodeRetired):
        shop.redeem(first.code)
    shop.redeem(third.code)
    shop.check()


def test_a_key_that_is_missed_is_told(house: House) -> None:
    house.shop.voucher(customer=named(EMAIL))
    house.add("")
    house.restart(**{name: keys.partition(",")[2] for name, keys in house.lists.items()})
    for command in ("check", "renew"):
        result = house.operator.types("keys", command)
        assert result.exit_code == 1
    assert "missing" in house.operator.types("keys", "check").stdout


def retired(keys: str) -> str:
    """Return a list of two keys with the first one retired."""
    first, _, second = keys.partition(",")
    return f"{first}:retired,{second}"


def test_a_contact_key_that_was_retired_too_early_is_told_and_nothing_is_lost(house: House) -> None:
    house.shop.voucher(customer=named(EMAIL))
    house.add("")
    name = "INCENTIVES_CONTACT_KEYS"
    shop = house.restart(**{name: retired(house.lists[name])})
    check = house.operator.types("keys", "check")
    assert check.exit_code == 1
    assert "3 values are of the retired contact key t: run `incentives keys renew`." in check.stderr
    house.operator.gets("keys", "renew")
    house.operator.gets("keys", "check")
    assert shop.core.contacts.decrypt(shop.one(issuances).contact)


def test_a_seal_key_that_was_retired_is_told(house: House) -> None:
    house.shop.voucher()
    house.shop.later(seconds=10)
    assert seal_due(core=house.shop.core)
    house.add("")
    house.operator.gets("keys", "check")
    name = "INCENTIVES_SEAL_KEYS"
    house.restart(**{name: retired(house.lists[name])})
    check = house.operator.types("keys", "check")
    assert check.exit_code == 1
    assert check.stderr == (
        "1 seals are of the retired seal key t, and no other verifies them: take `:retired` away from it.\n"
    )


def test_a_stop_that_only_a_retired_key_knows_keeps_that_key(house: House) -> None:
    told = OptOut(provider="twilio", channel="sms", word=STOP, event_key="SM1:STOP", address=PHONE)
    hear_opt_out(core=house.shop.core, opt_out=told)
    house.add("")
    house.shop.later(seconds=1)
    house.operator.gets("keys", "renew")
    house.operator.gets("keys", "check")
    name = "INCENTIVES_CONTACT_KEYS"
    house.restart(**{name: retired(house.lists[name])})
    check = house.operator.types("keys", "check")
    assert check.exit_code == 1
    assert "leave it in the settings" in check.stderr


def test_the_runbook_names_what_there_is() -> None:
    text = (HOUSE / "docs" / "runbook.md").read_text(encoding="utf-8")
    section = text.partition("\n## Changing a key\n")[2].partition("\n## ")[0]
    assert {f"INCENTIVES_{purpose}_KEYS" for purpose in KEYED} == set(re.findall(r"INCENTIVES_[A-Z]+_KEYS", section))
    for part in (":known", ":retired", "incentives keys new", "incentives keys renew", "incentives keys check"):
        assert f"`{part}`" in section
