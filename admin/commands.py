"""The operator's command line: ``incentives``. Every command is a thin cover of a flow or a query."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from admin import demo
from incentives.flows import people, publish
from incentives.kernel import migrate
from incentives.kernel.actors import SYSTEM, Actor, Role
from incentives.kernel.core import Core
from incentives.kernel.errors import CatalogInvalid, Refusal
from incentives.queries import catalog as queries
from incentives.queries.books import check_books
from incentives.queries.people import person_by_email

_REFUSED = 1
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the command line needs of the composition root, which it must not import."""

    build_core: Callable[[Mapping[str, str]], Core]
    create_app: Callable[[Core], Any]
    serve: Callable[..., None]
    work: Callable[[Core], None]


class _Group(click.Group):
    """Says a refusal in words instead of a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Refusal as refusal:
            click.echo(f"{refusal.detail} {refusal.next_step}", err=True)
            for error in refusal.facts.get("errors", []) if not isinstance(refusal, CatalogInvalid) else []:
                click.echo(f"  {error}", err=True)
            if isinstance(refusal, CatalogInvalid):
                _show_mistakes(refusal)
            sys.exit(_REFUSED)


def _show_mistakes(refusal: CatalogInvalid) -> None:
    for error in refusal.facts.get("errors", []):
        click.echo(f"  line {error.get('line')}: {error.get('path')}: {error.get('message')}", err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Incentives and vouchers for customer-service recovery."""


def _core(context: click.Context) -> Core:
    core: Core = context.obj.build_core(os.environ)
    return core


@cli.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@click.argument("revision", default="head")
@click.pass_context
def db_upgrade(context: click.Context, revision: str) -> None:
    """Migrate the database of INCENTIVES_DATABASE_URL up to a revision."""
    core = _core(context)
    migrate.upgrade(core.settings.database_url, revision)
    click.echo(f"The database is at {revision if revision != 'head' else migrate.head()}.")


@db.command("downgrade")
@click.argument("revision")
@click.pass_context
def db_downgrade(context: click.Context, revision: str) -> None:
    """Migrate the database down to a revision; what newer revisions hold is lost."""
    core = _core(context)
    migrate.downgrade(core.settings.database_url, revision)
    click.echo(f"The database is at {revision}.")


@cli.group()
def catalog() -> None:
    """The catalog: what may be offered for which trouble."""


@catalog.command("plan")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def catalog_plan(context: click.Context, file: Path) -> None:
    """Show what applying FILE would change, and write nothing."""
    planned = queries.plan(core=_core(context), actor=SYSTEM, text=file.read_bytes())
    _show_changes(planned.changes, planned.warnings)


@catalog.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--approve-as", metavar="USER", help="The email of the person who approves it; without, it stays a draft."
)
@click.pass_context
def catalog_apply(context: click.Context, file: Path, approve_as: str | None) -> None:
    """Propose FILE as a new release, and put it in force when somebody approves it."""
    core = _core(context)
    approver = person_by_email(core=core, email=approve_as) if approve_as else None
    command = publish.ProposeCatalog(text=file.read_bytes())
    proposed = publish.propose_catalog(core=core, actor=SYSTEM, command=command)
    _show_changes(proposed.changes, proposed.warnings)
    if proposed.status == "approved":
        return
    if approver is None:
        click.echo(f"Release {proposed.number} is a draft. Somebody approves it with --approve-as.")
        return
    approved = publish.approve_release(
        core=core, actor=approver, command=publish.ApproveRelease(number=proposed.number)
    )
    click.echo(f"Release {approved.number} is in force.")


def _show_changes(changes: Any, warnings: Any) -> None:
    for change in changes:
        click.echo(str(change))
    if not changes:
        click.echo("Nothing to change.")
    for warning in warnings:
        click.echo(f"Note: {warning}", err=True)


@cli.group()
def user() -> None:
    """People who sign in."""


@user.command("create")
@click.option("--email", required=True)
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--name")
@click.option("--location")
@click.option("--team")
@click.pass_context
def user_create(
    context: click.Context, email: str, role: str, name: str | None, location: str | None, team: str | None
) -> None:
    """Let a person in; prints their first password, alone, this once."""
    command = people.CreateUser(email=email, role=role, name=name, location=location, team=team)
    click.echo(people.create_user(core=_core(context), actor=SYSTEM, command=command).password)


