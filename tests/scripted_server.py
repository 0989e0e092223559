"""A server of event streams that does what the test says, right or wrong."""

import socket
import ssl
from collections.abc import Sequence
from threading import Thread
from typing import NamedTuple, Self

from processes import PATIENCE


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    source: str


class ScriptedServer:
    """Answers each connection with the next of these bytes and then closes it; the last one it
    leaves to the client where it `stays`. `requests` are those it got."""

    def __init__(
        self, answers: Sequence[bytes], *, stays: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        self._stays = stays
        self.requests: list[Request] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self._tls = tls
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        for number, answer in enumerate(self._answers, 1):
            connection, (source, _) = self._listener.accept()
            if self._tls is not None:
                try:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                except ssl.SSLError:  # the client doesn't trust it
                    continue
            with connection:
                connection.settimeout(PATIENCE)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(4096)
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = dict(line.split(": ", 1) for line in lines)
                self.requests.append(Request(first.split(" ")[1], headers, source))
                connection.sendall(answer)
                if self._stays and number == len(self._answers):
                    connection.recv(1)  # until the client leaves
