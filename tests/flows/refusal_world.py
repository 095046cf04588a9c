"""One shop with something in each state in which a deed is refused; refusals leave it as it is, so all share it."""

import io
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.budget_requests import (
    DecideBudgetRequest,
    PotName,
    ProposeBudgetChange,
    decide_budget_request,
    propose_budget_change,
)
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import stop_job
from incentives.flows.case_tasks import AddTask, FinishTask, add_task, finish_task
from incentives.flows.close_case import CloseCase, close_case
from incentives.flows.delegate import CreateDelegation, RevokeDelegation, create_delegation, revoke_delegation
from incentives.flows.freeze import FreezeVoucher, freeze_voucher
from incentives.flows.hear import STOP, OptOut, hear_opt_out
from incentives.flows.incidents import OpenIncident, open_incident
from incentives.flows.issue import IssuedVoucher
from incentives.flows.listing import ListValue, add_listed
from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.publish import ProposeCatalog, propose_catalog
from incentives.flows.reserve import ReleaseReservation, ReserveVoucher, release_reservation, reserve_voucher
from incentives.flows.reverse import ReverseRedemption, reverse_redemption
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.flows.work_case import DoStep, do_step
from incentives.kernel.actors import SYSTEM
from incentives.kernel.money import Money
from incentives.queries.suppressed import list_suppressed
from incentives.safeguards.tables import reviews
from incentives.vouchers.tables import vouchers
from tests.dump import Dump
from tests.flows.shop import Shop, named, wish
from tests.machines.lives_catalog import lives_catalog
from tests.world import actor, api_key, person

NOBODY = uuid.UUID(int=7)
SALE = Money(2000, "GBP")


