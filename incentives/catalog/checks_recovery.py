"""What is wrong between items that are about recoveries: aliases claimed twice, criteria that disagree."""

from collections.abc import Mapping, Sequence

from incentives.catalog.definitions import Criterion, IssueTag
from incentives.catalog.fields import Fields
from incentives.catalog.incentive import Incentive

# A piece of feedback has one of each of these, so that criteria which name different ones never meet.
_ONE_OF = ("sources", "kinds", "events", "segments", "locations", "weekdays")

_PlacedTag = tuple[Fields, IssueTag]
_PlacedCriterion = tuple[Fields, Criterion]


def check_aliases(tags: Sequence[_PlacedTag]) -> None:
    """Note each value of a source by which two tags are meant: nobody could say which."""
    first: dict[tuple[str, str], str] = {}
    for fields, tag in tags:
        aliases = fields.inside("aliases")
        for source in tag.aliases:
            for value, node in aliases.texts(source).items():
                other = first.setdefault((source, value.casefold()), tag.key)
                if other != tag.key:
                    why = f"“{value}” of {source} means “{other}” already; keep it at one of the two."
                    fields.wrong(node, why)


def check_criteria(criteria: Sequence[_PlacedCriterion], incentives: Mapping[str, Incentive]) -> None:
    """Note criteria that disagree, that issue what cannot be issued, and breakers that do not bind."""
    _check_disagreements([each for each in criteria if each[1].mode == "live" and "issue" in each[1].then])
    for fields, criterion in criteria:
        issued = incentives.get(criterion.then.get("issue", {}).get("incentive", ""))
        if issued is not None:
            _check_amount(fields, criterion, issued)
        if criterion.breaker and "issue" in criterion.then:
            given = [issued] if issued is not None else list(incentives.values())
            _check_breaker(fields, criterion, dict.fromkeys(each.currency for each in given if each.currency))


def _check_disagreements(issuing: Sequence[_PlacedCriterion]) -> None:
    for number, (fields, criterion) in enumerate(issuing):
        for other_fields, other in issuing[:number]:
            if other.priority == criterion.priority and _may_meet(criterion, other):
                both = f"“{criterion.key}” and “{other.key}” (line {other_fields.node.line})"
                why = f"{both} both issue at priority {criterion.priority}, and the same feedback can have both hold;"
                fields.wrong(fields.at("priority"), f"{why} give one a greater priority, or make their “when” differ.")


def _may_meet(one: Criterion, other: Criterion) -> bool:
    """Return whether some feedback could have both hold, as far as their conditions tell."""
    apart = any(
        name in one.when and name in other.when and not set(one.when[name]) & set(other.when[name]) for name in _ONE_OF
    )
    return not apart and _scores_meet(one, other) and _scores_meet(other, one)


def _scores_meet(one: Criterion, other: Criterion) -> bool:
    least, most = one.when.get("score_at_least_pct"), other.when.get("score_at_most_pct")
    return least is None or most is None or bool(least <= most)


def _check_amount(fields: Fields, criterion: Criterion, incentive: Incentive) -> None:
    amount = criterion.then["issue"].get("amount_minor")
    if amount is None:
        return
    at = fields.inside("then").inside("issue").at("amount_minor")
    bounds = incentive.amount_bounds
    if bounds is None:
        fields.wrong(at, f"“{incentive.key}” has no amount to choose; leave this out.")
    elif not bounds[0] <= amount <= bounds[1]:
        fields.wrong(at, f"{amount} is not between the bounds {bounds[0]} and {bounds[1]} of “{incentive.key}”.")


def _check_breaker(fields: Fields, criterion: Criterion, currencies: Mapping[str, None]) -> None:
    bound = criterion.breaker.get("amount_minor_per_hour", {})
    missing = [each for each in currencies if each not in bound]
    if missing and "count_per_hour" not in criterion.breaker:
        why = f"This does not bind what is given in {', '.join(missing)}; add it, or “count_per_hour” for all."
        fields.wrong(fields.at("breaker"), why)
