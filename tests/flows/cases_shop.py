"""A shop whose protocols say how a case is worked on, and short words for working on one."""

import uuid
from collections.abc import Callable
from typing import Any

import orjson

from incentives.flows.case_tasks import AddTask, FinishTask, TaskAdded, add_task, finish_task
from incentives.flows.close_case import CloseCase, Closed, ReopenCase, Reopened, close_case, reopen_case
from incentives.flows.describe_case import CauseNamed, NameCauses, name_causes
from incentives.flows.open_case import CaseOpened, OpenCase, open_case
from incentives.flows.work_case import Apologize, Apologized, DoStep, StepDone, apologize_to, do_step
from incentives.kernel.actors import Actor
from incentives.queries.case_screen import CaseScreen, case_screen
from incentives.recovery.tables import recovery_cases
from tests.flows.shop import ANA, Shop, catalog

S3_STEPS = ["apologize", "review", "fix", "follow_up", "document"]
S4_STEPS = ["gather", "apologize", "resolve", "survey"]
STORY = {"what": "The queue stood still.", "when": "At noon."}


def cases_catalog(*, protocol: dict[str, Any] | None = None, **more: Any) -> str:
    """Return the shop's catalog with a protocol of S3 for a long wait and one of S4 for what is odd."""
    document = orjson.loads(catalog())
    (service,) = document["protocols"]
    service |= {"resurvey_after": "close", "clocks": {"first_contact": 30, "apology": 60, "incentive": 90, "fix": 120}}
    waiting = {
        **service,
        "key": "long-wait",
        "issue_tag": "long-wait",
        "steps": S3_STEPS,
        "optional_steps": ["follow_up"],
        "questions": ["what", "when"],
        "clocks": {"first_contact": 30, "apology": 60, "incentive": 90, "fix": 120, "close": 600},
        "guidance": {"en": "Listen first.", "es": "Escuche primero."},
        "tasks": [{"kind": "process", "title": "Look at the roster", "due_hours": 48}],
        **(protocol or {}),
    }
    waiting = {name: value for name, value in waiting.items() if value is not None}
    odd = {**service, "key": "odd", "issue_tag": "odd", "steps": S4_STEPS}
    document["protocols"] = [service, waiting, odd]
    document["root_causes"] = [
        {"key": "people", "label": {"en": "People", "es": "Personas"}},
        {"key": "few", "parent": "people", "label": {"en": "Too few", "es": "Faltan"}},
        {"key": "process", "label": {"en": "Process", "es": "Proceso"}},
    ]
    return orjson.dumps(document | more).decode()


CASES = cases_catalog()

OpenShop = Callable[..., Shop]


class Desk:
    """A shop in which people work on cases; the agent of London does unless said otherwise."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.core = shop.core

    def open(self, by: Actor | None = None, **command: Any) -> uuid.UUID:
        """Open a case about Ana's long wait, with its questions answered."""
        return self.opened(by, **command).id

    def opened(self, by: Actor | None = None, **command: Any) -> CaseOpened:
        """Open a case and return what the flow says."""
        usual = {"issue_tag": "long-wait", "customer": ANA, "location": "london", "story": STORY}
        return open_case(core=self.core, actor=by or self.shop.agent, command=OpenCase(**{**usual, **command}))

    def step(self, case_id: uuid.UUID, step: str, by: Actor | None = None, **more: Any) -> StepDone:
        """Do a step."""
        return do_step(core=self.core, actor=by or self.shop.agent, command=DoStep(case_id=case_id, step=step, **more))

    def apologize(self, case_id: uuid.UUID, by: Actor | None = None, **more: Any) -> Apologized:
        """Apologize by email unless said otherwise."""
        command = Apologize(**{"case_id": case_id, "channel": "email", **more})
        return apologize_to(core=self.core, actor=by or self.shop.agent, command=command)

    def causes(self, case_id: uuid.UUID, by: Actor | None = None, **weights: int) -> None:
        """Name root causes."""
        named = [CauseNamed(cause=cause, weight=weight) for cause, weight in weights.items()]
        name_causes(core=self.core, actor=by or self.shop.agent, command=NameCauses(case_id=case_id, causes=named))

    def task(self, case_id: uuid.UUID, by: Actor | None = None, **more: Any) -> TaskAdded:
        """Add a task."""
        return add_task(core=self.core, actor=by or self.shop.agent, command=AddTask(case_id=case_id, **more))

    def finish(self, case_id: uuid.UUID, task_id: uuid.UUID, by: Actor | None = None, result: str = "Done.") -> None:
        """Finish a task."""
        command = FinishTask(case_id=case_id, task_id=task_id, result=result)
        finish_task(core=self.core, actor=by or self.shop.agent, command=command)

    def work_through(self, case_id: uuid.UUID) -> None:
        """Do what must be done before the case can be closed."""
        self.step(case_id, "apologize", channel="phone")
        self.step(case_id, "review")
        self.step(case_id, "fix", note="Opened a second till.")

    def close(self, case_id: uuid.UUID, by: Actor | None = None, **more: Any) -> Closed:
        """Close a case as recovered, unless said otherwise."""
        command = CloseCase(**{"case_id": case_id, "outcome": "recovered", "note": "All is well.", **more})
        return close_case(core=self.core, actor=by or self.shop.agent, command=command)

    def reopen(self, case_id: uuid.UUID, by: Actor | None = None, reason: str = "She called again.") -> Reopened:
        """Reopen a case; the supervisor does."""
        command = ReopenCase(case_id=case_id, reason=reason)
        return reopen_case(core=self.core, actor=by or self.shop.supervisor, command=command)

    def screen(self, case_id: uuid.UUID, by: Actor | None = None) -> CaseScreen:
        """Look at a case."""
        return case_screen(core=self.core, actor=by or self.shop.supervisor, case_id=case_id)

    def row(self, case_id: uuid.UUID) -> Any:
        """Return a case's row."""
        return self.shop.one(recovery_cases, recovery_cases.c.id == case_id)
