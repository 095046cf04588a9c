"""The seals of the books, for auditors who verify by themselves; and what the worker found of the books."""

from typing import Any

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.queries.books_seals import list_checks as found_checks
from incentives.queries.books_seals import list_seals as found_seals
from incentives.queries.books_seals import public_keys as found_keys

blueprint = Blueprint("seals", "The seals of the books: a signed chain of hashes that anybody can verify.")


class SealPartSchema(Answer):
    """What a seal covers of one book."""

    book = fields.String()
    columns = fields.List(fields.String(), metadata={"description": "What is hashed of a row, in this order."})
    row_count = fields.Integer()
    first_id = fields.UUID()
    last_id = fields.UUID()
    content_hash = fields.String(
        metadata={"description": "SHA-256 over each row's id (16 bytes) and SHA-256 (32 bytes), by id."}
    )


class SealSchema(Answer):
    """A link of the chain, with all that its hash is over."""

    number = fields.Integer()
    previous_hash = fields.String()
    hash = fields.String()
    row_count = fields.Integer()
    at = fields.AwareDateTime()
    key_id = fields.String()
    signature = fields.String(metadata={"description": "Ed25519, in urlsafe base64."})
    parts = fields.List(fields.Nested(SealPartSchema))


class PublicKeySchema(Answer):
    """What seals are verified with."""

    key_id = fields.String()
    public_key = fields.String(metadata={"description": "32 bytes of Ed25519, in urlsafe base64."})


class BooksCheckSchema(Answer):
    """What the worker found; `holds` is null while it goes on."""

    id = fields.UUID()
    started_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime(allow_none=True)
    whole = fields.Boolean(metadata={"description": "Whether every seal was verified, and not only the new ones."})
    holds = fields.Boolean(allow_none=True)
    seal_number = fields.Integer(allow_none=True)
    examined = fields.Integer(allow_none=True)
    broken = fields.List(fields.String())


@blueprint.get("/books/seals")
@blueprint.asks("books:check")
@blueprint.arguments(PageQuery(), location="query")
@blueprint.answers({200: page_of(SealSchema)})
def list_seals(query: dict[str, Any]) -> Any:
    """List the seals with all that their hashes are over, the newest first."""
    return found_seals(core=current_core(), actor=current_actor(), **query)


@blueprint.get("/books/seal-keys")
@blueprint.asks("books:check")
@blueprint.answers({200: page_of(PublicKeySchema)})
def list_seal_keys() -> dict[str, Any]:
    """List the public keys that seals are verified with; all of them at once, so `next` is always null."""
    return {"items": found_keys(core=current_core(), actor=current_actor()), "next": None}


@blueprint.get("/books/checks")
@blueprint.asks("books:check")
@blueprint.answers({200: page_of(BooksCheckSchema)})
def list_checks() -> dict[str, Any]:
    """List what the worker found when it last proved the books, the latest first; twenty, so `next` is always null."""
    return {"items": found_checks(core=current_core(), actor=current_actor()), "next": None}
