"""Cases for tests of their pages: opened through the flows, looked at and worked on through the forms."""

import io
import re
import uuid
from typing import Any

from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from incentives.flows.open_case import OpenCase, open_case
from incentives.kernel.actors import Actor
from incentives.queries.case_screen import CaseScreen, case_screen
from incentives.recovery.customers import CustomerGiven
from tests.doors.staff import Page, Staff

ANA = CustomerGiven(name="Ana Ruiz", email="ana.ruiz@gmail.com", phone="+447400123456", locale="es")
STORY = {
    "what": "The flight left four hours late.",
    "who": "Gate 12",
    "when": "Friday",
    "differently": "Tell us earlier.",
}


def opened(staff: Staff, role: str = "frontline", **more: Any) -> uuid.UUID:
    """Open a case of Ana's in London, unless said otherwise."""
    wanted = {"issue_tag": "flight-delayed", "customer": ANA, "order_ref": "BA-1", "story": STORY, **more}
    return open_case(core=staff.core, actor=staff.person(role), command=OpenCase(**wanted)).id


class CasePage:
    """One case as a role sees it, and what they do there."""

    def __init__(self, staff: Staff, case_id: uuid.UUID, role: str = "supervisor") -> None:
        """Look at nothing yet."""
        self.staff, self.case_id, self.role = staff, case_id, role
        self.href = f"/cases/{case_id}"

    @property
    def actor(self) -> Actor:
        """Return who looks."""
        return self.staff.person(self.role)

    @property
    def screen(self) -> CaseScreen:
        """Return what the records say."""
        return case_screen(core=self.staff.core, actor=self.actor, case_id=self.case_id)

    def get(self, more: str = "") -> Page:
        """Open the page."""
        return self.staff.role(self.role).get(self.href + more)

    def send(self, deed: str, **fields: str) -> TestResponse:
        """Fill in the form of a deed and send it."""
        path = f"{self.href}/{deed}"
        return self.staff.role(self.role).send(path, self.get().form(path) | fields)

    def post(self, deed: str, **fields: str) -> TestResponse:
        """Send a form that the page may not show, with a token that is whole."""
        token = self.staff.role(self.role).get("/sessions").form("/sign-out")["csrf_token"]
        return self.staff.role(self.role).send(f"{self.href}/{deed}", {"csrf_token": token, **fields})

    def does(self, deed: str, **fields: str) -> Page:
        """Do something that is not refused; return the page that it leads to."""
        answer = self.send(deed, **fields)
        assert answer.status_code == 303, Page(answer).words
        return self.staff.role(self.role).get(answer.location.partition("#")[0])

    def refused(self, deed: str, code: int = 422, /, **fields: str) -> Page:
        """Do something that is refused; return the page that says so."""
        found = Page(self.send(deed, **fields))
        assert found.status == code, found.words
        assert "refused" in {each.get("id") for each in found.tree.iter()}
        return found

    def upload(self, name: str, content: bytes, media_type: str) -> TestResponse:
        """Send a file."""
        path = f"{self.href}/files"
        given = FileStorage(io.BytesIO(content), filename=name, content_type=media_type)
        # Laid out here, for the client would leave a large one in a file that nobody closes.
        boundary, body = encode_multipart({**self.get().form(path), "file": given})
        kind = f'multipart/form-data; boundary="{boundary}"'
        return self.staff.role(self.role).client.post(path, data=body, content_type=kind)


def error_at(found: Page, field: str) -> str:
    """Return what a page says is wrong with a field, which it marks as wrong too."""
    marked = next(each for each in found.tree.iter() if each.get("id") == field)
    assert marked.get("aria-invalid") == "true", field
    said = next(each for each in found.tree.iter() if each.get("id") == f"{field}-error")
    return " ".join("".join(said.itertext()).split())


def forms_on(found: Page) -> set[str]:
    """Return what the forms of a case's page do."""
    actions = [each.attrib["action"] for each in found.all("form")]
    return {re.sub(r"^/cases/[0-9a-f-]{36}/", "", each) for each in actions if each.startswith("/cases/")}


def value_of(found: Page, field: str) -> str:
    """Return what stands in a field."""
    each = next(each for each in found.tree.iter() if each.get("id") == field)
    if each.tag == "select":
        chosen = [option for option in each.iter("option") if option.get("selected") is not None]
        return chosen[0].get("value", "") if chosen else ""
    return each.get("value", "") if each.tag == "input" else "".join(each.itertext()).strip()
