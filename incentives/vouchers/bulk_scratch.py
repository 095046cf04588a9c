"""What a dry run must remember of its own rows: who they name, and what they would have used up.

A million customers do not fit into memory, and a session that foresees must not write. So it is kept in a file of its
own, which nobody else can open and which is gone when it is closed.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Self

PotName = tuple[str, str, str]
_CACHE_KB = 4096
_AT_ONCE = 200


class Scratch:
    """People by the digests of their identities, who turned out to be the same, what was charged, who was given."""

    def __init__(self) -> None:
        """Begin with nothing."""
        import sqlite3  # noqa: PLC0415 - few processes foresee anything, and all would load it

        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.executescript(
            f"""
            PRAGMA cache_size = -{_CACHE_KB};
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE people (digest TEXT PRIMARY KEY, owner TEXT) WITHOUT ROWID;
            CREATE TABLE links (owner TEXT PRIMARY KEY, root TEXT) WITHOUT ROWID;
            CREATE INDEX links_root ON links (root);
            CREATE TABLE pots (budget TEXT, subject TEXT, period TEXT, changes TEXT,
                               PRIMARY KEY (budget, subject, period)) WITHOUT ROWID;
            CREATE TABLE opened (incentive TEXT, owner TEXT, number INTEGER,
                                 PRIMARY KEY (incentive, owner)) WITHOUT ROWID;
            CREATE TABLE given (owner TEXT PRIMARY KEY) WITHOUT ROWID;
            """
        )
        self._linked = False

    def __enter__(self) -> Self:
        """Write a batch at a time: a transaction for each row would cost more than the row."""
        self._file.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        """End the batch."""
        self._file.execute("COMMIT")

    def close(self) -> None:
        """Throw it away."""
        self._file.close()

    def owners(self, digests: Collection[str]) -> set[uuid.UUID]:
        """Return whom identities belong to, as far as rows before said so."""
        found = self._file.execute(
            f"SELECT DISTINCT owner FROM people WHERE digest IN ({_marks(digests)})",  # noqa: S608 - only marks
            tuple(digests),
        )
        return {uuid.UUID(hex=row[0]) for row in found}

    def name(self, digests: Iterable[str], owner: uuid.UUID) -> None:
        """Remember whose identities these are, where nobody has them yet."""
        self._file.executemany("INSERT OR IGNORE INTO people VALUES (?, ?)", [(each, owner.hex) for each in digests])

    def link(self, owners: Collection[uuid.UUID]) -> None:
        """Remember that these are one and the same."""
        group = self.linked(owners)
        root = min(each.hex for each in group)
        self._linked = True
        self._file.executemany("INSERT OR REPLACE INTO links VALUES (?, ?)", [(each.hex, root) for each in group])

    def linked(self, owners: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return people with all who turned out to be the same."""
        found = set(owners)
        if self._linked:
            marks, names = _marks(owners), tuple(each.hex for each in owners)
            roots = f"SELECT root FROM links WHERE owner IN ({marks})"  # noqa: S608 - only marks
            rows = self._file.execute(f"SELECT owner FROM links WHERE root IN ({roots})", names)  # noqa: S608 - only marks
            found |= {uuid.UUID(hex=row[0]) for row in rows}
        return found

    def used(self, pots: Collection[PotName]) -> dict[PotName, dict[str, int]]:
        """Return what rows before would have used of some pots."""
        found: dict[PotName, dict[str, int]] = {}
        names = list(pots)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            marks = ", ".join(["(?, ?, ?)"] * len(some))
            rows = self._file.execute(
                f"SELECT * FROM pots WHERE (budget, subject, period) IN (VALUES {marks})",  # noqa: S608 - only marks
                [part for name in some for part in name],
            )
            found.update({(row[0], row[1], row[2]): json.loads(row[3]) for row in rows})
        return found

    def use(self, pots: Mapping[PotName, Mapping[str, int]]) -> None:
        """Remember what is used of pots so far."""
        self._file.executemany(
            "INSERT OR REPLACE INTO pots VALUES (?, ?, ?, ?)",
            [(*name, json.dumps(dict(changes))) for name, changes in pots.items()],
        )

    def given(self, owners: Collection[uuid.UUID]) -> bool:
        """Return whether any of these people would have been given something by a row before."""
        marks = _marks(owners)
        found = self._file.execute(
            f"SELECT 1 FROM given WHERE owner IN ({marks}) LIMIT 1",  # noqa: S608 - only marks
            tuple(each.hex for each in owners),
        )
        return found.fetchone() is not None

    def opened(self, incentive: str, owner: uuid.UUID) -> int:
        """Return how many of an incentive rows before would have given to somebody."""
        query = "SELECT number FROM opened WHERE incentive = ? AND owner = ?"
        found = self._file.execute(query, (incentive, owner.hex)).fetchone()
        return int(found[0]) if found else 0

    def open(self, incentive: str, owner: uuid.UUID) -> None:
        """Remember one more of an incentive that somebody would have."""
        self._file.execute(
            "INSERT INTO opened VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET number = number + 1", (incentive, owner.hex)
        )

    def give(self, owners: Iterable[uuid.UUID]) -> None:
        """Remember that these people would have been given something."""
        self._file.executemany("INSERT OR IGNORE INTO given VALUES (?)", [(each.hex,) for each in owners])


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
