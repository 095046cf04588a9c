"""A shop whose customers are asked again, and what they answer."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from incentives.flows.close_case import CloseCase, Closed, close_case
from incentives.flows.follow_up import follow_up_due
from incentives.flows.open_case import OpenCase, open_case
from incentives.flows.respond import respond_to
from incentives.flows.take_in import Raw, TakeIn, TakenIn, take_in
from incentives.kernel.actors import SYSTEM, Actor
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.tables import recovery_cases, surveys
from tests.flows.shop import ANA, Shop, catalog


def asking_catalog(*, after: str | None = "close", hours: int = 24, scale: str = "stars_5", **policy: Any) -> str:
    """Return the shop's catalog with a protocol that asks again."""
    text = json.loads(catalog())
    (protocol,) = text["protocols"]
    protocol |= {"steps": ["apologize"], "optional_steps": ["apologize"]}
    if after is not None:
        protocol |= {"resurvey_after": after, "resurvey_hours": hours, "resurvey_scale": scale}
    if policy:
        text["recovery"] = policy
    return json.dumps(text)


class Asking:
    """Opens cases, closes them, lets time pass and answers as a customer does."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.core = shop, shop.core

    def opened(self, *, first_bp: int | None = 2500, by: Actor | None = None, **more: Any) -> uuid.UUID:
        """Open a case that began with a score."""
        command = OpenCase(**{"issue_tag": "long-wait", "customer": ANA, **more})
        case_id = open_case(core=self.core, actor=by or self.shop.manager, command=command).id
        if first_bp is not None:
            with self.core.database.write() as tx:
                tx.execute(
                    recovery_cases.update().where(recovery_cases.c.id == case_id).values(first_score_bp=first_bp)
                )
        return case_id

    def close(self, case_id: uuid.UUID, outcome: str = "recovered", **more: Any) -> Closed:
        """Close a case as staff do."""
        command = CloseCase(case_id=case_id, outcome=outcome, note="We called and mended it.", **more)
        return close_case(core=self.core, actor=self.shop.manager, command=command)

    def closed(self, outcome: str = "recovered", **more: Any) -> uuid.UUID:
        """Open a case and close it."""
        case_id = self.opened(**more)
        self.close(case_id, outcome)
        return case_id

    def asked(self, **more: Any) -> uuid.UUID:
        """Open a case, close it and ask its customer; the survey's id."""
        case_id = self.closed(**more)
        self.shop.later(hours=25)
        assert self.follow_up() == 1
        survey_id: uuid.UUID = self.survey(case_id).id
        return survey_id

    def follow_up(self) -> int:
        return follow_up_due(core=self.core)

    def survey(self, case_id: uuid.UUID) -> Any:
        """Return the latest survey of a case."""
        return self.shop.all(surveys, surveys.c.case_id == case_id)[-1]

    def case(self, case_id: uuid.UUID) -> Any:
        return self.shop.one(recovery_cases, recovery_cases.c.id == case_id)

    def answer(self, survey_id: uuid.UUID, score: int, comment: str | None = None) -> TakenIn:
        """Answer a survey as its page does."""
        command = TakeIn(
            source="resurvey",
            external_id=str(survey_id),
            score=str(score),
            scale="stars_5",
            comment=comment,
            customer=ANA,
            issue_tags=("long-wait",),
            occurred_at=self.core.clock.now(),
            survey_id=survey_id,
            raw=Raw(body=f"score={score}&{uuid.uuid4()}".encode(), headers={}, media_type="text/plain"),
        )
        (taken,) = take_in(core=self.core, actor=SYSTEM, commands=[command])
        assert isinstance(taken, TakenIn), taken
        if taken.act_now and taken.id is not None:
            respond_to(core=self.core, feedback_ids=[taken.id])
        return taken

    def buys(self, customer: CustomerGiven = ANA) -> None:
        """Let the customer buy something, as a shop reports it."""
        command = TakeIn(
            source="shop",
            external_id=str(uuid.uuid4()),
            kind="event",
            event="purchase",
            customer=customer,
            occurred_at=self.core.clock.now(),
            raw=Raw(body=uuid.uuid4().bytes, headers={}, media_type="text/plain"),
        )
        (taken,) = take_in(core=self.core, actor=SYSTEM, commands=[command])
        assert isinstance(taken, TakenIn), taken
        if taken.act_now and taken.id is not None:
            respond_to(core=self.core, feedback_ids=[taken.id])


OpenShop = Callable[..., Shop]


def asking(open_shop: OpenShop, **how: Any) -> Asking:
    """Return a shop that asks."""
    return Asking(open_shop(asking_catalog(**how)))
