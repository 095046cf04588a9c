"""axe-core, run in a page whatever its CSP: by the debugger, not by a script element."""

from importlib.util import find_spec
from pathlib import Path

from playwright.sync_api import Page

_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_RUN = "tags => axe.run({runOnly: tags}).then(results => results.violations)"


def axe_violations(page: Page) -> list[str]:
    """Return what axe finds against WCAG 2.2 A and AA: a line per element, with rule, impact and place."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_source())
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {' '.join(map(str, node['target']))}"
        for rule in page.evaluate(_RUN, _TAGS)
        for node in rule["nodes"]
    ]


def _source() -> str:
    package = find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        message = "axe-playwright-python is missing; `make test` installs it"
        raise ModuleNotFoundError(message)
    return Path(package.origin).with_name("axe.min.js").read_text(encoding="utf-8")
