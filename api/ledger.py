"""The books: ledger entries, and balances at any instant."""

from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer, Instant, MoneySchema, Query
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.queries.books import list_balances as found_balances
from incentives.queries.books import list_entries as found_entries

blueprint = Blueprint("ledger", "The books: append-only, every entry balanced.")


class PostingSchema(Answer):
    """One line on one account; a debit is positive, a credit negative."""

    account = fields.String()
    amount = fields.Nested(MoneySchema)


class LedgerEntrySchema(Answer):
    """A balanced whole."""

    id = fields.UUID()
    kind = fields.String()
    voucher_id = fields.UUID()
    at = fields.AwareDateTime()
    actor = fields.String()
    reason = fields.String()
    postings = fields.List(fields.Nested(PostingSchema))


class BalancesQuery(Query):
    """At which instant."""

    as_of = Instant(metadata={"description": "Up to and including this instant; left out: now."})


class BalanceSchema(Answer):
    """What stands on an account in one currency."""

    account = fields.String()
    name = fields.String()
    kind = fields.String(metadata={"description": "asset, liability, income or expense"})
    balance = fields.Nested(MoneySchema)


@blueprint.get("/ledger/entries")
@blueprint.asks("ledger:read")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.answers({200: page_of(LedgerEntrySchema)})
def list_entries(query: dict[str, Any]) -> Any:
    """List ledger entries with their postings, the newest first."""
    return found_entries(core=current_core(), actor=current_actor(), **query)


@blueprint.get("/ledger/balances")
@blueprint.asks("ledger:read")
@blueprint.arguments(BalancesQuery(), location="query")
@blueprint.answers({200: page_of(BalanceSchema)})
def list_balances(query: dict[str, Any]) -> dict[str, Any]:
    """Show every account's balance in every currency; all of them at once, so `next` is always null."""
    return {"items": found_balances(core=current_core(), actor=current_actor(), **query), "next": None}
