"""Who may redeem what an incentive gives, and where: what the catalog says of it, whatever is bought."""

from incentives.catalog.incentive import Incentive
from incentives.kernel.actors import Actor
from incentives.kernel.errors import RedeemerNotAllowed, Refusal, SelfRedemption

_ACTS_FOR_ITSELF = ("person", "key")


def redeemer_refusal(
    incentive: Incentive, actor: Actor, *, issued_by: str, shown_to: str | None = None, same_mailbox: bool = False
) -> Refusal | None:
    """Return why an actor may not redeem a voucher: who gave it, and who is none of those that are named; else None.

    Nor may whoever was shown its code when it took the place of another one (``shown_to``), nor who shares a mailbox
    with one of these two (``same_mailbox``): a second sign-in is no second person.
    """
    if actor.kind in _ACTS_FOR_ITSELF:
        if issued_by == actor.label or same_mailbox:
            return SelfRedemption()
        if shown_to == actor.label:
            return SelfRedemption("You were shown the code of this voucher: somebody else redeems it.")
    names = {actor.role, actor.email, actor.name if actor.kind == "key" else None} - {None}
    if incentive.redeemers and not names & set(incentive.redeemers):
        return RedeemerNotAllowed()
    return None


def usable_locations(incentive: Incentive) -> tuple[str, ...]:
    """Return the only locations where an incentive's vouchers are usable; none means everywhere."""
    return incentive.redeem_locations or incentive.locations


def usable_at(incentive: Incentive, location: str | None) -> bool:
    """Return whether an incentive's vouchers are usable at a location; one that nobody named is on no list."""
    named = usable_locations(incentive)
    return (not named or location in named) and location not in incentive.excluded_locations
