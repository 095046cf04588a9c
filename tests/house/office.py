"""A brand's office for a day: what people and programs do through the doors, and every secret that they come by."""

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from incentives.kernel.core import Core
from incentives.vouchers import codes
from tests.recovering_catalog import LOCATION, TAG, recovering_catalog
from tests.world import PASSWORD, api_key, person, publish_catalog
from wsgi import create_app

SOFIA = "sofia@brand.example"


class Office:
    """Everything that people and programs do through the doors, and all secrets that they come by."""

    def __init__(self, core: Core) -> None:
        """Let in a manager, an agent and a till."""
        publish_catalog(core, recovering_catalog())
        self.core = core
        self.app: Flask = create_app(core)
        self.secrets: dict[str, str] = {}  # the secret -> what it is
        self.last4: list[str] = []
        self.keys = {role: api_key(core, role, location=LOCATION)[0] for role in ("manager", "frontline", "till")}
        self.keep("an API key", *self.keys.values())

    def keep(self, what: str, *secrets: str) -> None:
        """Remember secrets, each of which is long enough not to be found by chance."""
        assert all(len(each) > 8 for each in secrets)
        self.secrets |= dict.fromkeys(secrets, what)

    def post(self, path: str, body: dict[str, Any], role: str, key: str) -> tuple[int, dict[str, Any]]:
        answer = self.send("POST", path, role, json=body, headers={"Idempotency-Key": key})
        content: dict[str, Any] = answer.get_json()
        return answer.status_code, content

    def send(self, method: str, path: str, role: str, **request: Any) -> TestResponse:
        """Let a program ask for something."""
        headers = {"Authorization": f"Bearer {self.keys[role]}", **request.pop("headers", {})}
        return self.app.test_client().open(f"/api/v1{path}", method=method, headers=headers, **request)

    def customer(self, number: int) -> dict[str, str]:
        """Return a customer whose every part is told from all others'."""
        person = {
            "name": f"Quixana Olvidada{number}",
            "email": f"Quixana.Olvidada+{number}@Customer.Example",
            "phone": f"+1212555{number:04}",
            "external_ref": f"loyalty-member-{number:05}",
        }
        self.keep("a customer", *person.values(), person["phone"][1:], f"quixanaolvidada{number}", f"Olvidada{number}")
        self.keep("a customer", person["email"].lower(), f"quixana.olvidada+{number}@customer.example")
        return person

    def give(self, number: int, role: str = "manager") -> tuple[int, dict[str, Any]]:
        channels = [[], ["email"], ["sms"], ["email", "sms"]][number % 4]
        body = {"issue_tag": TAG, "customer": self.customer(number), "channels": channels, "order_ref": f"A{number}"}
        status, given = self.post("/issuances", body, role, f"give-{number}")
        if status == 201:
            self.keep_voucher(given["voucher"])
        return status, given

    def keep_voucher(self, voucher: dict[str, Any]) -> None:
        code, token = voucher["code"], voucher["token"]
        self.keep("a code", code, code.replace("-", ""), code.lower(), code.replace("-", " "))
        self.keep("a link", token, token.partition(".")[2], voucher["url"], voucher["url"].rpartition("/")[2])
        self.last4.append(voucher["last4"])

    def redeem(self, number: int, voucher: dict[str, Any]) -> None:
        """Redeem by code or token, then again by replay and as a second try; and try what cannot be."""
        what = {"code": voucher["code"]} if number % 2 else {"token": voucher["token"]}
        for key, expected in ((f"sale-{number}", 201), (f"sale-{number}", 201), (f"again-{number}", 409)):
            status, _ = self.post("/redemptions", what, "till", key)
            assert status == expected

    def redeem_in_vain(self) -> None:
        """Try a code with a slip in it, and one that nobody was given."""
        somebodys = "7KQ49M2XABCD"
        for number, code in enumerate((f"{somebodys}-0", codes.printed(somebodys + codes.check_symbol(somebodys)))):
            self.keep("a code", code, code.replace("-", ""))
            status, _ = self.post("/redemptions", {"code": code}, "till", f"in-vain-{number}")
            assert status in (404, 422)

    def sign_in(self) -> FlaskClient:
        """Let somebody sign in on the staff's pages, once with a wrong password; the browser."""
        person(self.core, "supervisor", email=SOFIA, location=LOCATION)
        browser = self.app.test_client()
        for password, expected in (("a wrong password of hers", 401), (PASSWORD, 303)):
            self.keep("a password", password)
            page = browser.get("/sign-in").text
            form = dict(re.findall(r'name="(csrf[a-z_]*)"[^>]*value="([^"]+)"', page))
            self.keep("a form's token", *form.values())
            fields = {**form, "email": SOFIA, "password": password, "next": "/"}
            answer = browser.post("/sign-in", data=fields)
            assert answer.status_code == expected, answer.text
        cookie = browser.get_cookie("staff") or browser.get_cookie("__Host-staff")
        assert cookie is not None
        self.keep("a session", cookie.value)
        return browser

    def visit(self, voucher: dict[str, Any]) -> None:
        """Open the customer's page as the customer does, and look the voucher up as a till does."""
        path = "/v/" + voucher["url"].rpartition("/")[2]
        customer = self.app.test_client()
        assert voucher["code"] in customer.get(path).text
        assert customer.get(f"{path}/qr.svg").status_code == 200
        status, _ = self.post("/vouchers/lookup", {"code": voucher["code"].lower()}, "till", "")
        assert status == 200
