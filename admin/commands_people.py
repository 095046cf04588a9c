"""The operator's commands for who may come in: ``incentives user`` and ``incentives api-key``."""

import uuid
from collections.abc import Sequence

import click

from admin.command_line import open_core, show_table
from incentives.flows import people
from incentives.kernel.actors import SYSTEM, Role
from incentives.queries import people as queries

_ROLE = click.Choice([role.value for role in Role])


@click.group()
def user() -> None:
    """People who sign in."""


@user.command("list")
@click.pass_context
def user_list(context: click.Context) -> None:
    """Show everybody, with role, place and until when."""
    rows = queries.person_list(core=open_core(context), actor=SYSTEM)
    show_table(
        ("EMAIL", "NAME", "ROLE", "LOCATION", "TEAM", "SKILLS", "CREATED", "DISABLED"),
        [
            (
                row.email,
                row.name,
                row.role,
                row.location,
                row.team,
                _listed(row.skills),
                row.created_at,
                row.disabled_at,
            )
            for row in rows
        ],
    )


def _listed(skills: Sequence[str]) -> str | None:
    return ",".join(skills) or None


@user.command("create")
@click.option("--email", required=True)
@click.option("--role", required=True, type=_ROLE)
@click.option("--name")
@click.option("--location")
@click.option("--team")
@click.option("--skill", "skills", multiple=True, help="The key of an issue tag they take on; may stand several times.")
@click.pass_context
def user_create(
    context: click.Context,
    email: str,
    role: str,
    name: str | None,
    location: str | None,
    team: str | None,
    skills: tuple[str, ...],
) -> None:
    """Let a person in; prints their first password, alone, this once."""
    command = people.CreateUser(email=email, role=role, name=name, location=location, team=team, skills=skills)
    click.echo(people.create_user(core=open_core(context), actor=SYSTEM, command=command).password)


@user.command("change")
@click.option("--email", required=True)
@click.option("--role", type=_ROLE)
@click.option("--location", help='The key of a location; "" for none any more.')
@click.option("--team", help='The key of a team; "" for none any more.')
@click.option("--name")
@click.option("--skill", "skills", multiple=True, help='In place of those they have; "" for every issue tag.')
@click.pass_context
def user_change(
    context: click.Context,
    email: str,
    role: str | None,
    location: str | None,
    team: str | None,
    name: str | None,
    skills: tuple[str, ...],
) -> None:
    """Change a person's role, place, name or skills, from their next request on."""
    if role is location is team is name is None and not skills:
        message = "Say what to change: --role, --location, --team, --name or --skill."
        raise click.UsageError(message)
    wanted = tuple(each for each in skills if each) if skills else None
    command = people.ChangeUser(email=email, role=role, location=location, team=team, name=name, skills=wanted)
    people.change_user(core=open_core(context), actor=SYSTEM, command=command)


@user.command("reset-password")
@click.option("--email", required=True)
@click.pass_context
def user_reset_password(context: click.Context, email: str) -> None:
    """End a person's sessions; prints their fresh password, alone, this once."""
    click.echo(people.reset_password(core=open_core(context), actor=SYSTEM, email=email).password)


@user.command("disable")
@click.option("--email", required=True)
@click.pass_context
def user_disable(context: click.Context, email: str) -> None:
    """Shut a person out, from their next request on."""
    people.disable_user(core=open_core(context), actor=SYSTEM, email=email)


@user.command("enable")
@click.option("--email", required=True)
@click.pass_context
def user_enable(context: click.Context, email: str) -> None:
    """Let a person in again who was disabled, with the password they had."""
    people.enable_user(core=open_core(context), actor=SYSTEM, email=email)


@click.group("api-key")
def api_key() -> None:
    """Programs that call the API."""


@api_key.command("list")
@click.pass_context
def api_key_list(context: click.Context) -> None:
    """Show every key but its secret: only how it begins."""
    rows = queries.api_key_list(core=open_core(context), actor=SYSTEM)
    show_table(
        ("ID", "NAME", "ROLE", "LOCATION", "PREFIX", "CREATED", "REVOKED"),
        [(row.id, row.name, row.role, row.location, row.prefix, row.created_at, row.revoked_at) for row in rows],
    )


@api_key.command("create")
@click.option("--name", required=True)
@click.option("--role", required=True, type=_ROLE)
@click.option("--location")
@click.option("--team")
@click.pass_context
def api_key_create(context: click.Context, name: str, role: str, location: str | None, team: str | None) -> None:
    """Let a program in; prints its key, alone, this once."""
    command = people.CreateApiKey(name=name, role=role, location=location, team=team)
    created = people.create_api_key(core=open_core(context), actor=SYSTEM, command=command)
    click.echo(f"The key's id, to revoke it by: {created.id}", err=True)
    click.echo(created.secret)


@api_key.command("revoke")
@click.argument("key_id", metavar="ID", type=click.UUID)
@click.pass_context
def api_key_revoke(context: click.Context, key_id: uuid.UUID) -> None:
    """Shut a program out, from its next request on."""
    people.revoke_api_key(core=open_core(context), actor=SYSTEM, key_id=key_id)
