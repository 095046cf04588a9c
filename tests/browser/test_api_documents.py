"""Swagger UI in a browser: every operation is shown and can be tried, and nothing inline or foreign runs."""

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.site import serving
from tests.databases import SqliteDatabases

HTTP_METHODS = ("get", "post", "put", "patch", "delete")
PUBLISHED = json.loads((Path(__file__).resolve().parents[2] / "openapi.json").read_text())
OPERATIONS = sum(method in HTTP_METHODS for path in PUBLISHED["paths"].values() for method in path)


def test_the_api_can_be_read_and_tried(page: Page, sqlite: SqliteDatabases) -> None:
    with serving(sqlite) as site:
        page.goto(f"{site.url}/api/docs")
        expect(page).to_have_title("Incentives API")
        expect(page.locator(".opblock")).to_have_count(OPERATIONS)
        page.locator("#operations-health-ready .opblock-summary-control").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")
