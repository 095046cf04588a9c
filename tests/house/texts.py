"""What is in the repository, as a test sees it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = (
    "incentives",
    "api",
    "admin",
    "channels",
    "migrations",
    "tests",
    "bench",
    "wsgi.py",
    "worker.py",
    "celery_app.py",
)


def committed_files() -> list[Path]:
    """Return the files that git keeps, or would once they are added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    """Give the name and the text of each committed file that is one."""
    for path in committed_files():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def python_files(*roots: str) -> list[Path]:
    """Return our Python files, or those below some of our folders."""
    wanted = roots or CODE
    return [path for path in committed_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in wanted]
