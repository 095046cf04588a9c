"""Hear: what a provider says became of messages, and what a customer wrote to it about being written to.

The signature is the door's to check. What was heard once is heard: the same again changes nothing, in whatever order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from incentives.deeds import hearing, suppressing
from incentives.deeds.suppressing import Unwanted
from incentives.kernel.actors import SYSTEM
from incentives.kernel.core import Core
from incentives.messages import reports
from incentives.messages.port import StatusReport
from incentives.queries import came_back

__all__ = ["OptOut", "StatusReport", "hear_opt_out", "hear_reports"]

STOP, START = "STOP", "START"
_UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Somebody wrote that they want no more messages at their number (``STOP``), or want them again (``START``).

    ``event_key`` is the same whenever the provider passes on the same message again.
    """

    provider: str
    channel: str
    word: str
    event_key: str
    address: str

    def __repr__(self) -> str:
        """Say nothing of the address."""
        return f"OptOut(provider={self.provider!r}, word={self.word!r})"


def hear_reports(*, core: Core, said: Sequence[StatusReport]) -> int:
    """Keep reports, let the messages go on and put addresses on the list; return how many reports are new."""
    if not said:
        return 0
    now = core.clock.now()
    with core.database.write() as tx:
        new = hearing.hear(tx, core, said, now)
    if any(each.suppresses or each.wants_again for each in said):
        came_back.forget(core)
    return new


def hear_opt_out(*, core: Core, opt_out: OptOut) -> bool:
    """Put an address on the list of those that nothing is sent to, or take off what its owner put there.

    Returns False for one that was heard before: a STOP that comes twice must not undo the START between. No provider of
    SMS says when its customer wrote, so that what comes last counts: where a STOP was late, the number stays on the
    list until one more START. To write to somebody who wants no more would be worse.
    """
    now = core.clock.now()
    report = StatusReport(
        provider=opt_out.provider,
        channel=opt_out.channel,
        event_key=opt_out.event_key,
        status=opt_out.word,
        means=None,
        occurred_at=now,
        suppresses=_UNSUBSCRIBED if opt_out.word == STOP else None,
        to=opt_out.address,
    )
    with core.database.write() as tx:
        if not reports.keep(tx, core, [report], now):
            return False
        if opt_out.word == STOP:
            unwanted = Unwanted(
                channel=opt_out.channel,
                address=opt_out.address,
                reason=_UNSUBSCRIBED,
                source=opt_out.provider,
                at=now,
                code=STOP,
            )
            suppressing.suppress(tx, core, [unwanted], now)
        else:
            for entry_id in suppressing.standing_ids(tx, core, opt_out.channel, opt_out.address, _UNSUBSCRIBED, now):
                suppressing.lift(tx, core, SYSTEM, entry_id, "The customer wrote START.", now)
    came_back.forget(core)
    return True
