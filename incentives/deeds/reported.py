"""Reported: a kept request read again as the command it was, by its source's mapping or in our own words.

Not a flow: it opens no transaction. Taking in, replaying and trying a mapping out share it.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import FeedbackSource
from incentives.deeds.assessment import SEVERITIES
from incentives.deeds.understanding import LONGEST, TakeIn, wrong
from incentives.kernel.errors import InputInvalid, UnknownSource
from incentives.kernel.money import AMOUNT_MINOR_MAX
from incentives.kernel.years import OUTSIDE, within_years
from incentives.recovery import mapping
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.feedback import COMMENT_LENGTH_MAX
from incentives.recovery.feedback_tables import KINDS
from incentives.recovery.inbox import Raw

_EPOCH_IN_MILLISECONDS = 10**11  # As seconds that is the year 5138: nobody means it.
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_YES, _NO = {"true", "yes", "1", "y", "on"}, {"false", "no", "0", "n", "off"}
_ORDER_MAX = 2**63 - 1
_SEVERITY_MAX = 4
_CHOICES_MAX = 50
_CHOICE_LENGTH_MAX = 200
_TEXTS = ("event", "comment", "agent", "order_ref", "product", "location", "currency", "scale")
_IDS = ("survey_id", "form_id", "voucher_id")


def command_of(
    catalog: Catalog, source: str, raw: Raw, kept: Mapping[str, Any] | None = None, *, forgiving: bool = False
) -> TakeIn:
    """Return the command that a request means; ``kept`` is one that was written down with it.

    Raises ``UnknownSource`` and ``InputInvalid``, which names the field or ``body``. With ``forgiving`` whatever
    cannot be read is as if nobody had said it.
    """
    if kept is not None:
        return from_json(kept, source, raw)
    known = catalog.sources.get(source)
    if raw.mapped and known is None:
        raise UnknownSource(f"The catalog has no source “{source}”.", source=source)
    try:
        document = mapping.document_of(raw.body, raw.media_type)
        if not raw.mapped and not isinstance(document, dict):
            raise wrong("body", "Send a JSON object.")
    except InputInvalid:
        if not forgiving:
            raise
        document = {}
    if raw.mapped and known is not None:
        return _by_mapping(known, document, raw, forgiving=forgiving)
    return from_fields(mapping.read(document, mapping.CONTRACT), source=source, raw=raw, forgiving=forgiving)


def external_id_of(catalog: Catalog, source: str, raw: Raw) -> tuple[str | None, int | None]:
    """Return the source's own id and count of a request, as far as they can be told whatever else is wrong with it."""
    known = catalog.sources.get(source)
    if not raw.mapped or known is None:
        return None, None
    try:
        found = _found(known, mapping.document_of(raw.body, raw.media_type))
        return _text(found.get("external_id")) or None, _whole(found.get("revision"), "revision", _ORDER_MAX)
    except InputInvalid:
        return None, None


def _found(source: FeedbackSource, document: Any) -> dict[str, Any]:
    return mapping.translated(mapping.read(document, source.fields), source.values)


def _by_mapping(source: FeedbackSource, document: Any, raw: Raw, *, forgiving: bool) -> TakeIn:
    found = _found(source, document)
    if "external_id" not in found and not forgiving:
        places = ", ".join(source.fields.get("external_id", ()))
        raise wrong("external_id", f"The mapping looks for it at {places}, and there is nothing.")
    # What no field has, the source says once and for all; a kind that is none of ours is the source's own too.
    if found.get("kind") not in KINDS:
        found["kind"] = source.kind
    return from_fields(found, source=source.key, raw=raw, forgiving=forgiving)


def from_fields(found: Mapping[str, Any], *, source: str, raw: Raw, forgiving: bool = False) -> TakeIn:
    """Return a command of our fields as a document has them. Raises ``InputInvalid`` naming the field."""

    def read(name: str, reader: Callable[..., Any], *more: Any) -> Any:
        try:
            return reader(found.get(name), name, *more)
        except InputInvalid:
            if forgiving:
                return None
            raise

    texts: dict[str, Any] = {name: _text(found.get(name)) or None for name in _TEXTS}
    return TakeIn(
        source=source,
        external_id=_text(found.get("external_id")),
        raw=raw,
        kind=_text(found.get("kind")) or "survey",
        score=read("score", _score),
        issue_tags=tuple(_text(each) for each in mapping.listed(found.get("issue_tags"))),
        customer=CustomerGiven(
            **{each.name: _text(found.get(f"customer.{each.name}")) or None for each in fields_of(CustomerGiven)}
        ),
        occurred_at=read("occurred_at", _instant),
        amount_minor=read("amount_minor", _whole, AMOUNT_MINOR_MAX),
        customer_value_minor=read("customer_value_minor", _whole, AMOUNT_MINOR_MAX),
        consent=_truth(found.get("consent")),
        severity=read("severity", _whole, _SEVERITY_MAX),
        order=read("revision", _whole, _ORDER_MAX),
        choices=_choices(found.get("choices")),
        **texts,
    )


