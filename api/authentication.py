"""Who calls: the API key that a request bears, and the actor behind it."""

from typing import cast

from flask import current_app, g, request

from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import NotAuthenticated
from incentives.queries.access import actor_of_api_key


def current_core() -> Core:
    """Return the core that the application was wired with."""
    return cast("Core", current_app.extensions["core"])


def current_actor() -> Actor:
    """Return who calls, in a view that asks for a permission."""
    return cast("Actor", g.actor)


def authenticated() -> Actor:
    """Return the actor behind the request's API key, or raise ``NotAuthenticated``.

    A key that is unknown and one that was revoked are told alike.
    """
    sent = request.authorization
    if sent is None or sent.type != "bearer" or not sent.token:
        raise NotAuthenticated("Send an API key: Authorization: Bearer ik_….")
    actor = actor_of_api_key(
        core=current_core(), secret=sent.token, request_id=g.get("request_id"), ip=request.remote_addr
    )
    if actor is None:
        raise NotAuthenticated("There is no such API key, or it was revoked.")
    return actor
