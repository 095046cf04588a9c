"""Who carries messages: which provider is asked next, and what its answer says about the messages after this one."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.books import audit
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import outbox, providers
from incentives.messages.port import OURS, PACE, SETTINGS, THEIRS, TryLater, Unsure

ABOUT = "provider"
TOLD = ("admin",)

log = logging.getLogger("incentives.carrying")


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed message, what was known of the provider that is to carry it, and whether it is that one's probe."""

    message: Any
    state: Any
    probes: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Routes:
    """Who carries the next message of each channel; a channel that has to wait is left out."""

    carriers: dict[str, str | None] = field(default_factory=dict)
    states: Mapping[str, Any] = field(default_factory=dict)
    probes: dict[str, str] = field(default_factory=dict)


def routes(tx: Connection, core: Core, channels: Iterable[str], now: datetime) -> Routes:
    """Return who carries the next message of some channels. A probe that is due is taken by that."""
    found = Routes(states=providers.known(tx))
    for channel in channels:
        names = [each.provider for each in core.carriers(channel)]
        if not names:
            found.carriers[channel] = None  # whoever claims its messages says why they cannot be sent
            continue
        route = _route(tx, names, found.states, now)
        if route.provider is not None:
            found.carriers[channel] = route.provider
        if route.probes and route.provider is not None:
            found.probes[channel] = route.provider
    return found


def _route(tx: Connection, names: list[str], states: Mapping[str, Any], now: datetime) -> providers.Route:
    """Return the route, and take its probe. Where another process has taken it meanwhile, the next one is asked."""
    taken: set[str] = set()
    while True:
        route = providers.route(names, states, now, taken)
        if not route.probes or route.provider is None or providers.take_probe(tx, route.provider, now):
            return route
        taken.add(route.provider)


def claimed(tx: Connection, routes: Routes, message: Any, now: datetime) -> Claim | None:
    """Return the claim of a message, None where there is none; probes that it does not make are given back."""
    for channel, provider in routes.probes.items():
        if message is None or message.channel != channel:
            providers.give_probe_back(tx, provider, now)
    if message is None:
        return None
    return Claim(message, routes.states.get(message.provider), message.channel in routes.probes, now)


def learn(tx: Connection, core: Core, claim: Claim, outcome: Any, now: datetime) -> None:
    """Take in what a provider's answer says about it: it works, wants us slower, is ill, or refuses our settings."""
    name, channel = claim.message.provider, claim.message.channel
    if isinstance(outcome, TryLater) and outcome.blame in (OURS, THEIRS):
        return
    if isinstance(outcome, TryLater) and outcome.blame == PACE:
        if outcome.after_seconds:
            until_at = now + timedelta(seconds=min(outcome.after_seconds, providers.LONGEST_PAUSE.total_seconds()))
            providers.pause(tx, core, provider=name, channel=channel, now=now, until_at=until_at)
        return
    if not isinstance(outcome, TryLater | Unsure):
        _works(tx, core, claim, now)
        return
    if claim.probes:
        providers.probed_in_vain(tx, provider=name, now=now)
    at_once = isinstance(outcome, TryLater) and outcome.blame == SETTINGS
    state = providers.failed(tx, core, provider=name, channel=channel, reason=outcome.reason, at_once=at_once, now=now)
    if state is not None:
        _rests(tx, core, state, now, tell=at_once)


def _works(tx: Connection, core: Core, claim: Claim, now: datetime) -> None:
    if claim.state is None:
        return
    alone = len(core.carriers(claim.message.channel)) == 1
    if providers.succeeded(tx, state=claim.state, was_asked_while_resting=claim.probes or alone, now=now):
        log.warning("%s works again", claim.state.provider)
        _note(tx, core, claim.state, now, "provider.working", None)


def _rests(tx: Connection, core: Core, state: Any, now: datetime, *, tell: bool) -> None:
    log.error("%s does not work: %s", state.provider, state.reason)
    _note(tx, core, state, now, "provider.resting", state.reason)
    if not tell:
        return
    people = sa.select(users.c.id).where(users.c.role.in_(TOLD), users.c.disabled_at.is_(None)).order_by(users.c.id)
    outbox.enqueue(
        tx,
        [
            outbox.notice_about(
                core=core, now=now, about=ABOUT, about_id=state.id, user_id=each, template=outbox.PROVIDER_NOTICE
            )
            for each in tx.execute(people).scalars()
        ],
    )


def _note(tx: Connection, core: Core, state: Any, now: datetime, action: str, reason: str | None) -> None:
    audit.record(
        tx,
        core=core,
        actor=SYSTEM,
        now=now,
        action=action,
        subject_kind="provider",
        subject_id=state.provider,
        reason=reason,
        facts={"channel": state.channel},
    )
