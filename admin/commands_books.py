"""The operator's and the auditor's commands for the books: ``incentives books``."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from admin.command_line import open_core
from incentives.flows.seal import seal_due, seal_late
from incentives.kernel.actors import SYSTEM
from incentives.queries.books import check_books
from incentives.queries.books_seals import newest_checkpoint, public_keys
from incentives.queries.books_verify import Checkpoint, verify_books

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NOT_SO = 1


@click.group("books")
def books() -> None:
    """The books."""


@books.command("check")
@click.pass_context
def check(context: click.Context) -> None:
    """Prove the invariants: a line a check; exit status 1 and what is broken, if anything is."""
    checks = check_books(core=open_core(context), actor=SYSTEM)
    for each in checks:
        click.echo(f"{'ok    ' if each.holds else 'BROKEN'} {each.name} ({each.examined} examined)")
        for line in each.broken:
            click.echo(f"       {line}")
    if not all(each.holds for each in checks):
        sys.exit(_NOT_SO)


@books.command("seal")
@click.option("--late", is_flag=True, help="Seal what came too late to be sealed by itself; say why with --reason.")
@click.option("--reason", default="", help="Why rows came late; it stays in the audit trail.")
@click.pass_context
def seal(context: click.Context, late: bool, reason: str) -> None:  # noqa: FBT001 - click's flag
    """Seal what was written to the books since the last seal; the worker does so by itself."""
    core = open_core(context)
    total, last = 0, None
    while sealed := seal_late(core=core, reason=reason) if late else seal_due(core=core):
        total, last = total + sealed.rows, sealed.checkpoint
    click.echo(f"{total} rows sealed, up to seal {last.number}." if last else "There was nothing to seal.")


@books.command("checkpoint")
@click.pass_context
def checkpoint(context: click.Context) -> None:
    """Print how far the books are sealed, signed, as a line of JSON: keep it where nobody here can change it."""
    core = open_core(context)
    found = newest_checkpoint(core=core, actor=SYSTEM)
    if found is None:
        message = "Nothing is sealed yet; `incentives books seal` does it, or the worker."
        raise click.ClickException(message)
    keys = {each.key_id: each.public_key for each in public_keys(core=core, actor=SYSTEM)}
    said = {
        "number": found.number,
        "hash": found.hash,
        "at": found.at.isoformat(),
        "key_id": found.key_id,
        "public_key": keys.get(found.key_id),
        "signature": found.signature,
    }
    click.echo(json.dumps(said))


@books.command("verify")
@click.option("--anchor", type=_FILE, help="A file of checkpoints that was kept outside, one on each line.")
@click.pass_context
def verify(context: click.Context, anchor: Path | None) -> None:
    """Make every hash again and compare: exit status 0, or 1 and the first rows that are not as they were sealed."""
    anchors = _checkpoints(anchor) if anchor else []
    verdict = verify_books(core=open_core(context), actor=SYSTEM, anchors=anchors)
    for fault in verdict.faults:
        click.echo(f"BROKEN {fault.words}")
    click.echo(f"{verdict.seals} seals, {verdict.rows} rows verified, {verdict.unsealed} rows are not sealed yet.")
    if not anchors:
        click.echo("Without --anchor nobody can tell whether the newest seals, or all, were cut off and made anew.")
    if not verdict.holds:
        sys.exit(_NOT_SO)


def _checkpoints(file: Path) -> list[Checkpoint]:
    """Return the checkpoints of a file, each as ``books checkpoint`` printed it."""
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [_checkpoint(json.loads(line)) for line in lines]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        found = []
    if not found:  # an empty file proves nothing
        message = "Each line is a checkpoint as `incentives books checkpoint` prints it, and there is at least one."
        raise click.BadParameter(message, param_hint="--anchor")
    return found


def _checkpoint(said: dict[str, Any]) -> Checkpoint:
    at = datetime.fromisoformat(said["at"])
    if at.tzinfo is None or type(said["number"]) is not int:
        raise ValueError
    return Checkpoint(
        number=said["number"],
        hash=str(said["hash"]),
        at=at,
        key_id=str(said["key_id"]),
        signature=str(said["signature"]),
    )
