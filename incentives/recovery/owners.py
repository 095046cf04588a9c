"""Who of several takes a case on."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Somebody who could take a case on, and what they have already."""

    label: str
    open_cases: int
    last_assigned_at: datetime | None
    most_open_cases: int | None = None

    @property
    def has_room(self) -> bool:
        """Return whether their team's most open cases let them take one more."""
        return self.most_open_cases is None or self.open_cases < self.most_open_cases


def skilled(skills: Collection[str], lineage: Collection[str]) -> bool:
    """Return whether skills cover an issue tag, given with all tags above it. No skills named is all of them."""
    return not skills or any(tag in skills for tag in lineage)


def choose(candidates: Iterable[Candidate]) -> str | None:
    """Return the label of whoever has room and the fewest open cases, equals in turns; None where nobody has room."""
    free = [each for each in candidates if each.has_room]
    if not free:
        return None
    return min(free, key=lambda each: (each.open_cases, each.last_assigned_at or _NEVER, each.label)).label
