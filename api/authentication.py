"""Who calls: the API key that a request bears, and the actor behind it."""

import time
from collections.abc import Callable
from typing import cast

from flask import current_app, g, request

from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import NotAuthenticated
from incentives.kernel.keys import digest_of_secret
from incentives.queries.access import actor_of_api_key

KNOWN_FOR_SECONDS = 0.5


class KnownKeys:
    """Who the API keys of the last moment belong to: a till that scans fast is looked up twice a second, not each time.

    A revocation holds everywhere at most half a second later, without anybody being told of it. Only keys that are
    good are kept, so there are never more than were made; and only their digests.
    """

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        """Know nobody yet; ``seconds`` is the clock by which they are forgotten."""
        self._seconds = seconds
        self._known: dict[str, tuple[float, Actor]] = {}

    def actor(self, core: Core, secret: str) -> Actor | None:
        """Return the program behind an API key, or None if there is no such key or it was revoked."""
        digest, asked_at = digest_of_secret(secret), self._seconds()
        known_at, known = self._known.get(digest, (0.0, None))
        if known is not None and asked_at - known_at < KNOWN_FOR_SECONDS:
            return known
        actor = actor_of_api_key(core=core, secret=secret)
        if actor is None:
            self._known.pop(digest, None)
        else:
            self._known[digest] = (asked_at, actor)  # Since before it was read: a slow answer is an old one.
        return actor


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
    token = bearer_token()
    if not token:
        raise NotAuthenticated("Send an API key: Authorization: Bearer ik_….")
    return _actor_of(token)


def bearer_token() -> str:
    """Return the token that the request bears as it was sent; empty where it bears none.

    Werkzeug would take one with ``=`` in its midst for a list of parameters.
    """
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(token.strip(" \t")) if scheme.lower() == "bearer" else ""


def authenticated_as_tools_can() -> Actor:
    """Return the actor behind an API key as the tools of others can send one: most let nobody choose.

    As a bearer token, in ``X-Api-Key``, or as the password of HTTP's Basic scheme. Raises ``NotAuthenticated``.
    """
    sent = request.authorization
    basic = sent.password if sent is not None and sent.type == "basic" else None
    secret = (sent.token if sent is not None and sent.type == "bearer" else None) or basic
    secret = secret or request.headers.get("X-Api-Key")
    if not secret:
        raise NotAuthenticated("Send an API key: as a bearer token, in X-Api-Key, or as the password of Basic.")
    return _actor_of(secret)


def _actor_of(secret: str) -> Actor:
    known: KnownKeys = current_app.extensions["known_keys"]
    actor = known.actor(current_core(), secret)
    if actor is None:
        raise NotAuthenticated("There is no such API key, or it was revoked.")
    return actor.asking(request_id=g.get("request_id"), ip=request.remote_addr)
