"""Keys: signed links, encrypted contacts, digests that find the same customer; each with rotation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel.errors import KeyRetired
from incentives.kernel.key_settings import Key
from incentives.kernel.keys import ContactCipher, KeyRing, decode, digest_of_secret, encode, new_secret, sign, unsign

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
RING, BOTH, ONLY_NEW = KeyRing((OLD,)), KeyRing((OLD, NEW)), KeyRing((NEW,))


def test_the_newest_key_makes_and_all_verify() -> None:
    assert (RING.newest_id, BOTH.newest_id) == ("old", "new")
    assert BOTH.ids == ("new", "old")
    assert BOTH.mac("old", b"a", b"b") == RING.mac("old", b"a", b"b") != BOTH.mac("new", b"a", b"b")
    with pytest.raises(KeyError):
        ONLY_NEW.secret("old")


def test_a_key_that_is_to_come_is_known_and_makes_nothing() -> None:
    ring = KeyRing((OLD, NEW), known=frozenset({"new"}))
    assert (ring.newest_id, ring.ids, ring.all_ids, ring.oldest_id) == ("old", ("old", "new"), ("old", "new"), "old")
    assert unsign(ring, "salt", sign(BOTH, "salt", b"x")) == b"x"
    assert unsign(RING, "salt", sign(ring, "salt", b"x")) == b"x"
    assert ContactCipher(RING).decrypt(ContactCipher(ring).encrypt("Ana")) == "Ana"
    assert ContactCipher(ring).decrypt(ContactCipher(BOTH).encrypt("Ana")) == "Ana"


def test_a_retired_key_makes_and_verifies_nothing_and_is_recognized() -> None:
    ring = KeyRing((OLD, NEW), retired=frozenset({"old"}))
    assert (ring.newest_id, ring.ids, ring.all_ids, ring.oldest_id) == ("new", ("new",), ("new", "old"), "old")
    token = sign(RING, "salt", b"x")
    gone = ring.gone()
    assert gone is not None
    assert (unsign(ring, "salt", token), unsign(gone, "salt", token)) == (None, b"x")
    assert BOTH.gone() is None
    with pytest.raises(KeyRetired):
        ContactCipher(ring).decrypt(ContactCipher(RING).encrypt("Ana"))
    assert ContactCipher(ring).key_of((ContactCipher(RING).encrypt("Ana") or "").encode()) == "old"


def test_a_ring_does_not_show_its_secrets() -> None:
    assert "ooo" not in repr(BOTH)
    assert "nnn" not in repr(BOTH)


def test_a_key_of_the_settings_does_not_show_its_secret() -> None:
    key = Key("old", b"o" * 32, "retired")
    assert repr(key) == str(key) == f"{key}" == "Key(id='old', state='retired')"
    assert "ooo" not in repr((key,))


def test_purposes_do_not_share_their_macs() -> None:
    assert len(RING.mac("old", b"purpose", b"message")) == 32
    assert RING.mac("old", b"purpose", b"message") != RING.mac("old", b"purposem", b"essage")


@given(st.binary(max_size=64))
def test_bytes_survive_a_link(value: bytes) -> None:
    assert decode(encode(value)) == value
    assert b"=" not in encode(value)


@pytest.mark.parametrize("text", [b"A", b"AAAAA", b"A A=", b"\xff\xff", b"AA==AA"])
def test_what_is_no_base64_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - binascii's own words
        decode(text)


@given(st.binary(max_size=40), st.booleans())
def test_a_signed_value_comes_back(value: bytes, short: bool) -> None:
    token = sign(RING, "salt", value, short=short)
    assert unsign(RING, "salt", token, short=short) == value
    assert unsign(BOTH, "salt", token, short=short) == value
    assert unsign(ONLY_NEW, "salt", token, short=short) is None
    assert unsign(RING, "other", token, short=short) is None
    assert unsign(RING, "salt", token, short=not short) is None


@given(st.binary(min_size=1, max_size=20), st.data())
def test_any_other_spelling_is_refused(value: bytes, data: st.DataObject) -> None:
    token = sign(RING, "salt", value)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(max_codepoint=255))
    changed = token[:place] + other + token[place + 1 :]
    if changed != token:
        assert unsign(RING, "salt", changed) is None
    for more in (token + "=", token + " ", token + "\n", token + ".", " " + token, token[:-1], "." + token):
        assert unsign(RING, "salt", more) is None


@given(st.text())
def test_whatever_comes_is_refused_without_an_error(text: str) -> None:
    assert unsign(RING, "salt", text) is None


@pytest.mark.parametrize("text", ["", "Ana López", "\0", "x" * 10_000, "{}"])
def test_contacts_come_back_and_look_different_each_time(text: str) -> None:
    cipher = ContactCipher(RING)
    first, second = cipher.encrypt(text), cipher.encrypt(text)
    assert first != second
    assert cipher.decrypt(first) == cipher.decrypt(second) == text
    assert first is not None
    assert not text or len(text) < 5 or text not in first


def test_no_contact_stays_none() -> None:
    assert ContactCipher(RING).encrypt(None) is None
    assert ContactCipher(RING).decrypt(None) is None


def test_contacts_of_an_old_key_are_read_until_it_is_retired() -> None:
    token = ContactCipher(RING).encrypt("Ana")
    assert ContactCipher(BOTH).decrypt(token) == "Ana"
    with pytest.raises(KeyRetired):
        ContactCipher(ONLY_NEW).decrypt(token)
    newer = ContactCipher(BOTH).encrypt("Ana")
    assert ContactCipher(ONLY_NEW).decrypt(newer) == "Ana"


def test_an_identity_s_digests_are_keyed_and_of_their_kind() -> None:
    cipher = ContactCipher(BOTH)
    digests = cipher.digests("email", "ana@example.com")
    assert [len(each) for each in digests] == [64, 64]
    assert digests[1:] == ContactCipher(RING).digests("email", "ana@example.com")
    assert digests[:1] == ContactCipher(ONLY_NEW).digests("email", "ana@example.com")
    assert not set(digests) & set(cipher.digests("reference", "ana@example.com"))


def test_fresh_secrets_are_long_and_differ() -> None:
    made = {new_secret(32) for _ in range(1000)}
    assert len(made) == 1000
    assert min(len(each) for each in made) == 43
    assert len({digest_of_secret(each) for each in made}) == 1000
