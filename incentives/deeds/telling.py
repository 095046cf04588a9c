"""What a request tells beside the trouble itself, and the conditions that are asked with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from incentives.catalog import conditions, metadata
from incentives.catalog.catalog import Catalog
from incentives.catalog.incentive import Incentive
from incentives.kernel.actors import Actor
from incentives.kernel.errors import InputInvalid, OfferConditionNotMet
from incentives.kernel.money import Money

if TYPE_CHECKING:
    from incentives.deeds.assessment import Ground

CONDITION_NOT_MET = OfferConditionNotMet("").slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a request tells so that conditions can be asked; it is used and forgotten.

    ``attributes`` are the customer's, as ``metadata_fields`` declare them, and were true at ``attributes_at``.
    """

    order_total: Money | None = None
    order_placed_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    attributes_at: datetime | None = None

    def __bool__(self) -> bool:
        """Return whether anything is told."""
        return self != Told()


def check_attributes(catalog: Catalog, told: Told) -> None:
    """Refuse attributes of a customer that are not as the catalog declares them, with ``InputInvalid``."""
    declared = catalog.metadata_fields.values()
    wrong = metadata.mistakes_in(declared, told.attributes, of="customer", inside="customer_attributes")
    if wrong:
        raise InputInvalid(errors=wrong)


def check_metadata(ground: "Ground", actor: Actor, given: Mapping[str, Any]) -> None:
    """Refuse metadata of an issuance that is not as the catalog declares it, with ``InputInvalid``.

    Only programs are held to it: the pages of the staff have no fields for it, and a rule tells what it knows.
    """
    declared = ground.catalog.metadata_fields.values()
    wrong = metadata.mistakes_in(declared, given, of="issuance", inside="metadata") if actor.kind == "key" else []
    if wrong:
        raise InputInvalid(errors=wrong)


def check_redemption(catalog: Catalog, actor: Actor, given: Mapping[str, Any], *, to_come: bool) -> None:
    """Refuse metadata of a redemption that is not as the catalog declares it, with ``InputInvalid``, as at issuing.

    Where more of it is ``to_come``, as with a hold, nothing is missing yet.
    """
    if actor.kind != "key":
        return
    declared = catalog.metadata_fields.values()
    expected = [replace(each, required=False) for each in declared] if to_come else declared
    wrong = metadata.mistakes_in(expected, given, of="redemption", inside="metadata")
    if wrong:
        raise InputInvalid(errors=wrong)


def condition(
    ground: "Ground", incentive: Incentive, *, now: datetime, unknown_passes: bool = False
) -> conditions.Verdict:
    """Return whether the condition under which an incentive may be offered holds, and why not.

    With ``unknown_passes`` every comparison with a fact that nobody told passes, whatever it says itself.
    """
    if not incentive.offer_when:
        return conditions.Verdict(holds=True)
    told, contact = ground.told, ground.contact
    known = any((contact.email, contact.phone, contact.external_ref))
    facts = conditions.facts_of(
        ground.catalog,
        now=now,
        currency=incentive.currency,
        location=ground.location,
        issue_tag=ground.issue_tag,
        severity=ground.severity,
        order=conditions.Order(ref=ground.order_ref, total=told.order_total, placed_at=told.order_placed_at),
        customer={"segment": ground.segment, "locale": ground.locale, "known": known},
        attributes=told.attributes,
        attributes_at=told.attributes_at,
    )
    return conditions.explain(incentive.offer_when, replace(facts, unknown_passes=unknown_passes))


def unmet(ground: "Ground", incentive: Incentive, *, now: datetime) -> dict[str, Any]:
    """Return why a condition does not hold: ``failed`` in words for staff, ``message`` in the catalog's own, if any."""
    verdict = condition(ground, incentive, now=now)
    message = ground.catalog.words(incentive.offer_when_message, ground.locale) or None
    return {"failed": list(verdict.failed), "message": message}
