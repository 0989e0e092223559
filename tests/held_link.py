"""A link that holds connections back in the middle, so that a server can be killed while none of
its clients has everything: without it, the kernel's buffers may take a whole history."""

import socket
from threading import Event, Thread
from types import TracebackType
from typing import Self

from processes import PATIENCE

PIECE_BYTES = 4096
# Of each way's receive buffer: what it holds comes after the server was killed.
BUFFER_BYTES = 16 * 1024


class HeldLink:
    """Leads connections to a server, and lets `count` bytes of each by until `release` is called.
    What it may not pass on it leaves where it is."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._released = Event()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._accept)

    def release(self) -> None:
        self._released.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()
        self._closed = True
        # What is accepted next is the end.
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        threads = []
        while True:
            client, _ = self._listener.accept()
            if self._closed:
                client.close()
                break
            threads.append(Thread(target=self._lead, args=(client,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _lead(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            for each in (client, server):
                each.settimeout(PATIENCE)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            try:
                server.connect(("127.0.0.1", self._port))
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    piece = client.recv(PIECE_BYTES)
                    if not piece:
                        return
                    head += piece
                server.sendall(head)
                self._pass_on(server, client)
            except OSError:  # one of the two is gone, and so the other's connection ends
                return

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        left = self._count
        while True:
            if left <= 0:
                self._released.wait()
            piece = server.recv(PIECE_BYTES)
            if not piece:
                return
            client.sendall(piece)
            left -= len(piece)
