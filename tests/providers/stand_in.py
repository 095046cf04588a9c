"""A provider's stand-in on this machine: it writes down what it is asked and answers as a test has scripted it."""

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """Return the body of a JSON request."""
        content: dict[str, object] = json.loads(self.body)
        return content


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``deed`` is what happens instead (hang, reset, drip-headers) or amid it (cut, drip)."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    deed: str = ""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # who comes with thirty-two threads at once is not turned away


class StandIn:
    """A server that gives the scripted answers in turn, and the usual one when there are none."""

    def __init__(self, usual: Answer) -> None:
        """Listen on a free port of this machine."""
        self.usual = usual
        self.asked: list[Asked] = []
        self._script: deque[Answer] = deque()
        self._lock = threading.Lock()
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def will(self, *answers: Answer) -> None:
        """Script the next answers."""
        self._script.extend(answers)

    @contextlib.contextmanager
    def serving(self) -> Iterator["StandIn"]:
        """Serve until the block ends; whoever still hangs is let go."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer_to(self, asked: Asked) -> Answer:
        """Write a request down and return what it gets."""
        with self._lock:
            self.asked.append(asked)
            return self._script.popleft() if self._script else self.usual_to(asked)

    def usual_to(self, asked: Asked) -> Answer:
        """Return the answer to a request that nothing is scripted for."""
        return self.usual


class _Handler(BaseHTTPRequestHandler):
    """One connection to a stand-in."""

    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.stand_in.answer_to(Asked(self.command, self.path, headers, body))
        if answer.deed not in ("hang", "reset", "drip-headers"):
            self._say(answer)
        if answer.deed:
            self._misbehave(answer.deed)

    do_GET = do_PUT = do_POST  # noqa: N815 - what a client makes of a redirect

    def _say(self, answer: Answer) -> None:
        promised = len(answer.body) + (100_000 if answer.deed else 0)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.wfile.write(answer.body)

    def _misbehave(self, deed: str) -> None:
        self.close_connection = True
        if deed == "hang":
            self.stand_in.released.wait(30)
        if deed == "drip-headers":
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\nX-Slow: ")
        if deed in ("drip", "drip-headers"):
            with contextlib.suppress(OSError):
                while not self.stand_in.released.wait(0.1):
                    self.wfile.write(b" ")
        if deed == "reset":  # without a farewell: the socket says RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_args: object) -> None:
        """Say nothing: a test reads ``asked``."""
