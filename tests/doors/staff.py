"""People at the staff's door: an application on the demo catalog, and visitors with cookies who fill in forms."""

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.queries.people import person_by_email
from tests.databases import SqliteDatabases
from tests.run_folder import RunFolder
from tests.world import PASSWORD, make_core, person, publish_catalog
from wsgi import create_app

PLACES = {"frontline": "london", "supervisor": "london", "till": "london"}
ROLES = ("frontline", "supervisor", "manager", "finance", "auditor", "till", "integrator", "admin")


class Page:
    """An answer, read as strictly as html5lib reads."""

    def __init__(self, answer: TestResponse) -> None:
        """Parse it; a mistake in its HTML raises."""
        self.status = answer.status_code
        self.headers = answer.headers
        self.html = answer.text
        self.tree: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(answer.text)

    @property
    def title(self) -> str:
        """Return the title."""
        return "".join(self.tree.find(".//title").itertext())  # type: ignore[union-attr]  # a page without one fails

    @property
    def words(self) -> str:
        """Return the text of the main part, each space a single one."""
        return " ".join(" ".join(self.tree.find(".//main").itertext()).split())  # type: ignore[union-attr]

    def all(self, tag: str) -> list[Element]:
        """Return the elements of a tag."""
        return list(self.tree.iter(tag))

    def form(self, action: str) -> dict[str, str]:
        """Return what a form would send if nobody touched it."""
        form = next(each for each in self.all("form") if each.get("action") == action)
        fields: dict[str, str] = {}
        for each in form.iter("input"):
            kind = each.get("type", "text")
            if each.get("name") and (kind not in ("radio", "checkbox") or each.get("checked") is not None):
                fields[each.attrib["name"]] = each.get("value", "")
        for each in form.iter("textarea"):
            fields[each.attrib["name"]] = "".join(each.itertext()).removeprefix("\n")
        for each in form.iter("select"):
            chosen = [option for option in each.iter("option") if option.get("selected") is not None]
            fields[each.attrib["name"]] = (chosen or list(each.iter("option")))[0].get("value", "")
        return fields


class Visitor:
    """A browser of one person."""

    def __init__(self, app: Flask) -> None:
        """Open a browser without cookies."""
        self.client: FlaskClient = app.test_client()

    def get(self, path: str) -> Page:
        """Open a page."""
        return Page(self.client.get(path))

    def file(self, path: str) -> bytes:
        """Return one of our files, which a test must close."""
        with self.client.get(path) as answer:
            assert answer.status_code == 200
            assert "immutable" in answer.headers["Cache-Control"]
            return bytes(answer.data)

    def send(self, path: str, fields: Mapping[str, str], **options: Any) -> TestResponse:
        """Send a form."""
        return self.client.post(path, data=dict(fields), **options)

    def fill(self, page: str, action: str, **fields: str) -> TestResponse:
        """Open a page, fill in one of its forms and send it."""
        return self.send(action, self.get(page).form(action) | fields)

    def sign_in(self, email: str, password: str = PASSWORD) -> TestResponse:
        """Sign in."""
        return self.fill("/sign-in", "/sign-in", email=email, password=password)


class Staff:
    """The application, and a visitor for each role who is signed in."""

    def __init__(self, core: Core, cookies: Mapping[str, str]) -> None:
        """Hang the doors; the cookies are those of sessions that stand in the database already."""
        self.core = core
        self.app = create_app(core)
        self._cookies = cookies
        self._visitors: dict[str, Visitor] = {}

    def new_key(self) -> str:
        """Return a key such as a page is made with."""
        return str(self.core.ids.new(self.core.clock.now()))

    def person(self, role: str) -> Actor:
        """Return the person of a role; their address is the role at example.com."""
        return person_by_email(core=self.core, email=f"{role}@example.com")

    def role(self, role: str) -> Visitor:
        """Return the visitor of a role."""
        if role not in self._visitors:
            self._visitors[role] = Visitor(self.app)
            self._visitors[role].client.set_cookie("staff", self._cookies[role])
        return self._visitors[role]

    def signed_in_again(self, role: str) -> Visitor:
        """Return the visitor of a role after their session has rested too long."""
        self._visitors[role] = Visitor(self.app)
        assert self._visitors[role].sign_in(f"{role}@example.com").status_code == 303
        return self._visitors[role]

    def give(self, role: str = "frontline", tag: str = "flight-delayed", **fields: str) -> TestResponse:
        """Fill in the tablet's form and send it: on the screen only, if no address is named."""
        address = fields.keys() & {"email", "phone", "screen_only"}
        more = fields if address else {"screen_only": "yes", **fields}
        return self.role(role).fill(f"/staff/give/{tag}", f"/staff/give/{tag}", **more)

    def new_code(self, role: str = "frontline", **fields: str) -> str:
        """Give something and return the code that the hand-over screen shows."""
        answer = self.give(role, **fields)
        assert answer.status_code == 303, answer.text
        found = re.search(r'class="handover-code">([^<]+)<', self.role(role).get(answer.location).html)
        assert found
        return found[1]

    def asked(self, amount: str = "120") -> str:
        """Ask for more than the frontline may give; return the page that waits for the decision."""
        field = "amount-travel-voucher-gbp"
        answer = self.give(tag="flight-canceled", incentive="travel-voucher-gbp", **{field: amount})
        assert answer.status_code == 303, answer.text
        return answer.location


@contextlib.contextmanager
def staff_of(databases: SqliteDatabases, run: RunFolder, *, catalog: bool = True) -> Iterator[Staff]:
    """Give a staff on a database of its own, and take the database away again.

    Letting people in and signing them in takes a tenth of a second each, for their passwords are hashed slowly. So it
    is done once a run, and each test gets a copy of what came of it.
    """
    name = "staff" if catalog else "staff-without-catalog"
    made = run.once(name, lambda: _make(databases, catalog=catalog))
    url = databases.new(migrated=False)
    shutil.copyfile(made["path"], url.removeprefix("sqlite:///"))
    core = make_core(url)
    yield Staff(core, made)
    core.database.dispose()
    databases.drop(url)


def settle(core: Core, roles: Sequence[str] = ROLES, *, catalog: bool = True) -> dict[str, str]:
    """Let a person of each role in and sign them in; return the cookies of their sessions."""
    if catalog:
        publish_catalog(core)
    app, cookies = create_app(core), {}
    for role in roles:
        person(core, role, location=PLACES.get(role) if catalog else None)
        visitor = Visitor(app)
        assert visitor.sign_in(f"{role}@example.com").status_code == 303
        cookie = visitor.client.get_cookie("staff")
        assert cookie
        cookies[role] = cookie.value
    return cookies


def _make(databases: SqliteDatabases, *, catalog: bool) -> dict[str, str]:
    """Make the database that is copied; return its path and the cookie of each role's session."""
    url = databases.new()
    core = make_core(url)
    cookies = settle(core, catalog=catalog)
    core.database.dispose()
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # So that the file alone is the database.
    connection.close()
    return {"path": path, **cookies}
