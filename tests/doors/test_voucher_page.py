"""The customer's page of a voucher: what it shows, what it never shows, and that opening it changes nothing."""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import html5lib
import pytest
import sqlalchemy as sa

from channels.qr import qr_svg
from channels.words import EN, ES
from incentives.kernel.clock import FixedClock
from incentives.kernel.database import metadata
from incentives.kernel.keys import sign
from incentives.kernel.throttle import LIMITS, Limit, Throttle
from incentives.vouchers import codes
from tests.doors.customers import Customers
from tests.world import START, make_core, publish_catalog
from wsgi import create_app

STATIC = Path(__file__).parents[2] / "channels" / "static"

# Mail scanners, link previews and search engines: each of them opens every link that it sees.
ROBOTS = (
    "Mozilla/5.0 (compatible; Microsoft Office 365 ATP SafeLinks)",
    "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
    "Mimecast/URL-Protect",
    "Barracuda Sentinel (EE)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "facebookexternalhit/1.1",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
    "bitlybot/3.0",
)


@pytest.fixture
def customers(database_url: str) -> Iterator[Customers]:
    clock = FixedClock(START)
    core = make_core(database_url, clock=clock)
    publish_catalog(core)
    yield Customers(core, clock, create_app(core))
    core.database.dispose()


@pytest.fixture
def on_sqlite(sqlite: Any) -> Iterator[Customers]:
    """The same on one database, for what does not depend on it."""
    url = sqlite.new()
    clock = FixedClock(START)
    core = make_core(url, clock=clock)
    publish_catalog(core)
    yield Customers(core, clock, create_app(core))
    core.database.dispose()
    sqlite.drop(url)


