"""Things that there are, for generated requests to name: most of a flow is behind its “not found”."""

import io
import uuid
import zlib
from typing import Any

from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from incentives.flows.hear import STOP, OptOut, hear_opt_out
from tests.doors.machines import Machines, fresh_key, json_of
from tests.world import person

_STORY = {"what": "Four hours late.", "when": "This morning."}
_CUSTOMER = {"name": "Ana Ruiz", "email": "ana.ruiz@customer.example.com"}
_CASES = 12
ABSENCE = ("mona@example.com", "max@example.com")

# A request names a thing by the id that stands here for the one in the database.
NAMES = {
    name: str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    for name in (
        *("case_id", "task_id", "share_id", "file_id", "feedback_id", "inbox_id", "form_id", "incident_id"),
        *("voucher_id", "issuance_id", "approval_id", "redemption_id", "reservation_id", "request_id", "other_case_id"),
        *("switch_id", "review_id", "listed_id", "delegation_id", "suppression_id"),
    )
}


class Known:
    """Some things of every kind, and who they are in the path of a request."""

    def __init__(self, machines: Machines) -> None:
        """Make them."""
        self._machines = machines
        cases = [self._made("/cases", self._trouble()) for _ in range(_CASES)]
        self._things = {
            "case_id": cases,
            "other_case_id": [*cases[1:], cases[0]],
            "task_id": [self._task(each) for each in cases],
            "share_id": [self._made(f"/cases/{each}/shares", {"team": "london-gates"}) for each in cases],
            "file_id": [self._file(each) for each in cases],
            "feedback_id": [self._feedback("good", score=5)],
            "inbox_id": [self._feedback(f"bad-{number}", score=9, member="inbox_id") for number in range(_CASES)],
            "form_id": [self._made("/feedback-forms", {"label": "Table 12"}) for _ in range(_CASES)],
            "incident_id": [self._incident(tag) for tag in ("flight-delayed", "bag-lost", "long-wait")],
            "issuance_id": [json_of(machines.issue())["id"]],
            "approval_id": [json_of(machines.issue(amount_minor=9000))["approval"]["id"] for _ in range(3)],
            "request_id": [self._change() for _ in range(_CASES)],
            "voucher_id": [json_of(machines.issue("manager"))["voucher"]["id"] for _ in range(_CASES)],
            "reservation_id": [self._hold() for _ in range(_CASES)],
            "switch_id": [self._switch(each) for each in ("typeform", "zendesk", "gladly")],
            "listed_id": [self._listed(f"{number}.example.net") for number in range(_CASES)],
            "suppression_id": [self._suppressed(f"+4474001234{number:02}") for number in range(_CASES)],
            "review_id": [self._review(number) for number in range(3)],
            "delegation_id": self._absences(),
            "redemption_id": [json_of(machines.redeem(code=machines.new_code(), location="london"))["id"]],
        }

    def named(self, environ: dict[str, Any]) -> None:
        """Let a request name things that there are: the same operation always the same case and its parts."""
        path, body = environ["PATH_INFO"], environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        number = zlib.crc32(path.encode())
        for name, things in self._things.items():
            sign, thing = NAMES[name], things[number % len(things)]
            path, body = path.replace(sign, thing), body.replace(sign.encode(), thing.encode())
        environ["PATH_INFO"], environ["wsgi.input"] = path, io.BytesIO(body)

    def _trouble(self) -> dict[str, Any]:
        return {"issue_tag": "flight-delayed", "location": "london", "story": _STORY, "customer": _CUSTOMER}

    def _made(self, path: str, body: dict[str, Any], status: int = 201, member: str = "id") -> str:
        return self._id(self._machines.post(path, body, "admin", key=fresh_key()), status, member)

    def _id(self, answer: TestResponse, status: int, member: str) -> str:
        assert answer.status_code == status, answer.json
        return str(json_of(answer)[member])

    def _hold(self) -> str:
        code = self._machines.new_code()
        held = self._machines.post("/reservations", {"code": code, "location": "london"}, "till", key=fresh_key())
        return self._id(held, 201, "id")

    def _switch(self, source: str) -> str:
        body = {"stops": "issuing", "scope": "source", "subject": source, "reason": "It misfires."}
        return self._made("/switches", body)

    def _listed(self, host: str, on: str = "allow") -> str:
        return self._made("/listed-values", {"list": on, "kind": "email_domain", "value": host, "reason": "A partner."})

    def _suppressed(self, number: str) -> str:
        told = OptOut(provider="twilio", channel="sms", word=STOP, event_key=f"{number}:STOP", address=number)
        assert hear_opt_out(core=self._machines.core, opt_out=told)
        return str(json_of(self._machines.get("/suppressions", "admin"))["items"][0]["id"])

    def _review(self, number: int) -> str:
        host = f"held-{number}.example.net"
        self._listed(host, "review")
        held = json_of(self._machines.issue("manager", customer={"email": f"ana@{host}"}))
        found = json_of(self._machines.get("/reviews?status=open"))["items"]
        return str(next(each["id"] for each in found if each["issuance_id"] == held["id"]))

    def _task(self, case_id: str) -> str:
        body = {"kind": "process", "title": "Look at the roster", "due_at": "2030-01-01T12:00:00Z"}
        return self._made(f"/cases/{case_id}/tasks", body)

    def _file(self, case_id: str) -> str:
        file = FileStorage(io.BytesIO(b"They said: wait."), "note.txt", "file", "text/plain")
        boundary, body = encode_multipart({"file": file})
        kind = f"multipart/form-data; boundary={boundary}"
        answer = self._machines.call("POST", f"/cases/{case_id}/files", "admin", data=body, content_type=kind)
        return self._id(answer, 201, "id")

    def _feedback(self, external_id: str, *, score: int, member: str = "id") -> str:
        about = {"source": "till-7", "external_id": external_id, "kind": "survey", "score": score, "scale": "stars_5"}
        body = {**about, "occurred_at": "2026-11-20T11:58:00Z"}
        return self._made("/feedback", body, 422 if member == "inbox_id" else 202, member)

    def _incident(self, tag: str) -> str:
        return self._made("/incidents", {"issue_tag": tag, "title": "Fog", "started_at": "2026-11-20T06:00:00Z"})

    def _absences(self) -> list[str]:
        absent, delegate = (person(self._machines.core, "manager", email=each).email for each in ABSENCE)
        body = {"absent_email": absent, "delegate_email": delegate, "ends_at": "2026-12-24T12:00:00Z", "reason": "Away"}
        return [self._made("/delegations", body) for _ in range(_CASES)]

    def _change(self) -> str:
        body = {"kind": "top_up", "budget": "london-month", "amount_minor": 100, "reason": "Fog"}
        answer = self._machines.post("/budget-requests", body, "manager", key=fresh_key())
        return self._id(answer, 201, "id")
