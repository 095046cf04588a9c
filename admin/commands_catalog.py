"""The operator's commands for the catalog: from a file to a draft, and from a draft to what is in force."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from admin import words
from admin.command_line import open_core, show_table
from incentives.flows import publish
from incentives.flows.what_if import WhatIf, WhatIfReport, what_if
from incentives.kernel.actors import SYSTEM, Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.money import Money
from incentives.queries import catalog as queries
from incentives.queries.people import person_by_email, person_list

_RELEASE = click.IntRange(1, 2**31 - 1)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SIGNS = {"added": "+", "removed": "−", "changed": "~", "reordered": "↕"}


class _Instant(click.ParamType[datetime]):
    """An instant with its offset; a date is its first instant in UTC."""

    name = "instant"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the instant."""
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"“{value}” is not an instant; write it as 2026-12-01T08:00:00+00:00.", param, ctx)
        return found.replace(tzinfo=found.tzinfo or UTC)


_EFFECTIVE = click.option(
    "--effective-at", type=_Instant(), help="From when it is in force, with its offset (else UTC). Without: now."
)


@click.group()
def catalog() -> None:
    """The catalog: what may be offered for which trouble."""


@catalog.command("plan")
@click.argument("file", type=_FILE)
@click.pass_context
def catalog_plan(context: click.Context, file: Path) -> None:
    """Show what applying FILE would change, and write nothing."""
    planned = queries.plan(core=open_core(context), actor=SYSTEM, text=file.read_bytes())
    _show_plan(planned)


@catalog.command("apply")
@click.argument("file", type=_FILE)
@click.option(
    "--approve-as", metavar="USER", help="The email of the person who approves it; without, it stays a draft."
)
@click.option("--reason", help="Why, for whoever approves it.")
@_EFFECTIVE
@click.pass_context
def catalog_apply(
    context: click.Context, file: Path, approve_as: str | None, reason: str | None, effective_at: datetime | None
) -> None:
    """Propose FILE as a new release, and put it in force when somebody approves it."""
    if effective_at and not approve_as:
        message = "A draft has no date: whoever approves it says from when. Add --approve-as, or leave this out."
        raise click.BadParameter(message, param_hint="--effective-at")
    core = open_core(context)
    approver = _approver(core, approve_as) if approve_as else None
    text = file.read_bytes()
    planned = queries.plan(core=core, actor=SYSTEM, text=text)
    proposed = publish.propose_catalog(
        core=core, actor=SYSTEM, command=publish.ProposeCatalog(text=text, reason=reason or None)
    )
    _show_plan(planned)
    if proposed.status == "approved":
        return
    if approver is None:
        click.echo(f"Release {proposed.number} is a draft until `incentives catalog approve` puts it in force.")
        return
    _approve(core, approver, proposed.number, effective_at)


def _approver(core: Core, email: str) -> Actor:
    """Return who is to approve. Whoever may not is refused before a draft is written for nothing."""
    approver = person_by_email(core=core, email=email)
    permit(approver, "catalog:approve")
    return approver


def _approve(core: Core, approver: Actor, number: int, effective_at: datetime | None) -> None:
    command = publish.ApproveRelease(number=number, effective_at=effective_at)
    approved = publish.approve_release(core=core, actor=approver, command=command)
    since = f"will be in force from {approved.effective_at}" if approved.effective_at else "is in force"
    click.echo(f"Release {approved.number} {since}.")


