"""The line between us and a server, as a program that can be told to lose what should go over it."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_CHUNK = 65536
_READY_FOR_QUERY = b"Z\x00\x00\x00\x05"


@dataclass
class _Call:
    """One connection: our end, the server's, and what the client has asked for since it was last answered."""

    ours: socket.socket
    theirs: socket.socket
    asked: bytes = b""


@dataclass
class Line:
    """Carries bytes from a port of its own to a server's. ``hangs``: it takes whatever comes, and carries nothing.

    ``loses_replies_to``: the server gets a request that has these bytes in it, and its answer is lost with the line.
    Each of ``to_lose`` does so once.
    """

    server_port: int
    hangs: threading.Event = field(default_factory=threading.Event)
    loses_replies_to: bytes = b""
    to_lose: int = 0
    lost: int = 0
    port: int = 0
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _calls: dict[socket.socket, _Call] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def open(self) -> Iterator["Line"]:
        """Carry until the block ends."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            self.port = listening.getsockname()[1]
            listening.setblocking(False)
            self._selector.register(listening, selectors.EVENT_READ)
            thread = threading.Thread(target=self._carry, args=(listening,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self._over.set()
                thread.join()
                for call in list(self._calls.values()):
                    self._hang_up(call)
                self._selector.close()

    def url(self, server_url: str) -> str:
        """Return the address of a database by way of this line."""
        return server_url.replace(f":{self.server_port}/", f":{self.port}/")

    def _carry(self, listening: socket.socket) -> None:
        while not self._over.is_set():
            if self.hangs.is_set():  # The kernel takes what comes, and nobody comes for it.
                self._over.wait(0.02)
                continue
            for key, _ in self._selector.select(0.02):
                end = key.fileobj
                if end is listening:
                    self._answer_call(listening)
                elif isinstance(end, socket.socket) and end in self._calls:
                    self._pass_on(end, self._calls[end])

    def _answer_call(self, listening: socket.socket) -> None:
        ours, _ = listening.accept()
        try:
            theirs = socket.create_connection(("127.0.0.1", self.server_port))
        except OSError:
            ours.close()
            return
        call = _Call(ours, theirs)
        for end in (ours, theirs):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._calls[end] = call
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket, call: _Call) -> None:
        try:
            content = end.recv(_CHUNK)
            if not content or self._loses(end, call, content):
                self._hang_up(call)
            else:
                (call.theirs if end is call.ours else call.ours).sendall(content)
        except OSError:
            self._hang_up(call)

    def _loses(self, end: socket.socket, call: _Call, content: bytes) -> bool:
        """Return whether this is the answer that gets lost: by then the server has done what it was asked."""
        if end is call.ours:
            call.asked += content
            return False
        answered, call.asked = call.asked, b"" if _READY_FOR_QUERY in content else call.asked
        loses = self.to_lose > 0 and bool(self.loses_replies_to) and self.loses_replies_to in answered
        if loses:
            self.to_lose -= 1
            self.lost += 1
        return loses

    def _hang_up(self, call: _Call) -> None:
        for end in (call.ours, call.theirs):
            if self._calls.pop(end, None):
                self._selector.unregister(end)
                end.close()
