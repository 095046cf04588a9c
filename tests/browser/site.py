"""The whole application on a port of its own, with delivery running, for a browser to visit."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import Page
from werkzeug.serving import make_server

import worker
from channels.capture import CaptureSender
from incentives.kernel.clock import SystemClock
from incentives.kernel.core import Core
from tests.databases import SqliteDatabases
from tests.world import PASSWORD, make_core, person, publish_catalog
from wsgi import create_app

ROLES = {"frontline": "london", "supervisor": "london", "till": "london", "finance": None, "admin": None}


@dataclass(frozen=True, slots=True)
class Site:
    """Where it is, and the core behind it."""

    url: str
    core: Core


@contextlib.contextmanager
def serving(databases: SqliteDatabases) -> Iterator[Site]:
    """Serve the demo catalog with a person of each role, until the block ends."""
    database_url = databases.new()
    server = make_server("127.0.0.1", 0, not_yet, threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    senders = {channel: CaptureSender(channel) for channel in ("email", "sms")}
    core = make_core(database_url, clock=SystemClock(), senders=senders, INCENTIVES_PUBLIC_URL=url)
    publish_catalog(core)
    for role, location in ROLES.items():
        person(core, role, location=location)
    server.app = create_app(core)
    stop = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, daemon=True),
        threading.Thread(target=worker.run, args=(core, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    yield Site(url=url, core=core)
    stop.set()
    server.shutdown()
    for thread in threads:
        thread.join()
    server.server_close()
    core.database.dispose()
    databases.drop(database_url)


def not_yet(_environ: object, _start: object) -> list[bytes]:
    """Stand in for the application, whose links need the port that is known only once the server is there."""
    raise AssertionError("the application was not ready")


def sign_in(page: Page, site: Site, role: str, path: str = "/") -> None:
    """Sign in as a role, and end up on a page."""
    page.goto(site.url + path)
    page.get_by_label("Email").fill(f"{role}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
