"""A link on which bytes come in small pieces, and no more of them than a test lets by."""

import socket
from threading import Condition, Thread
from types import TracebackType
from typing import Self

from processes import PATIENCE

# Bytes that come together: events are longer, so each is torn apart.
PIECE_BYTES = 100


class SlowLink:
    """Leads one connection to a server. What it may not pass on yet it leaves where it is, so the
    server's writes stall as they do before a slow client."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._left: float = 0
        self._changed = Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._lead)

    def let_by(self, count: float) -> None:
        """So many bytes more."""
        with self._changed:
            self._left += count
            self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.let_by(float("inf"))
        self._thread.join()
        self._listener.close()

    def _lead(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._port), PATIENCE) as server:
            client.settimeout(PATIENCE)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(4096)
            server.sendall(head)
            while piece := server.recv(self._allowed()):
                try:
                    client.sendall(piece)
                except ConnectionError:  # the client left
                    return
                with self._changed:
                    self._left -= len(piece)

    def _allowed(self) -> int:
        with self._changed:
            assert self._changed.wait_for(lambda: self._left > 0, PATIENCE)
            return int(min(PIECE_BYTES, self._left))