class World:
    """A shop, its people by name, and what stands in it, by the state that it is in."""

    def __init__(self, database_url: str) -> None:
        self.shop = shop = Shop.opened(database_url, lives_catalog())
        self.core = core = shop.core
        self.lead = person(core, "supervisor", email="lead@example.com", location="london")
        self.boss = person(core, "manager", email="boss@example.com")
        self.people: dict[str, Any] = {
            "agent": shop.agent,
            "supervisor": shop.supervisor,
            "manager": shop.manager,
            "till": shop.till,
            "second_till": actor(core, "till", location="london"),
            "finance": actor(core, "finance"),
            "second_finance": actor(core, "finance"),
            "auditor": actor(core, "auditor"),
            "admin": actor(core, "admin"),
            "leeds": actor(core, "supervisor", location="leeds"),
            "lead": self.lead,
            "boss": self.boss,
            "key": api_key(core, "integrator")[1],
        }
        self._customers = 0
        self.dump: Dump = {}
        self._vouchers()
        self._requests()
        self._safeguards()
        self._cases()

    def __getattr__(self, name: str) -> Any:
        """Return somebody by their name."""
        return self.people[name]

    def do(self, flow: Any, who: str, command: Any) -> Any:
        """Do something that is not refused."""
        return flow(core=self.core, actor=self.people[who], command=command)

    def _voucher(self, **command: Any) -> IssuedVoucher:
        """Give something to somebody who was given nothing yet: so much to one customer would be suspicious."""
        self._customers += 1
        return self.shop.voucher(customer=named(f"customer{self._customers}@example.com"), **command)

    def _vouchers(self) -> None:
        shop = self.shop
        self.expired = self._voucher(incentive="fixed", issue_tag="odd")
        shop.later(days=7)
        self.given = shop.issue(incentive="voucher", customer=named("first@example.com"))
        assert self.given.voucher
        self.voucher = self.given.voucher
        self.fixed = self._voucher(incentive="fixed")
        self.thing = self._voucher(incentive="points")
        self.held, self.let_go = self._voucher(incentive="credit"), self._voucher(incentive="credit")
        held: dict[str, Any] = {"hold_minutes": 60 * 24}
        self.hold = self.do(reserve_voucher, "till", ReserveVoucher(code=self.held.code, **held)).id
        self.ended_hold = self.do(reserve_voucher, "till", ReserveVoucher(code=self.let_go.code, **held)).id
        self.do(release_reservation, "till", ReleaseReservation(reservation_id=self.ended_hold))
        self.spent = self._voucher(incentive="thrice")
        shop.redeem(self.spent.code, order_total=SALE)
        self.sold = self._voucher(incentive="voucher")
        self.redemption = shop.redeem(self.sold.code, order_total=SALE).id
        self.undone = shop.redeem(self._voucher(incentive="voucher").code, order_total=SALE).id
        restore = ReverseRedemption(redemption_id=self.undone, reason="Brought back.", restore="none")
        self.do(reverse_redemption, "supervisor", restore)
        self.lent = self._voucher(incentive="voucher", amount_minor=4400)
        self.voided, self.frozen = self._voucher(incentive="voucher"), self._voucher(incentive="voucher")
        self.do(void_voucher, "manager", VoidVoucher(voucher_id=self.voided.id, reason="A mistake."))
        self.do(freeze_voucher, "manager", FreezeVoucher(voucher_id=self.frozen.id, reason="Odd."))

    def _requests(self) -> None:
        shop = self.shop
        self.asked = shop.ask(incentive="voucher", amount_minor=3000).approval_id
        own = shop.ask(shop.supervisor, incentive="voucher", amount_minor=4200)
        self.asked_by_supervisor = own.approval_id
        declined = shop.ask(incentive="voucher", amount_minor=2900)
        self.declined, self.not_given = declined.approval_id, declined.id
        self.do(decide_approval, "manager", DecideApproval(approval_id=self.declined, decision="decline"))
        more: dict[str, Any] = {
            "kind": "top_up",
            "pot": PotName(budget="month"),
            "amount_minor": 100,
            "reason": "More.",
        }
        self.request = self.do(propose_budget_change, "finance", ProposeBudgetChange(**more)).id
        self.decided = self.do(propose_budget_change, "finance", ProposeBudgetChange(**more)).id
        decision = DecideBudgetRequest(request_id=self.decided, decision="decline")
        self.do(decide_budget_request, "second_finance", decision)
        none: dict[str, Any] = {
            "kind": "adjustment",
            "pot": PotName(budget="number", subject="lean"),
            "amount_count": -200,
        }
        stopped = self.do(propose_budget_change, "finance", ProposeBudgetChange(**none, reason="None left."))
        agreed = DecideBudgetRequest(request_id=stopped.id, decision="approve")
        self.do(decide_budget_request, "second_finance", agreed)
        away: dict[str, Any] = {"delegate_email": "boss@example.com", "ends_at": self.in_days(3), "reason": "On leave."}
        self.absence = self.do(create_delegation, "lead", CreateDelegation(**away)).id
        self.over = self.do(create_delegation, "lead", CreateDelegation(**away)).id
        self.do(revoke_delegation, "lead", RevokeDelegation(delegation_id=self.over))
        draft = ProposeCatalog(text=lives_catalog().replace("Pot month", "Pot of the month"))
        self.draft = propose_catalog(core=self.core, actor=self.manager, command=draft).number

    def _safeguards(self) -> None:
        wishes = [wish(incentive="points", customer=named("again@example.com")) for _ in range(6)]
        self.shop.issue_many(*wishes, by=self.agent)
        row = self.shop.one(reviews, reviews.c.status == "open")
        self.review, self.suspected = row.id, self.shop.one(vouchers, vouchers.c.issuance_id == row.issuance_id)
        stop = SetSwitch(stops="issuing", scope="team", subject="desk", reason="Odd.")
        self.switch = self.do(set_switch, "manager", stop).id
        self.lifted = self.do(set_switch, "manager", replace(stop, stops="redeeming")).id
        lift_switch(core=self.core, actor=self.manager, switch_id=self.lifted, reason="Mended.")
        self.listing = ListValue(list="deny", kind="email", value="bad@example.com", reason="A fraud.")
        self.listed = self.do(add_listed, "manager", self.listing).id
        told = OptOut(provider="twilio", channel="sms", word=STOP, event_key="SM1:STOP", address="+447400123456")
        assert hear_opt_out(core=self.core, opt_out=told)
        (entry,) = list_suppressed(core=self.core, actor=SYSTEM).items
        self.suppressed = entry.id
        file = io.BytesIO(
            b'{"issue_tag": "long-wait", "incentive": "points", "customer": {"email": "bulk@example.com"}}\n'
        )
        self.job = self.do(load_job, "boss", LoadJob(file=file, format="ndjson", dry_run=True)).id
        self.stopped_job = self.do(load_job, "boss", LoadJob(file=file, format="ndjson", again="again")).id
        stop_job(core=self.core, actor=self.boss, job_id=self.stopped_job)

    def _cases(self) -> None:
        self.case = self.do(open_case, "agent", OpenCase(issue_tag="long-wait")).id
        self.closed = self.do(open_case, "agent", OpenCase(issue_tag="long-wait")).id
        self.do(do_step, "agent", DoStep(case_id=self.closed, step="apologize", channel="phone"))
        close = CloseCase(case_id=self.closed, outcome="no_action", note="Gone.", reason="They left.")
        self.do(close_case, "supervisor", close)
        task = AddTask(case_id=self.case, kind="customer", title="Call them", due_at=self.in_days(1))
        self.task = self.do(add_task, "agent", task).id
        self.finished = self.do(add_task, "agent", task).id
        self.do(finish_task, "agent", FinishTask(case_id=self.case, task_id=self.finished, result="Done."))
        trouble = OpenIncident(issue_tag="long-wait", title="The lift", started_at=self.shop.clock.now())
        self.incident = self.do(open_incident, "supervisor", trouble).id

    def in_days(self, days: int) -> Any:
        """Return an instant to come, or that has been."""
        return self.shop.clock.now() + timedelta(days=days)
