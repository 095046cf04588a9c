"""The inbox of captured messages: what a developer sees, and that nobody sees it in production."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import html5lib
import pytest
from flask import Flask

from channels.capture import CaptureSender
from incentives.deeds.answers import Issued
from incentives.flows.deliver import deliver_next
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.kernel.core import Core
from incentives.kernel.database import metadata
from incentives.recovery.customers import CustomerGiven
from tests.world import actor, make_core, publish_catalog
from wsgi import create_app

SENDERS = {channel: CaptureSender(channel) for channel in ("email", "sms")}


@pytest.fixture
def core(sqlite: Any) -> Iterator[Core]:
    url = sqlite.new()
    core = make_core(url, senders=SENDERS)
    publish_catalog(core)
    yield core
    core.database.dispose()
    sqlite.drop(url)


@pytest.fixture
def app(core: Core) -> Flask:
    return create_app(core)


def give(core: Core, incentive: str = "travel-voucher-gbp", locale: str = "en-GB") -> Issued:
    """Give something by email and SMS, and let the messages go."""
    issued = issue_voucher(
        core=core,
        actor=actor(core, "manager", location="london"),
        command=IssueVoucher(
            issue_tag="flight-delayed",
            incentive=incentive,
            customer=CustomerGiven(name="Ana <b>", email="ana.ruiz@gmail.com", phone="+447400123456", locale=locale),
            channels=("email", "sms"),
            location="london",
            idempotency_key=str(uuid.uuid4()),
        ),
    )
    assert isinstance(issued, Issued)
    while deliver_next(core=core):
        pass
    return issued


def test_an_empty_inbox_says_how_to_fill_it(app: Flask) -> None:
    response = app.test_client().get("/inbox")
    assert response.status_code == 200
    assert "No messages yet" in response.text
    assert 'href="/staff"' in response.text


def test_captured_messages_are_shown_as_customers_would_see_them(app: Flask, core: Core) -> None:
    voucher = give(core).voucher
    assert voucher is not None
    client = app.test_client()
    page = client.get("/inbox").text
    assert "No messages yet" not in page
    assert "ana.ruiz@gmail.com" in page
    assert "+447400123456" in page
    assert "1 SMS" in page
    assert "GSM-7" in page
    assert page.count(f'href="http://127.0.0.1:8000/v/{voucher.token}"') >= 3
    (address,) = set(re.findall(r'href="(/inbox/[0-9a-f-]{36})"', page))
    email = client.get(address)
    assert voucher.code in email.text
    assert "Ana &lt;b&gt;" in email.text
    assert "script-src" not in email.headers["Content-Security-Policy"]
    assert email.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert email.headers["Cache-Control"] == "no-store"


def test_the_newest_is_first(app: Flask, core: Core) -> None:
    give(core)
    give(core, locale="es")
    page = app.test_client().get("/inbox").text
    assert page.index("nuestras disculpas") < page.index("our apology")


def test_one_sms_has_its_own_address(app: Flask, core: Core) -> None:
    sms = next(delivery for delivery in give(core).deliveries if delivery.channel == "sms")
    response = app.test_client().get(f"/inbox/{sms.id}")
    assert response.status_code == 200
    assert "+447400123456" in response.text
    assert "ana.ruiz@gmail.com" not in response.text


@pytest.mark.parametrize("path", ["/inbox/00000000-0000-7000-8000-000000000000", "/inbox/x", "/inbox/x/y"])
def test_a_message_that_is_not_there(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 404


def test_production_has_no_inbox(sqlite: Any) -> None:
    url = sqlite.new()
    core = make_core(
        url,
        senders=SENDERS,
        INCENTIVES_ENVIRONMENT="production",
        INCENTIVES_CAPTURE_MESSAGES="yes",
        INCENTIVES_PUBLIC_URL="https://vouchers.northwind-air.example",
    )
    publish_catalog(core)
    email = next(delivery for delivery in give(core).deliveries if delivery.channel == "email")
    client = create_app(core).test_client()
    for path in ("/inbox", f"/inbox/{email.id}"):
        response = client.get(path)
        assert response.status_code == 404
        assert "ana.ruiz" not in response.text
    core.database.dispose()
    sqlite.drop(url)


def test_looking_changes_nothing_and_nothing_is_stored(app: Flask, core: Core) -> None:
    voucher = give(core).voucher
    assert voucher is not None

    def everything() -> str:
        with core.database.read() as tx:
            return repr({name: tx.execute(table.select()).all() for name, table in metadata.tables.items()})

    before = everything()
    app.test_client().get("/inbox")
    assert everything() == before
    for secret in (voucher.code, voucher.code.replace("-", ""), voucher.token, "ana.ruiz", "447400123456"):
        assert secret not in before


def test_the_page_is_valid_and_has_no_script(app: Flask, core: Core) -> None:
    give(core)
    page = app.test_client().get("/inbox").text
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    elements = [element for element in tree.iter() if isinstance(element.tag, str)]
    assert not {element.tag for element in elements} & {"script", "style", "iframe"}
    assert not [name for element in elements for name in element.attrib if name == "style" or name.startswith("on")]
