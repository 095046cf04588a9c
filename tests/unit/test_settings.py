"""Settings: every mistake at once, by the name of its variable, and no secret in their text."""

import base64

import pytest

from incentives.kernel.errors import SettingsInvalid
from incentives.kernel.settings import PREFIX, SETTINGS, Settings
from tests.world import environ, key_setting

GOOD = environ("sqlite:///x.db")


def read(**more: str) -> Settings:
    return Settings.from_environ({**GOOD, **{PREFIX + name: value for name, value in more.items()}})


def mistakes(**more: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        read(**more)
    found = caught.value.facts["errors"]
    assert caught.value.detail == "; ".join(found)
    return list(found)


def test_what_is_left_out_has_its_default() -> None:
    settings = read()
    assert settings.development
    assert (settings.database_pool_size, settings.session_idle_minutes, settings.provider_timeout_seconds) == (
        16,
        30,
        10,
    )
    assert (settings.delivery, settings.redis_url, settings.sendgrid_api_key) == ("worker", "", "")
    # An empty variable is one that is left out: that is how container systems pass what nobody set.
    assert read(DATABASE_POOL_SIZE="", REDIS_URL="") == settings


def test_other_programs_variables_are_not_ours() -> None:
    assert Settings.from_environ({**GOOD, "PATH": "/bin", "XINCENTIVES_X": "1"}) == read()


def test_an_unknown_setting_is_a_mistake() -> None:
    assert mistakes(DATABSE_URL="x") == ["INCENTIVES_DATABSE_URL: there is no such setting"]


def test_every_mistake_is_told_at_once() -> None:
    found = mistakes(ENVIRONMENT="staging", DATABASE_POOL_SIZE="many", PUBLIC_URL="ftp://a", CODE_KEYS="x", NOPE="1")
    assert [each.partition(":")[0] for each in found] == [
        "INCENTIVES_NOPE", "INCENTIVES_ENVIRONMENT", "INCENTIVES_DATABASE_POOL_SIZE", "INCENTIVES_PUBLIC_URL",
        "INCENTIVES_CODE_KEYS",
    ]  # fmt: skip


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "ten", "1e3", " 3", "1234567", "٣"])
def test_a_count_is_a_whole_number_above_zero(count: str) -> None:
    assert mistakes(DATABASE_POOL_SIZE=count) == ["INCENTIVES_DATABASE_POOL_SIZE: must be a whole number above zero"]


@pytest.mark.parametrize("cap", ["-1", "1001", "3.0", "three", " 3", "3 ", "+3", "1e1", "٣", "00003", "off"])
def test_a_contact_cap_is_a_number_or_none(cap: str) -> None:
    said = "must be a whole number from 1 to 1000, or 0 for no cap"
    assert mistakes(CONTACT_CAP=cap) == [f"INCENTIVES_CONTACT_CAP: {said}"]


def test_a_contact_cap_is_twenty_unless_somebody_says_otherwise() -> None:
    assert [read(CONTACT_CAP=each).contact_cap for each in ("", "0", "3", "1000")] == [20, 0, 3, 1000]


def test_there_may_be_no_proxies() -> None:
    assert read(TRUSTED_PROXIES="0").trusted_proxies == 0
    assert read(TRUSTED_PROXIES="2").trusted_proxies == 2
    assert mistakes(TRUSTED_PROXIES="-1")


@pytest.mark.parametrize(
    "url", ["acme.example", "ftp://acme.example", "https://", "//acme.example", "javascript:alert(1)"]
)
def test_an_address_is_http(url: str) -> None:
    assert mistakes(PUBLIC_URL=url) == ["INCENTIVES_PUBLIC_URL: must be an http or https address"]


def test_a_broker_is_one_that_celery_can_reach() -> None:
    for url in (
        "redis://:word@cache:6379/3",
        "rediss://cache",
        "amqp://app:word@rabbit:5672//",
        "amqps://rabbit/house",
    ):
        assert read(BROKER_URL=url).broker_url == url
    for url in ("cache:6379", "memory://", "redis://", "sqs://key@"):
        assert mistakes(BROKER_URL=url) == ["INCENTIVES_BROKER_URL: must be a redis, rediss, amqp or amqps address"]


_HOST_AND_PORT = "must be an address with a host and, where it names a port, one from 1 to 65535"
_TWILIO = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_FROM": "+15005550006"}


@pytest.mark.parametrize("place", ["h:abc", "h:65536", "h:0", "h:-1", "[::1", "h\u2100x"])
@pytest.mark.parametrize(
    ("name", "before", "behind"),
    [
        ("PUBLIC_URL", "https://", ""),
        ("SENDGRID_BASE_URL", "http://", ""),
        ("REDIS_URL", "redis://:s3cret@", "/0"),
        ("SMTP_URL", "smtps://u:s3cret@", ""),
        ("TWILIO_SPARE_URL", "https://AC2:s3cret@", "?from=%2B15005550006"),
    ],
)
def test_an_address_that_cannot_be_called_is_refused_by_name(name: str, before: str, behind: str, place: str) -> None:
    """It would stop the start in the middle, or a message on its way; and Python's own words show the password."""
    (mistake,) = mistakes(**_TWILIO, **{name: f"{before}{place}{behind}"})
    assert mistake == f"INCENTIVES_{name}: {_HOST_AND_PORT}"