def _choices(value: Any) -> list[str] | None:
    """Return what was ticked, so far as it can be kept: texts of a decent length, and not too many."""
    return [_text(each)[:_CHOICE_LENGTH_MAX] for each in mapping.listed(value)[:_CHOICES_MAX]] or None


def _text(value: Any) -> str:
    """Return a value as a text; what has parts of its own is none."""
    if value is None or isinstance(value, dict | list):
        return ""
    text = mapping.fold(value) if isinstance(value, bool) else str(value).strip()
    # Tools cut texts off in the middle of an emoji; half of one is no character, and no database holds it.
    return text if text.isascii() else text.encode(errors="replace").decode()


def _score(value: Any, name: str) -> Decimal | int | str | None:
    if isinstance(value, bool | dict | list):
        raise wrong(name, "A score is a number.")
    return None if value is None or value == "" else value


def _whole(value: Any, name: str, most: int) -> int | None:
    if value is None or value == "":
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not _WHOLE.fullmatch(text) or not 0 <= int(text) <= most:
        raise wrong(name, "Send a whole number.")
    return int(text)


def _truth(value: Any) -> bool | None:
    said = mapping.fold(value) if value is not None else ""
    return True if said in _YES else False if said in _NO else None


def _instant(value: Any, name: str) -> datetime | None:
    """Return an instant: ISO 8601 (UTC where no zone is said), or seconds or milliseconds since 1970."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    try:
        if _WHOLE.fullmatch(text):
            number = int(text)
            found = datetime.fromtimestamp(number / 1000 if abs(number) >= _EPOCH_IN_MILLISECONDS else number, UTC)
        else:
            found = datetime.fromisoformat(text)
        at = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise wrong(name, "An instant is written as 2026-11-20T12:00:00Z.") from None
    if not within_years(at):
        raise wrong(name, OUTSIDE)
    return at


# --- a command that cannot be read from its body: a form's, a colleague's ---------------------------------------


def to_json(command: TakeIn) -> dict[str, Any]:
    """Return a command as JSON values, without its raw request."""
    values = {each.name: getattr(command, each.name) for each in fields_of(command) if each.name != "raw"}
    customer = {each.name: getattr(command.customer, each.name) for each in fields_of(command.customer)}
    return {name: _plain(value) for name, value in values.items() if value is not None} | {"customer": customer}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID | Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def from_json(kept: Mapping[str, Any], source: str, raw: Raw) -> TakeIn:
    """Return the command that ``to_json`` wrote."""
    values = dict(kept) | {"source": source, "raw": raw, "customer": CustomerGiven(**kept["customer"])}
    values["issue_tags"] = tuple(kept.get("issue_tags", ()))
    if kept.get("occurred_at"):
        values["occurred_at"] = datetime.fromisoformat(kept["occurred_at"])
    return TakeIn(**values | {name: uuid.UUID(kept[name]) for name in _IDS if kept.get(name)})


def mended(command: TakeIn, *, received_at: datetime, inbox_id: uuid.UUID) -> TakeIn:
    """Return a command without what kept it from being understood, for a person who has looked at it."""
    texts: dict[str, Any] = {
        name: getattr(command, name).replace("\x00", "")[:most]
        for name, most in LONGEST.items()
        if getattr(command, name) is not None
    }
    people = {each.name: _without_nul(getattr(command.customer, each.name)) for each in fields_of(command.customer)}
    future = command.occurred_at is not None and command.occurred_at > received_at
    return replace(
        command,
        **texts | {"external_id": texts["external_id"].strip() or f"inbox-{inbox_id.hex}"},
        customer=CustomerGiven(**people),
        story={name: _without_nul(text) for name, text in command.story.items()},
        occurred_at=received_at if future else command.occurred_at,
        kind=command.kind if command.kind in KINDS else "survey",
        severity=command.severity if command.severity in SEVERITIES else None,
    )


def _without_nul(text: str | None) -> str | None:
    return text.replace("\x00", "")[:COMMENT_LENGTH_MAX] if text else None
