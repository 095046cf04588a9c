"""A mail server's stand-in on this machine: it speaks enough SMTP, keeps what it took, and refuses as it is told."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass
class MailServer:
    """``says`` is what a step (``HELO``, ``AUTH``, ``MAIL``, ``RCPT``, ``DATA``, ``TEXT``) is answered.

    A step in ``breaks`` is not answered: the line breaks, or with ``hangs`` it does not; with ``takes_first`` the text
    is kept before it does.
    """

    says: dict[str, str] = field(default_factory=dict)
    breaks: str | None = None
    hangs: str | None = None
    takes_first: bool = False
    offers: tuple[str, ...] = ()
    taken: list[EmailMessage] = field(default_factory=list)
    asked: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def serving(self) -> Iterator["MailServer"]:
        """Serve until the block ends."""
        handler = type("Handler", (_Line,), {"server_of": self})
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads = True
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            yield self
            self.released.set()
            server.shutdown()
            thread.join()


class _Line(socketserver.StreamRequestHandler):
    server_of: MailServer

    def handle(self) -> None:
        self._say("220 mail.example")
        while command := self.rfile.readline().decode().strip():
            word = command.split()[0].upper()
            step = {"EHLO": "HELO"}.get(word, word)
            if step == "MAIL":
                self.server_of.asked += 1
            if step == self.server_of.breaks:
                return
            if step == self.server_of.hangs:
                self.server_of.released.wait(30)
                return
            if not self._answer(step) or step == "QUIT":
                return

    def _answer(self, step: str) -> bool:
        if step == "HELO":
            lines = ["mail.example", *self.server_of.offers]
            self._say("\r\n".join(f"250{' ' if each == lines[-1] else '-'}{each}" for each in lines))
            return True
        usual = {"DATA": "354 Go on.", "AUTH": "235 Welcome."}.get(step, "250 Fine.")
        said = self.server_of.says.get(step, usual)
        self._say(said)
        return self._text() if step == "DATA" and said.startswith("354") else True

    def _text(self) -> bool:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        said = self.server_of.says.get("TEXT", "250 Taken.")
        breaks = self.server_of.breaks == "TEXT"
        if said.startswith("250") and (not breaks or self.server_of.takes_first):
            self.server_of.taken.append(message_from_bytes(b"".join(lines), policy=default))
        if breaks:
            return False
        self._say(said)
        return True

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
