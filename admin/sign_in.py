"""Signing in and out, the first page of each role, and where one is signed in."""

import uuid
from datetime import datetime

from flask import Blueprint, Response, make_response, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.forms import Form
from admin.guard import ANYBODY, SIGNED_IN, page
from admin.pages import show
from incentives.flows import sign_in as flow
from incentives.kernel.errors import InputInvalid, SessionNotFound, SignInFailed, TooManyRequests
from incentives.kernel.throttle import network_of
from incentives.queries import sessions
from incentives.queries.sessions import Session

blueprint = Blueprint("staff_sign_in", __name__)

_EMAIL_LONGEST = 320


@blueprint.get("/")
@page(permission=SIGNED_IN)
def first() -> ResponseReturnValue:
    """Lead to the page where this role's day begins."""
    return redirect(pages.first_place(guard.the_actor()), 303)


@blueprint.get("/sign-in")
@page(permission=ANYBODY)
def door() -> ResponseReturnValue:
    """Ask who it is."""
    if guard.anybody():
        return redirect(guard.local_path(request.args.get("next")), 303)
    said = "You are signed out." if "bye" in request.args else None
    return show("sign_in.html", said=said, form={"next": guard.local_path(request.args.get("next")), "email": ""})


@blueprint.post("/sign-in")
@page(permission=ANYBODY)
def enter() -> ResponseReturnValue:
    """Open a session for whoever proves who they are."""
    wanted = guard.local_path(request.form.get("next"))
    sent = Form(request.form)
    email = sent.shown("email")
    try:
        signed_in = _try(sent.text("email", _EMAIL_LONGEST))
    except (InputInvalid, SignInFailed, TooManyRequests) as refusal:
        refused = pages.refused(refusal, {"email": "email"} if isinstance(refusal, InputInvalid) else None)
        answer = show(
            "sign_in.html",
            refused.status,
            refused=refused,
            errors=refused.errors,
            said=None,
            form={"next": wanted, "email": email},
        )
        return pages.with_wait(answer, refusal)
    # A session that was open in this browser ends: nobody goes on under another's name.
    _end(guard.session_token())
    return guard.remember(_see(wanted), signed_in.session_token)


def _try(email: str) -> flow.SignedIn:
    """Sign in, unless too many tries have failed.

    Tries count for the account as tried from one network, so that nobody elsewhere can lock out the right person.
    Those count before they are made: many at once are no way around. What counts for the account from everywhere
    holds up only whoever comes from a network that it was never signed in from.
    """
    throttle, ip = guard.the_throttle(), request.remote_addr or ""
    network, account = network_of(ip), email.lower()
    here = f"{account} {network}"
    stranger = not throttle.remembers("sign-in-known", here)
    throttle.check("sign-in-address", network)
    if stranger:
        throttle.check("sign-in-account", account)
    throttle.hit("sign-in", here)
    password, agent = request.form.get("password", ""), request.user_agent.string
    try:
        command = flow.SignIn(email=email, password=password, user_agent=agent, ip=ip)
        signed_in = flow.sign_in(core=guard.the_core(), command=command)
    except SignInFailed:
        throttle.hit("sign-in-address", network)
        if stranger:
            throttle.hit("sign-in-account", account)
        raise
    throttle.forget("sign-in", here)
    throttle.remember("sign-in-known", here)
    return signed_in


@blueprint.post("/sign-out")
@page(permission=SIGNED_IN)
def leave() -> ResponseReturnValue:
    """End this session."""
    _end(guard.session_token())
    return guard.forget(_see("/sign-in?bye"))


@blueprint.get("/sessions")
@page(permission=SIGNED_IN)
def mine() -> ResponseReturnValue:
    """Show where one is signed in."""
    core, actor = guard.the_core(), guard.the_actor()
    found = sessions.sessions_of(core=core, actor=actor)
    rows = [_row(each, core.clock.now()) for each in found]
    return show("sessions.html", sessions=rows, done="That session has ended." if "ended" in request.args else None)


@blueprint.post("/sessions/<uuid:session_id>/revoke")
@page(permission=SIGNED_IN)
def revoke(session_id: uuid.UUID) -> ResponseReturnValue:
    """End one of one's own sessions; the one that is used right now leads out."""
    try:
        flow.revoke_session(core=guard.the_core(), actor=guard.the_actor(), session_id=session_id)
    except SessionNotFound:
        # It has ended already: that is what was wanted.
        return _see("/sessions?ended")
    return _see("/sessions?ended")


def _row(each: Session, now: datetime) -> dict[str, object]:
    since, seen = words.ago(each.created_at, now), words.ago(each.last_seen_at, now)
    return {
        "id": each.id,
        "device": device(each.user_agent),
        "current": each.id == guard.the_session().id,
        "what": f"{each.ip or 'unknown address'}, signed in {since}, last used {seen}",
    }


def device(user_agent: str) -> str:
    """Return a browser and a machine in words, as far as the browser's own text tells them."""
    browsers = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    machines = (
        ("iPad", "an iPad"),
        ("iPhone", "an iPhone"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Macintosh", "a Mac"),
        ("Linux", "Linux"),
    )
    browser = next((word for mark, word in browsers if mark in user_agent), "A browser")
    machine = next((word for mark, word in machines if mark in user_agent), "an unknown machine")
    return f"{browser} on {machine}"


def _end(token: str | None) -> None:
    if token:
        flow.sign_out(core=guard.the_core(), session_token=token)


def _see(path: str) -> Response:
    return make_response(redirect(path, 303))