def text_of(html: str) -> str:
    """Return what a page says, its spaces made ordinary."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    return re.sub(r"\s+", " ", " ".join(tree.itertext()))


def test_the_page_says_what_the_customer_needs(customers: Customers) -> None:
    voucher = customers.give()
    response = customers.client.get(f"/v/{voucher.token}")
    said = text_of(response.text)
    assert response.status_code == 200
    for fact in (
        "Ana Ruiz, I am sorry about your flight MS 1234.",
        "£25.00 off",
        "Travel voucher",
        "Ready to use",
        voucher.code,
        "until the end of 20 November 2027 (London time)",
        "At every Meridian Air & Stays location",
        "For any flight or stay. One use.",
    ):
        assert fact in said
    assert said.index("I am sorry") < said.index("£25.00 off") < said.index(voucher.code)


def test_a_voucher_of_several_uses_says_how_many_are_left(on_sqlite: Customers) -> None:
    voucher = on_sqlite.give()
    assert "more times" not in on_sqlite.client.get(f"/v/{voucher.token}").text
    table = metadata.tables["vouchers"]
    for used, said in ((0, "To be used 3 more times"), (2, "To be used once more")):
        with on_sqlite.core.database.write() as tx:
            tx.execute(table.update().values(max_redemptions=3, redeemed_count=used))
        page = text_of(on_sqlite.client.get(f"/v/{voucher.token}").text)
        assert said in page
        assert "It works once" not in page


def test_the_code_is_spelled_for_those_who_listen(on_sqlite: Customers) -> None:
    voucher = on_sqlite.give()
    page = on_sqlite.client.get(f"/v/{voucher.token}").text
    assert f'aria-hidden="true">{voucher.code}<' in page
    assert ", ".join(" ".join(group) for group in voucher.code.split("-")) in page


def test_the_qr_code_holds_the_vouchers_address(on_sqlite: Customers) -> None:
    voucher = on_sqlite.give()
    picture = str(qr_svg(f"http://127.0.0.1:8000/v/{voucher.token}", EN.qr_title))
    assert picture in on_sqlite.client.get(f"/v/{voucher.token}").text
    response = on_sqlite.client.get(f"/v/{voucher.token}/qr.svg")
    assert response.mimetype == "image/svg+xml"
    assert response.text == picture


@pytest.mark.parametrize(
    ("locale", "browser", "lang", "state"),
    [
        ("es-MX", "en", "es-MX", ES.ready_to_use),
        ("en-US", "es", "en-US", EN.ready_to_use),
        ("fr", "es-AR,es;q=0.9,en;q=0.5", "es-AR", ES.ready_to_use),
        ("fr", "de,fr;q=0.9", "en", EN.ready_to_use),
    ],
)
def test_the_language_is_the_customers_then_the_browsers(
    on_sqlite: Customers, locale: str, browser: str, lang: str, state: str
) -> None:
    voucher = on_sqlite.give(locale=locale)
    page = on_sqlite.client.get(f"/v/{voucher.token}", headers={"Accept-Language": browser}).text
    assert f'<html lang="{lang}">' in page
    assert state in page


def test_a_spanish_page_is_spanish_throughout(on_sqlite: Customers) -> None:
    voucher = on_sqlite.give(locale="es-ES")
    said = text_of(on_sqlite.client.get(f"/v/{voucher.token}").text)
    for fact in ("siento lo ocurrido con su vuelo", "25,00 £ de descuento".replace("£", "GBP"), "Vale de viaje"):
        assert fact in said
    assert "hasta el final del 20 de noviembre de 2027 (hora de Londres)" in said
    for english in (EN.ready_to_use, EN.code_label, EN.where_label, EN.terms_label):
        assert english not in said


def test_names_are_text(on_sqlite: Customers) -> None:
    voucher = on_sqlite.give(name="<img src=x onerror=alert(1)>")
    page = on_sqlite.client.get(f"/v/{voucher.token}").text
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_browsers_keep_it_private(customers: Customers) -> None:
    voucher = customers.give()
    for path in (f"/v/{voucher.token}", f"/v/{voucher.token}/qr.svg", "/v/unknown", "/v/a/b/c"):
        headers = customers.client.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in headers["X-Robots-Tag"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self' data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert "Set-Cookie" not in headers


def test_the_page_keeps_its_own_policy_and_loads_one_style_sheet(on_sqlite: Customers) -> None:
    page = on_sqlite.client.get(f"/v/{on_sqlite.give().token}").text
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    elements = [element for element in tree.iter() if isinstance(element.tag, str)]
    assert not {element.tag for element in elements} & {"script", "style", "iframe", "form", "object", "img"}
    assert not [name for element in elements for name in element.attrib if name == "style" or name.startswith("on")]
    loaded = {element.get("href") for element in elements if element.tag == "link"}
    assert loaded == {"data:,", "/customer/static/voucher.css"}
    assert len(list(tree.iter("h1"))) == len(list(tree.iter("main"))) == len(list(tree.iter("title"))) == 1


def test_the_page_is_light(on_sqlite: Customers) -> None:
    page = on_sqlite.client.get(f"/v/{on_sqlite.give().token}")
    with on_sqlite.client.get("/customer/static/voucher.css") as style:
        assert style.status_code == 200
        assert style.mimetype == "text/css"
        assert len(page.data) + len(style.data) < 100_000
        assert b"url(" not in style.data
        assert b"@import" not in style.data


def test_opening_it_changes_nothing(customers: Customers) -> None:
    voucher = customers.give()
    before = customers.everything()
    for robot, method, path in product(ROBOTS, ("GET", "HEAD"), (f"/v/{voucher.token}", f"/v/{voucher.token}/qr.svg")):
        response = customers.client.open(path, method=method, headers={"User-Agent": robot})
        assert response.status_code == 200
    assert customers.everything() == before
    customers.redeem(voucher)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_there_is_nothing_to_send_to_it(on_sqlite: Customers, method: str) -> None:
    response = on_sqlite.client.open(f"/v/{on_sqlite.give().token}", method=method)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "HEAD"}
    assert EN.not_shown_title in response.text


def misses(customers: Customers) -> dict[str, str]:
    """Return a link of each kind that shows nothing."""
    used, expired, voided, replaced, good = (customers.give() for _ in range(5))
    held, frozen = (customers.give(email="bea.ruiz@gmail.com") for _ in range(2))  # one customer has a cap
    customers.redeem(used)
    customers.become(voided, "voided")
    customers.become(replaced, "replaced")
    customers.become(expired, "expired")
    customers.hold(held)
    customers.freeze(frozen)
    head, tail = good.token[:-1], good.token[-1]
    return {
        "used": used.token,
        "expired": expired.token,
        "voided": voided.token,
        "replaced": replaced.token,
        "held by a till": held.token,
        "frozen": frozen.token,
        "unknown but signed by us": sign(customers.core.keys.links, "voucher-link", uuid.UUID(int=7).bytes, short=True),
        "for another purpose": sign(customers.core.keys.links, "approval-link", good.id.bytes, short=True),
        "forged": head + ("A" if tail != "A" else "B"),
        "half": good.token[:20],
        "empty signature": good.token.partition(".")[0] + ".",
        "a code": good.code,
        "an id": str(good.id),
        "nothing like it": "x",
        "not ASCII": "ñ%00%F0%9F%8E%81",
        "long": "A" * 3000,
    }


def answer_to(customers: Customers, path: str, **headers: str) -> tuple[int, str, list[tuple[str, str]]]:
    response = customers.client.get(path, headers=headers)
    return response.status_code, response.text, sorted((n, v) for n, v in response.headers if n != "X-Request-Id")


@pytest.mark.parametrize("suffix", ["", "/qr.svg"])
def test_whatever_shows_nothing_is_answered_alike(customers: Customers, suffix: str) -> None:
    answers = {what: answer_to(customers, f"/v/{token}{suffix}") for what, token in misses(customers).items()}
    first = answers["used"]
    assert first[0] == 404
    assert text_of(first[1]).count(EN.not_shown_title) == 2  # as title and as heading
    assert {what for what, answer in answers.items() if answer != first} == set()


def test_a_spent_vouchers_language_is_not_told_either(on_sqlite: Customers) -> None:
    spanish = on_sqlite.give(locale="es")
    on_sqlite.become(spanish, "voided")
    assert answer_to(on_sqlite, f"/v/{spanish.token}") == answer_to(on_sqlite, "/v/x")
    assert answer_to(on_sqlite, f"/v/{spanish.token}", **{"Accept-Language": "es"}) == answer_to(
        on_sqlite, "/v/x", **{"Accept-Language": "es"}
    )
    assert ES.not_shown_title in on_sqlite.client.get("/v/x", headers={"Accept-Language": "es"}).text


def test_a_voucher_whose_time_is_over_is_gone_before_anybody_sweeps(on_sqlite: Customers) -> None:
    voucher = on_sqlite.give()
    on_sqlite.clock.advance(timedelta(days=400))
    assert answer_to(on_sqlite, f"/v/{voucher.token}") == answer_to(on_sqlite, "/v/x")


def test_whatever_shows_nothing_asks_the_database_alike(customers: Customers) -> None:
    """As long as each miss does the same work, no clock can tell them apart."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    def asked(token: str) -> list[str]:
        statements.clear()
        customers.client.get(f"/v/{token}")
        return list(statements)

    tokens = misses(customers)
    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        work = {what: asked(token) for what, token in tokens.items()}
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert any("vouchers" in statement for statement in work["used"])
    assert {what for what, done in work.items() if done != work["used"]} == set()


