"""Which protocol covers a trouble, and why that one."""

from collections.abc import Mapping
from dataclasses import dataclass

from incentives.catalog.catalog import Catalog
from incentives.catalog.definitions import EVERYTHING, Protocol
from incentives.kernel.errors import NoProtocol

FARTHER_TAG = "farther-tag"
LESS_SPECIFIC = "less-specific"


@dataclass(frozen=True, slots=True)
class Loser:
    """A protocol that would have covered the trouble, and why another one was nearer.

    ``reason`` is ``farther-tag`` (it is for a broader issue tag) or ``less-specific`` (same tag, but
    severity, location or segment is left open where the winner names it).
    """

    protocol: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The protocol, what of the trouble it names (``{"issue_tag": …, "severity": …}``), and who lost."""

    protocol: Protocol
    severity: int
    matched: Mapping[str, str | int]
    losers: tuple[Loser, ...]


def resolve(
    catalog: Catalog,
    *,
    issue_tag: str,
    severity: int | None,
    location: str | None,
    segment: str | None,
) -> Resolution:
    """Return the protocol for a trouble. ``severity`` None means what the issue tag says by itself.

    A nearer tag wins over a farther one (the tag, its parent …, everything); for the same tag one that names
    the severity wins, then one that names the location, then one that names the segment. Two that are alike
    in all of these were refused when the catalog was read, so there is always one answer. Raises
    ``UnknownIssueTag``, ``UnknownLocation`` and ``NoProtocol``.
    """
    tag = catalog.issue_tag(issue_tag)
    if location is not None:
        catalog.location(location)
    grave = tag.severity if severity is None else severity
    distances = {key: distance for distance, key in enumerate((*catalog.lineage(issue_tag), EVERYTHING))}
    fitting = [each for each in catalog.protocols.values() if _fits(each, distances, grave, location, segment)]
    fitting.sort(key=lambda each: (distances[each.issue_tag], _openness(each)))
    if not fitting:
        raise NoProtocol(
            f"No protocol covers “{issue_tag}” with severity {grave}.",
            field="issue_tag",
            issue_tag=issue_tag,
            severity=grave,
        )
    winner, *others = fitting
    losers = tuple(Loser(each.key, _why_lost(each, winner)) for each in others)
    return Resolution(protocol=winner, severity=grave, matched=_named(winner), losers=losers)


def _fits(
    protocol: Protocol,
    distances: Mapping[str, int],
    severity: int,
    location: str | None,
    segment: str | None,
) -> bool:
    return (
        protocol.issue_tag in distances
        and protocol.severity in (None, severity)
        and protocol.location in (None, location)
        and protocol.segment in (None, segment)
    )


def _openness(protocol: Protocol) -> tuple[bool, bool, bool]:
    """Return a rank that sorts what is named before what is left open, severity first."""
    return protocol.severity is None, protocol.location is None, protocol.segment is None


def _why_lost(loser: Protocol, winner: Protocol) -> str:
    return FARTHER_TAG if loser.issue_tag != winner.issue_tag else LESS_SPECIFIC


def _named(protocol: Protocol) -> dict[str, str | int]:
    named = {
        "issue_tag": protocol.issue_tag,
        "severity": protocol.severity,
        "location": protocol.location,
        "segment": protocol.segment,
    }
    return {name: value for name, value in named.items() if value is not None}
