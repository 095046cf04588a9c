"""What becomes of vouchers in the office, and what guards them: in bulk, at tills, taken back, held, looked at.

Its words are ``Care``'s: each is said nowhere else, so that it is found wherever it is kept.
"""

from collections.abc import Mapping
from typing import Any

import worker
from incentives.flows.bulk_check import check_next
from incentives.flows.bulk_run import run_next
from incentives.flows.hear import StatusReport, hear_reports
from incentives.flows.seal import seal_due
from incentives.flows.watch_books import watch_books
from tests.house.care import Care
from tests.providers.stand_in import Answer
from tests.recovering_catalog import LOCATION, TAG
from tests.small_catalog import INCENTIVE
from tests.world import api_key, person

BUDGET = "all"
ABSENT, DELEGATE, MINDER = "mona@brand.example", "max@brand.example", "finn@brand.example"
_COLUMNS = (
    "issue_tag",
    "incentive",
    "external_ref",
    "name",
    "email",
    "phone",
    "segment",
    "location",
    "order_ref",
    "note",
)


class Life:
    """What people and programs do with vouchers, with budgets, and against abuse."""

    def __init__(self, care: Care) -> None:
        """Let in who decides on money, and who is away."""
        self.care, self.office = care, care.office
        self.office.keys["finance"] = api_key(self.office.core, "finance")[0]
        self.office.keep("an API key", self.office.keys["finance"])
        for role, email in (("manager", ABSENT), ("manager", DELEGATE), ("finance", MINDER)):
            person(self.office.core, role, email=email, location=None if role == "finance" else LOCATION)
            care.open[email] = "a colleague's address"

    # --- asking -------------------------------------------------------------------------------------------------

    def ask(self, role: str, path: str, expected: int, **body: Any) -> Any:
        status, content = self.office.post(path, body, role, self.care.told("a program's key of a deed"))
        assert status == expected, (path, body, content)
        return content

    def give(self, **more: Any) -> dict[str, Any]:
        """Give by email, with a line of one's own; the voucher."""
        said = {"message": self.care.word("a personal line"), "note": self.care.word("a note on what is given")}
        body = {"issue_tag": TAG, "customer": self.care.somebody(), "channels": ["email"], **said, **more}
        given: dict[str, Any] = self.ask("manager", "/issuances", 201, **body)["voucher"]
        self.office.keep_voucher(given)
        return given

    # --- at the till --------------------------------------------------------------------------------------------

    def sell(self) -> None:
        """Hold a voucher, let go, hold it again, commit, annul; then redeem and reverse."""
        told, code = self.care.told, self.give()["code"]
        sale = {"code": code, "order_ref": told("a sale that is held")}
        items = [{"product": told("what is sold"), "amount_minor": 9}]
        held = self.ask("till", "/reservations", 201, **sale, items=items)
        self.ask("till", f"/reservations/{held['id']}/release", 200, reason=told("why a hold is let go"))
        held = self.ask("till", "/reservations", 201, **sale)
        sold = self.ask("till", f"/reservations/{held['id']}/commit", 201, order_ref=told("a sale"), items=items)
        self.ask("till", f"/redemptions/{sold['id']}/annulment", 201, reason=told("why a sale is undone"))
        sold = self.ask("till", "/redemptions", 201, code=code, order_ref=told("a sale"))
        undone = {"reason": told("why a sale is undone"), "restore": "new_code"}
        self.ask("manager", f"/redemptions/{sold['id']}/reversal", 201, **undone)

    # --- after it was given -------------------------------------------------------------------------------------

    def change(self) -> None:
        """Do with a voucher all that can be done after it was given."""
        path = f"/vouchers/{self.give()['id']}"
        for deed, more in (
            ("extend", {"days": 3}),
            ("freeze", {}),
            ("unfreeze", {}),
        ):
            self.ask("manager", f"{path}/{deed}", 200, **self._why(), **more)
        worker.drain(self.office.core)
        self.ask("manager", f"{path}/resend", 200, **self._why())
        shown = self.ask("manager", f"{path}/reissue", 201, **self._why(), channels=[])["voucher"]
        self.office.keep_voucher(shown)
        customer = {name: value for name, value in self.care.somebody().items() if name in ("name", "email")}
        moved = self.ask("manager", f"/vouchers/{shown['id']}/address", 201, **self._why(), customer=customer)
        self.ask("manager", f"/vouchers/{moved['voucher']['id']}/void", 200, **self._why())

    def _why(self) -> dict[str, str]:
        return {"reason": self.care.told("why a voucher is changed")}

    # --- in bulk ------------------------------------------------------------------------------------------------

    def in_bulk(self) -> None:
        """Send a file whose every cell is somebody's, right and wrong, and let it be given."""
        good = self._row(issue_tag=TAG, incentive=INCENTIVE, location=LOCATION, segment="")
        cells = (name for name in _COLUMNS if name not in ("order_ref", "note"))
        bad = [self._row(**{**good, name: self.care.word(f"a file's wrong {name}")}) for name in cells]
        lines = [_COLUMNS, *([row[name] for name in _COLUMNS] for row in (good, *bad))]
        file = "\n".join(",".join(line) for line in lines)
        name = self.care.told("a file's name")
        headers = {"Content-Type": "text/csv"}
        path = f"/issuances/bulk?file_name={name}&channels=email"
        answer = self.office.send("POST", path, "manager", data=file.encode(), headers=headers)
        assert answer.status_code == 202, answer.text
        while list(check_next(core=self.office.core)) or run_next(core=self.office.core, paces={}):
            pass
        job = self.care.ask("GET", f"/jobs/{answer.get_json()['id']}", 200)
        assert (job["status"], job["rows_issued"] > 0, job["rows_refused"] > 0) == ("done", True, True), job

    def _row(self, **more: str) -> dict[str, str]:
        told = {"order_ref": self.care.told("an order"), "note": self.care.word("a note on what is given")}
        return {**self.care.somebody(), **told, **more}

    # --- budgets and absences -----------------------------------------------------------------------------------

    def absence(self) -> None:
        """Let a colleague stand in for another."""
        why = {"reason": self.care.told("why somebody is away"), "ends_at": "2026-12-20T12:00:00Z"}
        self.ask("manager", "/delegations", 201, absent_email=ABSENT, delegate_email=DELEGATE, **why)

    def budgets(self) -> None:
        """Ask for more, be refused it, and ask for so much less that whoever minds the money is told."""
        self._change("decline", kind="top_up", amount_minor=100)
        self._change("approve", kind="top_up", amount_minor=100)
        shown = self.office.send("GET", f"/budgets/{BUDGET}", "finance").get_json()
        left = shown["available"]["amount_minor"]
        self._change("approve", kind="adjustment", amount_minor=1 - left)
        worker.sweep(self.office.core)
        worker.drain(self.office.core)

    def _change(self, decision: str, **change: Any) -> None:
        told = self.care.told
        wanted = {**change, "budget": BUDGET, "reason": told("why a budget is changed")}
        asked = self.ask("manager", "/budget-requests", 201, **wanted)
        said = {"decision": decision, "comment": told("a comment on a budget")}
        self.ask("finance", f"/budget-requests/{asked['id']}/decision", 200, **said)

    # --- against abuse ------------------------------------------------------------------------------------------

    def guard(self) -> None:
        """Stop giving one thing and go on; look at what goes to somebody who is listed, and block it."""
        told = self.care.told
        stop = {
            "stops": "issuing",
            "scope": "source",
            "subject": "elsewhere",
            "reason": told("why something is stopped"),
        }
        switch = self.ask("finance", "/switches", 201, **stop)
        self.ask("finance", f"/switches/{switch['id']}/lift", 200, reason=told("why it goes on"))
        listed = self.care.somebody()
        entries = [
            {"list": "review", "kind": kind, "value": listed[kind], "reason": told("why somebody is listed")}
            for kind in ("email", "phone", "external_ref")
        ]
        entry_id, *_ = [self.ask("finance", "/listed-values", 201, **each)["id"] for each in entries]
        self.give(customer=listed)
        (review,) = self.office.send("GET", "/reviews?status=open", "finance").get_json()["items"]
        verdict = {"decision": "block", "note": self.care.word("a review's note")}
        self.ask("finance", f"/reviews/{review['id']}/decision", 200, **verdict)
        self.ask("finance", f"/listed-values/{entry_id}/removal", 200, reason=told("why somebody is listed no more"))
        self._unreached(listed)

    def _unreached(self, customer: Mapping[str, str]) -> None:
        """Let an email to somebody come back, who then may be sent to again."""
        bounced = StatusReport(
            provider="sendgrid",
            channel="email",
            event_key="e-1",
            status="bounce",
            means="bounced",
            occurred_at=self.office.core.clock.now(),
            suppresses="bounced",
            to=customer["email"],
        )
        assert hear_reports(core=self.office.core, said=[bounced]) == 1
        (entry,) = self.office.send("GET", "/suppressions", "manager").get_json()["items"]
        why = self.care.told("why an address is sent to again")
        self.ask("manager", f"/suppressions/{entry['id']}/lift", 200, reason=why)

    # --- providers ----------------------------------------------------------------------------------------------

    def outage(self) -> None:
        """Let the provider of emails be away for one message, which goes out afterwards."""
        sendgrid, *_ = self.care.stand_ins
        sendgrid.will(Answer(503, {}, b"SendGrid is away"))
        self.give()
        worker.drain(self.office.core)
        self.care.wait(minutes=1)
        worker.drain(self.office.core)


def live(life: Life) -> None:
    """Let everything happen that becomes of vouchers; the budget is the last, for it leaves nothing to give."""
    life.sell()
    life.change()
    life.absence()
    life.guard()
    life.in_bulk()
    worker.drain(life.office.core)
    life.outage()
    life.budgets()
    life.care.wait(hours=1)  # What was written so long ago is sealed, and the books are proved by the clock.
    seal_due(core=life.office.core)
    watch_books(core=life.office.core)