def test_a_password_with_a_slash_is_not_shown_as_the_port() -> None:
    for name, url in (("REDIS_URL", "redis://:s3cret/word@h"), ("SMTP_URL", "smtps://u:s3cret/word@h")):
        assert mistakes(**{name: url}) == [f"INCENTIVES_{name}: {_HOST_AND_PORT}"]


def test_a_redis_has_a_host_and_a_number() -> None:
    for url in ("redis://cache", "rediss://app:word@cache:6380/3", "redis://127.0.0.1:6379/", "redis://[::1]:6379/0"):
        assert read(REDIS_URL=url).redis_url == url
    for url in ("cache:6379", "127.0.0.1:6379", "cache", "redis://", "redis:///0", "memory://", "http://cache"):
        assert mistakes(REDIS_URL=url) == ["INCENTIVES_REDIS_URL: must be a redis or rediss address"]
    (mistake,) = mistakes(REDIS_URL="redis://:s3cret@cache/abc")
    assert mistake == "INCENTIVES_REDIS_URL: must name a database by its number, such as `/0`, or none"


def test_a_mail_server_is_one_that_speaks_smtp() -> None:
    for url in ("smtp://localhost:25", "smtps://u:p%40ss@mail.example:465", "smtp://mail.example/"):
        assert read(SMTP_URL=url).smtp_url == url
    for url in ("http://u:s3cret@mail.example", "mail.example:25", "smtp://", "smtps://mail.example/inbox"):
        assert mistakes(SMTP_URL=url) == ["INCENTIVES_SMTP_URL: must be an smtp or smtps address, without a path"]
    assert mistakes(SMTP_URL="smtps://u@mail.example") == [
        "INCENTIVES_SMTP_URL: must have a user and a password or neither"
    ]


def test_a_second_account_says_where_its_messages_come_from() -> None:
    for origin in ("from=+15005550007", "from=%2B15005550007", "service=MG1"):
        url = f"https://AC2:s3cret@api.example?{origin}"
        assert read(**_TWILIO, TWILIO_SPARE_URL=url).twilio_spare_url == url
    for origin in ("", "?from=", "?form=%2B15005550007", "#from=1"):
        (mistake,) = mistakes(**_TWILIO, TWILIO_SPARE_URL=f"https://AC2:s3cret@api.example{origin}")
        assert mistake == (
            "INCENTIVES_TWILIO_SPARE_URL: must say which number or service messages come from: "
            "`?from=number` or `?service=sid`"
        )
    for url in ("https://api.example?from=1", "https://AC2@api.example?from=1", "ftp://AC2:s3cret@api.example?from=1"):
        (mistake,) = mistakes(**_TWILIO, TWILIO_SPARE_URL=url)
        assert mistake == "INCENTIVES_TWILIO_SPARE_URL: must be an http or https address with an account and its token"


@pytest.mark.parametrize(
    "url", ["https://h/x?y=1#z", "https://h?", "https://h/#", "https://u:s3cret@h", "https://@h", "https://u@h/x"]
)
def test_what_links_begin_with_is_an_address_and_a_path(url: str) -> None:
    """A path that is put behind a question mark leads nowhere, and a password would be sent to every customer."""
    said = "must be an address and a path, without user, password, `?` and `#`"
    assert mistakes(PUBLIC_URL=url) == [f"INCENTIVES_PUBLIC_URL: {said}"]


def test_a_broker_that_is_no_address_is_refused_without_its_password() -> None:
    assert mistakes(BROKER_URL="redis://:s3cret@[h") == [f"INCENTIVES_BROKER_URL: {_HOST_AND_PORT}"]


def test_an_address_ends_without_a_slash() -> None:
    assert read(PUBLIC_URL="https://acme.example/shop/").public_url == "https://acme.example/shop"


def test_in_production_links_are_https() -> None:
    assert mistakes(ENVIRONMENT="production", CAPTURE_MESSAGES="yes") == [
        "INCENTIVES_PUBLIC_URL: customers' links must be https in production"
    ]
    https = {"PUBLIC_URL": "https://acme.example", "CAPTURE_MESSAGES": "yes"}
    assert not read(ENVIRONMENT="production", **https).development


def test_in_production_a_channel_without_a_provider_is_refused_unless_that_is_wanted() -> None:
    production = {"ENVIRONMENT": "production", "PUBLIC_URL": "https://acme.example"}
    twilio = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_FROM": "+15005550006"}
    for given, missing in (
        ({}, ["INCENTIVES_SENDGRID_API_KEY", "INCENTIVES_TWILIO_ACCOUNT_SID"]),
        ({"SENDGRID_API_KEY": "SG.x"}, ["INCENTIVES_TWILIO_ACCOUNT_SID"]),
        (twilio, ["INCENTIVES_SENDGRID_API_KEY"]),
    ):
        found = mistakes(**production, **given)
        assert [each.partition(":")[0] for each in found] == missing
        assert all("INCENTIVES_CAPTURE_MESSAGES=yes" in each for each in found)
        assert read(**production, **given, CAPTURE_MESSAGES="yes").capture_messages
    assert not read(**production, **twilio, SENDGRID_API_KEY="SG.x").capture_messages
    assert not read().capture_messages
    assert mistakes(CAPTURE_MESSAGES="maybe") == ["INCENTIVES_CAPTURE_MESSAGES: must be one of yes, no"]


