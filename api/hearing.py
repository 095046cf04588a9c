"""Hearing requests out: a body whose line broke is refused, and slow ones leave threads to others."""

from __future__ import annotations

import threading
from io import BytesIO
from typing import IO, TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected, HTTPException, LengthRequired, ServiceUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

NOT_HEARD = "incentives.not_heard"  # in a request's environment: why it is refused
_HEARD_AT_ONCE_BYTES = 64 * 1024
_ROOM_SECONDS = 0.25


class Ears:
    """Hears what requests bear: all of what was announced or nothing, and with half of a process's threads at most.

    A server that says of a body that its end is its end cannot tell one that is whole from one whose line broke: half a
    file would be given, and given again when it is sent again. And a thread that hears waits for whoever speaks,
    however slowly: with all of them nobody else would be heard.
    """

    def __init__(self, threads: int) -> None:
        """Take the number of threads that the server answers with."""
        self._room = threading.BoundedSemaphore(max(1, threads // 2))

    def hear(self, environ: WSGIEnvironment) -> None:
        """Hear a small body out; see to it that a larger one is counted. What was not heard out is noted."""
        length, said = environ.get("CONTENT_LENGTH") or "", environ["wsgi.input"]
        if length == "0":
            return
        if not length:
            self._mind_a_body_without_length(environ, said)
        elif length.isdecimal() and int(length) <= _HEARD_AT_ONCE_BYTES:
            try:
                body = self.listen(said, int(length))
            except HTTPException as error:
                environ[NOT_HEARD] = error
                return
            if len(body) < int(length):
                environ[NOT_HEARD] = ClientDisconnected()
            environ["wsgi.input"], environ["wsgi.input_terminated"] = BytesIO(body), True
        else:  # Flask counts it, and refuses what is too large before it is read.
            environ.pop("wsgi.input_terminated", None)
            environ["wsgi.input"] = _Heard(said, self)

    def _mind_a_body_without_length(self, environ: WSGIEnvironment, said: IO[bytes]) -> None:
        """Let nobody send in pieces what could be cut without a sign; JSON that was cut is none."""
        if environ.get("HTTP_TRANSFER_ENCODING") or environ.get("SERVER_PROTOCOL", "").startswith("HTTP/2"):
            environ["wsgi.input"] = _Heard(said, self)
            if environ.get("CONTENT_TYPE") and "json" not in environ["CONTENT_TYPE"].lower():
                environ[NOT_HEARD] = LengthRequired()

    def listen(self, said: IO[bytes], most: int) -> bytes:
        """Return what is said next, fewer bytes at its end only. Raises ``ServiceUnavailable`` where too many speak."""
        if not self._room.acquire(timeout=_ROOM_SECONDS):
            raise ServiceUnavailable(retry_after=1)
        try:
            heard = said.read(most)
            while heard and len(heard) < most and (more := said.read(most - len(heard))):
                heard += more
        finally:
            self._room.release()
        return heard


class _Heard:
    """A body that is read in parts, each of them while there is room to listen."""

    def __init__(self, said: IO[bytes], ears: Ears) -> None:
        self._said, self._ears = said, ears

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if size >= 0:
            return self._ears.listen(self._said, size)
        return b"".join(iter(lambda: self._ears.listen(self._said, _HEARD_AT_ONCE_BYTES), b""))
