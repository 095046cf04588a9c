"""What the lives give in bulk: files of rows that are foreseen, begun, stopped, gone on with and tried again."""

import io

from incentives.flows.bulk_check import check_next
from incentives.flows.bulk_load import LoadJob, load_job
from incentives.flows.bulk_run import Pace, retry_job, run_next, start_job, stop_job
from incentives.vouchers.bulk_tables import bulk_jobs
from tests.machines.life import LifeBase
from tests.machines.lives_catalog import KEYS

_MAKERS = ("manager", "manager", "supervisor", "agent")


class InBulk(LifeBase):
    """Deeds of whoever gives to many, and of the worker."""

    def load_job(self) -> None:
        rows = [
            f"{self.of('long-wait', 'odd', 'none')},customer{self.dice.randrange(30)}@example.com,{self.of(*KEYS)}"
            for _ in range(self.dice.randrange(1, 7))
        ]
        file = io.BytesIO("\n".join(("issue_tag,email,incentive", *rows, "")).encode())
        mode = self.of("best_effort", "best_effort", "all_or_nothing")
        again = self.of(None, "once", "twice")
        command = LoadJob(file=file, format="csv", mode=mode, dry_run=self.chance(2), again=again)
        self.do("load_job", load_job, self.of(*_MAKERS), command)

    def check_jobs(self) -> None:
        """Let the worker foresee the oldest job that waits for it, or leave it half done."""
        for step, _ in enumerate(check_next(core=self.core)):
            self.done["check_jobs"] += 1
            if step and self.chance(20):
                return

    def run_jobs(self) -> None:
        """Let the worker give some rows of each job that runs."""
        for _ in range(self.dice.randrange(1, 6)):
            running = [each.id for each in self.shop.all(bulk_jobs, bulk_jobs.c.status.in_(("running", "stopping")))]
            paces = {job_id: Pace(rows=self.dice.randrange(1, 4)) for job_id in running}
            self.done["run_jobs"] += run_next(core=self.core, paces=paces)

    def _with_job(self, verb: str, flow: object, *states: str) -> None:
        row = self.recent(bulk_jobs, *([] if self.chance(6) else [bulk_jobs.c.status.in_(states)]))
        if row is not None:
            own = [name for name, each in self.people.items() if each.label == row.actor]
            who = self.of(*own, *own, *_MAKERS)
            self.do(verb, flow, who, {"job_id": row.id})  # type: ignore[arg-type]  # each is a flow

    def start_job(self) -> None:
        self._with_job("start_job", start_job, "checked", "stopped")

    def stop_job(self) -> None:
        self._with_job("stop_job", stop_job, "running", "checking")

    def retry_job(self) -> None:
        self._with_job("retry_job", retry_job, "done", "stopped")
