"""HTTP byte by byte: requests that no well-behaved client would send, and what comes back."""

import json
import socket
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from chunks import Chunks

# Seconds to wait for an answer that should come at once: only a broken server takes them.
PATIENCE = 30


class Answer(NamedTuple):
    """One response. `headers` by lower-case name; of several with one name all, joined by ', '."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def media_type(self) -> str:
        return self.headers["content-type"].partition(";")[0]

    def problem(self) -> dict[str, Any]:
        """The body of an error outside a stream: RFC 9457 and the older format."""
        assert self.media_type == "application/problem+json", self
        problem: dict[str, Any] = self.json()
        assert problem.keys() == {"type", "title", "status", "detail", "code", "error"}
        assert problem["status"] == self.status
        assert problem["error"] == problem["detail"]
        return problem


class Connection:
    """A socket to the server. `answer` reads one response, `ended` what is left. `source` is the
    address it comes from, if that matters."""

    def __init__(self, url: str, timeout: float = PATIENCE, *, source: str = "") -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection(
            (parts.hostname, parts.port), timeout, (source, 0) if source else None
        )
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_as_taken(self, data: bytes) -> None:
        """As `send`, but the server may close the connection in the middle of it."""
        with suppress(ConnectionError):
            self.send(data)

    def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def answer(self, *, has_body: bool = True) -> Answer:
        head = self._until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for name, value in (line.split(": ", 1) for line in lines):
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        status = int(status_line.split(" ")[1])
        if not has_body or status in (204, 304):
            return Answer(status, headers, b"")
        if "content-length" in headers:
            return Answer(status, headers, self._exactly(int(headers["content-length"])))
        if "transfer-encoding" in headers:
            return Answer(status, headers, self._chunked())
        return Answer(status, headers, self.ended())

    def ended(self) -> bytes:
        """Everything until the server closes the connection."""
        while self._fill():
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            assert self._fill(), f"the connection ended within {self._buffer!r}"
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            assert self._fill(), f"the connection ended within {self._buffer!r}"
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _chunked(self) -> bytes:
        chunks = Chunks()
        content = b""
        while True:
            content += chunks.feed(self._buffer)
            self._buffer = b""
            if chunks.ended:
                return content
            assert self._fill(), f"the connection ended before the last chunk: {content[-80:]!r}"

    def _fill(self) -> bool:
        try:
            received = self.socket.recv(65536)
        except ConnectionResetError:  # closed while something we sent was unread
            received = b""
        self._buffer += received
        return bool(received)


def exchange(
    url: str,
    target: str,
    *,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    """One request on a connection of its own."""
    with Connection(url) as connection:
        connection.request(method, target, headers, body)
        return connection.answer(has_body=method != "HEAD")
