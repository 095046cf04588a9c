"""Signing in and out, the first page of each role, and where one is signed in."""

import uuid
from datetime import datetime

from flask import Blueprint, Response, make_response, redirect, request
from flask.typing import ResponseReturnValue

from admin import guard, pages, words
from admin.guard import ANYBODY, SIGNED_IN, page
from admin.pages import show
from incentives.flows import sign_in as flow
from incentives.kernel.errors import SessionNotFound, SignInFailed, TooManyRequests
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
    email = request.form.get("email", "").strip()[:_EMAIL_LONGEST]
    try:
        signed_in = _try(email)
    except (SignInFailed, TooManyRequests) as refusal:
        refused = pages.refused(refusal)
        answer = show("sign_in.html", refused.status, refused=refused, said=None, form={"next": wanted, "email": email})
        return pages.with_wait(answer, refusal)
    # A session that was open in this browser ends: nobody goes on under another's name.
    _end(guard.session_token())
    return guard.remember(_see(wanted), signed_in.session_token)


def _try(email: str) -> flow.SignedIn:
    """Sign in. Each try counts before it is made, so that many at once are no way around the throttle."""
    throttle, ip = guard.the_throttle(), request.remote_addr or ""
    throttle.check("sign-in-address", ip)
    throttle.hit("sign-in", email.lower())
    password, agent = request.form.get("password", ""), request.user_agent.string
    try:
        command = flow.SignIn(email=email, password=password, user_agent=agent, ip=ip)
        signed_in = flow.sign_in(core=guard.the_core(), command=command)
    except SignInFailed:
        throttle.hit("sign-in-address", ip)
        raise
    throttle.forget("sign-in", email.lower())
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
