"""Two administrators who let the same person in at once let one in."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from incentives.access import passwords
from incentives.access.tables import users
from incentives.flows.people import CreateUser, create_user
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from tests.crew import SIZE, Crew, Outcome, count
from tests.races.deeds import rows
from tests.world import PASSWORD


@contextmanager
def cheap_passwords() -> Iterator[None]:
    """Hash nothing: the hash is not what this is about, and takes a tenth of a second."""

    def same(password: str) -> str:
        return "x"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "hashed", same)
        yield


def let_in(core: Core, email: str) -> Outcome:
    created = create_user(core=core, actor=SYSTEM, command=CreateUser(email=email, role="manager", password=PASSWORD))
    return Outcome("CreatedUser", created.id)


def test_one_address_let_in_by_sixteen_is_one_person(crew: Crew, core: Core) -> None:
    rounds = [[f"ana{number}@example.com"] * SIZE for number in range(4)]
    for outcomes in crew.at_once(let_in, rounds, core.settings.database_url, twin=cheap_passwords):
        assert count(outcomes) == {"CreatedUser": 1, "EmailTaken": SIZE - 1}
    assert rows(core, users) == 4
