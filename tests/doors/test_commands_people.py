"""The operator's commands for who may come in."""

from collections.abc import Iterator

import pytest

from incentives.flows.sign_in import SignIn, sign_in
from incentives.kernel.core import Core
from incentives.kernel.errors import SignInFailed
from incentives.queries.access import actor_of_api_key
from incentives.queries.sessions import actor_of_session
from tests.databases import SqliteDatabases
from tests.doors.operator import Operator
from tests.world import make_core, publish_catalog

_ANA = ("--email", "ana@example.com")


@pytest.fixture
def operator(sqlite: SqliteDatabases) -> Operator:
    return Operator(sqlite.new())


@pytest.fixture
def core(operator: Operator) -> Iterator[Core]:
    core = make_core(operator.url)
    yield core
    core.database.dispose()


def test_a_person_from_their_first_day_to_their_last(operator: Operator, core: Core) -> None:
    publish_catalog(core)
    first = operator.gets("user", "create", *_ANA, "--role", "frontline", "--name", "Ana").rstrip("\n")
    token = sign_in(core=core, command=SignIn(email="ana@example.com", password=first)).session_token
    operator.gets("user", "change", *_ANA, "--role", "supervisor", "--location", "madrid", "--name", "Ana Ibarra")
    who = actor_of_session(core=core, session_token=token)
    assert who is not None
    assert (who.role, who.location, who.name) == ("supervisor", "madrid", "Ana Ibarra")

    second = operator.gets("user", "reset-password", *_ANA)
    assert second.count("\n") == 1
    assert len(second.strip()) >= 20
    assert actor_of_session(core=core, session_token=token) is None
    with pytest.raises(SignInFailed):
        sign_in(core=core, command=SignIn(email="ana@example.com", password=first))
    sign_in(core=core, command=SignIn(email="ana@example.com", password=second.strip()))

    operator.gets("user", "disable", *_ANA)
    titles, ana = operator.gets("user", "list").splitlines()
    assert titles.split() == ["EMAIL", "NAME", "ROLE", "LOCATION", "TEAM", "SKILLS", "CREATED", "DISABLED"]
    assert ana.split()[:6] == ["ana@example.com", "Ana", "Ibarra", "supervisor", "madrid", "-"]
    assert ana.endswith("Z")
    operator.gets("user", "enable", *_ANA)
    assert operator.gets("user", "list").rstrip().endswith("-")
    sign_in(core=core, command=SignIn(email="ana@example.com", password=second.strip()))


def test_skills_are_given_and_taken_away(operator: Operator, core: Core) -> None:
    publish_catalog(core)
    skills = ("--skill", "baggage", "--skill", "stay", "--skill", "baggage")
    operator.gets("user", "create", *_ANA, "--role", "frontline", *skills)
    assert operator.gets("user", "list").splitlines()[1].split()[5] == "baggage,stay"
    operator.gets("user", "change", *_ANA, "--skill", "flight")
    assert operator.gets("user", "list").splitlines()[1].split()[5] == "flight"
    operator.gets("user", "change", *_ANA, "--skill", "")
    assert operator.gets("user", "list").splitlines()[1].split()[5] == "-"


def test_a_place_can_be_taken_away(operator: Operator, core: Core) -> None:
    publish_catalog(core)
    operator.gets("user", "create", *_ANA, "--role", "frontline", "--location", "madrid")
    operator.gets("user", "change", *_ANA, "--location", "")
    assert "madrid" not in operator.gets("user", "list")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--email", "nobody", "--role", "admin"), "Check the spelling."),
        (("create", *_ANA, "--role", "admin", "--name", "\x1b[2J"), "  name: A name has 1 to 200 characters"),
        (
            ("create", *_ANA, "--role", "admin", "--location", "x"),
            "There is no such location. Use the key of a location",
        ),
        (("create", *_ANA, "--role", "admin", "--team", "x"), "  team: There is no such team in the approved catalog."),
        (("create", *_ANA, "--role", "admin", "--skill", "No Key"), "  skills: There is no issue tag “No Key”."),
        (
            ("change", *_ANA, "--role", "admin"),
            "There is nobody with the email ana@example.com. `incentives user list`",
        ),
        (("reset-password", *_ANA), "There is nobody with the email ana@example.com. `incentives user list`"),
        (("disable", *_ANA), "There is nobody with the email ana@example.com. `incentives user list`"),
        (("enable", *_ANA), "There is nobody with the email ana@example.com. `incentives user list`"),
    ],
)
def test_what_cannot_be_done_is_told_to_an_operator(operator: Operator, arguments: tuple[str, ...], words: str) -> None:
    told = operator.is_refused("user", *arguments)
    assert words in told
    assert "customer" not in told
    assert "/api/" not in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", *_ANA, "--role", "king"), "--role"),
        (("change", *_ANA, "--role", "king"), "--role"),
        (("change", *_ANA), "Say what to change"),
        (("change", "--role", "admin"), "--email"),
    ],
)
def test_what_cannot_be_meant_is_told_with_the_usage(
    operator: Operator, arguments: tuple[str, ...], words: str
) -> None:
    assert words in operator.is_refused("user", *arguments, status=2)


def test_a_program_from_its_first_day_to_its_last(operator: Operator, core: Core) -> None:
    made = operator.types("api-key", "create", "--name", "Till 4", "--role", "till")
    secret, key_id = made.stdout.strip(), made.stderr.split()[-1]
    titles, key = operator.gets("api-key", "list").splitlines()
    assert titles.split() == ["ID", "NAME", "ROLE", "LOCATION", "PREFIX", "CREATED", "REVOKED"]
    assert key.split()[:6] == [key_id, "Till", "4", "till", "-", secret[:10]]
    assert key.endswith("-")
    assert secret[10:] not in key
    operator.gets("api-key", "revoke", key_id)
    assert actor_of_api_key(core=core, secret=secret) is None
    assert operator.gets("api-key", "list").rstrip().endswith("Z")
    assert "`incentives api-key list`" in operator.is_refused("api-key", "revoke", key_id)
    assert "ID" in operator.is_refused("api-key", "revoke", "nonsense", status=2)
