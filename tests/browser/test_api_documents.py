"""Swagger UI in a browser: every operation is shown and can be tried, and nothing inline or foreign runs."""

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.site import serving
from tests.databases import SqliteDatabases

HTTP_METHODS = ("get", "post", "put", "patch", "delete")
PUBLISHED = json.loads((Path(__file__).resolve().parents[2] / "openapi.json").read_text())
OPERATIONS = sum(method in HTTP_METHODS for path in PUBLISHED["paths"].values() for method in path)


def operations(page: Page) -> set[str | None]:
    """Return the operations that come into view from top to bottom: so many are drawn only while they are in sight."""
    found: set[str | None] = set()
    for _ in range(200):
        found |= {each.get_attribute("id") for each in page.locator(".opblock").all()}
        if len(found) >= OPERATIONS:
            break
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(50)
    return found


def test_the_api_can_be_read_and_tried(page: Page, sqlite: SqliteDatabases) -> None:
    with serving(sqlite) as site:
        page.goto(f"{site.url}/api/docs")
        expect(page).to_have_title("Incentives API")
        expect(page.locator(".opblock").first).to_be_visible()
        assert len(operations(page)) == OPERATIONS
        page.goto("about:blank")
        page.goto(f"{site.url}/api/docs#/health/ready")  # scrolls there, and opens it
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")