def test_guessing_is_throttled_alike(on_sqlite: Customers) -> None:
    limits = {**LIMITS, "link-misses": Limit(tries=3, window_seconds=60)}
    on_sqlite.app.extensions["throttle"] = Throttle(limits=limits)
    voucher = on_sqlite.give()
    page = f"/v/{voucher.token}"
    assert [on_sqlite.client.get(page).status_code for _ in range(10)] == [200] * 10
    assert [on_sqlite.client.get("/v/x").status_code for _ in range(4)] == [404, 404, 404, 429]
    response = on_sqlite.client.get("/v/x")
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert EN.failed_title in response.text
    elsewhere: Callable[..., Any] = on_sqlite.client.get
    assert elsewhere("/v/x", environ_overrides={"REMOTE_ADDR": "203.0.113.9"}).status_code == 404


def test_a_link_that_we_signed_is_never_throttled_and_counts_as_no_miss(on_sqlite: Customers) -> None:
    limits = {**LIMITS, "link-misses": Limit(tries=3, window_seconds=60)}
    on_sqlite.app.extensions["throttle"] = Throttle(limits=limits)
    page = f"/v/{on_sqlite.give().token}"
    unknown = f"/v/{codes.token_of(on_sqlite.core.keys.links, uuid.uuid4())}"
    assert [on_sqlite.client.get(unknown).status_code for _ in range(10)] == [404] * 10
    assert [on_sqlite.client.get("/v/x").status_code for _ in range(4)] == [404, 404, 404, 429]
    assert on_sqlite.client.get(page).status_code == 200
    assert on_sqlite.client.get(f"{page}/qr.svg").status_code == 200
    assert on_sqlite.client.get(unknown).status_code == 404


def test_a_fault_of_ours_tells_the_customer_to_come_again(
    on_sqlite: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("channels.voucher_page.customer_voucher", broken)
    on_sqlite.app.config["PROPAGATE_EXCEPTIONS"] = False
    response = on_sqlite.client.get("/v/x")
    assert response.status_code == 500
    assert EN.failed_title in response.text
    assert "secret detail" not in response.text
    assert response.headers["Cache-Control"] == "no-store"


def tokens_of(css: str) -> list[dict[str, str]]:
    """Return the design tokens of each scheme, the light one first; print has none of its own here."""
    blocks = re.findall(r":root \{(.*?)\}", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL), flags=re.DOTALL)
    return [dict(re.findall(r"(--[a-z0-9-]+):\s*([^;]+);", block)) for block in blocks[:2]]


def test_the_look_is_the_one_of_the_staff_pages() -> None:
    ours = tokens_of((STATIC / "voucher.css").read_text("utf-8"))
    theirs = tokens_of((STATIC.parents[1] / "admin" / "static" / "tokens.css").read_text("utf-8"))
    assert [len(scheme) > 10 for scheme in ours] == [True, True]
    for own, shared in zip(ours, theirs, strict=True):
        assert own == {name: shared[name] for name in own}
