"""Customers with vouchers, and the application as they reach it."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from incentives.deeds.answers import Issued, IssuedVoucher
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.flows.redeem import RedeemVoucher, redeem_voucher
from incentives.flows.reserve import ReserveVoucher, reserve_voucher
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.kernel.database import metadata
from incentives.recovery.customers import CustomerGiven
from tests.world import actor


@dataclass
class Customers:
    """A core with vouchers, and the application as customers reach it."""

    core: Core
    clock: FixedClock
    app: Flask
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def give(
        self,
        incentive: str = "travel-voucher-gbp",
        locale: str = "en-GB",
        name: str = "Ana Ruiz",
        email: str = "ana.ruiz@gmail.com",
    ) -> IssuedVoucher:
        """Let a supervisor give a customer something."""
        issued = issue_voucher(
            core=self.core,
            actor=actor(self.core, "manager", location="london"),
            command=IssueVoucher(
                issue_tag="flight-delayed",
                incentive=incentive,
                customer=CustomerGiven(name=name, email=email, locale=locale),
                channels=("email",),
                location="london",
                order_ref="MS 1234",
                idempotency_key=str(uuid.uuid4()),
            ),
        )
        assert isinstance(issued, Issued)
        assert issued.voucher is not None
        return issued.voucher

    def redeem(self, voucher: IssuedVoucher) -> None:
        """Spend a voucher at a till."""
        redeem_voucher(
            core=self.core,
            actor=actor(self.core, "till", location="london"),
            command=RedeemVoucher(code=voucher.code, idempotency_key=str(uuid.uuid4())),
        )

    def hold(self, voucher: IssuedVoucher) -> None:
        """Let a till hold a voucher."""
        till, command = actor(self.core, "till", location="london"), ReserveVoucher(code=voucher.code)
        reserve_voucher(core=self.core, actor=till, command=command)

    def freeze(self, voucher: IssuedVoucher) -> None:
        """Freeze a voucher."""
        table = metadata.tables["vouchers"]
        with self.core.database.write() as tx:
            tx.execute(table.update().where(table.c.id == voucher.id).values(frozen_at=self.clock.now()))

    def become(self, voucher: IssuedVoucher, status: str) -> None:
        """Move a voucher to a state that no flow leads to yet."""
        table = metadata.tables["vouchers"]
        with self.core.database.write() as tx:
            tx.execute(table.update().where(table.c.id == voucher.id).values(status=status))

    def everything(self) -> dict[str, list[Any]]:
        """Return all rows of all tables."""
        with self.core.database.read() as tx:
            return {
                name: sorted(tx.execute(sa.select(table)).all(), key=repr) for name, table in metadata.tables.items()
            }