def test_production_is_the_default() -> None:
    without = {name: value for name, value in GOOD.items() if name != "INCENTIVES_ENVIRONMENT"}
    with pytest.raises(SettingsInvalid, match="https"):
        Settings.from_environ(without)


@pytest.mark.parametrize("purpose", ["CODE", "LINK", "SESSION", "CONTACT", "SEAL"])
@pytest.mark.parametrize(
    "keys",
    [
        "",
        "a",
        "a:",
        "a:b",
        ":" + base64.b64encode(b"x" * 32).decode(),
        "A:" + base64.b64encode(b"x" * 32).decode(),
        "a:" + base64.b64encode(b"x" * 31).decode(),
        "a:" + base64.b64encode(b"x" * 32).decode() + "!",
        "a:" + base64.b64encode(b"x" * 32).decode() + ":new",
        "a:" + base64.b64encode(b"x" * 32).decode() + ":known:retired",
        "a" * 17 + ":" + base64.b64encode(b"x" * 32).decode(),
    ],
)
def test_every_purpose_needs_keys_of_256_bits(purpose: str, keys: str) -> None:
    (mistake,) = mistakes(**{f"{purpose}_KEYS": keys})
    assert mistake.startswith(f"INCENTIVES_{purpose}_KEYS: ")


def test_a_key_in_other_letters_is_refused_in_our_words() -> None:
    said = "each key is `id:base64` of at least 32 bytes"
    assert mistakes(CODE_KEYS="a:é" + base64.b64encode(b"x" * 32).decode()) == [f"INCENTIVES_CODE_KEYS: {said}"]


def test_a_key_that_stands_twice_is_a_mistake() -> None:
    """Which of the two would make codes again tomorrow, nobody could say."""
    one, other = key_setting("ONE"), key_setting("OTHER")
    assert mistakes(CODE_KEYS=f"{one},{other}") == ["INCENTIVES_CODE_KEYS: a key id stands there twice"]


def test_keys_keep_their_order() -> None:
    one, other = key_setting("ONE"), key_setting("OTHER").replace("t:", "u:")
    assert [key.id for key in read(CODE_KEYS=f" {one} , {other} ").code_keys] == ["t", "u"]


def test_a_key_may_be_known_or_retired() -> None:
    one, other, third = (
        key_setting(name).replace("t:", f"{key_id}:") for name, key_id in (("1", "a"), ("2", "b"), ("3", "c"))
    )
    found = read(CODE_KEYS=f"{one}:retired,{other},{third}:known").code_keys
    assert [(key.id, key.state) for key in found] == [("a", "retired"), ("b", ""), ("c", "known")]


def test_one_key_is_left_that_makes_something() -> None:
    one, other = key_setting("ONE"), key_setting("OTHER").replace("t:", "u:")
    for keys in (f"{one}:known", f"{one}:retired,{other}:known"):
        (mistake,) = mistakes(CODE_KEYS=keys)
        assert mistake == "INCENTIVES_CODE_KEYS: no key is left that makes anything: each is known or retired"


def test_twilio_needs_all_its_parts() -> None:
    assert [each.partition(":")[0] for each in mistakes(TWILIO_ACCOUNT_SID="AC1")] == [
        "INCENTIVES_TWILIO_AUTH_TOKEN",
        "INCENTIVES_TWILIO_MESSAGING_SERVICE_SID",
    ]
    read(TWILIO_ACCOUNT_SID="AC1", TWILIO_AUTH_TOKEN="x", TWILIO_FROM="+15005550006")
    read(TWILIO_ACCOUNT_SID="AC1", TWILIO_AUTH_TOKEN="x", TWILIO_MESSAGING_SERVICE_SID="MG1")


def test_settings_do_not_show_their_secrets() -> None:
    settings = read(SENDGRID_API_KEY="SG.secret")
    assert repr(settings) == str(settings) == "Settings(environment='development')"


@pytest.mark.parametrize("name", [each.name for each in SETTINGS if each.kind not in ("text", "secret")])
def test_a_mistake_does_not_show_the_value(name: str) -> None:
    """A key in the wrong variable would stand in the log of the start."""
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_environ({**GOOD, name: "hunter2:hunter2,hunter2:x"})
    assert "hunter2" not in str(caught.value)


def test_each_setting_has_a_field_and_a_word_of_help() -> None:
    assert [setting.field for setting in SETTINGS] == list(Settings.__dataclass_fields__)
    assert all(setting.help.endswith(".") for setting in SETTINGS)
