"""Reconcile: who took a message and never said what became of it is asked, for callbacks get lost.

The provider is asked outside any transaction, one message after the other, so many at a time and no more. What it
answers is heard as its callback would have been. Twilio can be asked; SendGrid sells that as an extra, and a mail
server knows nothing: what they took and told nothing of for three days (SendGrid tries no longer) stays sent, and
says so.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from incentives.deeds import hearing
from incentives.kernel.core import Core
from incentives.messages import outbox, providers
from incentives.messages.port import Informant, StatusReport
from incentives.messages.tables import CHANNELS
from incentives.queries import came_back

ASK_AFTER = timedelta(hours=5)
"""Longer than the four hours for which Twilio tries: by then it knows."""
ASK_EVERY = timedelta(hours=3)
SETTLED_AFTER = timedelta(hours=72)
MOST_ASKED = 30
"""In one sweep: a provider is not flooded with questions."""
_MOST_SETTLED = 1000
_PATIENCE = 3  # unanswered questions in succession


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """How many messages were asked about, of how many something new was heard, and how many are waited for no more."""

    asked: int
    heard: int
    settled: int


def reconcile_due(*, core: Core) -> Reconciled:
    """Ask about messages that were sent hours ago and never told of, and cease to wait for those of days ago.

    What is of days ago is not asked about any more: after an upgrade that may be all that was ever sent.
    """
    asked = heard = unanswered = 0
    informants = _informants(core)
    while informants and asked < MOST_ASKED and unanswered < _PATIENCE:
        message = _claim(core, informants)
        if message is None:
            break
        report = informants[message.provider].ask(message.provider_message_id, core.clock.now())
        asked += 1
        unanswered = 0 if report else unanswered + 1
        heard += _hear(core, report) if report else 0
    return Reconciled(asked=asked, heard=heard, settled=_settle(core))


def _informants(core: Core) -> dict[str, Informant]:
    """Return the providers that can be asked, but for those that do not work just now."""
    every = [each for channel in CHANNELS for each in core.carriers(channel) if isinstance(each, Informant)]
    if not every:
        return {}
    with core.database.read() as tx:
        states = providers.known(tx)
    ill = {name for name, state in states.items() if state.status == providers.RESTING}
    return {each.provider: each for each in every if each.provider not in ill}


def _claim(core: Core, informants: dict[str, Informant]) -> Any:
    now = core.clock.now()
    with core.database.write() as tx:
        return outbox.claim_untold(
            tx, providers=informants, now=now, since=ASK_AFTER, until=SETTLED_AFTER, every=ASK_EVERY
        )


def _hear(core: Core, report: StatusReport) -> int:
    now = core.clock.now()
    with core.database.write() as tx:
        new = hearing.hear(tx, core, [report], now)
    if report.suppresses:
        came_back.forget(core)
    return new


def _settle(core: Core) -> int:
    now = core.clock.now()
    with core.database.write() as tx:
        return outbox.settle(tx, now=now, after=SETTLED_AFTER, most=_MOST_SETTLED)
