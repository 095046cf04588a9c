"""A wire to PostgreSQL that counts round trips: how often the client speaks after the server has spoken."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 65_536


class Wire:
    """A proxy on this machine. A pipelined batch is one round trip here, as it is on a network."""

    def __init__(self, database_url: str) -> None:
        """Listen on a free port; ``url`` is the address of the same database by way of this wire."""
        parts = urlsplit(database_url)
        assert parts.hostname
        assert parts.port
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
        self.round_trips = 0
        self._server_spoke: dict[int, bool] = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[Self]:
        """Carry what comes, until the block ends."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                number = client.fileno()
                self._server_spoke[number] = True
                threading.Thread(target=self._carry, args=(client, server, number, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, number, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, number: int, from_client: bool) -> None:  # noqa: FBT001 - one caller
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                if from_client and self._server_spoke[number]:
                    self.round_trips += 1
                self._server_spoke[number] = not from_client
                target.sendall(chunk)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
