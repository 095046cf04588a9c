"""The forms of a case's page: what each sends, where its mistakes stand, and the page again after a refusal."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from flask import redirect, request
from flask.typing import ResponseReturnValue

from admin import case_page, case_words, forms, guard, pages
from admin.forms import Form
from incentives.kernel.actors import Actor
from incentives.kernel.core import Core
from incentives.kernel.errors import CaseNotDocumented, CaseNotFound, InputInvalid, NotPermitted, Refusal

Sent = Mapping[str, str]
Deed = Callable[[Core, Actor, Sent], object]

# Whoever gets these may not see the case at all, or not do such a thing: there is no page to show again.
_NO_PAGE = (CaseNotFound, NotPermitted)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseForm:
    """One form. ``limits`` are its fields with the most characters of each; those in ``single`` have one line.

    Nobody sees those in ``hidden``: what is wrong with them is said above the form.

    ``core_names`` says which of its fields the core means, where the core calls it something else.
    """

    name: str
    limits: Mapping[str, int] = field(default_factory=dict)
    single: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    core_names: Mapping[str, str] = field(default_factory=dict)
    keyed: bool = False

    def read(self) -> dict[str, str]:
        """Return what was sent. Raises ``InputInvalid`` with everything that is wrong."""
        sent, now = Form(request.form), guard.the_core().clock.now()
        readers: dict[str, Callable[[], str]] = {
            name: partial(sent.text if name in (*self.single, *self.hidden) else sent.lines, name, longest)
            for name, longest in self.limits.items()
        }
        if self.keyed:
            readers["idempotency_key"] = partial(sent.key, "idempotency_key", now)
        mistakes = forms.mistakes(*readers.values())
        if mistakes:
            raise InputInvalid(
                " ".join(mistakes.values()),
                errors=[{"field": name, "message": message} for name, message in mistakes.items()],
            )
        return {name: read() for name, read in readers.items()}

    def ids(self) -> dict[str, str]:
        """Return the id on the page of each field that a refusal may name."""
        own = {name: f"{self.name}-{name}" for name in self.limits if name not in self.hidden}
        return own | {name: f"{self.name}-{ours}" for name, ours in self.core_names.items()}


def send(case_id: uuid.UUID, form: CaseForm, done: str, act: Deed) -> ResponseReturnValue:
    """Do what a form asks and lead back to the case; a refusal shows the case again, with what was typed.

    Raises ``CaseNotFound`` and ``NotPermitted``.
    """
    core, actor = guard.the_core(), guard.the_actor()
    try:
        act(core, actor, form.read())
    except _NO_PAGE:
        raise
    except Refusal as refusal:
        return refused(case_id, form, refusal)
    return redirect(done_at(case_id, done), 303)


def refused(case_id: uuid.UUID, form: CaseForm, refusal: Refusal) -> ResponseReturnValue:
    """Show the case with what was refused and what was typed."""
    found = pages.refused(refusal, form.ids())
    if isinstance(refusal, CaseNotDocumented):
        found = replace(found, detail="", errors=_undone(refusal))
    return pages.with_wait(case_page.show_case(case_id, refused=found, form=form.name), refusal)


def _undone(refusal: Refusal) -> dict[str, str]:
    """Return everything that is missing before a case can close, by the part of the page where it is done."""
    found: dict[str, str] = {}
    for each in refusal.facts.get("errors", []):
        place, said = case_words.missing(each)
        found[place] = f"{found[place]} {said}" if place in found else said
    return found


def done_at(case_id: uuid.UUID, done: str) -> str:
    """Return the address of the case at the part where something was just done."""
    return f"/cases/{case_id}?done={done}#{case_page.DONE[done][0]}"
