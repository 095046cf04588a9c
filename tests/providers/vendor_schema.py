"""The vendors' own OpenAPI, held against what our clients send.

``TEST_VENDOR_SPECS`` names a folder with ``tsg_mail_v3.json`` (SendGrid) and ``twilio_api_v2010.json``
(Twilio). Without it nothing is held against anything, and the other tests say what they say anyway.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs

from tests.providers.stand_in import Asked

SENDGRID_SPEC, TWILIO_SPEC = "tsg_mail_v3.json", "twilio_api_v2010.json"
_TWILIO_PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"


def specs_folder() -> Path | None:
    """Return where the vendors' files are, or None where they are not at hand."""
    folder = os.environ.get("TEST_VENDOR_SPECS")
    return Path(folder) if folder else None


def mistakes_in_request(vendor: str, asked: Asked) -> list[str]:
    """Return what a vendor's own schema says against a request; nothing for a good one, or without the files."""
    if specs_folder() is None:
        return []
    return _against_sendgrid(asked) if vendor == "sendgrid" else _against_twilio(asked)


def _against_sendgrid(asked: Asked) -> list[str]:
    if (asked.method, asked.path) != ("POST", "/v3/mail/send"):
        return [f"{asked.method} {asked.path} is not in the specification"]
    return [f"{error.instance_path}: {error.message}" for error in _sendgrid().iter_errors(asked.json)]


def _against_twilio(asked: Asked) -> list[str]:
    account, pattern, schema = _twilio()
    before, after = _TWILIO_PATH.split("{AccountSid}")
    sid = asked.path.removeprefix(before).removesuffix(after)
    mistakes = [] if asked.method == "POST" and account.is_valid(sid) else [f"{asked.path} does not match {pattern}"]
    form = dict(parse_qsl(asked.body.decode(), keep_blank_values=True, strict_parsing=True))
    properties = schema["properties"]
    mistakes += [f"{name} is not in the specification" for name in form if name not in properties]
    typed = {name: _typed(value, properties.get(name, {}).get("type")) for name, value in form.items()}
    return mistakes + [error.message for error in _twilio_form().iter_errors(typed)]


def _typed(value: str, wanted: str | None) -> object:
    if wanted == "integer":
        return int(value)
    return {"true": True, "false": False}.get(value, value) if wanted == "boolean" else value


@cache
def _spec(name: str) -> dict[str, Any]:
    folder = specs_folder()
    assert folder is not None
    content: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
    return content


@cache
def _sendgrid() -> jsonschema_rs.Validator:
    components = _spec(SENDGRID_SPEC)["components"]
    body = components["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "components": components},
        validate_formats=True,
    )


@cache
def _twilio() -> tuple[jsonschema_rs.Validator, str, dict[str, Any]]:
    path = _spec(TWILIO_SPEC)["paths"][_TWILIO_PATH]
    parameter = next(
        each for each in [*path.get("parameters", []), *path["post"]["parameters"]] if each["name"] == "AccountSid"
    )
    schema = path["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    form = {**schema, "components": _spec(TWILIO_SPEC)["components"]}
    return jsonschema_rs.validator_for(parameter["schema"]), str(parameter["schema"]["pattern"]), form


@cache
def _twilio_form() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(_twilio()[2])
