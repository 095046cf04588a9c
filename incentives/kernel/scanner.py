"""The hook for a virus scanner: a command that reads a file and says by how it exits whether it is harmful."""

import shlex
import subprocess

from incentives.kernel.errors import FileUnsafe, ScannerUnavailable

_CLEAN, _HARMFUL = 0, 1
_TIMEOUT_SECONDS = 20


def check(command: str, content: bytes) -> None:
    """Let a file pass that the scanner finds harmless; no command checks nothing.

    The command gets the file on its standard input and exits with 0 for a harmless one and 1 for a harmful one, as
    ``clamdscan -`` does. Raises ``FileUnsafe``, and ``ScannerUnavailable`` where nobody can say.
    """
    if not command:
        return
    try:
        done = subprocess.run(  # noqa: S603 - the command stands in the settings, and no shell reads it
            shlex.split(command), input=content, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        raise ScannerUnavailable(retry_after_seconds=60) from None
    if done.returncode == _HARMFUL:
        raise FileUnsafe(field="file")
    if done.returncode != _CLEAN:
        raise ScannerUnavailable(retry_after_seconds=60)
