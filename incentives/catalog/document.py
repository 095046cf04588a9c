"""The catalog as one YAML document: read it, and report every mistake at once, each with its line."""

from collections.abc import Callable, Mapping

from incentives.catalog import (
    reading,
    reading_criteria,
    reading_incentives,
    reading_recovery,
    reading_safeguards,
    reading_sources,
)
from incentives.catalog.catalog import Catalog, Item, catalog_of
from incentives.catalog.checks import Placed, check
from incentives.catalog.definitions import (
    ApprovalLimit,
    Brand,
    BudgetRule,
    IssueTag,
    Location,
    Protocol,
    RecoveryPolicy,
    Script,
    Segment,
    Team,
)
from incentives.catalog.fields import Fields, Reading
from incentives.catalog.incentive import Incentive, IncentiveKind
from incentives.catalog.safeguarding import AbusePolicy
from incentives.catalog.yaml_tree import Mistake, Mistakes, Node
from incentives.kernel.errors import CatalogInvalid

__all__ = [
    "ApprovalLimit", "Brand", "BudgetRule", "Catalog", "Incentive", "IncentiveKind", "IssueTag", "Location",
    "Protocol", "Script", "Segment", "Team", "parse",
]  # fmt: skip

# In the order in which they are read: groups of locations and attributes of customers are known before conditions.
_SECTIONS: Mapping[str, Callable[[Fields, Brand], Item]] = {
    "locations": reading.read_location,
    "metadata_fields": reading_safeguards.read_metadata_field,
    "teams": reading.read_team,
    "issue_tags": reading.read_issue_tag,
    "scripts": reading.read_script,
    "incentives": reading_incentives.read_incentive,
    "protocols": reading.read_protocol,
    "budgets": reading.read_budget,
    "approval_limits": reading.read_approval_limit,
    "root_causes": reading_recovery.read_root_cause,
    "sources": reading_sources.read_source,
    "criteria": reading_criteria.read_criterion,
    "approval_policies": reading_safeguards.read_approval_policy,
}
_REQUIRED = ("brand", "issue_tags", "scripts", "incentives", "protocols")
_OPTIONAL = (
    "locations", "teams", "segments", "budgets", "approval_limits", "root_causes", "recovery", "sources", "criteria",
    "approval_policies", "abuse", "metadata_fields",
)  # fmt: skip


def parse(text: str | bytes) -> Catalog:
    """Return the catalog that a YAML document describes; bytes are UTF-8.

    Raises ``CatalogInvalid`` with ``errors``, a list of ``{line, path, message}`` from the top of the file to
    its end: all of them, so that nobody mends a file one mistake at a time.
    """
    from incentives.catalog.yaml_text import tree_of  # noqa: PLC0415 - its reader is for those who read a catalog

    gathered = Reading(Mistakes())
    tree = tree_of(text, gathered.mistakes)
    placed = _read(tree, gathered) if tree is not None else []
    check(placed, gathered)
    if gathered.mistakes.found:
        raise _invalid(gathered.mistakes.ordered())
    return catalog_of([each.item for each in placed])


def _read(tree: Node, gathered: Reading) -> list[Placed[Item]]:
    top = Fields(tree, gathered)
    top.only(_REQUIRED, _OPTIONAL, of="a catalog")
    brand = reading.read_brand(Fields(top.at("brand"), gathered)) if top.has("brand") else _NO_BRAND
    placed: list[Placed[Item]] = [Placed(top, brand)]
    placed.extend(Placed(top, Segment(key=key)) for key in top.keys("segments"))
    policy = reading_recovery.read_policy(top.inside("recovery"))
    # A policy that says nothing new is none: a section of defaults changes nothing.
    placed.extend([Placed(top, policy)] if policy != RecoveryPolicy() else [])
    abuse = reading_safeguards.read_abuse_policy(top.inside("abuse"))
    placed.extend([Placed(top, abuse)] if abuse != AbusePolicy() else [])
    for name, read in _SECTIONS.items():
        placed.extend(Placed(fields, read(fields, brand)) for fields in top.items(name))
    return placed


# Stands in while the rest of a file without a brand is read for its mistakes; it never gets into a catalog.
_NO_BRAND = Brand(name="", languages=(), default_language="", time_zone="UTC", currency="")


def _invalid(mistakes: list[Mistake]) -> CatalogInvalid:
    count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    errors = [{"line": each.line, "path": each.path, "message": each.message} for each in mistakes]
    return CatalogInvalid(f"The catalog file has {count}.", errors=errors)
