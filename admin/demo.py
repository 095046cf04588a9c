"""The demo: one machine, SQLite under ``var/``, a believable brand, a sign-in and an API key for each role."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from incentives.flows import people, publish
from incentives.kernel import migrate
from incentives.kernel.actors import SYSTEM, Role
from incentives.kernel.core import Core
from incentives.queries.people import person_by_email

CATALOG = Path(__file__).resolve().parents[1] / "demo" / "catalog.yaml"
_SECRETS = "demo-secrets.json"
_NAMES = {
    Role.FRONTLINE: "Fay Frontline",
    Role.SUPERVISOR: "Sam Supervisor",
    Role.MANAGER: "Mia Manager",
    Role.FINANCE: "Finn Finance",
    Role.AUDITOR: "Ada Auditor",
    Role.TILL: "Till at the desk",
    Role.INTEGRATOR: "Ivo Integrator",
    Role.ADMIN: "Ali Admin",
}
_AT_A_PLACE = (Role.FRONTLINE, Role.SUPERVISOR, Role.TILL)


def environment(folder: Path, port: int, fresh_keys: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Return the demo's settings; keys are made once and kept, or yesterday's vouchers would be worth nothing today."""
    folder.mkdir(exist_ok=True)
    secrets = _secrets(folder)
    keys = fresh_keys("demo") | secrets.get("keys", {})  # a newer program may need one more than yesterday's
    if keys != secrets.get("keys"):
        secrets["keys"] = keys
        _keep(folder, secrets)
    settings = {
        "INCENTIVES_ENVIRONMENT": "development",
        "INCENTIVES_DATABASE_URL": f"sqlite:///{folder}/demo.db",
        "INCENTIVES_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "INCENTIVES_DELIVERY": "in-process",
        **secrets["keys"],
    }
    _write(folder / "demo.env", "".join(f"{name}={value}\n" for name, value in settings.items()))
    return settings


def prepare(core: Core, folder: Path) -> None:
    """Migrate, load the catalog and let people and programs in; doing it again changes nothing."""
    migrate.upgrade(core.settings.database_url)
    secrets = _secrets(folder)
    if "users" not in secrets:
        manager = people.create_user(
            core=core,
            actor=SYSTEM,
            command=people.CreateUser(
                email="manager@demo.example.com",
                role=Role.MANAGER,
                name=_NAMES[Role.MANAGER],
            ),
        )
        secrets["users"] = {Role.MANAGER.value: [manager.email, manager.password]}
        _keep(folder, secrets)
    _publish(core)
    location = _first_location(core)
    for role in Role:
        place = location if role in _AT_A_PLACE else None
        if role not in secrets["users"]:
            user = people.create_user(
                core=core,
                actor=SYSTEM,
                command=people.CreateUser(
                    email=f"{role.value}@demo.example.com",
                    role=role,
                    name=_NAMES[role],
                    location=place,
                ),
            )
            secrets["users"][role.value] = [user.email, user.password]
        if role not in secrets.setdefault("keys_by_role", {}):
            key = people.create_api_key(
                core=core,
                actor=SYSTEM,
                command=people.CreateApiKey(
                    name=f"Demo {role.value}",
                    role=role,
                    location=place,
                ),
            )
            secrets["keys_by_role"][role.value] = key.secret
        _keep(folder, secrets)
    _another_person(core, secrets)
    _keep(folder, secrets)


def _another_person(core: Core, secrets: dict[str, Any]) -> None:
    """Let the person in whom the catalog gives a limit of her own."""
    if "frontline-2" not in secrets["users"]:
        user = people.create_user(
            core=core,
            actor=SYSTEM,
            command=people.CreateUser(
                email="ana@meridian-air.example",
                role=Role.FRONTLINE,
                name="Ana Ibarra",
                location="madrid",
                team="madrid-front-desk",
                skills=("stay", "service"),
            ),
        )
        secrets["users"]["frontline-2"] = [user.email, user.password]


def _publish(core: Core) -> None:
    proposed = publish.propose_catalog(
        core=core, actor=SYSTEM, command=publish.ProposeCatalog(text=CATALOG.read_text(encoding="utf-8"))
    )
    if proposed.status == "draft":
        approver = person_by_email(core=core, email="manager@demo.example.com")
        publish.approve_release(core=core, actor=approver, command=publish.ApproveRelease(number=proposed.number))


def _first_location(core: Core) -> str:
    from incentives.queries.catalog import locations  # noqa: PLC0415

    return locations(core=core, actor=SYSTEM)[0].key


def welcome(folder: Path, port: int) -> str:
    """Return what a newcomer needs: addresses, sign-ins, keys."""
    secrets = _secrets(folder)
    base = f"http://127.0.0.1:{port}"
    lines = [
        "",
        f"  {base}/staff      give a let-down customer something",
        f"  {base}/inbox      the messages that customers got",
        f"  {base}/scan       redeem a voucher",
        f"  {base}/approvals  decide what is over a limit",
        f"  {base}/finance    budgets and books",
        f"  {base}/api/docs   the API",
        "",
        "  Sign in as",
        "",
    ]
    lines += [
        f"    {role:<11} {email:<28} {password}"
        for role, (email, password) in sorted(secrets["users"].items(), key=_rank)
    ]
    lines += ["", "  API keys", ""]
    lines += [f"    {role:<11} {key}" for role, key in secrets["keys_by_role"].items()]
    return "\n".join([*lines, "", "  Stop with Ctrl-C; `make clean` forgets everything.", ""])


def _rank(entry: tuple[str, Any]) -> int:
    roles = [role.value for role in Role]
    return roles.index(entry[0]) if entry[0] in roles else len(roles)


def _secrets(folder: Path) -> dict[str, Any]:
    path = folder / _SECRETS
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return kept


def _keep(folder: Path, secrets: dict[str, Any]) -> None:
    _write(folder / _SECRETS, json.dumps(secrets, indent=1))


def _write(path: Path, text: str) -> None:
    """Write a file for the owner's eyes only, whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
