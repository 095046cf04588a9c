"""A year of trouble: seeded, with a rhythm of weeks and hours, three planted spikes and a cause that starts in March.

The rows are laid out here by hand and written straight by SQL (``bench.trouble_rows``), not by the product's own code
paths: what the product says of them can be compared with what was planted.
"""

import itertools
import math
import random
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.trouble_catalog import CAUSES, COSTS_MINOR, INCENTIVES, TEAMS, places, tags

WEEKDAYS = (0.88, 0.84, 0.9, 1.0, 1.22, 1.36, 0.8)
HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 12, 12, 16, 18, 12, 10, 11, 14, 18, 20, 16, 10, 5, 2)
SHARES = {"survey": 0.5, "complaint": 0.24, "employee_report": 0.08, "event": 0.18}
SOURCES = {"survey": "stella-connect", "complaint": "web-form", "employee_report": "staff", "event": "orders"}
# How likely each incentive puts it right; nothing at all does too, now and then.
EFFECTS = {None: 0.38, "voucher-10": 0.62, "credit-15": 0.66, "free-dessert": 0.55, "apology-only": 0.45}
HOLDOUT = "stars-low"
_STAFF = 24
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Spike:
    """So many more pieces a day about a tag at a place (None: everywhere), from a day on; ``cause`` is behind them."""

    tag: str
    place: str | None
    first_day: int
    days: int
    more_a_day: float
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much trouble, from when on. The end is what "now" is for whoever looks at it."""

    seed: int = 3
    start: datetime = datetime(2025, 11, 24, tzinfo=UTC)
    days: int = 364
    pieces: int = 200_000
    places: int = 40
    tags: int = 30
    spikes: tuple[Spike, ...] = (
        Spike("wifi-down", "place-07", 75, 4, 11),
        Spike("cold-food", "place-19", 190, 3, 12),
        Spike("lift-broken", "place-31", 300, 5, 9),
        Spike("wrong-item", None, 97, 364, 9, "new-supplier"),  # the first of March
    )

    @property
    def end(self) -> datetime:
        """Return the instant at which it ends."""
        return self.start + self.days * _DAY


SMALL = Plan(
    days=112,
    pieces=6_000,
    places=5,
    tags=6,
    spikes=(Spike("cold-food", "place-02", 90, 3, 12), Spike("wrong-item", None, 70, 112, 5, "new-supplier")),
)
"""What tests look at: small enough for both databases within seconds."""


@dataclass(slots=True)
class Trouble:
    """The rows by table."""

    plan: Plan
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


class Maker:
    """Lays out the rows."""

    def __init__(self, plan: Plan, items: dict[tuple[str, str], uuid.UUID], release_id: uuid.UUID) -> None:
        self.plan, self.items, self.release_id = plan, items, release_id
        self.dice = random.Random(plan.seed)
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.tags, self.places = tags(plan.tags), places(plan.places)
        self.tag_weights = [1 / (3 + number) ** 0.7 for number in range(len(self.tags))]
        self.place_weights = [0.6 + self.dice.random() for _ in self.places]
        self.numbers = itertools.count()
        self.customers = [self.id(plan.start) for _ in range(max(50, plan.pieces * 3 // 10))]
        self.staff = [f"person:{self.id(plan.start)}" for _ in range(_STAFF)]

    def id(self, at: datetime) -> uuid.UUID:
        """Return an id that begins with its time, as the product's do."""
        return uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | self.dice.getrandbits(60))

    def make(self) -> dict[str, list[dict[str, Any]]]:
        """Return every row."""
        for customer in self.customers:
            self.rows["customers"].append(
                {"id": customer, "group_id": customer, "profile": "", "locale": "en", "created_at": self.plan.start}
            )
        for number, label in enumerate(self.staff):
            self._user(number, uuid.UUID(label.partition(":")[2]))
        troubles = list(self._troubles())
        for each in troubles:
            self._report(each)
        self._satisfied(self.plan.pieces - len(self.rows["feedback"]))
        return self.rows

    # --- when and where -------------------------------------------------------------------------------------

    def _level(self, day: int) -> float:
        season = 1 + 0.1 * math.sin(2 * math.pi * day / 365)
        return WEEKDAYS[(self.plan.start + day * _DAY).weekday()] * season

    def _at(self, day: int) -> datetime:
        hour = self.dice.choices(range(24), HOURS)[0]
        return self.plan.start + day * _DAY + timedelta(hours=hour, seconds=self.dice.random() * 3600)

    def _days(self, count: int) -> list[datetime]:
        """Return so many instants with the rhythm of weeks and hours."""
        days = range(self.plan.days)
        return sorted(self._at(day) for day in self.dice.choices(days, [self._level(day) for day in days], k=count))

    def _troubles(self) -> Iterator[dict[str, Any]]:
        for at in self._days(self.plan.pieces * 38 // 100):
            tag = self.dice.choices(self.tags, self.tag_weights)[0]
            place = self.dice.choices(self.places, self.place_weights)[0]
            cause = self.dice.choices(CAUSES[:-1], (5, 4, 3, 2, 2))[0]
            yield {"at": at, "tag": tag, "place": place, "cause": cause}
        for spike in self.plan.spikes:
            for day in range(spike.first_day, min(spike.first_day + spike.days, self.plan.days)):
                more = spike.more_a_day * self._level(day)
                for _ in range(int(more) + (self.dice.random() < more % 1)):
                    place = spike.place or self.dice.choices(self.places, self.place_weights)[0]
                    cause = spike.cause or "equipment"
                    yield {"at": self._at(day), "tag": spike.tag, "place": place, "cause": cause}

    # --- feedback -------------------------------------------------------------------------------------------

    def _feedback(self, at: datetime, kind: str, **more: Any) -> dict[str, Any]:
        row = {
            "id": self.id(at), "source": SOURCES[kind], "external_id": str(next(self.numbers)), "kind": kind,
            "occurred_at": at, "received_at": at + _MINUTE, "act_at": at + _MINUTE, "acted_at": at + 2 * _MINUTE,
            "status": "acted", "revision": 1, **more,
        }  # fmt: skip
        self.rows["feedback"].append(row)
        return row

    def _report(self, trouble: dict[str, Any]) -> None:
        kind = self.dice.choices(list(SHARES), list(SHARES.values()))[0]
        bad = self.dice.choice((1, 1, 2, 2, 3))
        score = {"scale": "stars_5", "score_given": str(bad), "score_bp": (bad - 1) * 2500} if kind == "survey" else {}
        event = {"event": self.dice.choice(("order_late", "canceled", "outage"))} if kind == "event" else {}
        severity = 1 + self.tags.index(trouble["tag"]) % 4
        customer = self.dice.choice(self.customers)
        row = self._feedback(
            trouble["at"], kind, **score, **event, customer_id=customer, issue_tag=trouble["tag"],
            location=trouble["place"], product=self.dice.choice(("dinner", "delivery", "room", None)),
            segment=self.dice.choice(("gold", "regular", "regular", None)), severity=severity,
        )  # fmt: skip
        self.rows["feedback_tags"].append({"feedback_id": row["id"], "issue_tag": trouble["tag"]})
        if self.dice.random() < 0.7:
            Case(self, row, trouble["cause"]).make()

    def _satisfied(self, count: int) -> None:
        for at in self._days(max(0, count)):
            customer = self.dice.choice(self.customers)
            place = self.dice.choices(self.places, self.place_weights)[0]
            if self.dice.random() < 0.2:
                self._feedback(at, "event", event="purchase", customer_id=customer, location=place,
                               amount_minor=self.dice.randrange(900, 9000), currency="GBP")  # fmt: skip
                continue
            stars = self.dice.choice((4, 5, 5))
            self._feedback(at, "survey", scale="stars_5", score_given=str(stars), score_bp=(stars - 1) * 2500,
                           customer_id=customer, location=place,
                           product=self.dice.choice(("dinner", "room")))  # fmt: skip

    def _user(self, number: int, user_id: uuid.UUID) -> None:
        self.rows["users"].append(
            {"id": user_id, "email": f"staff-{number}@example.com", "name": f"Staff {number}", "role": "frontline",
             "team": TEAMS[number % len(TEAMS)], "skills": [], "password_hash": "-", "created_at": self.plan.start}
        )  # fmt: skip


class Case:
    """One recovery, step by step, as far as it came until the end."""

    def __init__(self, maker: Maker, report: dict[str, Any], cause: str) -> None:
        self.maker, self.dice, self.report, self.cause = maker, maker.dice, report, cause
        self.opened_at = report["received_at"] + self.dice.randrange(1, 20) * _MINUTE
        self.id = maker.id(self.opened_at)
        self.owner = self.dice.choice(maker.staff)

    def make(self) -> None:
        """Lay out the case and all that hangs on it; what would be after the end has not happened."""
        if self.opened_at >= self.maker.plan.end:
            return
        contacted = self._later(self.opened_at, 55, 0.94)
        apologized = self._later(contacted, 25, 0.92)
        held_out = self.report["kind"] == "survey" and self.dice.random() < 0.1
        incentive = None if held_out or self.dice.random() < 0.3 else self.dice.choices(INCENTIVES, (5, 3, 3, 2))[0]
        given = self._later(apologized, 40, 1) if incentive else None
        fixed = self._later(contacted, 1500, 0.9)
        closed = self._later(fixed, 700, 0.97)
        recovered = self._outcome(closed, incentive if given else None)
        self._case_row(closed, recovered=recovered, held_out=held_out)
        self._deeds(contacted, apologized, given, fixed, closed)
        if given and incentive:
            self._issuance(incentive, given)
        if closed:
            self._survey(closed, recovered=recovered)
            self._purchase(closed, recovered=recovered)
        self.report["case_id"] = self.id

    def _later(self, at: datetime | None, mean_minutes: float, share: float) -> datetime | None:
        if at is None or self.dice.random() > share:
            return None
        later = at + self.dice.expovariate(1 / mean_minutes) * _MINUTE
        return later if later < self.maker.plan.end else None

    def _outcome(self, closed: datetime | None, incentive: str | None) -> bool | None:
        if closed is None or self.dice.random() < 0.2:
            return None
        bonus = 0.12 if incentive == "free-dessert" and self.report["issue_tag"] == "cold-food" else 0
        return self.dice.random() < EFFECTS[incentive] + bonus

    def _case_row(self, closed: datetime | None, *, recovered: bool | None, held_out: bool) -> None:
        report = self.report
        outcome = {True: "recovered", False: "not_recovered", None: "no_action"}[recovered] if closed else None
        self.maker.rows["recovery_cases"].append(
            {
                "id": self.id, "customer_id": report["customer_id"], "issue_tag": report["issue_tag"],
                "severity": report["severity"], "location": report["location"],
                "team": TEAMS[self.maker.tags.index(report["issue_tag"]) % len(TEAMS)],
                "status": "closed" if closed else "open", "opened_at": self.opened_at, "opened_by": self.owner,
                "source": report["source"], "product": report["product"], "segment": report["segment"],
                "occurred_at": report["occurred_at"], "salvageable": True, "owner": self.owner,
                "assigned_at": self.opened_at, "round": 1, "first_score_bp": report.get("score_bp"),
                "catalog_release_id": self.maker.release_id, "closed_at": closed,
                "closed_by": self.owner if closed else None, "outcome": outcome, "recovered": recovered,
                "recovered_evidence": None if recovered is None else "judgment",
                "recovered_at": closed if recovered else None, "held_out_of": HOLDOUT if held_out else None,
                "changed_at": closed or self.opened_at,
            }
        )  # fmt: skip

    def _deeds(
        self,
        contacted: datetime | None,
        apologized: datetime | None,
        given: datetime | None,
        fixed: datetime | None,
        closed: datetime | None,
    ) -> None:
        rows = self.maker.rows
        minutes = {"first_contact": 60, "apology": 120, "incentive": 240, "fix": 1440, "close": 2880}
        met = (contacted, apologized, given, fixed, closed)
        for (clock, allowed), met_at in zip(minutes.items(), met, strict=True):
            rows["case_clocks"].append(
                {"case_id": self.id, "round": 1, "clock": clock, "started_at": self.opened_at,
                 "due_at": self.opened_at + 2 * allowed * _MINUTE, "met_at": met_at}
            )  # fmt: skip
        rows["case_tags"].append({"case_id": self.id, "issue_tag": self.report["issue_tag"]})
        for step, at in (("apologize", apologized), ("fix", fixed), ("document", closed)):
            if at:
                rows["case_steps"].append(
                    {"id": self.maker.id(at), "case_id": self.id, "round": 1, "step": step, "status": "done",
                     "at": at, "actor": self.owner, "actor_name": "Staff"}
                )  # fmt: skip
        if apologized:
            rows["case_apologies"].append(
                {"id": self.maker.id(apologized), "case_id": self.id, "words": "", "language": "en", "channel": "phone",
                 "spoken": True, "at": apologized, "actor": self.owner}
            )  # fmt: skip
        if closed:
            rows["case_causes"].append({"case_id": self.id, "cause": self.cause, "weight": 100})

    def _issuance(self, incentive: str, given: datetime) -> None:
        maker, issuance_id = self.maker, self.maker.id(given)
        item_id = maker.items["incentive", incentive]
        money = {"amount_minor": COSTS_MINOR[incentive], "currency": "GBP"}
        channel = self.dice.choice(("email", "sms"))
        maker.rows["issuances"].append(
            {
                "id": issuance_id, "status": "issued", "case_id": self.id, "customer_id": self.report["customer_id"],
                "issue_tag": self.report["issue_tag"], "severity": self.report["severity"], "incentive": incentive,
                "incentive_item_id": item_id, "protocol_item_id": maker.items["protocol", "everything"],
                "catalog_release_id": maker.release_id, **money, "location": self.report["location"],
                "actor": self.owner, "metadata": {}, "channels": [channel], "locale": "en", "requested_at": given,
                "issued_at": given,
            }
        )  # fmt: skip
        voucher_id = None if incentive == "apology-only" else maker.id(given)
        if voucher_id:
            redeemed = self._later(given, 60 * 24 * 12, 0.55)
            self._voucher(voucher_id, issuance_id, item_id, money, given, redeemed)
        delivered = self.dice.random() < 0.94
        maker.rows["outbox_messages"].append(
            {
                "id": maker.id(given), "issuance_id": issuance_id, "voucher_id": voucher_id, "channel": channel,
                "template": "voucher" if voucher_id else "apology", "status": "delivered" if delivered else "bounced",
                "attempts": 1, "created_at": given, "available_at": given,
                "ended_at": given + timedelta(seconds=self.dice.randrange(5, 300)),
            }
        )  # fmt: skip

    def _voucher(
        self,
        voucher_id: uuid.UUID,
        issuance_id: uuid.UUID,
        item_id: uuid.UUID,
        money: dict[str, Any],
        given: datetime,
        redeemed: datetime | None,
    ) -> None:
        self.maker.rows["vouchers"].append(
            {
                "id": voucher_id, "issuance_id": issuance_id, "number": 1, "incentive_item_id": item_id,
                "status": "redeemed" if redeemed else "issued", "redeemed_count": int(bool(redeemed)), **money,
                "code_key_id": "t",
                "code_digest": voucher_id.hex, "last4": "0000", "issued_at": given, "expires_at": given + 90 * _DAY,
                "time_zone": "Europe/London",
            }
        )  # fmt: skip
        if redeemed:
            self.maker.rows["redemptions"].append(
                {"id": self.maker.id(redeemed), "voucher_id": voucher_id, **money, "location": self.report["location"],
                 "actor": self.owner, "actor_name": "Till", "redeemed_at": redeemed}
            )  # fmt: skip

    def _survey(self, closed: datetime, *, recovered: bool | None) -> None:
        asked = self._later(closed + _DAY, 60, 0.75) if closed + _DAY < self.maker.plan.end else None
        if asked is None:
            return
        answered = None if recovered is None else self._later(asked, 600, 0.5)
        stars = 5 if recovered else 2
        survey_id = self.maker.id(asked)
        self.maker.rows["surveys"].append(
            {
                "id": survey_id, "case_id": self.id, "round": 1, "customer_id": self.report["customer_id"],
                "after": "close", "channel": "email", "scale": "stars_5", "status": "answered" if answered else "sent",
                "created_at": closed, "due_at": closed + _DAY, "sent_at": asked, "answered_at": answered,
                "first_score_bp": self.report.get("score_bp"),
                "answer_score_bp": (stars - 1) * 2500 if answered else None,
            }
        )  # fmt: skip
        if answered:
            self.maker.rows["recovery_cases"][-1]["recovered_evidence"] = "score"
            self.maker._feedback(  # noqa: SLF001 - one hand writes both
                answered, "survey", scale="stars_5", score_given=str(stars), score_bp=(stars - 1) * 2500,
                customer_id=self.report["customer_id"], location=self.report["location"], survey_id=survey_id,
                case_id=self.id,
            )  # fmt: skip

    def _purchase(self, closed: datetime, *, recovered: bool | None) -> None:
        at = self._later(closed, 60 * 24 * 25, 0.5 if recovered else 0.2)
        if at:
            self.maker._feedback(  # noqa: SLF001 - one hand writes both
                at, "event", event="purchase", customer_id=self.report["customer_id"],
                location=self.report["location"], amount_minor=self.dice.randrange(900, 9000), currency="GBP",
            )  # fmt: skip
