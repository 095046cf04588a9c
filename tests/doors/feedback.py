"""Customers at the page behind ``/f/<token>``: an application on the demo catalog, with forms, vouchers and surveys."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from incentives.catalog import releases
from incentives.deeds import asking
from incentives.deeds.answers import Issued
from incentives.flows.feedback_forms import CreateForm, create_form
from incentives.flows.follow_up import follow_up_due
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.flows.open_case import OpenCase, open_case
from incentives.kernel.clock import FixedClock
from incentives.kernel.core import Core
from incentives.queries.feedback_forms import one_form
from incentives.recovery import links
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import surveys
from incentives.vouchers.tables import vouchers
from tests.schema import all_tables
from tests.world import START, actor, make_core, publish_catalog
from wsgi import create_app

Rows = dict[str, list[tuple[Any, ...]]]


class FeedbackPages:
    """The customers' door, and who makes forms, gives vouchers and closes cases behind it."""

    def __init__(self, database_url: str, **settings: Any) -> None:
        self.clock = FixedClock(START)
        self.core: Core = make_core(database_url, clock=self.clock, **settings)
        publish_catalog(self.core)
        self.manager = actor(self.core, "manager")
        self.app = create_app(self.core)
        self.client: FlaskClient = self.app.test_client()

    def form(self, **command: Any) -> str:
        """Open a form; return its path."""
        made = create_form(
            core=self.core,
            actor=self.manager,
            command=CreateForm(**{"label": "Table 12", "location": "london", **command}),
        )
        return self.path(one_form(core=self.core, actor=self.manager, form_id=made.id).url)

    def voucher(self, locale: str = "en-GB") -> str:
        """Give a voucher; return the path of its form."""
        issued = issue_voucher(
            core=self.core,
            actor=self.manager,
            command=IssueVoucher(
                issue_tag="flight-delayed",
                customer=CustomerGiven(name="Ana", email="ana.ruiz@gmail.com", locale=locale),
                location="london",
                idempotency_key=str(uuid.uuid4()),
            ),
        )
        assert isinstance(issued, Issued)
        voucher_id = self.rows(vouchers)[-1].id
        return f"/f/{links.token_of(self.core.keys.links, links.VOUCHER, voucher_id)}"

    def survey(self, *, phone: str | None = None, locale: str = "en-GB", scale: str = "stars_5") -> str:
        """Let a customer's case be closed and ask them again; return the path of the survey."""
        given = CustomerGiven(
            name="Ana", phone=phone, email=None if phone else f"{uuid.uuid4()}@example.com", locale=locale
        )
        case_id = open_case(
            core=self.core,
            actor=self.manager,
            command=OpenCase(
                issue_tag="flight-delayed", severity=1, customer=given, location="london", answers_to_come=True
            ),
        ).id
        survey_id = self._asked(case_id, scale)
        return f"/f/{links.token_of(self.core.keys.links, links.SURVEY, survey_id)}"

    def _asked(self, case_id: uuid.UUID, scale: str) -> uuid.UUID:
        """Plan a survey of the case by hand, whatever the demo's protocols say, and send it."""
        with self.core.database.write() as tx:
            catalog = releases.cached_current(tx, self.core).catalog
            survey_id = asking.plan(tx, self.core, self.clock.now(), catalog, case_id, "issue", hours=0)
            assert survey_id is not None
            tx.execute(surveys.update().where(surveys.c.id == survey_id).values(scale=scale, first_score_bp=0))
        assert follow_up_due(core=self.core) == 1
        return survey_id

    # --- visits -----------------------------------------------------------------------------------------------------

    def path(self, url: str) -> str:
        return url.removeprefix("http://127.0.0.1:8000")

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def size_of(self, path: str) -> int:
        """Return how many bytes one of our files has."""
        with self.client.get(path) as answer:
            return len(answer.data)

    def fill(self, path: str, *, seconds: float = 30, **fields: Any) -> TestResponse:
        """Open a page, take so long to fill it in, and send it."""
        page = self.get(path)
        assert page.status_code == 200, page.text
        self.clock.advance(timedelta(seconds=seconds))
        return self.send(path, {**fields_of(page), **fields})

    def send(self, path: str, fields: dict[str, Any], **options: Any) -> TestResponse:
        return self.client.post(path, data=fields, **options)

    # --- records ----------------------------------------------------------------------------------------------------

    def rows(self, table: sa.Table) -> list[Any]:
        with self.core.database.read() as tx:
            return list(tx.execute(sa.select(table).order_by(*table.primary_key.columns)).all())

    def pieces(self) -> list[Any]:
        return self.rows(feedback)

    def comment(self, row: Any) -> str | None:
        return self.core.contacts.decrypt(row.comment)

    def everything(self) -> Rows:
        """Return everything that the database holds."""
        with self.core.database.read() as tx:
            return {
                table.name: sorted((tuple(row) for row in tx.execute(sa.select(table))), key=repr)
                for table in all_tables().sorted_tables
            }


def fields_of(page: TestResponse) -> dict[str, str]:
    """Return what the page's form would send if nobody touched it."""
    tree: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page.text)
    fields: dict[str, str] = {}
    for each in tree.iter("input"):
        chosen = each.get("type") not in ("radio", "checkbox") or each.get("checked") is not None
        if each.get("name") and chosen:
            fields[each.attrib["name"]] = each.get("value", "")
    for each in tree.iter("textarea"):
        fields[each.attrib["name"]] = each.text or ""
    return fields


def words_of(page: TestResponse) -> str:
    """Return the text of a page's main part; a mistake in its HTML raises."""
    tree: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page.text)
    main = tree.find(".//main")
    assert main is not None
    return re.sub(r"\s+", " ", " ".join(main.itertext())).strip()


@contextmanager
def opened(database_url: str, **settings: str) -> Iterator[FeedbackPages]:
    """Open the door on a fresh database."""
    pages = FeedbackPages(database_url, **settings)
    try:
        yield pages
    finally:
        pages.core.database.dispose()
