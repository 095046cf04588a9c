"""Signing in: argon2, answers that tell nothing, sessions that end by themselves and can be ended."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from incentives.access import passwords
from incentives.access.tables import sessions, users
from incentives.books.tables import audit_events
from incentives.flows.people import disable_user
from incentives.flows.sign_in import (
    ABSOLUTE_LIFETIME,
    SignedIn,
    SignIn,
    revoke_session,
    sign_in,
    sign_out,
    touch_session,
)
from incentives.kernel.actors import SYSTEM, Actor
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.errors import SessionNotFound, SignInFailed
from incentives.kernel.keys import digest_of_secret
from incentives.queries.sessions import Session, actor_of_session, session_of_token, sessions_of
from tests.world import PASSWORD, START, make_core, person

IDLE = timedelta(minutes=30)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def core(database_url: str, clock: FixedClock) -> Iterator[Core]:
    core = make_core(database_url, clock=clock)
    yield core
    core.database.dispose()


@pytest.fixture
def ana(core: Core) -> Actor:
    return person(core, "frontline", email="ana@example.com")


def enter(core: Core, email: str = "ana@example.com", password: str = PASSWORD, **more: str) -> SignedIn:
    return sign_in(core=core, command=SignIn(email=email, password=password, **more))


def session(core: Core, signed_in: SignedIn) -> Session:
    found = session_of_token(core=core, session_token=signed_in.session_token)
    assert found is not None
    return found


def rows(core: Core, table: object = sessions) -> list[object]:
    with core.database.read() as tx:
        return list(tx.execute(table.select()).all())  # type: ignore[attr-defined]  # any table


def test_who_proves_who_they_are_gets_a_session(core: Core, ana: Actor) -> None:
    signed_in = enter(core, user_agent="Firefox", ip="10.0.0.1")
    assert signed_in.actor == ana
    found = session(core, signed_in)
    assert found.actor == ana
    assert (found.created_at, found.last_seen_at, found.expires_at) == (START, START, START + ABSOLUTE_LIFETIME)
    assert (found.user_agent, found.ip) == ("Firefox", "10.0.0.1")
    with_request = actor_of_session(core=core, session_token=signed_in.session_token, request_id="r", ip="10.0.0.2")
    assert with_request is not None
    assert (with_request.request_id, with_request.ip, with_request.id) == ("r", "10.0.0.2", ana.id)


@pytest.mark.parametrize("email", ["ana@example.com", " Ana@Example.COM "])
def test_an_address_is_the_same_in_any_case(core: Core, ana: Actor, email: str) -> None:
    assert enter(core, email).actor == ana


def test_tokens_are_secrets_and_differ(core: Core, ana: Actor) -> None:
    first, second = enter(core), enter(core)
    assert first.session_token != second.session_token
    assert len(first.session_token) >= 43  # 256 bits
    written = repr(rows(core)) + repr(rows(core, audit_events))
    for each in (first, second):
        assert each.session_token not in written
        assert digest_of_secret(each.session_token) in written


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ana@example.com", "wrong horse battery"),
        ("ana@example.com", PASSWORD.upper()),
        ("ana@example.com", PASSWORD + " "),
        ("ana@example.com", ""),
        ("ana@example.com", "x" * 200_000),
        ("nobody@example.com", PASSWORD),
        ("", PASSWORD),
        ("ana@example.com\0", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("x" * 10_000, PASSWORD),
    ],
)
def test_every_wrong_pair_is_refused_alike(core: Core, ana: Actor, email: str, password: str) -> None:
    before = rows(core, audit_events)
    with pytest.raises(SignInFailed) as caught:
        enter(core, email, password)
    assert caught.value.facts == {"field": "email"}
    assert caught.value.detail == "That email and password do not match."
    assert rows(core) == []
    assert rows(core, audit_events) == before


def test_a_disabled_person_is_refused_like_a_wrong_password(core: Core, ana: Actor) -> None:
    disable_user(core=core, actor=SYSTEM, email="ana@example.com")
    with pytest.raises(SignInFailed) as caught:
        enter(core)
    assert caught.value.facts == {"field": "email"}


def test_the_work_is_the_same_for_nobody(core: Core, ana: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown address costs one comparison with a hash, as a known one does."""
    compared: list[str] = []
    real = passwords._hasher()

    class Counting:
        def verify(self, password_hash: str, password: str) -> bool:
            compared.append(password_hash[:30])
            return bool(real.verify(password_hash, password))

        def hash(self, password: str) -> str:
            return real.hash(password)

    monkeypatch.setattr(passwords, "_hasher", Counting)
    for email in ("ana@example.com", "nobody@example.com"):
        with pytest.raises(SignInFailed):
            enter(core, email, "wrong horse battery")
    disable_user(core=core, actor=SYSTEM, email="ana@example.com")
    with pytest.raises(SignInFailed):
        enter(core)
    assert len(compared) == 3
    assert len(set(compared)) == 1  # the same kind of hash, with the same costs


def test_passwords_are_kept_as_argon2id(core: Core, ana: Actor) -> None:
    (row,) = rows(core, users)
    assert row.password_hash.startswith("$argon2id$")  # type: ignore[attr-defined]
    assert PASSWORD not in repr(row)


