"""A client of event streams for servers that may be anywhere: behind TLS, proxies and chunks."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from http.client import HTTPConnection, HTTPSConnection
from time import monotonic
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from eventsource import check

# Seconds without a byte after which a stream that should go on is taken for stuck.
PATIENCE = 60


class Event(NamedTuple):
    """`data` has numbers as they were written: int or Decimal. `at`: when it came, in seconds of
    the monotonic clock."""

    name: str
    id: str | None
    data: dict[str, Any]
    retry: int | None
    at: float


class Source:
    """One GET request. `headers` by lower-case name. Iterating gives the events of a stream."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        timeout: float = PATIENCE,
    ) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.netloc, timeout=timeout)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request(method, target, headers=dict(headers))
        self.socket = self._connection.sock
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.headers = {name.lower(): value for name, value in self._response.getheaders()}
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave, with whatever is unread."""
        self._response.close()
        self._connection.close()

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    def body(self) -> bytes:
        return self._response.read()

    def __iter__(self) -> Iterator[Event]:
        """Events until the server ends the stream."""
        while True:
            block, end, rest = self._buffer.partition(b"\n\n")
            if end:
                self._buffer = rest
                yield _event(block)
                continue
            received = self._response.read1(65536)
            if not received:
                assert not self._buffer, f"the stream ended within an event: {self._buffer!r}"
                return
            self._buffer += received

    def until(self, *names: str) -> list[Event]:
        """Events up to and including the first of one of these names."""
        events = []
        for event in self:
            events.append(event)
            if event.name in names:
                return events
        raise AssertionError(f"the stream ended before {names}: {[e.name for e in events]}")

    def take(self, count: int, name: str) -> list[Event]:
        """Events up to and including the `count`th of this name."""
        events: list[Event] = []
        for _ in range(count):
            events += self.until(name)
        return events


def _event(block: bytes) -> Event:
    fields: dict[str, str] = {}
    for line in block.decode().split("\n"):
        if line.startswith(":"):  # a comment, as proxies add them
            continue
        name, colon, value = line.partition(": ")
        assert colon, f"not a field: {line!r}"
        assert name not in fields, f"a field twice in one event: {block!r}"
        fields[name] = value
    assert fields.keys() <= {"event", "id", "data", "retry"}, block
    check(fields["event"], json.loads(fields["data"]), has_id="id" in fields)
    retry = fields.get("retry")
    return Event(
        name=fields["event"],
        id=fields.get("id"),
        data=json.loads(fields["data"], parse_float=Decimal),
        retry=int(retry) if retry is not None else None,
        at=monotonic(),
    )
