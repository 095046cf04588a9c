"""One test run's folder: what its processes share, and the promise that nothing outlives the run.

The process that a person starts holds a lock on ``alive`` for as long as it lives. A guardian waits for that
lock and gets it when the run ends, however it ends: passed, failed, interrupted or killed with -9. Whatever
was registered is then stopped and the folder removed.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDER_VARIABLE = "TEST_RUN_FOLDER"
_MEMORY_BYTES_MIN = 2 * 1024**3
_PR_SET_CHILD_SUBREAPER = 36


class RunFolder:
    """A folder that all processes of one test run share."""

    def __init__(self, path: Path) -> None:
        """Use a folder that ``opened`` made."""
        self.path = path

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Iterator["RunFolder"]:
        """Make the folder, name it in the environment for the workers, and sweep it at the end."""
        path = Path(tempfile.mkdtemp(prefix="incentives-tests-", dir=_base()))
        path.chmod(0o711)  # A server that may not run as root has its own folder in here.
        (path / "stop").mkdir()
        _adopt_orphans()
        alive = os.open(path / "alive", os.O_CREAT | os.O_RDWR)
        fcntl.flock(alive, fcntl.LOCK_EX)
        os.environ[FOLDER_VARIABLE] = str(path)
        guardian = _start_guardian(path)
        try:
            yield cls(path)
        finally:
            sweep(path)
            os.close(alive)
            guardian.wait(timeout=60)
            _bury_orphans()

    @classmethod
    def current(cls) -> "RunFolder":
        """Return the folder of the run that this process belongs to."""
        return cls(Path(os.environ[FOLDER_VARIABLE]))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep the other processes of the run out of a block."""
        handle = os.open(self.path / f"{name}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def once(self, name: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
        """Return what ``make`` returned to whichever process of the run asked first."""
        answer = self.path / f"{name}.json"
        with self.lock(name):
            if not answer.exists():
                answer.write_text(json.dumps(make()))
        made: dict[str, str] = json.loads(answer.read_text())
        return made

    def to_stop(self, name: str, record: dict[str, object]) -> None:
        """Register what ends something that was started.

        The record: ``command`` and ``user``, or ``redis_port`` and ``pid``, or ``drop`` and ``server_url``.
        """
        (self.path / "stop" / f"{name}.json").write_text(json.dumps(record))


def sweep(path: Path) -> None:
    """Stop everything that was registered in a run's folder, then remove it."""
    for record in sorted((path / "stop").glob("*.json")):
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # It may have stopped by itself.
            _stop(json.loads(record.read_text()))
    shutil.rmtree(path, ignore_errors=True)


def user_arguments(user: str | None) -> dict[str, object]:
    """Return what makes ``subprocess`` run a command as a user and nobody's group but theirs."""
    return {} if user is None else {"user": user, "group": _group(user), "extra_groups": []}


def _group(user: str) -> int:
    import pwd  # noqa: PLC0415 - the guardian must start quickly, and this is for root only

    return pwd.getpwnam(user).pw_gid


def _stop(record: dict[str, object]) -> None:
    if "command" in record:
        user = record.get("user")
        subprocess.run(
            [str(word) for word in _list(record["command"])],
            check=False,
            cwd="/",
            timeout=30,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **user_arguments(None if user is None else str(user)),  # type: ignore[call-overload]  # named as it wants
        )
    # Both numbers may be somebody else's by now, but not both at once.
    if "redis_port" in record and record["pid"] == redis_pid(int(str(record["redis_port"]))):
        os.kill(int(str(record["pid"])), signal.SIGKILL)
    if "drop" in record:
        drop_databases(str(record["server_url"]), str(record["drop"]))


def _adopt_orphans() -> None:
    """Become the parent of servers whose starter ended: the first process of a container buries nobody."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _bury_orphans() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        message = f"a command is a list, not {value!r}"
        raise TypeError(message)
    return value


def redis_pid(port: int) -> int | None:
    """Return the process id of the Redis server that answers on a port, if one does."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"INFO server\r\n")
        found = re.search(rb"process_id:(\d+)", connection.recv(65536))
        return int(found[1]) if found else None
    return None


def drop_databases(server_url: str, prefix: str) -> None:
    """Drop the databases of a server whose names begin with a prefix."""
    import psycopg  # noqa: PLC0415 - wanted only where the server was somebody else's
    from psycopg import sql  # noqa: PLC0415

    with psycopg.connect(server_url, autocommit=True) as connection:
        found = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        for (name,) in connection.execute(found, [prefix]).fetchall():
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _base() -> Path:
    """Return where the run's folder goes: into memory if it has room, for no test survives a power cut."""
    memory, temporary = Path("/dev/shm"), Path(tempfile.gettempdir())  # noqa: S108 - mkdtemp makes a name in it
    if memory.is_dir() and _suits(memory) and shutil.disk_usage(memory).free > _MEMORY_BYTES_MIN:
        return memory
    return next((base for base in (temporary, Path("/var/tmp")) if _suits(base)), temporary)  # noqa: S108 - the same


def _suits(base: Path) -> bool:
    """Return whether programs can be kept in a folder, and whether a user other than root can get there."""
    writable = os.access(base, os.W_OK | os.X_OK) and not os.statvfs(base).f_flag & os.ST_NOEXEC
    return writable and (os.geteuid() != 0 or others_may_enter(base))


def others_may_enter(path: Path) -> bool:
    """Return whether every folder on the way to a path, and the path itself, is open to everybody."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (resolved, *resolved.parents))


def _start_guardian(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, __file__, str(path)],
        cwd="/",
        start_new_session=True,  # So that ^C in the terminal does not reach it.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _guard(path: Path) -> None:
    """Wait until the run is over, then sweep; a run that ended well has swept already."""
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(path / "alive", os.O_RDWR)
        fcntl.flock(handle, fcntl.LOCK_EX)
        sweep(path)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
