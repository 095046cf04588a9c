"""People and programs: who may come in, with what role, until when."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from incentives.access.tables import ROLES, api_keys, users
from incentives.books.tables import audit_events
from incentives.flows.people import (
    ChangeUser,
    CreateApiKey,
    CreatedApiKey,
    CreatedUser,
    CreateUser,
    change_user,
    create_api_key,
    create_user,
    disable_user,
    enable_user,
    reset_password,
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
    SignInFailed,
    UnknownLocation,
    UserNotFound,
)
from incentives.queries.access import actor_of_api_key
from incentives.queries.people import api_key_list, person_by_email, person_list
from incentives.queries.sessions import actor_of_session
from tests.flows.shop import SHOP
from tests.world import PASSWORD, actor, make_core, publish_catalog


@pytest.fixture
def core(database_url: str) -> Iterator[Core]:
    core = make_core(database_url)
    yield core
    core.database.dispose()


def let_in(core: Core, email: str = "ana@example.com", role: str = "frontline", **more: Any) -> CreatedUser:
    return create_user(core=core, actor=SYSTEM, command=CreateUser(email=email, role=role, **more))


def new_key(core: Core, role: str = "till", **more: str | None) -> CreatedApiKey:
    return create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name="Till 4", role=role, **more))


def count(core: Core) -> dict[str, int]:
    with core.database.read() as tx:
        return {
            table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (users, api_keys, audit_events)
        }


def test_what_a_person_takes_on_is_known(core: Core) -> None:
    command = CreateUser(email="ana@example.com", role="frontline", skills=("any-key", "at-first", "any-key"))
    create_user(core=core, actor=SYSTEM, command=command)
    assert [each.skills for each in person_list(core=core, actor=SYSTEM)] == [("any-key", "at-first")]
    publish_catalog(core)
    change_user(core=core, actor=SYSTEM, command=ChangeUser(email="ana@example.com", skills=("flight",)))
    change_user(core=core, actor=SYSTEM, command=ChangeUser(email="ana@example.com", name="Ana"))
    assert [each.skills for each in person_list(core=core, actor=SYSTEM)] == [("flight",)]
    with core.database.read() as tx:
        changes = tx.execute(sa.select(audit_events.c.facts).where(audit_events.c.action == "user.changed")).scalars()
        assert {"skills": [["any-key", "at-first"], ["flight"]]} in list(changes)
    change_user(core=core, actor=SYSTEM, command=ChangeUser(email="ana@example.com", skills=()))
    assert [each.skills for each in person_list(core=core, actor=SYSTEM)] == [()]


@pytest.mark.parametrize("skills", [("flihgt",), ("No Key",), ("",), tuple(f"k{number}" for number in range(51))])
def test_a_skill_is_an_issue_tag_of_the_catalog(core: Core, skills: tuple[str, ...]) -> None:
    publish_catalog(core)
    let_in(core)
    before = count(core)
    for deed in (
        lambda: create_user(core=core, actor=SYSTEM, command=CreateUser(email="bo@x.co", role="till", skills=skills)),
        lambda: change_user(core=core, actor=SYSTEM, command=ChangeUser(email="ana@example.com", skills=skills)),
    ):
        with pytest.raises(InputInvalid) as refused:
            deed()
        assert refused.value.facts["errors"][0]["field"] == "skills"
    assert count(core) == before


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
        (InputInvalid, {"name": " "}),
        (InputInvalid, {"name": "x" * 201}),
        (InputInvalid, {"name": "An\na"}),
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


def token_of(core: Core, password: str = PASSWORD) -> str:
    return sign_in(core=core, command=SignIn(email="ana@example.com", password=password)).session_token


def last_event(core: Core) -> tuple[str, str, object]:
    with core.database.read() as tx:
        event = tx.execute(audit_events.select().order_by(audit_events.c.id.desc()).limit(1)).one()
    return event.action, event.subject_id, event.facts


def test_a_fresh_password_takes_the_place_of_the_old_one_and_ends_sessions(core: Core) -> None:
    created = let_in(core, password=PASSWORD)
    let_in(core, "bob@example.com", password=PASSWORD)
    bob = sign_in(core=core, command=SignIn(email="bob@example.com", password=PASSWORD)).session_token
    token = token_of(core)
    fresh = reset_password(core=core, actor=SYSTEM, email=" ANA@example.com")
    assert (fresh.id, fresh.email) == (created.id, "ana@example.com")
    assert last_event(core) == ("user.password-reset", str(created.id), {})
    assert len(fresh.password) >= 20
    assert actor_of_session(core=core, session_token=token) is None
    assert actor_of_session(core=core, session_token=bob) is not None
    with pytest.raises(SignInFailed):
        token_of(core)
    assert actor_of_session(core=core, session_token=token_of(core, fresh.password)) is not None
    with core.database.read() as tx:
        written = repr(tx.execute(users.select()).all()) + repr(tx.execute(audit_events.select()).all())
    assert fresh.password not in written


def test_a_change_holds_from_the_next_request_of_an_open_session_on(core: Core) -> None:
    publish_catalog(core, SHOP)
    created = let_in(core, location="london", password=PASSWORD)
    token = token_of(core)
    change = ChangeUser(email="Ana@example.com", role="manager", location="", team="gates", name=" Ana L. ")
    change_user(core=core, actor=SYSTEM, command=change)
    who = actor_of_session(core=core, session_token=token)
    assert who is not None
    assert (who.role, who.location, who.team, who.name) == ("manager", None, "gates", "Ana L.")
    changed = {"role": ["frontline", "manager"], "location": ["london", None], "team": [None, "gates"]}
    assert last_event(core) == ("user.changed", str(created.id), changed | {"renamed": True})
    before = count(core)
    change_user(core=core, actor=SYSTEM, command=change)
    assert count(core) == before  # nothing was left to change, so nothing is told to have changed


def test_a_change_leaves_the_rest_as_it_is(core: Core) -> None:
    publish_catalog(core, SHOP)
    let_in(core, location="london", team="gates", name="Ana")
    change_user(core=core, actor=SYSTEM, command=ChangeUser(email="ana@example.com", role="supervisor"))
    found = person_by_email(core=core, email="ana@example.com")
    assert (found.role, found.location, found.team, found.name) == ("supervisor", "london", "gates", "Ana")


@pytest.mark.parametrize(
    ("refusal", "wrong"),
    [
        (UserNotFound, {"email": "nobody@example.com", "role": "admin"}),
        (InputInvalid, {}),
        (InputInvalid, {"role": "king"}),
        (InputInvalid, {"role": ""}),
        (InputInvalid, {"name": ""}),
        (InputInvalid, {"name": "x" * 201}),
        (InputInvalid, {"team": "no-such"}),
        (UnknownLocation, {"location": "no-such", "role": "admin"}),
    ],
)
def test_what_cannot_be_is_not_changed(core: Core, refusal: type[Refusal], wrong: dict[str, str]) -> None:
    publish_catalog(core, SHOP)
    let_in(core)
    before, people = count(core), person_list(core=core, actor=SYSTEM)
    with pytest.raises(refusal):
        change_user(core=core, actor=SYSTEM, command=ChangeUser(**{"email": "ana@example.com", **wrong}))
    assert (count(core), person_list(core=core, actor=SYSTEM)) == (before, people)


def test_who_was_disabled_comes_back_with_their_password_but_not_their_sessions(core: Core) -> None:
    created = let_in(core, password=PASSWORD)
    token = token_of(core)
    with pytest.raises(UserNotFound, match="is not disabled"):
        enable_user(core=core, actor=SYSTEM, email="ana@example.com")
    disable_user(core=core, actor=SYSTEM, email="ana@example.com")
    for deed in (disable_user, reset_password):
        with pytest.raises(UserNotFound, match="is disabled"):
            deed(core=core, actor=SYSTEM, email="ana@example.com")
    change_user(core=core, actor=SYSTEM, command=ChangeUser(email="ana@example.com", role="till"))
    enable_user(core=core, actor=SYSTEM, email="ana@example.com ")
    assert last_event(core) == ("user.enabled", str(created.id), {})
    assert actor_of_session(core=core, session_token=token) is None
    who = actor_of_session(core=core, session_token=token_of(core))
    assert who is not None
    assert who.role == "till"
    with pytest.raises(UserNotFound):
        enable_user(core=core, actor=SYSTEM, email="nobody@example.com")


def test_everybody_is_listed(core: Core) -> None:
    for email in ("bob@example.com", "ana@example.com"):
        let_in(core, email)
    disable_user(core=core, actor=SYSTEM, email="bob@example.com")
    rows = person_list(core=core, actor=SYSTEM)
    assert [(row.email, row.role, row.disabled_at is None) for row in rows] == [
        ("ana@example.com", "frontline", True),
        ("bob@example.com", "frontline", False),
    ]
    assert "argon2" not in repr(rows)


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


def test_keys_are_listed_without_their_secrets(core: Core) -> None:
    revoked, other = new_key(core), new_key(core, "manager")
    revoke_api_key(core=core, actor=SYSTEM, key_id=revoked.id)
    rows = api_key_list(core=core, actor=SYSTEM)
    assert [(row.id, row.role, row.prefix, row.revoked_at is None) for row in rows] == [
        (revoked.id, "till", revoked.secret[:10], False),
        (other.id, "manager", other.secret[:10], True),
    ]
    assert revoked.secret[10:] not in repr(rows)
    for wrong in ("", " ", "x" * 201, "a\tb"):
        with pytest.raises(InputInvalid):
            create_api_key(core=core, actor=SYSTEM, command=CreateApiKey(name=wrong, role="till"))


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
        lambda: enable_user(core=core, actor=who, email="ana@example.com"),
        lambda: reset_password(core=core, actor=who, email="ana@example.com"),
        lambda: change_user(core=core, actor=who, command=ChangeUser(email="ana@example.com", role="admin")),
        lambda: person_list(core=core, actor=who),
        lambda: api_key_list(core=core, actor=who),
    )
    for deed in deeds:
        with pytest.raises(NotPermitted) as caught:
            deed()
        assert caught.value.facts == {"permission": "people:manage", "role": role}
    assert count(core) == before
