"""A proxy between a client and a server that can break their connections in every way."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards TCP connections to a server on loopback, until a test breaks them."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._accept_on(self._listener)

    def refuse(self) -> None:
        """Break what is open, and refuse what comes."""
        # A thread in accept() would keep a closed socket alive.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def freeze(self) -> None:
        """Forward nothing more, and break nothing: a network that loses every packet."""
        self._flowing.clear()

    def lead_to(self, host: str, port: int) -> None:
        """Forward what comes from now on to another server."""
        self._target = (host, port)

    def serve(self) -> None:
        """Forward again; what was frozen is broken."""
        if self._flowing.is_set():
            self._listener = self._listen(self.port)
            self._accept_on(self._listener)
        else:
            self._cut()
            self._flowing.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._flowing.set()
        self.refuse()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), backlog=100)

    def _accept_on(self, listener: socket.socket) -> None:
        def accept() -> None:
            with contextlib.suppress(OSError):  # closed by `refuse`
                while True:
                    self._forward(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        self._open += [client, server]
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either side is gone, and the other goes too
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()
