"""The operator's commands for keys: ``incentives keys``."""

import base64
import re
import secrets
import string
import sys

import click

from admin.command_line import open_core, show_table
from incentives.flows.renew import renew_all
from incentives.kernel.clock import SystemClock
from incentives.queries.encrypted import SEALS, STOPPED, KeyUse, keys_in_use

_KEY_BYTES = 32
_ID_LETTERS = string.ascii_lowercase + string.digits
_ID_RANDOM_LETTERS = 6
_LOST = 1


@click.group("keys")
def keys() -> None:
    """Keys that codes, links, sessions, contacts and seals are made with."""


@keys.command("new")
@click.option("--id", "key_id", help="What the new keys are called; by default a name of today that was never used.")
def keys_new(key_id: str | None) -> None:
    """Print five fresh keys as settings; append each to the ones in use to rotate."""
    if key_id is not None and not re.fullmatch(r"[a-z0-9-]{1,16}", key_id):
        message = "An id is 1 to 16 small letters, digits and dashes."
        raise click.BadParameter(message, param_hint="--id")
    click.echo("\n".join(f"{name}={value}" for name, value in fresh_keys(key_id or _fresh_id()).items()))


def _fresh_id() -> str:
    """Return an id such as ``k20261122-x7q2mf``: two keys of one id could not be told apart."""
    suffix = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_RANDOM_LETTERS))
    return f"k{SystemClock().now():%Y%m%d}-{suffix}"


def fresh_keys(key_id: str) -> dict[str, str]:
    """Return a fresh key for each purpose, as settings."""
    purposes = ("CODE", "LINK", "SESSION", "CONTACT", "SEAL")
    return {
        f"INCENTIVES_{purpose}_KEYS": f"{key_id}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"
        for purpose in purposes
    }


@keys.command("check")
@click.pass_context
def keys_check(context: click.Context) -> None:
    """Count what each key has made that is still needed; exit status 1 if one is missed that is gone, or may not go.

    Of links and forms nobody can count: they are signed, and kept nowhere.
    """
    found = keys_in_use(core=open_core(context))
    show_table(
        ("PURPOSE", "KEY", "STATE", "COUNT", "WHAT"),
        [(each.purpose, each.key_id, each.state or "in use", each.count, each.what) for each in found],
    )
    missed = [each for each in found if each.is_missed]
    for each in missed:
        click.echo(_told(each), err=True)
    if missed:
        sys.exit(_LOST)


def _told(each: KeyUse) -> str:
    """Return what to do about a key that is missed."""
    if each.state == "missing":
        return (
            f"{each.count} {each.what} ({each.purpose}) are lost while their key is not in the settings: put it back."
        )
    if each.what == SEALS:
        return (
            f"{each.count} seals are of the retired seal key {each.key_id}, and no other verifies them: take "
            "`:retired` away from it."
        )
    if each.what == STOPPED:
        return (
            f"{each.count} {each.what} may be known by a retired contact key only: leave it in the settings, marked as "
            "retired, for as long as they are counted here, or they are written to again."
        )
    return f"{each.count} {each.what} are of the retired contact key {each.key_id}: run `incentives keys renew`."


@keys.command("renew")
@click.pass_context
def keys_renew(context: click.Context) -> None:
    """Make anew, by the newest contact key, what older ones encrypted or indexed; begun again it passes over the rest.

    Exit status 1 if there are values that no key of the settings opens.
    """
    totals: dict[str, list[int]] = {}
    for each in renew_all(core=open_core(context)):
        sums = totals.setdefault(each.table, [0, 0, 0, 0])
        for place, count in enumerate((each.values, each.renewed, each.digests, each.lost)):
            sums[place] += count
    show_table(("TABLE", "VALUES", "RENEWED", "DIGESTS", "LOST"), [(name, *sums) for name, sums in totals.items()])
    if any(lost for *_, lost in totals.values()):
        sys.exit(_LOST)


__all__ = ["fresh_keys", "keys"]
