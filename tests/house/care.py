"""A whole recovery in the office: what is reported by every way, worked on, closed, asked again and answered.

Every word that somebody says is one that is said nowhere else, so that it is found wherever it is kept.
"""

import io
import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

import worker
from channels.twilio_incoming import PATH
from incentives.kernel.clock import FixedClock
from tests.doors.feedback import fields_of
from tests.house.office import SOFIA, Office
from tests.providers.stand_in import StandIn
from tests.recovering_catalog import CAUSE, LOCATION, RUDE, TAG, TEAM, TOOL

PHONE = "+12125550199"
_CODE = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]\b")
_LINK = re.compile(r"/([vf])/([A-Za-z0-9_.-]{40,})")


class Care:
    """What is done about bad moments, by customers, a survey tool, staff and the worker."""

    def __init__(self, office: Office, stand_ins: Iterable[StandIn]) -> None:
        self.office = office
        self.stand_ins = tuple(stand_ins)
        self.open = {SOFIA: "a colleague's address"}  # what may be read in clear -> what it is
        self.number = 0

    # --- words --------------------------------------------------------------------------------------------

    def word(self, what: str) -> str:
        """Return words that nobody may read who steals the database, the logs or the outbox."""
        self.number += 1
        said = f"zornglim{self.number:04}nebelhorn"
        self.office.keep(what, said, said.upper())
        return f"{said} was said"

    def told(self, what: str) -> str:
        """Return a word that stands in clear: see ``IN_CLEAR``."""
        self.number += 1
        said = f"klarwort{self.number:04}"
        self.open[said] = what
        return said

    def somebody(self) -> dict[str, str]:
        """Return a customer who is nobody else: what stands behind a plus in an address tells nobody apart."""
        self.number += 1
        email = f"Quixana.Verloren{self.number}@Customer.Example"
        self.office.keep("a customer", email, email.lower(), email.partition("@")[0])
        return {**self.office.customer(5000 + self.number), "email": email}

    def wait(self, **time: float) -> None:
        assert isinstance(self.office.core.clock, FixedClock)
        self.office.core.clock.advance(timedelta(**time))

    # --- asking the API -------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, expected: int, **request: Any) -> Any:
        """Let a manager's program ask for something; what it is told."""
        answer = self.office.send(method, path, "manager", **request)
        assert answer.status_code == expected, (method, path, request, answer.text)
        return answer.get_json()

    def post(self, path: str, expected: int = 200, /, **body: Any) -> Any:
        key = {"Idempotency-Key": self.told("a program's key of a deed")}
        return self.ask("POST", path, expected, json=body, headers=key)

    # --- reporting ------------------------------------------------------------------------------------------

    def by_the_tool(self) -> str:
        """Let a survey tool push an answer, and a worse one later; the case."""
        who = self.somebody()
        answer = {
            "id": self.told("the source's own id"),
            "version": 1,
            "stars": 3,
            "words": self.word("a comment"),
            "themes": ["Slow", self.told("a theme that nobody knows")],
            "served_by": self.told("who served, as the source names them"),
            "order": self.told("an order"),
            "who": {**who, "id": who["external_ref"]},
        }
        self.push(answer)
        self.wait(minutes=1)
        done = self.push({**answer, "version": 2, "stars": 1, "words": self.word("a worse comment")})
        assert done["issuance_id"] is not None
        case_id: str = done["case_id"]
        return case_id

    def push(self, answer: Any) -> Any:
        key = {"X-Api-Key": self.office.keys["manager"]}
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        sent = self.office.app.test_client().post(
            f"/api/v1/connectors/{TOOL}", data=body, headers=key, content_type="application/json"
        )
        assert sent.status_code == 202, sent.text
        return sent.get_json()

    def what_nobody_understands(self) -> None:
        """Let a tool and programs send what waits for a person, who lets some of it count."""
        word = self.word
        self.push(b"{ " + word("a broken body").encode())
        self.push({"id": "x1", "stars": word("a score that is none"), "words": word("a comment")})
        self.push({"id": "x2", "stars": 1, "who": {"phone": word("a number that is none"), "name": word("a name")}})
        good = {"source": "till", "external_id": "b", "kind": "survey", "occurred_at": "2026-11-20T11:00:00Z"}
        bad: list[dict[str, Any]] = [
            {"score": word("a score"), "scale": "stars_5"},
            {"score": 1, "scale": word("a scale")},
            {"kind": word("a kind")},
            {"event": self.told("an event that nobody knows")},
            {"severity": word("a severity")},
            {"occurred_at": word("a time")},
            {"occurred_at": "2031-01-01T00:00:00Z", "comment": word("a comment from tomorrow")},
            {"customer": {"email": word("an address that is none").replace(" ", "@") + "@"}},
            {"customer": {"phone": word("a number that is none")}},
            {"customer": word("a customer that is a text")},
            {self.told("the name of a field that there is not"): 1},
            {"consent": word("a consent")},
            {"comment": word("a comment with NUL") + "\x00"},
        ]
        for number, wrong in enumerate(bad):
            self.post("/feedback", 422, **{**good, "external_id": f"bad-{number}", **wrong})
        for each in self.ask("GET", "/feedback/waiting?limit=100", 200)["items"]:
            self.post(f"/feedback/waiting/{each['id']}/replay", accept=True, issue_tags=[TAG])
        lines = [json.dumps({**good, "external_id": f"line-{number}", **each}) for number, each in enumerate(bad)]
        batch = "\n".join([*lines, word("no JSON")])
        kinds = {"Content-Type": "application/x-ndjson"}
        answer = self.office.send("POST", "/feedback", "manager", data=batch.encode(), headers=kinds)
        assert answer.text.count("problem") >= len(bad)

    def by_a_program(self) -> None:
        """Let a program report everything that a piece of feedback may say."""
        self.post(
            "/feedback",
            202,
            source="till",
            external_id=self.told("the source's own id"),
            kind="complaint",
            event="canceled",
            score=1,
            scale="stars_5",
            comment=self.word("a comment"),
            choices=[self.told("a choice")],
            issue_tags=[self.told("a theme that nobody knows"), RUDE],
            customer={**self.somebody(), "segment": self.told("a segment that nobody knows")},
            agent=self.told("who served, as the source names them"),
            order_ref=self.told("an order"),
            product=self.told("a product"),
            location=self.told("a place that nobody knows"),
            occurred_at="2026-11-20T11:00:00Z",
        )

    def at_the_table(self) -> None:
        """Let a customer fill in the form of a table."""
        body = {"label": self.told("a form's label"), "location": LOCATION, "issue_tag": TAG}
        form = self.post("/feedback-forms", 201, **body)
        path = self.link(form["url"])
        who = self.somebody()
        self.fill(
            path, score="1", comment=self.word("a comment"), name=who["name"], contact=who["email"], consent="yes"
        )

    def fill(self, path: str, **fields: str) -> None:
        """Fill in a page and send it, once in a hurry, as programs do."""
        browser = self.office.app.test_client()
        typed = {**fields_of(browser.get(path)), **fields}
        self.office.keep("a page of a form", typed["page"])
        browser.post(path, data={**typed, "page": "nonsense"})
        self.wait(seconds=30)
        assert browser.post(path, data=typed).status_code == 303

    def by_staff(self, browser: FlaskClient) -> None:
        """Let a colleague report trouble on the tablet."""
        path, who = f"/feedback/report/{TAG}", self.somebody()
        words = {name: self.word(f"a story's {name}") for name in ("what", "differently", "who", "when")}
        typed = {**words, "name": who["name"], "email": who["email"], "phone": who["phone"], "kind": "complaint"}
        hidden = dict(re.findall(r'name="([a-z_]+)"[^>]*value="([^"]+)"', browser.get(path).text))
        fields = {**hidden, **typed, "order_ref": self.told("an order"), "open_case": "yes", "location": ""}
        answer = browser.post(path, data=fields)
        assert answer.status_code == 303, answer.text
        assert browser.get(answer.location).status_code == 200

    # --- working --------------------------------------------------------------------------------------------

    def work(self, case_id: str) -> None:
        """Do with a case all that can be done."""
        word, case = self.word, f"/cases/{case_id}"
        story = {name: word(f"a story's {name}") for name in ("what", "who", "when", "differently")}
        self.post(f"{case}/answers", story=story)
        self.post(f"{case}/apologies", 201, channel="email", words=word("an apology"))
        self.post(f"{case}/apologies", 201, channel="sms")
        for step in ("review", "fix"):
            self.post(f"{case}/steps", step=step, note=word("a step's note"))
        causes = [{"cause": CAUSE, "weight": 100, "note": word("a cause's note")}]
        self.ask("PUT", f"{case}/causes", 200, json={"causes": causes})
        at_fault = {"kind": "process", "text": word("who was at fault")}
        self.ask("PUT", f"{case}/responsible", 200, json=at_fault)
        self.post(f"{case}/notes", 201, body=word("a note"))
        task = {"kind": "customer", "title": word("a task"), "due_at": "2026-11-21T12:00:00Z"}
        task_id = self.post(f"{case}/tasks", 201, **task)["id"]
        self.post(f"{case}/tasks/{task_id}/done", result=word("a task's result"))
        self.ask("PUT", f"{case}/assignment", 200, json={"reason": word("why it is theirs"), "team": TEAM})
        self.ask_to_give(case_id)
        self.files(case)
        self.shares(case)
        self.parts(case_id)
        title = {"issue_tag": TAG, "title": self.told("an incident's title"), "location": LOCATION}
        self.post("/incidents", 201, **title, started_at="2026-11-20T10:00:00Z")

    def ask_to_give(self, case_id: str) -> None:
        """Let the frontline ask for an incentive with a note, and a manager grant it."""
        asked = {"issue_tag": TAG, "case_id": case_id, "note": self.word("a note on what is given")}
        more = {"metadata": {"seat": self.told("what a program adds to what is given")}}
        _, answer = self.office.post("/issuances", {**asked, **more}, "frontline", "care-asks")
        granted = {"decision": "grant", "comment": self.told("a comment on a decision")}
        self.post(f"/approvals/{answer['approval']['id']}/decision", **granted)

    def sell(self, code: str) -> None:
        """Let a till take a voucher."""
        sale = {"code": code, "order_ref": self.told("a sale")}
        status, _ = self.office.post("/redemptions", sale, "till", "care-sells")
        assert status == 201

    def files(self, case: str) -> None:
        """Add a file, and have it back."""
        name, content = self.word("a file's name"), self.word("a file's content")
        part = (io.BytesIO(content.encode()), f"{name}.txt", "text/plain")
        kept = self.ask("POST", f"{case}/files", 201, data={"file": part}, content_type="multipart/form-data")
        back = self.office.send("GET", f"{case}/files/{kept['id']}", "manager")
        assert back.text == content

    def shares(self, case: str) -> None:
        """Share a case, and look at it by the link."""
        self.post(f"{case}/shares", 201, team=TEAM, may_edit=True)
        url = self.post(f"{case}/shares", 201, link_days=7)["url"]
        assert self.office.app.test_client().get(self.link(url)).status_code == 200

    def parts(self, case_id: str) -> None:
        """Split a case, and merge what was split."""
        word = self.word
        split = {"issue_tag": RUDE, "reason": word("why it is split"), "story": {"what": word("a story's what")}}
        part = self.post(f"/cases/{case_id}/splits", 201, **split)["id"]
        self.post(f"/cases/{part}/links", other_id=case_id)
        self.post(f"/cases/{part}/merge", into_id=case_id, reason=word("why it is merged"))

    def close(self, case_id: str) -> None:
        note, reason = self.word("a closing note"), self.word("a closing reason")
        self.post(f"/cases/{case_id}/close", outcome="recovered", note=note, reason=reason)

    def by_phone(self) -> None:
        """Open a case of somebody who has a number only, close it, ask by SMS, and take the answer by SMS."""
        customer = {"name": self.word("a name"), "phone": PHONE}
        self.office.keep("a number", PHONE, PHONE[1:])
        story = {"what": self.word("a story's what")}
        opened = {"issue_tag": TAG, "customer": customer, "story": story, "order_ref": self.told("an order")}
        case_id = self.post("/cases", 201, **opened)["id"]
        for step in ("apologize", "review", "fix"):
            self.post(f"/cases/{case_id}/steps", step=step, note=self.word("a step's note"))
        self.close(case_id)

    def answered_by_sms(self, text: str) -> None:
        """Pass a customer's SMS on as Twilio does."""
        settings = self.office.core.settings
        fields = {"MessageSid": "SM1", "From": PHONE, "To": "+12125559999", "Body": text, "NumMedia": "0"}
        signed = RequestValidator(settings.twilio_auth_token).compute_signature(settings.public_url + PATH, fields)
        self.office.keep("a signature", signed)
        answer: TestResponse = self.office.app.test_client().post(
            PATH, data=fields, headers={"X-Twilio-Signature": signed}
        )
        assert answer.status_code == 200

    # --- links ----------------------------------------------------------------------------------------------

    def link(self, url: str) -> str:
        """Remember a link, and return its path."""
        self.office.keep("a link", url, url.rpartition("/")[2])
        return url.removeprefix(self.office.core.settings.public_url)

    def links_sent(self) -> list[str]:
        """Return the paths of the forms that customers were sent, and remember all links that they were."""
        sent = "\n".join(asked.body.decode() for each in self.stand_ins for asked in each.asked)
        found = dict.fromkeys(_LINK.findall(sent.replace("%2F", "/")))
        for _, token in found:
            self.office.keep("a link", token)
        return [f"/{kind}/{token}" for kind, token in found if kind == "f"]

    def codes_sent(self) -> list[str]:
        """Return the codes that customers were sent, and remember them."""
        sent = "\n".join(asked.body.decode() for each in self.stand_ins for asked in each.asked)
        found = list(dict.fromkeys(_CODE.findall(sent)))
        for code in found:
            self.office.keep("a code", code, code.replace("-", ""))
        return found


def recover(care: Care) -> None:
    """Let a whole recovery happen, and another one by phone."""
    browser = care.office.sign_in()
    case_id = care.by_the_tool()
    care.by_a_program()
    care.at_the_table()
    care.by_staff(browser)
    care.what_nobody_understands()
    worker.drain(care.office.core)
    care.work(case_id)
    care.close(case_id)
    care.by_phone()
    worker.drain(care.office.core)
    care.wait(hours=25)
    worker.sweep(care.office.core)
    worker.drain(care.office.core)
    care.sell(care.codes_sent()[0])
    by_email, _by_sms = care.links_sent()
    care.fill(by_email, score="1", comment=care.word("an answer's comment"))
    care.answered_by_sms(f"2 {care.word('an SMS')}")
    worker.drain(care.office.core)
