"""Lists: who is trusted, who is refused, and who is looked at. Of a value only a digest and a hint are kept."""

import uuid
from typing import Any

from marshmallow import fields, validate

from api.authentication import current_actor, current_core
from api.fields import Answer, Body, Instant, Reason, Text
from api.paging import PageQuery, page_of
from api.smorest import Blueprint
from incentives.flows.listing import Imported, Listed, ListValue, add_listed, import_listed, remove_listed
from incentives.kernel import errors
from incentives.queries.listed import list_listed

blueprint = Blueprint("lists", "Whom signals pass by, who is refused, and who is looked at.")

_LISTS = ("allow", "deny", "review")
_KINDS = ("email", "email_domain", "phone", "external_ref", "actor", "ip_block")
_MANAGE = "lists:manage"
_REASON_LENGTH = 500
_VALUE_LENGTH = 320
_FILE_LENGTH = 900_000


class ListedQuery(PageQuery):
    """Which entries."""

    list = fields.String(validate=validate.OneOf(_LISTS))
    kind = fields.String(validate=validate.OneOf(_KINDS))


class ListedBody(Body):
    """A value, on which list, why, and until when."""

    list = fields.String(required=True, validate=validate.OneOf(_LISTS))
    kind = fields.String(required=True, validate=validate.OneOf(_KINDS))
    value = Text(
        _VALUE_LENGTH, required=True, metadata={"description": "Any spelling of an address is the same value."}
    )
    reason = Reason(_REASON_LENGTH, required=True)
    expires_at = Instant(load_default=None, allow_none=True)


class RemovalBody(Body):
    """Why it is taken off."""

    reason = Reason(_REASON_LENGTH, required=True)


class ListImportBody(Body):
    """A CSV file whose first line names its columns: kind, value, reason, and expires_at where entries end."""

    list = fields.String(required=True, validate=validate.OneOf(_LISTS))
    csv = Text(_FILE_LENGTH, required=True)


class ListedSchema(Answer):
    """A new entry."""

    id = fields.UUID()
    list = fields.String()
    kind = fields.String()
    hint = fields.String()
    expires_at = fields.AwareDateTime(allow_none=True)


class ListedValueSchema(ListedSchema):
    """An entry as it stands."""

    reason = fields.String()
    added_by_name = fields.String()
    added_at = fields.AwareDateTime()
    stands = fields.Boolean(metadata={"description": "False once its time is over."})


class RemovedSchema(Answer):
    """The entry that stands no more."""

    id = fields.UUID()


class MistakeSchema(Answer):
    """What is wrong with a line of a file."""

    line = fields.Integer()
    message = fields.String()


class ImportedSchema(Answer):
    """What a file added. With any mistake nothing was."""

    added = fields.Integer()
    known = fields.Integer()
    mistakes = fields.List(fields.Nested(MistakeSchema))


@blueprint.get("/listed-values")
@blueprint.asks(_MANAGE)
@blueprint.arguments(ListedQuery(), location="query")
@blueprint.answers({200: page_of(ListedValueSchema)})
def list_listed_values(query: dict[str, Any]) -> Any:
    """List entries, the newest first."""
    return list_listed(core=current_core(), actor=current_actor(), list_name=query.pop("list", None), **query)


@blueprint.post("/listed-values")
@blueprint.asks(_MANAGE)
@blueprint.arguments(
    ListedBody(),
    example={"list": "review", "kind": "email_domain", "value": "example.net", "reason": "A leaked code was shared."},
)
@blueprint.refuses(
    errors.AlreadyListed, errors.OwnListedValue, errors.EmailInvalid, errors.PhoneInvalid, errors.OtherLocation
)
@blueprint.answers({201: ListedSchema()})
def add_listed_value(body: dict[str, Any]) -> Listed:
    """Put a value on a list."""
    return add_listed(core=current_core(), actor=current_actor(), command=ListValue(**body))


@blueprint.post("/listed-values/import")
@blueprint.asks(_MANAGE)
@blueprint.arguments(
    ListImportBody(),
    example={"list": "deny", "csv": "kind,value,reason\nemail_domain,example.net,Throwaway addresses\n"},
)
@blueprint.refuses(errors.OtherLocation)
@blueprint.answers({200: ImportedSchema()})
def import_listed_values(body: dict[str, Any]) -> Imported:
    """Put all values of a file on a list, or none; each line's mistake is named."""
    return import_listed(core=current_core(), actor=current_actor(), list_name=body["list"], text=body["csv"])


@blueprint.post("/listed-values/<uuid:listed_id>/removal")
@blueprint.asks(_MANAGE)
@blueprint.arguments(RemovalBody(), example={"reason": "It was another person."})
@blueprint.refuses(errors.ListedValueNotFound, errors.OwnListedValue, errors.OtherLocation, errors.NotFound)
@blueprint.answers({200: RemovedSchema()})
def remove_listed_value(body: dict[str, Any], listed_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """Take an entry off its list."""
    remove_listed(core=current_core(), actor=current_actor(), listed_id=listed_id, reason=body["reason"])
    return {"id": listed_id}
