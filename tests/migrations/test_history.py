"""The history of the schema is one line, numbered, and stands by itself."""

import ast
import re
from itertools import pairwise
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from incentives.kernel import migrate
from incentives.kernel.migrate import HOUSE

FOLDER = HOUSE / "migrations"
FILES = sorted((FOLDER / "versions").glob("*.py"))


def history() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return ScriptDirectory.from_config(config)


def test_there_is_one_head_and_one_base() -> None:
    assert history().get_heads() == [migrate.head()]
    assert len(history().get_bases()) == 1


def test_files_are_numbered_as_their_revisions_and_follow_each_other() -> None:
    revisions = list(reversed(list(history().walk_revisions())))
    assert [each.revision for each in revisions] == [f"{number:04d}" for number in range(1, len(FILES) + 1)]
    assert [Path(each.path) for each in revisions] == FILES
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.py", path.name) for path in FILES)
    assert all(after.down_revision == before.revision for before, after in pairwise(revisions))
    assert all(each.doc and not each.branch_labels and not each.dependencies for each in revisions)


def test_history_imports_nothing_that_may_change() -> None:
    found = {(path.name, name) for path in FILES for name in imported(path)}
    assert {name for _, name in found} <= {"sqlalchemy", "alembic", "collections", "datetime", "json"}, found


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names
