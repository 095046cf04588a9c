"""Customers' addresses: canonical for recognizing, untouched for sending, refused when they cannot exist."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from incentives.kernel.errors import EmailInvalid, PhoneInvalid
from incentives.recovery.customers import (
    Contact,
    CustomerGiven,
    canonical_email,
    checked,
    checked_email,
    identities,
    mailbox,
)

LOCAL = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)
HOST = st.sampled_from(["example.com", "example.org", "mail.example.net", "gmail.com"])


@given(LOCAL, HOST, st.data())
def test_dots_plus_and_case_are_one_mailbox(local: str, host: str, data: st.DataObject) -> None:
    plain = canonical_email(f"{local}@{host}")
    places = data.draw(st.sets(st.integers(1, len(local) - 1)) if len(local) > 1 else st.just(set()))
    dotted = "".join(f".{letter}" if place in places else letter for place, letter in enumerate(local))
    tagged = f"{dotted}+{data.draw(st.from_regex(r'[a-z0-9.+]{0,10}', fullmatch=True))}@{host}"
    assert canonical_email(tagged) == canonical_email(tagged.upper()) == plain
    assert canonical_email(plain) == plain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ana@example.com", "ana@example.org"),
        ("ana@example.com", "anna@example.com"),
        ("a-na@example.com", "ana@example.com"),
        ("+one@example.com", "+two@example.com"),  # nothing but a suffix: the suffix is the name
    ],
)
def test_different_people_stay_different(one: str, other: str) -> None:
    assert canonical_email(one) != canonical_email(other)


def test_one_provider_of_two_names_is_one() -> None:
    assert canonical_email("ana@googlemail.com") == canonical_email("ana@gmail.com")


@pytest.mark.parametrize(
    ("text", "sent_to"),
    [
        (" Ana.Lopez+x@Example.COM\n", "Ana.Lopez+x@example.com"),
        ("ana@bücher.example.com", "ana@bücher.example.com"),
        ("ana@xn--bcher-kva.example.com", "ana@bücher.example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
    ],
)
def test_an_address_is_sent_to_as_it_was_given(text: str, sent_to: str) -> None:
    assert checked_email(text, field="x") == sent_to


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ana",
        "@example.com",
        "ana@",
        "ana@example",
        "ana@.com",
        "ana@example..com",
        ".ana@example.com",
        "ana.@example.com",
        "a..na@example.com",
        "ana@exa mple.com",
        "ana@example.com, bob@example.com",
        "<ana@example.com>",
        "ana@[127.0.0.1]",
        '"ana"@example.com',
        "ana@example.test",
        "ana@example.com\r\nBcc: x@example.com",
        "x" * 65 + "@example.com",
        "ana@" + "x" * 64 + ".com",
        "ana@" + "x." * 130 + "com",
        "a\u202ena@example.com",
    ],
)
def test_an_address_that_cannot_exist_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(EmailInvalid) as caught:
        checked_email(text, field="customer.email")
    assert caught.value.facts == {"field": "customer.email"}


def as_the_library_says(text: str) -> str | None:
    try:
        found = validate_email(text.strip(), strict=True, check_deliverability=False, test_environment=False)
    except EmailNotValidError:
        return None
    return found.normalized


def as_we_say(text: str) -> str | None:
    try:
        return checked_email(text, field="x")
    except EmailInvalid:
        return None


LOCALS = (
    "ana", "a.b", "a+b", "a_b-c", "0", "x" * 64, "x" * 65, "", ".", "a.", ".a", "a..b", "Ana", "Postmaster", "info",
    "o'hara", '"a"', "a b", "a@b", "é", "a" + chr(10), "*",
)  # fmt: skip
HOSTS = (
    "example.com", "Example.com", "example", "example.test", "xn--bcher-kva.example.com", "xn--a.com", "-a.com",
    "a-.com", "a..com", "1.2.3.4", "a_b.com", "x" * 64 + ".com", "x." * 90 + "com", "com.", ".com", "localhost",
    "[127.0.0.1]", "b" + chr(252) + "cher.example.com", "", "example.com" + chr(10),
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_what_needs_no_looking_into_is_what_looking_into_it_finds(host: str) -> None:
    """Most addresses are plain, and their host was seen before: they come out as the library would have them."""
    told = [f"{local}@{host}" for local in LOCALS]
    assert [as_we_say(text) for text in told] == [as_the_library_says(text) for text in told]


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+44 20 7946 0018", None, "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("+44 20 7946 0018", "US", "+442079460018"),
        ("011 44 20 7946 0018", "US", "+442079460018"),
        ("+34 612 34 56 78", "GB", "+34612345678"),
        ("tel:+44-20-7946-0018", None, "+442079460018"),
    ],
)
def test_a_number_is_kept_as_e164(text: str, region: str | None, number: str) -> None:
    assert checked(CustomerGiven(phone=text), region=region) == Contact(phone=number)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("020 7946 0018", None),
        ("020 7946 0018", "US"),
        ("+999123456789", None),
        ("112", "GB"),
        ("+44 20 7946 00", None),
        ("+", None),
        ("x", "GB"),
        ("+44" + "1" * 400, None),
    ],
)
def test_a_number_from_nowhere_is_refused(text: str, region: str | None) -> None:
    with pytest.raises(PhoneInvalid) as caught:
        checked(CustomerGiven(phone=text), region=region)
    assert caught.value.facts == {"field": "customer.phone"}


@given(st.text(max_size=30), st.sampled_from([None, "GB", "US", "ES"]))
def test_whatever_is_typed_is_a_number_or_refused(text: str, region: str | None) -> None:
    try:
        found = checked(CustomerGiven(phone=text), region=region)
    except PhoneInvalid:
        return
    assert found.phone is None or (
        found.phone.startswith("+") and found.phone[1:].isdecimal() and len(found.phone) <= 16
    )


def test_who_is_nobody_has_no_identities() -> None:
    for nobody in (
        CustomerGiven(),
        CustomerGiven(email="", phone="", external_ref="", name=""),
        CustomerGiven(name=" ", external_ref=" "),
    ):
        contact = checked(nobody, region=None)
        assert contact == Contact()
        assert identities(contact) == []
    assert identities(Contact(name="Ana")) == []


def test_a_contact_survives_its_text() -> None:
    for contact in (
        Contact(),
        Contact(name="Ana"),
        Contact(name="López", email="a@b.com", phone="+1", external_ref="7"),
    ):
        assert Contact.from_text(contact.to_text()) == contact
    assert Contact.from_text(None) == Contact()


@pytest.mark.parametrize(
    ("email", "form"),
    [
        ("Ana.Ruiz+now@Gmail.com", "anaruiz@gmail.com"),
        ("ana.ruiz@googlemail.com", "anaruiz@gmail.com"),
        ("C.E.O+x@Corp.Example", "c.e.o+x@corp.example"),
        ("ceo@notgmail.com", "ceo@notgmail.com"),
        ("c.eo@gmail.com.corp.example", "c.eo@gmail.com.corp.example"),
    ],
)
def test_one_mailbox_has_one_form_and_no_other_mailbox_has_it(email: str, form: str) -> None:
    assert mailbox(email) == form
