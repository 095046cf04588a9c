"""Who stands at the staff's door. Every page says what it asks of a person; a page that says nothing does not open."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import ParamSpec, cast
from urllib.parse import urlencode, urlsplit

from flask import Response, current_app, g, redirect, request
from flask.typing import ResponseReturnValue

from admin import csrf
from incentives.flows.sign_in import ABSOLUTE_LIFETIME, touch_session
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import NotAuthenticated
from incentives.kernel.throttle import Throttle
from incentives.queries.sessions import Session, session_of_token

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]

ANYBODY = "anybody"
"""A page for whoever comes, signed in or not: the sign-in page itself."""
SIGNED_IN = "signed-in"
"""A page for every role: what is one's own."""

POLL_HEADER = "X-Poll"
"""What the script sends along when it asks without anybody having touched anything."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_DOORSTEP_LIFETIME_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Guard:
    """What a page asks of whoever comes: a permission, or ``ANYBODY``, or ``SIGNED_IN``."""

    permission: str


def page(*, permission: str) -> Callable[[View[P]], View[P]]:
    """Open a view to whoever has the permission, and to forms of our own pages only.

    A visitor who is not signed in is led to the sign-in page. Raises ``NotPermitted``, ``NotAuthenticated`` (for a
    form: what was typed is not sent anywhere) and ``CsrfRejected``.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            actor = _recognize()
            if permission != ANYBODY and actor is None:
                if request.method not in _SAFE_METHODS:
                    raise NotAuthenticated
                return redirect(sign_in_address(), 303)
            if actor is not None and permission not in (ANYBODY, SIGNED_IN):
                permit(actor, permission)
            if request.method not in _SAFE_METHODS:
                _check_form()
            return view(*args, **kwargs)

        guarded.guard = Guard(permission)  # type: ignore[attr-defined]  # read by ``guard_of``
        return guarded

    return decorate


def guard_of(view: Callable[..., object]) -> Guard | None:
    """Return what a view asks; None for one that forgot to say."""
    return cast("Guard | None", getattr(view, "guard", None))


def the_core() -> Core:
    """Return the core that the application was wired with."""
    return cast("Core", current_app.extensions["core"])


def the_throttle() -> Throttle:
    """Return the counters of tries that failed."""
    return cast("Throttle", current_app.extensions["throttle"])


def the_actor() -> Actor:
    """Return who is signed in, on a page that asks for it."""
    return the_session().actor


def the_session() -> Session:
    """Return the session of whoever is signed in, on a page that asks for it."""
    session: Session | None = g.get("staff_session")
    if session is None:
        raise NotAuthenticated
    return session


def anybody() -> Actor | None:
    """Return who is signed in, or None."""
    session: Session | None = g.get("staff_session")
    return session.actor if session else None


def recognize_for_error(status: int) -> None:
    """Find out who sees an error page, unless our side broke: the database is not asked a second time then."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        g.staff_session = None
    elif "staff_session" not in g:
        _recognize()


def session_token() -> str | None:
    """Return the secret of the session's cookie."""
    return request.cookies.get(_cookie("staff"))


def remember(response: Response, token: str) -> Response:
    """Put a session into its cookie: for our own origin, out of reach of scripts, gone after twelve hours at most."""
    _set(response, "staff", token, int(ABSOLUTE_LIFETIME.total_seconds()))
    response.delete_cookie(_cookie("doorstep"), path="/")
    return response


def forget(response: Response) -> Response:
    """Take the session's cookie away."""
    response.delete_cookie(_cookie("staff"), path="/", secure=_https(), httponly=True, samesite="Lax")
    return response


def form_token() -> str:
    """Return the token that this visitor's forms carry; on the doorstep a passing cookie stands for the session."""
    secret = session_token() if anybody() else _doorstep_secret()
    return csrf.token_for(the_core().keys.sessions, secret or "")


def keep_doorstep(response: Response) -> Response:
    """Give a visitor without a session the cookie that their sign-in form is bound to."""
    secret: str | None = g.get("staff_doorstep")
    if secret is not None:
        _set(response, "doorstep", secret, _DOORSTEP_LIFETIME_SECONDS)
    return response


def sign_in_address() -> str:
    """Return the sign-in page that leads back to where the visitor wanted to go."""
    wanted = request.full_path.rstrip("?")
    return "/sign-in" if wanted == "/" else f"/sign-in?{urlencode({'next': wanted})}"


def local_path(wanted: str | None) -> str:
    """Return an address within this site: whatever could lead elsewhere becomes the first page."""
    try:
        parts = urlsplit(wanted or "/")
    except ValueError:  # an address that is none, such as //[
        return "/"
    outside = parts.scheme or parts.netloc or not parts.path.startswith("/") or (wanted or "").startswith("//")
    return "/" if outside or not wanted or "\\" in wanted or not wanted.isprintable() else wanted


def own_origins() -> set[str]:
    """Return the origins that our forms are sent from: the public address, and the one that was asked."""
    public = urlsplit(the_core().settings.public_url)
    return {f"{public.scheme}://{public.netloc}", request.host_url.rstrip("/")}


def _recognize() -> Actor | None:
    core, token = the_core(), session_token()
    session = None
    if token:
        request_id, ip = g.get("request_id"), request.remote_addr
        session = session_of_token(core=core, session_token=token, request_id=request_id, ip=ip)
    if session is not None and not _asked_by_the_page():
        touch_session(core=core, session_id=session.id, last_seen_at=session.last_seen_at)
    g.staff_session = session
    return session.actor if session else None


def _asked_by_the_page() -> bool:
    """Return whether a page asks for news by itself: nobody sits there, so that the session rests all the while."""
    return request.method in _SAFE_METHODS and POLL_HEADER in request.headers


def _check_form() -> None:
    secret = session_token() if anybody() else request.cookies.get(_cookie("doorstep"))
    ring = the_core().keys.sessions
    token = request.form.get(csrf.FIELD)
    csrf.check(ring, secret=secret, token=token, headers=dict(request.headers), own_origins=own_origins())


def _doorstep_secret() -> str:
    known = request.cookies.get(_cookie("doorstep")) or g.get("staff_doorstep")
    if known is None:
        known = g.staff_doorstep = secrets.token_urlsafe(24)
    return str(known)


def _https() -> bool:
    return the_core().settings.public_url.startswith("https://")


def _cookie(name: str) -> str:
    """Return a cookie's name; ``__Host-`` ties it to this very host, and browsers take it over https only."""
    return f"__Host-{name}" if _https() else name


def _set(response: Response, name: str, value: str, max_age_seconds: int) -> None:
    response.set_cookie(
        _cookie(name),
        value,
        max_age=max_age_seconds,
        path="/",
        secure=_https(),
        httponly=True,
        samesite="Lax",
    )
