"""The whole catalog: everything that is approved together, found by key."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from incentives.catalog.definitions import (
    ApprovalLimit,
    Brand,
    BudgetRule,
    Criterion,
    FeedbackSource,
    IssueTag,
    Location,
    Protocol,
    RecoveryPolicy,
    RootCause,
    Script,
    Segment,
    Team,
    digest_of,
)
from incentives.catalog.incentive import Incentive
from incentives.catalog.metadata import MetadataField
from incentives.catalog.safeguarding import AbusePolicy, ApprovalPolicy
from incentives.kernel.errors import UnknownIncentive, UnknownIssueTag, UnknownLocation

Found = TypeVar("Found")

Item = (
    Brand
    | Location
    | Team
    | Segment
    | IssueTag
    | Script
    | Incentive
    | Protocol
    | BudgetRule
    | ApprovalLimit
    | RootCause
    | RecoveryPolicy
    | FeedbackSource
    | Criterion
    | ApprovalPolicy
    | AbusePolicy
    | MetadataField
)

type_of_kind: Mapping[str, type[Item]] = {
    each.item_kind: each
    for each in (
        Brand, Location, Team, Segment, IssueTag, Script, Incentive, Protocol, BudgetRule, ApprovalLimit,
        RootCause, RecoveryPolicy, FeedbackSource, Criterion, ApprovalPolicy, AbusePolicy, MetadataField,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that is approved together; each mapping goes from key to item, in the file's order."""

    brand: Brand
    locations: Mapping[str, Location]
    teams: Mapping[str, Team]
    segments: Mapping[str, Segment]
    issue_tags: Mapping[str, IssueTag]
    scripts: Mapping[str, Script]
    incentives: Mapping[str, Incentive]
    protocols: Mapping[str, Protocol]
    budgets: Mapping[str, BudgetRule]
    approval_limits: Mapping[str, ApprovalLimit]
    root_causes: Mapping[str, RootCause] = field(default_factory=dict)
    recovery_policies: Mapping[str, RecoveryPolicy] = field(default_factory=dict)
    sources: Mapping[str, FeedbackSource] = field(default_factory=dict)
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    approval_policies: Mapping[str, ApprovalPolicy] = field(default_factory=dict)
    abuse_policies: Mapping[str, AbusePolicy] = field(default_factory=dict)
    metadata_fields: Mapping[str, MetadataField] = field(default_factory=dict)
    _found: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def once(self, question: Hashable, answer: Callable[[], Found]) -> Found:
        """Return what was worked out of this catalog before, or else work it out: what is approved never changes.

        Questions name what the catalog and the staff have keys for, of which there are not many.
        """
        if question not in self._found:
            self._found[question] = answer()
        found: Found = self._found[question]
        return found

    @property
    def recovery(self) -> RecoveryPolicy:
        """Return what holds for every recovery: what the catalog says, else the defaults."""
        return self.recovery_policies.get("recovery", RecoveryPolicy())

    @property
    def abuse(self) -> AbusePolicy:
        """Return what is suspicious: what the catalog says, else the defaults."""
        return self.abuse_policies.get("abuse", AbusePolicy())

    def items(self) -> Iterator[Item]:
        """Return every item, section by section, each section in the file's order."""
        yield self.brand
        for section in self._sections():
            yield from section.values()

    @property
    def digest(self) -> str:
        """Return the SHA-256 over all items in their order: equal digests are the same catalog."""
        return digest_of([[item.item_kind, item.key, item.digest] for item in self.items()])

    def location(self, key: str) -> Location:
        """Return a location, or raise ``UnknownLocation``."""
        if key not in self.locations:
            raise UnknownLocation(f"There is no location “{key}”.", field="location", location=key)
        return self.locations[key]

    def issue_tag(self, key: str) -> IssueTag:
        """Return an issue tag that is in use, or raise ``UnknownIssueTag``."""
        tag = self.issue_tags.get(key)
        if tag is None or not tag.active:
            why = "no longer used" if tag else "not in the catalog"
            raise UnknownIssueTag(f"The issue tag “{key}” is {why}.", field="issue_tag", issue_tag=key)
        return tag

    def incentive(self, key: str) -> Incentive:
        """Return an incentive, or raise ``UnknownIncentive``."""
        if key not in self.incentives:
            raise UnknownIncentive(f"There is no incentive “{key}”.", field="incentive", incentive=key)
        return self.incentives[key]

    def lineage(self, issue_tag: str) -> tuple[str, ...]:
        """Return an issue tag's key, its parent's, and so on up: nearest first."""
        return _lineage(issue_tag, self.issue_tags)

    def time_zone(self, location: str | None) -> str:
        """Return the time zone that holds at a location, or the brand's where there is none."""
        return self.location(location).time_zone if location else self.brand.time_zone

    def hours(self, location: str | None) -> Mapping[str, tuple[str, str]]:
        """Return the business hours at a location, for ``kernel.business_hours``: its own, else the brand's."""
        own = self.location(location).hours if location else None
        return own or self.brand.hours

    def cause_lineage(self, root_cause: str) -> tuple[str, ...]:
        """Return a root cause's key, its parent's, and so on up: nearest first."""
        return _lineage(root_cause, self.root_causes)

    def currency(self, location: str | None) -> str:
        """Return the currency that is used at a location, or the brand's where there is none."""
        return self.location(location).currency if location else self.brand.currency

    def approval_limit(self, *, role: str | None, email: str | None, currency: str) -> ApprovalLimit | None:
        """Return the limit of a person, else of their role, in a currency.

        None means that nobody set one: then they may give nothing of value in it without approval.
        """
        own = self.approval_limits.get(f"person:{email.strip().lower()}:{currency}") if email else None
        return own or self.approval_limits.get(f"role:{role}:{currency}")

    def words(self, texts: Mapping[str, str], locale: str | None) -> str:
        """Return the text for a locale: the very one, else its language, else the brand's default."""
        return words(texts, locale, default_language=self.brand.default_language)

    def _sections(self) -> tuple[Mapping[str, Item], ...]:
        return (
            self.locations, self.teams, self.segments, self.issue_tags, self.scripts,
            self.incentives, self.protocols, self.budgets, self.approval_limits,
            self.root_causes, self.recovery_policies, self.sources, self.criteria,
            self.approval_policies, self.abuse_policies, self.metadata_fields,
        )  # fmt: skip


