"""Share a case: with another team, or by a link that only shows and that ends."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.access.tables import users
from incentives.catalog import releases
from incentives.deeds import casework, owning
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, ShareNotFound
from incentives.recovery import shared_links
from incentives.recovery.tables import case_shares

MOST_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWithTeam:
    """A team sees the case, wherever it is, and may work on it where it ``may_edit``."""

    case_id: uuid.UUID
    team: str
    may_edit: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareByLink:
    """Whoever has the link sees the case for so many days, 1 to 30."""

    case_id: uuid.UUID
    days: int = 7
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """How the case is shared; only a link has an address and an end."""

    id: uuid.UUID
    url: str | None = None
    expires_at: datetime | None = None
    replayed: bool = False


def share_with_team(*, core: Core, actor: Actor, command: ShareWithTeam) -> Shared:
    """Let a team see a case, or work on it; sharing it again changes which. Its leaders are told.

    Raises ``InputInvalid``, ``CaseNotFound``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    share_id = core.ids.new(now)
    with core.database.write() as tx:
        if _claimed_before(tx, core, actor, command, share_id, now):
            return Shared(id=_latest(tx, command), replayed=True)
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        if command.team not in releases.cached_current(tx, core).catalog.teams:
            raise InputInvalid(errors=[{"field": "team", "message": "There is no such team."}])
        table = case_shares.c
        standing = sa.and_(table.case_id == case.id, table.team == command.team, table.revoked_at.is_(None))
        known = tx.execute(
            case_shares.update().where(standing).values(may_edit=command.may_edit).returning(table.id)
        ).first()
        if known:
            share_id = known.id
        else:
            _insert(tx, actor, now, case.id, share_id, team=command.team, may_edit=command.may_edit)
            owning.tell(tx, core, now, case.id, _leaders_of(tx, command.team), "notice-shared")
        casework.change(tx, case.id, now)
        facts = {"team": command.team, "may_edit": command.may_edit}
        casework.say(tx, core, actor, now, case.id, "shared", facts)
    return Shared(id=share_id)


def _leaders_of(tx: Connection, team: str) -> list[str]:
    query = sa.select(users.c.id).where(users.c.team == team, users.c.role.in_(owning.SUPERVISORS))
    return [f"person:{each}" for each in tx.execute(query).scalars()]


def share_by_link(*, core: Core, actor: Actor, command: ShareByLink) -> Shared:
    """Make a link by which somebody outside looks at a case: it shows no code and no address, and changes nothing.

    Raises ``InputInvalid``, ``CaseNotFound``, ``IdempotencyKeyReused``, ``NotPermitted``.
    """
    permit(actor, "cases:manage")
    now = core.clock.now()
    if not 1 <= command.days <= MOST_DAYS:
        raise InputInvalid(errors=[{"field": "days", "message": f"Choose 1 to {MOST_DAYS} days."}])
    share_id, expires_at = core.ids.new(now), now + timedelta(days=command.days)
    with core.database.write() as tx:
        before = _claimed_before(tx, core, actor, command, share_id, now)
        if before:
            return _link_again(tx, core, before)
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        _insert(tx, actor, now, case.id, share_id, may_edit=False, expires_at=expires_at)
        casework.change(tx, case.id, now)
        facts = {"share": str(share_id), "until": expires_at.isoformat()}
        casework.say(tx, core, actor, now, case.id, "shared-by-link", facts)
    url = shared_links.url_of(core.settings.public_url, core.keys.links, share_id)
    return Shared(id=share_id, url=url, expires_at=expires_at)


def _claimed_before(
    tx: Connection, core: Core, actor: Actor, command: ShareWithTeam | ShareByLink, share_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    request = {name: getattr(command, name) for name in command.__dataclass_fields__ if name != "idempotency_key"}
    return casework.claimed_before(tx, core, actor, "shares", command.idempotency_key, request, share_id, now)


def _latest(tx: Connection, command: ShareWithTeam) -> uuid.UUID:
    """Return the share that the first request made, or found: sharing again keeps the one that stands."""
    table = case_shares.c
    theirs = sa.select(table.id).where(table.case_id == command.case_id, table.team == command.team)
    found: uuid.UUID = tx.execute(theirs.order_by(table.id.desc()).limit(1)).scalar_one()
    return found


def _link_again(tx: Connection, core: Core, share_id: uuid.UUID) -> Shared:
    expires_at = tx.execute(sa.select(case_shares.c.expires_at).where(case_shares.c.id == share_id)).scalar_one()
    url = shared_links.url_of(core.settings.public_url, core.keys.links, share_id)
    return Shared(id=share_id, url=url, expires_at=expires_at, replayed=True)


def _insert(
    tx: Connection,
    actor: Actor,
    now: datetime,
    case_id: uuid.UUID,
    share_id: uuid.UUID,
    *,
    may_edit: bool,
    team: str | None = None,
    expires_at: datetime | None = None,
) -> None:
    row = {
        "id": share_id,
        "case_id": case_id,
        "team": team,
        "may_edit": may_edit,
        "created_at": now,
        "created_by": actor.label,
        "expires_at": expires_at,
    }
    tx.execute(case_shares.insert(), [row])


@dataclass(frozen=True, slots=True, kw_only=True)
class EndShare:
    """A case is no longer shared like this."""

    case_id: uuid.UUID
    share_id: uuid.UUID


def end_share(*, core: Core, actor: Actor, command: EndShare) -> None:
    """End a share at once: the link opens nothing any more, the team sees the case no longer.

    A link is ended by those who may make one. Raises ``ShareNotFound``, ``CaseNotFound``, ``NotPermitted``.
    """
    permit(actor, "cases:work")
    now = core.clock.now()
    table = case_shares.c
    with core.database.write() as tx:
        case = casework.work_on(tx, actor, command.case_id, closed_too=True)
        ended = tx.execute(
            case_shares.update()
            .where(table.id == command.share_id, table.case_id == case.id, table.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(table.team)
        ).one_or_none()
        if ended is None:
            raise ShareNotFound
        if ended.team is None:
            permit(actor, "cases:manage")
        casework.change(tx, case.id, now)
        casework.say(tx, core, actor, now, case.id, "share-ended", {"share": str(command.share_id)})
