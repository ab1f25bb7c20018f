"""What travels from a server to a browser, counted on the way."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 1 << 16


class Wire(socketserver.ThreadingTCPServer):
    """A way to a server by another port, which counts the bytes that come back."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        server = urlsplit(address)
        self._server = str(server.hostname), int(server.port or 80)
        self.bytes = 0
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def forward(self, browser: socket.socket) -> None:
        """Serve one connection until either side ends it."""
        with socket.create_connection(self._server) as there:
            threading.Thread(target=_pump, args=(there, browser, self._count), daemon=True).start()
            _pump(browser, there, lambda _: None)

    def _count(self, size: int) -> None:
        self.bytes += size


class _Connection(socketserver.BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        self.server.forward(self.request)


def _pump(source: socket.socket, target: socket.socket, count: Callable[[int], None]) -> None:
    # A tab that is closed reads no further.
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            count(len(data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def wire(address: str) -> Iterator[Wire]:
    """Open a counted way to a server."""
    with Wire(address) as counted:
        threading.Thread(target=counted.serve_forever, daemon=True).start()
        yield counted
        counted.shutdown()