@catalog.command("releases")
@click.pass_context
def catalog_releases(context: click.Context) -> None:
    """Show the latest releases, and what each draft would change."""
    core = open_core(context)
    people = {f"person:{row.id}": row.email for row in person_list(core=core, actor=SYSTEM)}
    rows = queries.release_list(core=core, actor=SYSTEM)
    show_table(
        ("NUMBER", "STATUS", "PROPOSED", "BY", "IN FORCE FROM", "APPROVED", "BY"),
        [
            (
                row.number,
                row.status,
                row.proposed_at,
                _who(row.proposed_by, people),
                row.effective_at,
                row.approved_at,
                _who(row.approved_by, people),
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.status in ("draft", "scheduled"):
            click.echo(f"\nRelease {row.number} would change:")
            _show_plan(queries.release_plan(core=core, actor=SYSTEM, number=row.number), warn=False)


def _who(label: str | None, people: dict[str, str]) -> str | None:
    return SYSTEM.name if label == SYSTEM.label else people.get(label or "", label)


@catalog.command("approve")
@click.argument("number", type=_RELEASE)
@click.option("--as", "email", metavar="USER", required=True, help="The email of the person who approves it.")
@_EFFECTIVE
@click.pass_context
def catalog_approve(context: click.Context, number: int, email: str, effective_at: datetime | None) -> None:
    """Put the draft NUMBER in force."""
    core = open_core(context)
    _approve(core, _approver(core, email), number, effective_at)


@catalog.command("withdraw")
@click.argument("number", type=_RELEASE)
@click.option("--as", "email", metavar="USER", required=True, help="The email of the person who withdraws it.")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@click.pass_context
def catalog_withdraw(context: click.Context, number: int, email: str, reason: str) -> None:
    """Take back the draft NUMBER, or a scheduled release before its instant."""
    core = open_core(context)
    command = publish.WithdrawRelease(number=number, reason=_reason(reason))
    publish.withdraw_release(core=core, actor=person_by_email(core=core, email=email), command=command)
    click.echo(f"Release {number} is withdrawn.")


@catalog.command("rollback")
@click.argument("number", type=_RELEASE)
@click.option("--as", "email", metavar="USER", required=True, help="The email of the person who proposes it.")
@click.option("--reason", required=True, help="Why, for whoever approves it.")
@click.pass_context
def catalog_rollback(context: click.Context, number: int, email: str, reason: str) -> None:
    """Propose the catalog of the release NUMBER again, as a new draft that somebody else approves."""
    core = open_core(context)
    command = publish.RollBack(number=number, reason=_reason(reason))
    proposed = publish.roll_back(core=core, actor=person_by_email(core=core, email=email), command=command)
    _show_plan(queries.release_plan(core=core, actor=SYSTEM, number=proposed.number))
    click.echo(f"Release {proposed.number} is a draft until `incentives catalog approve` puts it in force.")


def _reason(text: str) -> str:
    if not text.strip():
        message = "Say why, in a word at least."
        raise click.BadParameter(message, param_hint="--reason")
    return text.strip()


@catalog.command("export")
@click.option("--release", type=_RELEASE, help="Which release. Without: the one in force.")
@click.pass_context
def catalog_export(context: click.Context, release: int | None) -> None:
    """Print the catalog as one file, from which the very same catalog is read again."""
    click.echo(queries.export(core=open_core(context), actor=SYSTEM, number=release), nl=False)


@catalog.command("languages")
@click.pass_context
def catalog_languages(context: click.Context) -> None:
    """Show in which languages the catalog speaks; exit status 1 where a language of the brand lacks something."""
    rows = queries.languages(core=open_core(context), actor=SYSTEM)
    show_table(
        ("LANGUAGE", "TEXTS", "MISSING", "SAME AS DEFAULT"),
        [(row.language, f"{row.present} of {row.total}", len(row.missing), len(row.same_as_default)) for row in rows],
    )
    for row in rows:
        for place in row.missing:
            click.echo(f"Missing in {row.language}: {place}")
        for place in row.same_as_default:
            click.echo(f"Note: in {row.language} as in the default language: {place}", err=True)
    if any(row.required and row.missing for row in rows):
        sys.exit(1)


@catalog.command("what-if")
@click.argument("file", type=_FILE, required=False)
@click.option("--release", type=_RELEASE, help="A release instead of a FILE.")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How many days until now.")
@click.pass_context
def catalog_what_if(context: click.Context, file: Path | None, release: int | None, days: int) -> None:
    """Decide once more, on paper, on what was given lately, under FILE or a release; nothing changes."""
    if (file is None) == (release is None):
        message = "Name a file, or a release with --release."
        raise click.UsageError(message)
    command = WhatIf(number=release, text=file.read_bytes() if file else None, days=days)
    _show_what_if(what_if(core=open_core(context), actor=SYSTEM, command=command))


def _show_what_if(report: WhatIfReport) -> None:
    click.echo(f"{report.replayed} given or asked for; {report.refused} would be refused.")
    for reason, count in report.reasons.items():
        click.echo(f"    {reason}: {count}")
    click.echo(f"{report.asked_then} needed an approval; {report.asked_now} would need one.")
    if report.not_known:
        click.echo(f"{report.not_known} rest on a condition that cannot be asked again; they are let pass.")
    if report.not_replayed:
        click.echo(f"How many are open at once is not counted again: {', '.join(report.not_replayed)}.")
    show_table(
        ("BUDGET", "WAS", "WOULD BE", "VOUCHERS", "WOULD BE", "REFUSES"),
        [
            (
                each.key,
                _amount(each.was_minor, each.currency),
                _amount(each.would_minor, each.currency),
                each.was_count,
                each.would_count,
                each.bursts,
            )
            for each in report.budgets
        ],
    )


def _amount(amount_minor: int, currency: str | None) -> str:
    return words.money(Money(amount_minor, currency)) if currency else "-"


def _show_plan(plan: queries.Plan, *, warn: bool = True) -> None:
    for section in plan.sections:
        click.echo(section.words)
        for entry in section.entries:
            key = f" ({entry.key})" if entry.key and entry.key != entry.name else ""
            click.echo(f"  {_SIGNS[entry.action]} {entry.action} {entry.name}{key}")
            _show_lines(str(line) for line in entry.lines if entry.action == "changed")
    if not plan.sections:
        click.echo("Nothing to change.")
    for warning in plan.warnings if warn else ():
        click.echo(f"Note: {warning}", err=True)


def _show_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"      {line}")
