"""The operator's command line: ``incentives``. Every command is a thin cover of a flow or a query."""

import ipaddress
import json
import os
import socket
from pathlib import Path

import click

from admin import demo
from admin.command_line import RefusingGroup, Wiring, open_core, unchecked_core
from admin.commands_books import books
from admin.commands_bulk import group as bulk
from admin.commands_catalog import catalog
from admin.commands_keys import fresh_keys, keys
from admin.commands_people import api_key, user
from incentives.kernel import migrate
from incentives.kernel.core import Core

_PORT = click.IntRange(1, 65535)
_RELEASE = click.IntRange(1, 2**31 - 1)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=RefusingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Incentives and vouchers for customer-service recovery."""


cli.add_command(user)
cli.add_command(api_key)
cli.add_command(catalog)
cli.add_command(bulk)
cli.add_command(books)
cli.add_command(keys)


@cli.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@click.argument("revision", default="head")
@click.pass_context
def db_upgrade(context: click.Context, revision: str) -> None:
    """Migrate the database of INCENTIVES_DATABASE_URL up to a revision."""
    core = unchecked_core(context)
    migrate.upgrade(core.settings.database_url, revision)
    _show_revision(core)


@db.command("downgrade")
@click.argument("revision")
@click.pass_context
def db_downgrade(context: click.Context, revision: str) -> None:
    """Migrate the database down to a revision; what newer revisions hold is lost."""
    core = unchecked_core(context)
    migrate.downgrade(core.settings.database_url, revision)
    _show_revision(core)


def _show_revision(core: Core) -> None:
    revision = migrate.current(core.database)
    click.echo(f"The database is at {revision}." if revision else "The database has no tables any more.")


@cli.command()
@click.pass_context
def worker(context: click.Context) -> None:
    """Deliver messages and expire what is over, until interrupted."""
    context.obj.work(open_core(context))


@cli.command()
@click.pass_context
def openapi(context: click.Context) -> None:
    """Print the OpenAPI document."""
    app = context.obj.create_app(unchecked_core(context))
    click.echo(json.dumps(app.extensions["openapi_document"](), indent=2, sort_keys=True, ensure_ascii=False))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="An IP address of this machine.")
@click.option("--port", default=8000, show_default=True, type=_PORT)
@click.option("--workers", type=click.IntRange(1), help="Processes, instead of INCENTIVES_SERVER_PROCESSES.")
@click.option("--threads", type=click.IntRange(1), help="Threads in each, instead of INCENTIVES_SERVER_THREADS.")
@click.pass_context
def serve(context: click.Context, host: str, port: int, workers: int | None, threads: int | None) -> None:
    """Serve the API and the pages."""
    _check_address(host, port)
    core = open_core(context)
    core.database.dispose()  # what is wrong is said here, once, and not by every process
    settings = core.settings
    context.obj.serve(
        host, port, workers=workers or settings.server_processes, threads=threads or settings.server_threads
    )


def _check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on; the server itself would say so in a traceback."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        message = f"{host} is no IP address; 127.0.0.1 serves this machine alone, 0.0.0.0 everybody."
        raise click.BadParameter(message, param_hint="--host") from None
    family = socket.AF_INET if version == 4 else socket.AF_INET6  # noqa: PLR2004 - the version of IP
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"Nobody can listen on {host} port {port}: {error.strerror}. Choose another --port or --host."
            raise click.ClickException(message) from None


@cli.command("demo")
@click.option("--port", default=8000, show_default=True, type=_PORT)
@click.option("--prepare-only", is_flag=True, help="Prepare and print everything, but do not serve.")
@click.pass_context
def demo_command(context: click.Context, port: int, prepare_only: bool) -> None:  # noqa: FBT001 - click's flag
    """Prepare the demo under var/ and serve it, delivery included."""
    if not prepare_only:
        _check_address("127.0.0.1", port)
    os.environ.update(demo.environment(Path("var"), port, fresh_keys))
    core = unchecked_core(context)
    demo.prepare(core, Path("var"))
    core.database.dispose()
    click.echo(demo.welcome(Path("var"), port))
    if not prepare_only:
        context.obj.serve("127.0.0.1", port, workers=1, threads=4)


__all__ = ["Wiring", "cli", "fresh_keys"]
