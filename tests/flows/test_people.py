"""People and programs: who may come in, with what role, until when."""

from collections.abc import Iterator
from uuid import UUID

import pytest
import sqlalchemy as sa

from incentives.access.tables import ROLES, api_keys, users
from incentives.books.tables import audit_events
from incentives.flows.people import (
    CreateApiKey,
    CreatedApiKey,
    CreatedUser,
    CreateUser,
    create_api_key,
    create_user,
    disable_user,
    revoke_api_key,
)
from incentives.flows.sign_in import SignIn, sign_in
from incentives.kernel.actors import SYSTEM, Role
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    ApiKeyNotFound,
    EmailInvalid,
    EmailTaken,
    InputInvalid,
    NotPermitted,
    PasswordUnfit,
    Refusal,
    UnknownLocation,
    UserNotFound,
)
from incentives.queries.access import actor_of_api_key
from incentives.queries.people import person_by_email
from tests.flows.shop import SHOP
from tests.world import PASSWORD, actor, make_core, publish_catalog


@pytest.fixture
def core(database_url: str) -> Iterator[Core]:
    core = make_core(database_url)
    yield core
    core.database.dispose()


def let_in(core: Core, email: str = "ana@example.com", role: str = "frontline", **more: str | None) -> CreatedUser:
    return create_user(core=core, actor=SYSTEM, command=CreateUser(email=email, role=role, **more))


def new_key(core: Core, role: str = "till", **more: str | None) -> CreatedApiKey:
    return create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="Till 4", role=role, **more))


def count(core: Core) -> dict[str, int]:
    with core.database.read() as tx:
        return {
            table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (users, api_keys, audit_events)
        }


def test_a_person_is_let_in_with_a_password_shown_once(core: Core) -> None:
    created = let_in(core, " Ana.Lopez@Example.COM ", name="Ana")
    assert created.email == "ana.lopez@example.com"
    assert len(created.password) >= 20
    with core.database.read() as tx:
        row = tx.execute(users.select()).one()
        event = tx.execute(audit_events.select()).one()
    assert (row.id, row.name, row.role, row.disabled_at) == (created.id, "Ana", "frontline", None)
    assert (event.action, event.subject_id, event.facts) == ("user.created", str(created.id), {"role": "frontline"})
    assert created.password not in repr(row) + repr(event)
    sign_in(core=core, command=SignIn(email=created.email, password=created.password))
    assert person_by_email(core=core, email="ANA.lopez@example.com").name == "Ana"


def test_a_name_is_the_address_s_where_none_is_given(core: Core) -> None:
    let_in(core)
    assert person_by_email(core=core, email="ana@example.com").name == "ana"


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_one_that_people_and_programs_can_have(core: Core, role: str) -> None:
    let_in(core, role=role, password=PASSWORD)
    found = actor_of_api_key(core=core, secret=new_key(core, role).secret)
    assert found is not None
    assert found.role == role
    assert person_by_email(core=core, email="ana@example.com").role == role


def test_the_roles_of_the_tables_are_those_of_the_permissions() -> None:
    assert set(ROLES) == {role.value for role in Role}


@pytest.mark.parametrize(
    ("refusal", "wrong"),
    [
        (EmailInvalid, {"email": "nobody"}),
        (EmailInvalid, {"email": ""}),
        (EmailInvalid, {"email": "a@b@example.com"}),
        (PasswordUnfit, {"password": "short"}),
        (PasswordUnfit, {"password": "eleven char"}),
        (PasswordUnfit, {"password": "x" * 129}),
        (PasswordUnfit, {"password": "aaaaaaaaaaaaaaaa"}),
        (PasswordUnfit, {"password": "PasswordPassword"}),
        (InputInvalid, {"role": "king"}),
        (InputInvalid, {"role": "system"}),
        (InputInvalid, {"role": ""}),
        (InputInvalid, {"team": "no-such"}),
        (UnknownLocation, {"location": "no-such"}),
    ],
)
def test_who_cannot_be_is_not_let_in(core: Core, refusal: type[Refusal], wrong: dict[str, str]) -> None:
    publish_catalog(core, SHOP)
    before = count(core)
    with pytest.raises(refusal):
        let_in(core, **wrong)
    assert count(core) == before


