"""A client of HTTP/2 for tests: many requests on one connection, each byte with its time."""

import ssl
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Self

from eventsource import Event, read_event
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset


class Request:
    """One request and what has come of its answer: `body` whole, and `events`, those of trades
    once more, each with the time it came at, by the monotonic clock."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.status = 0
        self.headers: dict[str, str] = {}
        self.names: list[str] = []
        self.body = self._rest = b""
        self.events: list[tuple[float, Event]] = []
        self.trades: list[tuple[float, Event]] = []
        self.ended = False

    def answered(self, headers: list[tuple[str, str]]) -> None:
        self.names = [name for name, _ in headers]
        self.headers = dict(headers)
        self.status = int(self.headers[":status"])

    def received(self, data: bytes, now: float) -> None:
        self.body += data
        if self.headers["content-type"] != "text/event-stream":
            return
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        came = [(now, read_event(each)) for each in blocks if b"event: " in each]
        self.events += came
        self.trades += [each for each in came if each[1].name == "trade"]

    def named(self, name: str) -> list[tuple[float, Event]]:
        return [(at, event) for at, event in self.events if event.name == name]


class Http2:
    """One connection. What a peer's flow control allows is left as the library has it: answers
    here are small, and each is acknowledged as it comes."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        assert connection.selected_alpn_protocol() == "h2"
        self.socket = connection
        self._h2 = H2Connection()
        self._h2.initiate_connection()
        self.requests: dict[int, Request] = {}
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Request:
        """Ask, without waiting for the answer."""
        number = self._h2.get_next_available_stream_id()
        asked = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        self._h2.send_headers(number, list({**asked, **(headers or {})}.items()), end_stream=True)
        self._flush()
        self.requests[number] = Request(number)
        return self.requests[number]

    def fetch(self, path: str, headers: Mapping[str, str] | None = None) -> Request:
        """Ask, and wait for the whole answer."""
        request = self.get(path, headers)
        self.read_until(lambda: request.ended)
        return request

    def fetch_first(self, path: str, headers: Mapping[str, str]) -> Request:
        """Ask, and wait for the first event of a stream, or for its end without any."""
        request = self.get(path, headers)
        self.read_until(lambda: request.ended or bool(request.events))
        return request

    def cancel(self, request: Request) -> None:
        self._h2.reset_stream(request.number)
        self._flush()

    def read_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._read()

    def _read(self) -> None:
        data = self.socket.recv(65536)
        now = monotonic()
        assert data, "the connection ended"
        for event in self._h2.receive_data(data):
            match event:
                case ResponseReceived(stream_id=number, headers=headers):
                    self.requests[number].answered(
                        [(bytes(name).decode(), bytes(value).decode()) for name, value in headers]
                    )
                case DataReceived(stream_id=number, data=data, flow_controlled_length=size):
                    self._h2.acknowledge_received_data(size or 0, number)
                    self.requests[number].received(data, now)
                case StreamEnded(stream_id=number) | StreamReset(stream_id=number):
                    self.requests[number].ended = True
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self.socket.sendall(data)
