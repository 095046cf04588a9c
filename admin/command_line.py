"""What all commands share: the wiring, the way to a core, and refusals said in words that fit an operator."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from incentives.kernel import errors, migrate
from incentives.kernel.core import Core
from incentives.kernel.errors import Refusal
from incentives.kernel.settings import Settings

_REFUSED = 1

# What an operator does next, where that is something else than what a caller of the API does.
_NEXT_STEPS: Mapping[type[Refusal], str] = {
    errors.ApiKeyNotFound: "`incentives api-key list` shows those there are, and which are revoked.",
    errors.EmailInvalid: "Check the spelling.",
    errors.EmailTaken: "Use another address; `incentives user change` changes the person who has this one.",
    errors.InputInvalid: "Correct what is named and run the command again.",
    errors.NoCatalog: "`incentives catalog apply` proposes one, and somebody else approves it.",
    errors.NotPermitted: "Name a person whose role may; `incentives user list` shows everybody's.",
    errors.ReleaseAlreadyDecided: "`incentives catalog releases` shows which are drafts.",
    errors.ReleaseNotFound: "`incentives catalog releases` shows those there are.",
    errors.SettingsInvalid: "Correct the variables that are named and run the command again.",
    errors.StorageUnavailable: "Check INCENTIVES_DATABASE_URL and whether the database runs, then try again.",
    errors.UnknownLocation: "Use the key of a location of the catalog that is in force.",
    errors.UserNotFound: "`incentives user list` shows everybody.",
}


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the command line needs of the composition root, which it must not import."""

    build_core: Callable[[Mapping[str, str]], Core]
    create_app: Callable[[Core], Any]
    serve: Callable[..., None]
    work: Callable[[Core], None]


class RefusingGroup(click.Group):
    """Says a refusal in words instead of a traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; a refusal is told on standard error and ends it with status 1."""
        try:
            return super().invoke(context)
        except Refusal as refusal:
            click.echo("\n".join(_told(refusal)), err=True)
            sys.exit(_REFUSED)


def _told(refusal: Refusal) -> list[str]:
    """Return what is so and what to do next, then each mistake on a line of its own."""
    mistakes = refusal.facts.get("errors", [])
    # The detail of settings is their mistakes run together.
    what = refusal.title if isinstance(refusal, errors.SettingsInvalid) and mistakes else refusal.detail
    if isinstance(refusal, errors.NotPermitted) and refusal.facts.get("role"):
        what = f"The role {refusal.facts['role']} may not do this: it lacks {refusal.facts['permission']}."
    next_step = _NEXT_STEPS.get(type(refusal), refusal.next_step)
    return [f"{what.removesuffix('.')}. {next_step}", *(f"  {_mistake(each)}" for each in mistakes)]


def _mistake(mistake: str | Mapping[str, Any]) -> str:
    """Return a mistake with where it is: a setting names itself, a line of a file and a field are put before it."""
    if isinstance(mistake, str):
        return mistake
    line = f"line {mistake['line']}" if "line" in mistake else ""
    return ": ".join(part for part in (line, mistake.get("path") or mistake.get("field"), mistake["message"]) if part)


def unchecked_core(context: click.Context) -> Core:
    """Return a core on whatever database there is, until the command ends. Raises ``SettingsInvalid``."""
    migrate.check_url(Settings.from_environ(os.environ).database_url)
    core: Core = context.obj.build_core(os.environ)
    context.call_on_close(core.database.dispose)
    return core


def open_core(context: click.Context) -> Core:
    """Return a core on a migrated database.

    Raises ``SettingsInvalid``, ``StorageUnavailable`` and ``StorageNotMigrated``.
    """
    core = unchecked_core(context)
    migrate.check(core.database)
    return core


def show_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their titles in columns; nothing is shown as a dash."""
    table = [tuple(titles), *(tuple(_cell(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(cell: object) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%dT%H:%MZ}"
    return "-" if cell is None else str(cell)