def _lineage(lowest: str, tree: Mapping[str, IssueTag] | Mapping[str, RootCause]) -> tuple[str, ...]:
    found: list[str] = []
    key: str | None = lowest
    while key is not None and key in tree and key not in found:
        found.append(key)
        key = tree[key].parent
    return tuple(found)


def words(texts: Mapping[str, str], locale: str | None, *, default_language: str) -> str:
    """Return the text for a BCP 47 locale, falling back from region to language to the default language."""
    wanted = (locale or "").replace("_", "-")
    if (wanted or default_language) in texts:  # as mostly
        return texts[wanted or default_language]
    by_lower = {language.lower(): text for language, text in texts.items()}
    candidates = (wanted.lower(), wanted.lower().split("-")[0], default_language.lower())
    return next((by_lower[each] for each in candidates if each in by_lower), next(iter(texts.values()), ""))


def catalog_of(items: Iterable[Item]) -> Catalog:
    """Return the catalog that items, in their order, make up; exactly one of them is the brand."""
    sections: dict[str, dict[str, Any]] = {kind: {} for kind in type_of_kind}
    for item in items:
        sections[item.item_kind][item.key] = item
    return Catalog(
        brand=sections["brand"]["brand"],
        locations=sections["location"],
        teams=sections["team"],
        segments=sections["segment"],
        issue_tags=sections["issue_tag"],
        scripts=sections["script"],
        incentives=sections["incentive"],
        protocols=sections["protocol"],
        budgets=sections["budget"],
        approval_limits=sections["approval_limit"],
        root_causes=sections["root_cause"],
        recovery_policies=sections["recovery_policy"],
        sources=sections["source"],
        criteria=sections["criterion"],
        approval_policies=sections["approval_policy"],
        abuse_policies=sections["abuse_policy"],
        metadata_fields=sections["metadata_field"],
    )