def test_places_and_teams_are_those_of_the_catalog(core: Core) -> None:
    for wrong in ({"location": "london"}, {"team": "gates"}):
        with pytest.raises((UnknownLocation, InputInvalid)):  # there is no catalog yet
            let_in(core, **wrong)
    publish_catalog(core, SHOP)
    let_in(core, location="london", team="gates")
    found = person_by_email(core=core, email="ana@example.com")
    assert (found.location, found.team) == ("london", "gates")
    key = actor_of_api_key(core=core, secret=new_key(core, location="leeds").secret)
    assert key is not None
    assert key.location == "leeds"
    for refusal, wrong in ((UnknownLocation, {"location": "no-such"}), (InputInvalid, {"team": "no-such"})):
        with pytest.raises(refusal):
            new_key(core, **wrong)


def test_an_address_is_taken_once(core: Core) -> None:
    let_in(core)
    before = count(core)
    for email in ("ana@example.com", "ANA@EXAMPLE.COM"):
        with pytest.raises(EmailTaken):
            let_in(core, email)
    assert count(core) == before
    let_in(core, "a.na@example.com")  # colleagues' mailboxes are told apart by dots


def test_a_disabled_person_is_gone_and_their_address_stays_taken(core: Core) -> None:
    let_in(core)
    disable_user(core=core, actor=SYSTEM, email="Ana@example.com ")
    for again in ("ana@example.com", "nobody@example.com"):
        with pytest.raises(UserNotFound):
            disable_user(core=core, actor=SYSTEM, email=again)
        with pytest.raises(UserNotFound):
            person_by_email(core=core, email=again)
    with pytest.raises(EmailTaken):
        let_in(core)


# --- programs ----------------------------------------------------------------------------------------------------


def test_an_api_key_is_shown_once_and_kept_as_a_digest(core: Core) -> None:
    created, other = new_key(core), new_key(core)
    assert created.secret.startswith("ik_")
    assert len(created.secret) >= 46  # 256 bits
    assert created.secret != other.secret
    with core.database.read() as tx:
        written = repr(tx.execute(api_keys.select()).all()) + repr(tx.execute(audit_events.select()).all())
    assert created.secret not in written
    assert created.secret[10:] not in written
    found = actor_of_api_key(core=core, secret=created.secret, request_id="r", ip="10.0.0.1")
    assert found is not None
    assert (found.kind, found.id, found.name, found.role, found.email) == ("key", created.id, "Till 4", "till", None)
    assert (found.request_id, found.ip) == ("r", "10.0.0.1")


def test_a_revoked_key_is_nobody_from_then_on(core: Core) -> None:
    revoked, other = new_key(core), new_key(core)
    revoke_api_key(core=core, actor=SYSTEM, key_id=revoked.id)
    assert actor_of_api_key(core=core, secret=revoked.secret) is None
    assert actor_of_api_key(core=core, secret=other.secret) is not None
    for key_id in (revoked.id, UUID(int=7)):
        with pytest.raises(ApiKeyNotFound):
            revoke_api_key(core=core, actor=SYSTEM, key_id=key_id)


@pytest.mark.parametrize("secret", ["", "ik_", "nonsense", "\0", "é", "x" * 10_000])
def test_a_key_that_nobody_has_is_nobody(core: Core, secret: str) -> None:
    created = new_key(core)
    assert actor_of_api_key(core=core, secret=secret) is None
    assert actor_of_api_key(core=core, secret=created.secret[:-1]) is None
    assert actor_of_api_key(core=core, secret=created.secret + " ") is None
    assert actor_of_api_key(core=core, secret=created.secret.upper()) is None


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_only_administrators_let_anybody_in_or_out(core: Core, role: str) -> None:
    let_in(core)
    key, who, before = new_key(core), actor(core, role), count(core)
    deeds = (
        lambda: create_user(core=core, actor=who, command=CreateUser(email="b@example.com", role="admin")),
        lambda: create_api_key(core=core, actor=who, command=CreateApiKey(name="k", role="admin")),
        lambda: disable_user(core=core, actor=who, email="ana@example.com"),
        lambda: revoke_api_key(core=core, actor=who, key_id=key.id),
    )
    for deed in deeds:
        with pytest.raises(NotPermitted) as caught:
            deed()
        assert caught.value.facts == {"permission": "people:manage", "role": role}
    assert count(core) == before