def test_no_transaction_is_open_while_the_hash_is_compared(
    core: Core, ana: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    real = passwords.matches

    def looking(password_hash: str | None, password: str) -> bool:
        pools = [core.database.engine.pool, core.database._reader.pool]
        held.append(sum(pool.checkedout() for pool in pools))  # type: ignore[attr-defined]  # both are QueuePools
        return real(password_hash, password)

    monkeypatch.setattr(passwords, "matches", looking)
    enter(core)
    assert held == [0]


# --- how sessions end --------------------------------------------------------------------------------------------


def test_a_session_that_rests_ends(core: Core, clock: FixedClock, ana: Actor) -> None:
    signed_in = enter(core)
    clock.advance(IDLE - timedelta(microseconds=1))
    assert session(core, signed_in).actor == ana
    clock.advance(timedelta(microseconds=1))
    assert session_of_token(core=core, session_token=signed_in.session_token) is None
    assert sessions_of(core=core, actor=ana) == []


def test_a_session_that_is_used_goes_on_until_its_absolute_end(core: Core, clock: FixedClock, ana: Actor) -> None:
    signed_in = enter(core)
    while clock.now() + IDLE / 2 < START + ABSOLUTE_LIFETIME:
        clock.advance(IDLE / 2)
        found = session(core, signed_in)
        touch_session(core=core, session_id=found.id, last_seen_at=found.last_seen_at)
    clock.advance(IDLE / 2)
    assert clock.now() == START + ABSOLUTE_LIFETIME
    assert session_of_token(core=core, session_token=signed_in.session_token) is None


def test_use_is_noted_at_most_once_a_minute_and_never_backwards(core: Core, clock: FixedClock, ana: Actor) -> None:
    signed_in = enter(core)
    clock.advance(timedelta(seconds=59))
    touch_session(core=core, session_id=session(core, signed_in).id, last_seen_at=START)
    assert session(core, signed_in).last_seen_at == START
    clock.advance(timedelta(seconds=1))
    touch_session(core=core, session_id=session(core, signed_in).id, last_seen_at=START)
    assert session(core, signed_in).last_seen_at == START + timedelta(seconds=60)
    clock.advance(timedelta(seconds=-10))
    touch_session(core=core, session_id=session(core, signed_in).id, last_seen_at=START - timedelta(hours=1))
    assert session(core, signed_in).last_seen_at == START + timedelta(seconds=60)


def test_how_long_a_session_may_rest_is_a_setting(database_url: str, clock: FixedClock) -> None:
    core = make_core(database_url, clock=clock, INCENTIVES_SESSION_IDLE_MINUTES="5")
    person(core, "frontline", email="ana@example.com")
    signed_in = enter(core)
    clock.advance(timedelta(minutes=5))
    assert session_of_token(core=core, session_token=signed_in.session_token) is None
    core.database.dispose()


def test_signing_out_ends_this_session_alone(core: Core, ana: Actor) -> None:
    here, there = enter(core), enter(core)
    sign_out(core=core, session_token=here.session_token)
    sign_out(core=core, session_token=here.session_token)  # it has ended already
    sign_out(core=core, session_token="nonsense")
    assert session_of_token(core=core, session_token=here.session_token) is None
    assert session(core, there).actor == ana


def test_a_session_is_revoked_from_another_machine(core: Core, ana: Actor) -> None:
    here, there = enter(core, user_agent="here"), enter(core, user_agent="there")
    assert {each.user_agent for each in sessions_of(core=core, actor=ana)} == {"here", "there"}
    lost = session(core, there)
    revoke_session(core=core, actor=ana, session_id=lost.id)
    assert session_of_token(core=core, session_token=there.session_token) is None
    assert [each.user_agent for each in sessions_of(core=core, actor=ana)] == ["here"]
    assert session(core, here).actor == ana
    with pytest.raises(SessionNotFound):
        revoke_session(core=core, actor=ana, session_id=lost.id)
    with core.database.read() as tx:
        actions = tx.execute(audit_events.select().order_by(audit_events.c.id)).all()
    assert [row.action for row in actions] == ["user.created", "session.opened", "session.opened", "session.revoked"]


def test_nobody_revokes_another_s_session(core: Core, ana: Actor) -> None:
    bob = person(core, "admin", email="bob@example.com")
    signed_in = enter(core)
    for session_id in (session(core, signed_in).id, UUID(int=7)):
        with pytest.raises(SessionNotFound):
            revoke_session(core=core, actor=bob, session_id=session_id)
    assert session(core, signed_in).actor == ana


def test_disabling_a_person_ends_every_session_at_once(core: Core, ana: Actor) -> None:
    bob = person(core, "admin", email="bob@example.com")
    first, second, other = enter(core), enter(core), enter(core, "bob@example.com")
    disable_user(core=core, actor=bob, email=" ANA@example.com")
    for each in (first, second):
        assert session_of_token(core=core, session_token=each.session_token) is None
        assert actor_of_session(core=core, session_token=each.session_token) is None
    assert session(core, other).actor == bob


@pytest.mark.parametrize("token", ["", "nonsense", "\0", "é", "x" * 10_000])
def test_a_token_that_nobody_has_is_nobody(core: Core, ana: Actor, token: str) -> None:
    enter(core)
    assert session_of_token(core=core, session_token=token) is None


def test_long_words_about_the_browser_are_cut(core: Core, ana: Actor) -> None:
    signed_in = enter(core, user_agent="x" * 10_000, ip="1" * 500)
    assert (len(session(core, signed_in).user_agent), len(session(core, signed_in).ip)) == (300, 64)
