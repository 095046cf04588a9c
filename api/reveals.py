"""Reveals: the code of a hand-over that somebody else had to agree to first."""

import uuid

from marshmallow import fields

from api.authentication import current_actor, current_core
from api.fields import Answer
from api.issuances import NewVoucherSchema
from api.smorest import Blueprint
from incentives.flows.reveal import RevealCode, Revealed, reveal_code
from incentives.kernel import errors

blueprint = Blueprint("reveals", "The code of a hand-over that somebody else had to agree to first.")


class RevealedSchema(Answer):
    """An issuance with its voucher's secrets."""

    id = fields.UUID()
    case_id = fields.UUID()
    voucher = fields.Nested(NewVoucherSchema)


@blueprint.post("/issuances/<uuid:issuance_id>/reveal")
@blueprint.asks("issuances:create")
@blueprint.refuses(errors.IssuanceNotFound, errors.CodeNotShown, errors.KeyRetired, errors.NotFound)
@blueprint.answers({200: RevealedSchema()})
def reveal_voucher(issuance_id: uuid.UUID) -> Revealed:
    """Show the code of a granted hand-over to whoever asked for it, while it can be used. Each look is recorded."""
    return reveal_code(core=current_core(), actor=current_actor(), command=RevealCode(issuance_id=issuance_id))
