"""A database in which every table has rows, made through the flows as far as they go."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from incentives.books.tables import books_checks
from incentives.flows import deliver, people, sign_in
from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.expire import expire_due
from incentives.flows.hear import STOP, OptOut, StatusReport, hear_opt_out, hear_reports
from incentives.flows.issue import AwaitingApproval, CustomerGiven, Issued, IssueVoucher, issue_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.seal import seal_due
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.kernel.actors import SYSTEM
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.messages import providers
from incentives.messages.tables import outbox_messages
from incentives.queries.suppressed import list_suppressed
from tests.migrations.lived import book, live
from tests.migrations.recovered import recover
from tests.races.deeds import FRONTLINE, MANAGER, TILL
from tests.recovering_catalog import TAG, recovering_catalog
from tests.world import PASSWORD, START, make_core, publish_catalog


def fill(url: str, *, heard: bool = True) -> None:
    """Let everything happen once; ``heard`` is whether providers report of messages, too."""
    core = _lived(url)
    if heard:
        _hear(core)
    _fall_ill(core)
    book(core)
    _seal(core)


def _fall_ill(core: Core) -> None:
    """Let a provider refuse our settings and want us slower, and a message be in doubt until nobody waits for it."""
    now, why = core.clock.now(), "The configuration is wrong."
    row: dict[str, Any] = {"provider": "sendgrid", "channel": "email", "now": now}
    doubt = {"unsure_of": "sendgrid", "unsure_since_at": now, "unsure_tries": 1, "asked_at": now, "settled_at": now}
    with core.database.write() as tx:
        providers.failed(tx, core, **row, reason=why, at_once=True)
        providers.pause(tx, core, **row, until_at=now + timedelta(seconds=30))
        tx.execute(outbox_messages.update().values(**doubt))


def fill_for_the_way_down(url: str) -> None:
    """Let everything happen once but for what the books keep and older tables cannot hold."""
    _seal(_lived(url))


def _lived(url: str) -> Core:
    core = make_core(url)
    publish_catalog(core, recovering_catalog())
    people.create_user(
        core=core, actor=SYSTEM, command=people.CreateUser(email="ana@brand.example", role="admin", password=PASSWORD)
    )
    sign_in.sign_in(core=core, command=sign_in.SignIn(email="ana@brand.example", password=PASSWORD))
    people.create_api_key(core=core, actor=SYSTEM, command=people.CreateApiKey(name="till", role="till"))
    customer = CustomerGiven(name="Ben", email="ben@customer.example")
    command = IssueVoucher(issue_tag=TAG, customer=customer, channels=("email",), idempotency_key="1")
    given = issue_voucher(core=core, actor=MANAGER, command=command)
    assert isinstance(given, Issued)
    assert given.voucher is not None
    deliver.deliver_next(core=core)
    redeem_voucher(core=core, actor=TILL, command=RedeemVoucher(code=given.voucher.code))
    asked = issue_voucher(core=core, actor=FRONTLINE, command=IssueVoucher(issue_tag=TAG))
    assert isinstance(asked, AwaitingApproval)
    decide_approval(core=core, actor=MANAGER, command=DecideApproval(approval_id=asked.approval_id, decision="grant"))
    recover(core)
    expire_due(core=replace(core, clock=FixedClock(START + timedelta(days=31))))
    live(core)
    return core


def _hear(core: Core) -> None:
    """Let a message come back, its address be sent to again, and somebody write that they want no more messages."""
    with core.database.read() as tx:
        message_id = tx.execute(sa.select(outbox_messages.c.id).order_by(outbox_messages.c.id).limit(1)).scalar_one()
    bounced = StatusReport(
        provider="sendgrid",
        channel="email",
        event_key="e-1",
        status="bounce",
        means="bounced",
        occurred_at=core.clock.now(),
        message_id=message_id,
        provider_message_id="m-1",
        code="5.1.1",
        suppresses="bounced",
        to="ben@customer.example",
    )
    assert hear_reports(core=core, said=[bounced]) == 1
    (entry,) = list_suppressed(core=core, actor=SYSTEM).items
    lift_suppression(core=core, actor=MANAGER, command=LiftSuppression(id=entry.id, reason="It was mended."))
    told = OptOut(provider="twilio", channel="sms", word=STOP, event_key="SM1:STOP", address="+447400123456")
    assert hear_opt_out(core=core, opt_out=told)


def _seal(core: Core) -> None:
    """Let the books be sealed and proved at the end."""
    clock = FixedClock(START + timedelta(days=40))
    assert seal_due(core=replace(core, clock=clock))
    now = clock.now()
    proved = {"ended_at": now, "holds": False, "seal_number": 1, "seal_hash": "0" * 64, "examined": 7, "broken": ["x"]}
    with core.database.write() as tx:
        row = {"id": core.ids.new(now), "due_at": now, "started_at": now, "whole": True}
        tx.execute(books_checks.insert(), row | proved)
    core.database.dispose()
