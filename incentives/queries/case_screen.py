"""One case on one screen: everything that is known of it, with a bounded number of statements."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import QUESTIONS, Protocol
from incentives.kernel.actors import Actor, may, permit
from incentives.kernel.core import Core
from incentives.queries import case_facts, case_letters
from incentives.queries.case_earlier import Earlier, LinkedCase, earlier, linked
from incentives.queries.case_parts import (
    CauseChoice,
    CauseShown,
    CauseSuggested,
    Clock,
    FileShown,
    ShareShown,
    StepShown,
    SurveyShown,
    Task,
    Tools,
    causes,
    choices,
    clocks,
    files,
    shares,
    steps_shown,
    suggested,
    survey,
    tasks,
)
from incentives.queries.case_timeline import TimelineItem, timeline
from incentives.queries.cases import Case, seen, shown
from incentives.queries.scope import case_seen_by
from incentives.recovery import steps
from incentives.recovery.customers import Contact
from incentives.recovery.tables import case_tags, recovery_cases


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question of the protocol: what, who, when, differently."""

    key: str
    required: bool
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolShown:
    """How the case is worked on. ``script`` is filled, in the customer's language; ``guidance`` in the brand's."""

    key: str
    steps: tuple[str, ...]
    optional_steps: tuple[str, ...]
    guidance: str
    script_key: str
    script: str | None
    incentives: tuple[tuple[str, str], ...]  # keys and titles
    resurvey_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScreen:
    """Everything about a case. ``responsible`` is None for those who may not see who was at fault."""

    case: Case
    may_edit: bool
    may_manage: bool
    may_see_responsible: bool
    customer_name: str | None
    contact: Contact
    locale: str
    tags: tuple[str, ...]
    story: Mapping[str, str]
    questions: tuple[Question, ...]
    protocol: ProtocolShown | None
    steps: tuple[StepShown, ...]
    next_step: str | None
    clocks: tuple[Clock, ...]
    timeline: tuple[TimelineItem, ...]
    causes: tuple[CauseShown, ...]
    suggested_causes: tuple[CauseSuggested, ...]
    all_causes: tuple[CauseChoice, ...]
    responsible_kind: str | None
    responsible: str | None
    tasks: tuple[Task, ...]
    files: tuple[FileShown, ...]
    shares: tuple[ShareShown, ...]
    linked: tuple[LinkedCase, ...]
    earlier: Earlier
    survey: SurveyShown | None
    missing: tuple[Mapping[str, str], ...]
    closing_note: str | None


def case_screen(*, core: Core, actor: Actor, case_id: uuid.UUID) -> CaseScreen:
    """Return everything about a case and what was merged into it, or raise ``CaseNotFound``."""
    permit(actor, "cases:read")
    now = core.clock.now()
    with core.database.read() as tx:
        row = seen(tx, actor, case_id)
        catalog = releases.cached_current(tx, core).catalog
        protocol = case_facts.protocol_of(tx, core, catalog, row)
        contact = case_letters.reach(tx, core, row)
        locale = case_letters.locale_of(tx, catalog, row)
        story = case_facts.story_of(core, row.story)
        merged = tx.execute(sa.select(recovery_cases.c.id).where(recovery_cases.c.merged_into_id == case_id)).scalars()
        ids = [case_id, *merged]
        tools = Tools(tx=tx, core=core, actor=actor, catalog=catalog, case=row, now=now)
        taken = steps_shown(tools, protocol)
        may_see = may(actor, "cases:responsible")
        (case,) = shown(tx, core, [row], now)
        return CaseScreen(
            case=case,
            may_edit=may(actor, "cases:work") and _may_edit(tx, actor, case_id),
            may_manage=may(actor, "cases:manage"),
            may_see_responsible=may_see,
            customer_name=contact.name or case.customer_name,
            contact=contact,
            locale=locale,
            tags=_tags(tx, case_id, row.issue_tag),
            story=story,
            questions=_questions(protocol, story),
            protocol=_protocol(tools, protocol, locale) if protocol else None,
            steps=taken,
            next_step=_next(protocol, taken),
            clocks=clocks(tools),
            timeline=timeline(tx, core, ids, now),
            causes=causes(tools),
            suggested_causes=suggested(tools),
            all_causes=choices(catalog),
            responsible_kind=row.responsible_kind if may_see else None,
            responsible=core.contacts.decrypt(row.responsible) if may_see else None,
            tasks=tasks(tools),
            files=files(tools),
            shares=shares(tools),
            linked=linked(tools),
            earlier=earlier(tx, actor, row.customer_id, ids),
            survey=survey(tools),
            missing=_missing(tx, core, catalog, row, now),
            closing_note=core.contacts.decrypt(row.closing_note),
        )


def _may_edit(tx: Connection, actor: Actor, case_id: uuid.UUID) -> bool:
    query = sa.select(recovery_cases.c.id).where(recovery_cases.c.id == case_id, case_seen_by(actor, to_edit=True))
    return tx.execute(query).first() is not None


def _tags(tx: Connection, case_id: uuid.UUID, first: str) -> tuple[str, ...]:
    found = tx.execute(sa.select(case_tags.c.issue_tag).where(case_tags.c.case_id == case_id)).scalars().all()
    return (first, *sorted(tag for tag in found if tag != first))


def _questions(protocol: Protocol | None, story: Mapping[str, str]) -> tuple[Question, ...]:
    required = protocol.questions if protocol else ()
    return tuple(Question(key=key, required=key in required, answer=story.get(key)) for key in QUESTIONS)


def _protocol(tools: Tools, protocol: Protocol, locale: str) -> ProtocolShown:
    catalog, actor = tools.catalog, tools.actor
    script = catalog.scripts.get(protocol.script)
    name = actor.name if actor.kind == "person" else None
    return ProtocolShown(
        key=protocol.key,
        steps=protocol.steps,
        optional_steps=protocol.optional_steps,
        guidance=catalog.words(protocol.guidance, None),
        script_key=protocol.script,
        script=case_facts.apology_words(
            tools.tx, tools.core, catalog, tools.case, script=script, language=locale, agent_name=name
        )
        if script
        else None,
        incentives=tuple(
            (key, catalog.words(catalog.incentives[key].title, None))
            for key in protocol.incentives
            if key in catalog.incentives
        ),
        resurvey_after=protocol.resurvey_after,
    )


def _next(protocol: Protocol | None, taken: Sequence[StepShown]) -> str | None:
    known = {each.step: each.status for each in taken if each.status}
    return steps.next_step(protocol.steps, known) if protocol else None


def _missing(tx: Connection, core: Core, catalog: Catalog, row: Any, now: datetime) -> tuple[Mapping[str, str], ...]:
    return tuple(case_facts.missing(tx, core, catalog, row, now)) if row.status == "open" else ()
