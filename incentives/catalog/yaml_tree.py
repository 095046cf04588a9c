"""A catalog's text as a tree of plain nodes that know their line and path, so that every mistake says where it is."""

from dataclasses import dataclass, field
from typing import Any

FOUND_MOST = 500  # who has so many has sent something else than a catalog


class OddNumber(str):
    """A number that is not plainly whole (25.0, 1e3, 0x1F, 012, 1_000), as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the file; ``value`` is a text, int, bool, None, OddNumber, or a list or dict of nodes."""

    value: Any
    line: int
    path: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: where (line from 1, path in the document) and, in plain words, what to do."""

    line: int
    path: str
    message: str


@dataclass(slots=True)
class Mistakes:
    """All that was found so far."""

    found: list[Mistake] = field(default_factory=list)

    def add(self, node: Node, message: str, *, under: str = "") -> None:
        """Note a mistake at a node, or at a field that is missing under it."""
        if len(self.found) >= FOUND_MOST:
            return
        path = f"{node.path}.{under}" if under and node.path else under or node.path
        self.found.append(Mistake(node.line, path, message))

    def ordered(self) -> list[Mistake]:
        """Return each mistake once, from the top of the file to its end."""
        return sorted(set(self.found), key=lambda mistake: (mistake.line, mistake.path, mistake.message))
