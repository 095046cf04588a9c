"""The fixtures that every kind of test may use: fresh databases, Redis, and servers that may be killed."""

import contextlib
import os
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import hypothesis
import pytest
from redis import Redis as RedisClient

from incentives.flows import seal
from incentives.kernel.database import Database
from incentives.kernel.migrate import upgrade
from tests.databases import BACKENDS, Databases, PostgresDatabases, SqliteDatabases
from tests.run_folder import RunFolder
from tests.servers import Postgres, Redis

# So that what the shop asserts is explained as what a test asserts is; here, before anything imports it.
pytest.register_assert_rewrite("tests.flows.shop")

# Two workers share a machine with servers and browsers: how long one example takes says nothing.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")

_run_folder = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Open the run's folder in the process that a person started; the workers find it in the environment."""
    for name in [name for name in os.environ if name.startswith("INCENTIVES_")]:
        del os.environ[name]  # A test says its settings itself, and the developer's own are for the developer.
    if not hasattr(config, "workerinput"):
        _run_folder.enter_context(RunFolder.opened())


def pytest_unconfigure() -> None:
    """Stop every server, however the run ended."""
    _run_folder.close()


@pytest.fixture(scope="session")
def run() -> RunFolder:
    """The folder that all processes of this run share."""
    return RunFolder.current()


@pytest.fixture(scope="session", autouse=True)
def _one_clock() -> Iterator[None]:
    """Let the database's clock be the one that a test's world is given: it knows nothing of the year that is played."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "shared_now", lambda _tx, now: now)
        yield


@pytest.fixture(scope="session")
def postgres(run: RunFolder) -> Iterator[PostgresDatabases]:
    """Databases of the PostgreSQL server that the whole run shares. It fails where there is none."""
    with contextlib.closing(PostgresDatabases(run)) as databases:
        yield databases


@pytest.fixture(scope="session")
def sqlite(run: RunFolder) -> SqliteDatabases:
    """Databases that are files."""
    return SqliteDatabases(run)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Both, one after the other; ``@pytest.mark.parametrize("backend", ["postgresql"])`` keeps to one."""
    return str(request.param)


@pytest.fixture
def databases(backend: str, request: pytest.FixtureRequest) -> Databases:
    """Databases of the kind that this test runs on."""
    found: Databases = request.getfixturevalue("sqlite" if backend == "sqlite" else "postgres")
    return found


@pytest.fixture
def new_database(databases: Databases) -> Iterator[Callable[..., str]]:
    """A function that gives the address of a fresh database; ``migrated=False`` gives one without tables."""
    made: list[str] = []

    def new(*, migrated: bool = True) -> str:
        made.append(databases.new(migrated=migrated))
        return made[-1]

    yield new
    for url in made:
        databases.drop(url)


@pytest.fixture
def database_url(new_database: Callable[..., str]) -> str:
    """The address of a database that is migrated and empty."""
    return new_database()


@pytest.fixture
def blank_database_url(new_database: Callable[..., str]) -> str:
    """The address of a database without any table, for tests of migrations."""
    return new_database(migrated=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database, connected."""
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def own_postgres(run: RunFolder) -> Iterator[Postgres]:
    """A started PostgreSQL that belongs to this test, to be stopped or killed: durable, migrated, empty."""
    server = Postgres(run, durable=True)
    server.start()
    upgrade(server.url())
    yield server
    server.remove()


@pytest.fixture(scope="session")
def _redis_server_url(run: RunFolder) -> str:
    def start() -> dict[str, str]:
        server = Redis(run)
        server.start()
        server.leave_running()
        return {"url": server.url()}

    return os.environ.get("TEST_REDIS_URL") or run.once("redis", start)["url"]


@pytest.fixture
def redis_url(_redis_server_url: str) -> str:
    """The address of an empty Redis database that no other worker uses."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    parts = urlsplit(_redis_server_url)
    url = parts._replace(path=f"/{int(parts.path.strip('/') or 0) + worker}").geturl()
    with RedisClient.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def own_redis(run: RunFolder) -> Iterator[Redis]:
    """A started Redis that belongs to this test, to be stopped or killed."""
    server = Redis(run)
    server.start()
    yield server
    server.stop()
