"""The mapped connector: any survey tool's webhook, read by the mapping that the catalog has for its source."""

from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from api.authentication import authenticated_as_tools_can, current_actor, current_core
from api.feedback_answers import TakenInSchema
from api.smorest import Blueprint
from incentives.flows.respond import respond_to
from incentives.flows.take_in import Raw, take_in_raw
from incentives.kernel import errors

BODY_BYTES_MAX = 256 * 1024


class Connectors(Blueprint):
    """A resource whose callers send their API key in whatever way their tool can."""

    authenticate = staticmethod(authenticated_as_tools_can)
    schemes = ("apiKey", "apiKeyInHeader", "apiKeyAsPassword")


blueprint = Connectors("connectors", "Webhooks of the tools that others report by.")

_WHATEVER = {"application/json": {}, "application/x-www-form-urlencoded": {"type": "object"}}


@blueprint.post("/connectors/<source>")
@blueprint.asks("feedback:create")
@blueprint.takes(_WHATEVER)
@blueprint.refuses(errors.UnknownSource, errors.NotFound)
@blueprint.answers({202: TakenInSchema()})
def take_webhook(source: str) -> Any:
    """Take in what a source's tool sends, JSON or a form, read by the mapping that the catalog has for the source.

    It is always answered with 202, so that the tool does not give up or send it for ever: what cannot be understood
    is kept, and waits for a person. The API key comes as a bearer token, in `X-Api-Key`, or as the password of HTTP's
    Basic scheme.
    """
    taken = take_in_raw(core=current_core(), actor=current_actor(), source=source, raw=_raw())
    answer = {"id": taken.id, "inbox_id": taken.inbox_id, "status": taken.status, "reason": taken.reason}
    if taken.id is not None and (taken.act_now or taken.repeated):
        (done,) = respond_to(core=current_core(), feedback_ids=[taken.id])
        answer |= {"status": done.status, "case_id": done.case_id, "issuance_id": done.issuance_id}
    return {"case_id": None, "issuance_id": None, **answer}


def _raw() -> Raw:
    # One byte more than is let in: of a body without its length werkzeug gives the beginning as if it were all.
    request.max_content_length = BODY_BYTES_MAX + 1
    body = request.get_data(cache=False, parse_form_data=False)
    if len(body) > BODY_BYTES_MAX:
        raise RequestEntityTooLarge
    return Raw(body=body, headers=dict(request.headers), media_type=request.mimetype or "application/json")