@user.command("disable")
@click.option("--email", required=True)
@click.pass_context
def user_disable(context: click.Context, email: str) -> None:
    """Shut a person out, from their next request on."""
    people.disable_user(core=_core(context), actor=SYSTEM, email=email)


@cli.group("api-key")
def api_key() -> None:
    """Programs that call the API."""


@api_key.command("create")
@click.option("--name", required=True)
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--location")
@click.option("--team")
@click.pass_context
def api_key_create(context: click.Context, name: str, role: str, location: str | None, team: str | None) -> None:
    """Let a program in; prints its key, alone, this once."""
    command = people.CreateApiKey(name=name, role=role, location=location, team=team)
    created = people.create_api_key(core=_core(context), actor=SYSTEM, command=command)
    click.echo(f"The key's id, to revoke it by: {created.id}", err=True)
    click.echo(created.secret)


@api_key.command("revoke")
@click.argument("key_id", type=click.UUID)
@click.pass_context
def api_key_revoke(context: click.Context, key_id: Any) -> None:
    """Shut a program out, from its next request on."""
    people.revoke_api_key(core=_core(context), actor=SYSTEM, key_id=key_id)


@cli.group()
def books() -> None:
    """The books."""


@books.command("check")
@click.pass_context
def books_check(context: click.Context) -> None:
    """Prove the invariants: a line a check; exit status 1 and what is broken, if anything is."""
    checks = check_books(core=_core(context), actor=SYSTEM)
    for check in checks:
        click.echo(f"{'ok    ' if check.holds else 'BROKEN'} {check.name} ({check.examined} examined)")
        for line in check.broken:
            click.echo(f"       {line}")
    if not all(check.holds for check in checks):
        sys.exit(1)


@cli.command()
@click.pass_context
def worker(context: click.Context) -> None:
    """Deliver messages and expire what is over, until interrupted."""
    context.obj.work(_core(context))


@cli.group()
def keys() -> None:
    """Keys that codes, links, sessions and contacts are made with."""


@keys.command("new")
@click.option("--id", "key_id", default="k1", show_default=True, help="What the new keys are called.")
def keys_new(key_id: str) -> None:
    """Print four fresh keys as settings; append each to the ones in use to rotate."""
    click.echo("\n".join(f"{name}={value}" for name, value in fresh_keys(key_id).items()))


def fresh_keys(key_id: str) -> dict[str, str]:
    """Return a fresh key for each purpose, as settings."""
    purposes = ("CODE", "LINK", "SESSION", "CONTACT")
    return {
        f"INCENTIVES_{purpose}_KEYS": f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
        for purpose in purposes
    }


@cli.command()
@click.pass_context
def openapi(context: click.Context) -> None:
    """Print the OpenAPI document."""
    app = context.obj.create_app(_core(context))
    click.echo(json.dumps(app.extensions["openapi_document"](), indent=2, sort_keys=True, ensure_ascii=False))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Processes.")
@click.option("--threads", default=8, show_default=True, help="Threads in each.")
@click.pass_context
def serve(context: click.Context, host: str, port: int, workers: int, threads: int) -> None:
    """Serve the API and the pages."""
    _core(context).database.dispose()  # wrong settings are said here, once, and not by every process
    context.obj.serve(host, port, workers=workers, threads=threads)


@cli.command("demo")
@click.option("--port", default=8000, show_default=True)
@click.option("--prepare-only", is_flag=True, help="Prepare and print everything, but do not serve.")
@click.pass_context
def demo_command(context: click.Context, port: int, prepare_only: bool) -> None:  # noqa: FBT001 - click's flag
    """Prepare the demo under var/ and serve it, delivery included."""
    os.environ.update(demo.environment(Path("var"), port, fresh_keys))
    core = _core(context)
    demo.prepare(core, Path("var"))
    core.database.dispose()
    click.echo(demo.welcome(Path("var"), port))
    if not prepare_only:
        context.obj.serve("127.0.0.1", port, workers=1, threads=4)


__all__ = ["Actor", "Wiring", "cli", "fresh_keys"]
