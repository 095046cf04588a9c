"""Whether an incentive may be offered here and now, and until when what is given is good."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import Protocol
from incentives.catalog.incentive import INSTANT, Incentive

INCENTIVE_NOT_IN_PROTOCOL = "incentive-not-in-protocol"
INACTIVE = "inactive"
WINDOW_CLOSED = "window-closed"
NOT_AT_THIS_LOCATION = "not-at-this-location"
WRONG_CURRENCY = "wrong-currency"
AMOUNT_NOT_ADJUSTABLE = "amount-not-adjustable"
AMOUNT_OUT_OF_RANGE = "amount-out-of-range"
AMOUNT_ABOVE_PROTOCOL = "amount-above-protocol"

_MOMENT = timedelta(microseconds=1)


def blocked_reasons(
    catalog: Catalog,
    incentive: Incentive,
    protocol: Protocol,
    *,
    location: str | None,
    now: datetime,
    amount_minor: int | None = None,
    currency: str | None = None,
) -> tuple[str, ...]:
    """Return why the catalog does not let an incentive be given here and now; nothing when it does.

    ``amount_minor`` is what staff chose (None: the default), ``currency`` what they named (None: nothing).
    A location's currency is the only one that its tills take, so nothing in another is offered there.
    Raises ``UnknownLocation``.
    """
    wanted = {currency, catalog.location(location).currency if location else None} - {None}
    reasons = {
        INCENTIVE_NOT_IN_PROTOCOL: incentive.key not in protocol.incentives,
        INACTIVE: not incentive.active,
        WINDOW_CLOSED: not window_open(incentive, catalog.time_zone(location), now),
        NOT_AT_THIS_LOCATION: not offered_at(incentive, location),
        WRONG_CURRENCY: incentive.currency is not None and not wanted <= {incentive.currency},
    }
    amount_reason = _amount_reason(incentive, protocol, amount_minor)
    return (*(reason for reason, so in reasons.items() if so), *((amount_reason,) if amount_reason else ()))


def _amount_reason(incentive: Incentive, protocol: Protocol, amount_minor: int | None) -> str | None:
    bounds = incentive.amount_bounds
    if amount_minor is not None and bounds is None and amount_minor != incentive.face_minor():
        return AMOUNT_NOT_ADJUSTABLE
    if amount_minor is not None and bounds is not None and not bounds[0] <= amount_minor <= bounds[1]:
        return AMOUNT_OUT_OF_RANGE
    most = protocol.most_minor.get(incentive.currency or "")
    if most is not None and incentive.charge_minor(amount_minor) > most:
        return AMOUNT_ABOVE_PROTOCOL
    return None


def offered_at(incentive: Incentive, location: str | None) -> bool:
    """Return whether an incentive may be offered at a location; None is no place in particular."""
    if location in incentive.excluded_locations:
        return False
    return not incentive.locations or location in incentive.locations


def usable_at(incentive: Incentive, location: str | None) -> bool:
    """Return whether an incentive may be redeemed at a location: where it says so, else where it is offered."""
    if incentive.redeem_locations:
        return location in incentive.redeem_locations
    return offered_at(incentive, location)


def window_open(incentive: Incentive, time_zone: str, now: datetime) -> bool:
    """Return whether today, in a zone, is a day on which an incentive is offered (both ends included)."""
    today = now.astimezone(ZoneInfo(time_zone)).date()
    first, last = incentive.offerable_from_date or date.min, incentive.offerable_until_date or date.max
    return first <= today <= last


def expires_at(incentive: Incentive, time_zone: str, now: datetime) -> datetime | None:
    """Return the last instant (UTC) at which what is given now is good; None when there is nothing to redeem.

    Valid for n days means through the end of the n-th day after today, in the zone; with expiry ``instant``
    it means n times 24 hours.
    """
    if incentive.valid_days is None:
        return None
    if incentive.expiry == INSTANT:
        return now.astimezone(UTC) + timedelta(days=incentive.valid_days)
    zone = ZoneInfo(time_zone)
    last_day = now.astimezone(zone).date() + timedelta(days=incentive.valid_days)
    return end_of_day(last_day, zone)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return a local day's last microsecond, in UTC, whatever the clocks do around midnight.

    Taking 23:59:59 of the day would be wrong where that time does not exist (Nuuk springs forward from 23:00
    to 0:00) or comes twice. So: the last instant before a 0:00 of the next day at which it is still this day.
    """
    midnight = datetime.combine(day + timedelta(days=1), time.min, zone)
    ends = [midnight.replace(fold=fold).astimezone(UTC) - _MOMENT for fold in (0, 1)]
    return max(end for end in ends if end.astimezone(zone).date() <= day)
