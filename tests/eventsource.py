"""A client of event streams for tests: plain sockets, so that it can be slow, rude or gone."""

import json
import socket
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from time import monotonic
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from jsonschema_rs import Draft202012Validator

from tests.chunks import Chunks
from wd_server.events import schema as reference
from wd_server.events.kinds import BY_NAME

# Seconds without a byte after which a stream that should go on is taken for stuck, and without an
# event that tells anything.
PATIENCE = 30
PATIENCE_WITH_HEARTBEATS = 120
# The order of an event's lines: a client that takes an id at its line must have had the data.
LINES = ("retry", "event", "data", "id")


class Torn(AssertionError):
    """The connection ended within the head or an event."""


class Event(NamedTuple):
    name: str
    id: str | None
    data: dict[str, Any]
    retry: int | None


class EventSource:
    """Opens a stream and reads its events. Parses strictly what the server is to send: one `data`
    line an event, fields with one space after the colon, data as it is described."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = PATIENCE,
        receive_buffer: int | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", "Accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._buffer = b""
        self._chunks: Chunks | None = None
        self.first_bytes = b""
        try:
            self.socket.connect((parts.hostname, parts.port))
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
            self.status, self.headers = self._read_head()
            if self.headers.get("Transfer-Encoding") == "chunked":
                self._chunks = Chunks()
                self._buffer = self._chunks.feed(self._buffer)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    @property
    def ended(self) -> bool:
        """Whether the server has ended the stream and said so: a cut looks otherwise."""
        return self._chunks is not None and self._chunks.ended

    def __iter__(self) -> Iterator[Event]:
        """Events until the stream ends or is cut off."""
        while True:
            block, end, rest = self._buffer.partition(b"\n\n")
            if end:
                self._buffer = rest
                yield read_event(block)
            elif not self.fill():
                if self._buffer:
                    raise Torn(f"the stream ended within an event: {self._buffer!r}")
                return

    def until(self, *names: str) -> list[Event]:
        """Events up to and including the first of one of these names."""
        events = []
        for event in self._awaited(names):
            events.append(event)
            if event.name in names:
                return events
        raise AssertionError(f"the stream ended before {names}: {[e.name for e in events]}")

    def take(self, name: str, count: int) -> list[Event]:
        """The next so many events of this name; others in between are dropped."""
        events: list[Event] = []
        for event in self._awaited((name,)):
            if event.name == name:
                events.append(event)
            if len(events) == count:
                return events
        raise AssertionError(f"the stream ended after {len(events)} of {count} {name} events")

    def _awaited(self, names: Collection[str]) -> Iterator[Event]:
        """Events, as long as there are others than heartbeats."""
        told = monotonic()
        for event in self:
            yield event
            if event.name != "heartbeat":
                told = monotonic()
            elif monotonic() - told > PATIENCE_WITH_HEARTBEATS:
                raise AssertionError(f"nothing but heartbeats where {names} should come")

    def fill(self, size: int = 65536) -> bool:
        """Read once; False at the end of the stream."""
        if self.ended:
            return False
        received = self.socket.recv(size)
        self._buffer += received if self._chunks is None else self._chunks.feed(received)
        return bool(received)

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            if not self.fill():
                raise Torn(f"the connection ended within the head: {self._buffer!r}")
            self.first_bytes = self.first_bytes or self._buffer
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(status_line.split(" ")[1]), headers


def read_event(block: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
    assert list(fields) == [name for name in LINES if name in fields], fields
    retry = fields.get("retry")
    data = json.loads(fields["data"])
    check(fields["event"], data, has_id="id" in fields)
    return Event(
        name=fields["event"],
        id=fields.get("id"),
        data=data,
        retry=int(retry) if retry is not None else None,
    )


def check(name: str, data: Any, *, has_id: bool) -> None:
    """Raises ValidationError for data that isn't as described, or has what isn't described."""
    _validator(name).validate(data)
    assert has_id == BY_NAME[name].has_id, name


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(reference.validated(name))
