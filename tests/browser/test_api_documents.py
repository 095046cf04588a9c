"""Swagger UI in a browser: every operation is shown and can be tried, and nothing inline or foreign runs."""

from playwright.sync_api import Page, expect

from tests.browser.site import serving
from tests.databases import SqliteDatabases

OPERATIONS = 20


def test_the_api_can_be_read_and_tried(page: Page, sqlite: SqliteDatabases) -> None:
    with serving(sqlite) as site:
        page.goto(f"{site.url}/api/docs")
        expect(page).to_have_title("Incentives API")
        expect(page.locator(".opblock")).to_have_count(OPERATIONS)
        page.locator("#operations-health-ready .opblock-summary-control").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")
