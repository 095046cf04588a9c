"""Apologizing by a criterion: the protocol's script goes out at once, whatever becomes of the incentive.

Not a flow: it opens no transaction. The words are recorded as they are sent, once a case.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import definitions, scripts
from incentives.deeds import caring
from incentives.deeds.firing_piece import Firing, reachable, why_unreachable
from incentives.messages import outbox
from incentives.recovery.tables import case_apologies

STEP = "apologize"
NO_PROTOCOL = "no-protocol"


def apologize(tx: Connection, firing: Firing) -> None:
    """Say the protocol's apology by the criterion's channels, unless the case has had one."""
    piece, wanted = firing.piece, firing.rule.then["apologize"]["channels"]
    protocol = caring.protocol_of(tx, piece.core, piece.catalog, firing.case)
    why = why_unreachable(piece, wanted) or (None if protocol else NO_PROTOCOL)
    if why is None and _said(tx, firing):
        why = "already"
    if why is not None or protocol is None:
        firing.did("apologize", why or NO_PROTOCOL)
        return
    channels = reachable(piece, wanted)
    _record(tx, firing, protocol, channels)
    if STEP in protocol.steps:
        caring.take_step(tx, piece.core, firing.actor, piece.now, firing.case, STEP, channel=channels[0])
    else:
        caring.meet(tx, [firing.case.id], ("apology", "first_contact"), piece.now)
    firing.did("apologize", "done", channels=list(channels))


def _said(tx: Connection, firing: Firing) -> bool:
    query = sa.select(case_apologies.c.id).where(case_apologies.c.case_id == firing.case.id)
    return tx.execute(query.limit(1)).first() is not None


def _record(tx: Connection, firing: Firing, protocol: definitions.Protocol, channels: tuple[str, ...]) -> None:
    """Write the apology, and a message for each channel that sends these very words."""
    piece = firing.piece
    core, now, catalog = piece.core, piece.now, piece.catalog
    script = catalog.scripts[protocol.script]
    language = piece.row.locale or catalog.brand.default_language
    place = catalog.locations.get(firing.case.location or "")
    words = scripts.fill(
        catalog.words(script.text, language),
        brand=catalog.brand.name,
        incentive="",
        customer_name=piece.contact.name,
        location=place.name if place else None,
        order_ref=piece.row.order_ref,
    )
    apology_id = core.ids.new(now)
    tx.execute(
        case_apologies.insert(),
        {
            "id": apology_id,
            "case_id": firing.case.id,
            "script": script.key,
            "script_item_id": piece.current.item_ids["script", script.key],
            "words": core.contacts.encrypt(words),
            "language": language,
            "channel": channels[0],
            "spoken": False,
            "at": now,
            "actor": firing.actor.label,
        },
    )
    outbox.enqueue(
        tx,
        [
            outbox.apology(core=core, now=now, case_id=firing.case.id, apology_id=apology_id, channel=each)
            for each in channels
        ],
    )
