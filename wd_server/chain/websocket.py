"""One WebSocket to the upstream, kept open: it pings, reconnects, and subscribes anew.

Its URL has the key in it, so no text of a failed connection is repeated.
"""

import asyncio
import random as chance
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Protocol

import msgspec
import structlog
from msgspec import UNSET, Struct, UnsetType
from tornado.httpclient import HTTPClientError
from tornado.iostream import StreamClosedError
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    websocket_connect,
)

from wd_server.chain import faults
from wd_server.chain.faults import Fault
from wd_server.chain.pacing import backoff
from wd_server.chain.payloads import UNREADABLE
from wd_server.errors import UpstreamError
from wd_server.tasks import Tasks

# Subscriptions that the upstream lets a connection have.
SUBSCRIPTIONS_MAX = 1000
# Seconds between two pings, by the upstream's advice, and until one that isn't answered has found
# the connection dead.
PING_SECONDS = 30.0
PONG_SECONDS = 10.0
CONNECT_SECONDS = 10.0  # TLS included; a healthy upstream takes well under 1
# Seconds until a connection has to be a WebSocket. Tornado has a deadline of 20 seconds for it,
# which a head larger than it reads escapes.
HANDSHAKE_SECONDS = CONNECT_SECONDS + 20.0
# Seconds until a subscription has to be acknowledged; the connection is taken for dead then.
ACKNOWLEDGE_SECONDS = 20.0
# Bytes of one message: a transaction has 100 KB at most, with its logs.
MESSAGE_BYTES = 4 * 1024 * 1024

_log = structlog.get_logger("upstream")


class UpstreamSubscription:
    """`number`: the upstream's, while it is acknowledged. `wallets` are those that it is for."""

    __slots__ = ("method", "number", "params", "wallets")

    def __init__(self, method: str, params: Sequence[object], wallets: Iterable[str]) -> None:
        self.method = method
        self.params = params
        self.wallets = frozenset(wallets)
        self.number: int | None = None


class SocketObserver(Protocol):
    """Receives what the WebSocket brings. Its methods must not block or raise."""

    def on_connected(self) -> None: ...
    def on_subscribed(self, subscription: UpstreamSubscription) -> None: ...
    def on_refused(self, subscription: UpstreamSubscription, error: UpstreamError) -> None: ...
    def on_notified(self, subscription: UpstreamSubscription, message: str | bytes) -> None: ...
    def on_lost(self, subscriptions: Sequence[UpstreamSubscription]) -> None:
        """Nothing more comes of these until `on_subscribed`. They are subscribed to anew."""


class _Numbered(Struct, gc=False):
    subscription: int


class _Message(Struct, gc=False):
    """Just enough of an answer or a notification to tell which it is."""

    id: int | str | None = None
    result: int | bool | UnsetType | None = UNSET
    error: Fault | None = None
    params: _Numbered | None = None


_decoder = msgspec.json.Decoder(_Message)


class UpstreamSocket:
    """Connects with the first subscription. `random` gives [0, 1)."""

    def __init__(
        self,
        url: str,
        observer: SocketObserver,
        *,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ping_seconds: float = PING_SECONDS,
        connect: Callable[..., Awaitable[WebSocketClientConnection]] = websocket_connect,
        tasks: Tasks | None = None,
    ) -> None:
        self._url = url
        self._observer = observer
        self._random = random
        self._sleep = sleep
        self._ping_seconds = ping_seconds
        self._open_socket = connect
        self._tasks = tasks or Tasks()
        self._socket: WebSocketClientConnection | None = None
        self._subscriptions: dict[UpstreamSubscription, None] = {}
        self._numbers: dict[int, UpstreamSubscription] = {}
        self._asked: dict[int, tuple[UpstreamSubscription, asyncio.TimerHandle]] = {}
        self._ids = count(1)
        self._task: asyncio.Task[None] | None = None

    @property
    def room(self) -> int:
        """Further subscriptions that it may have."""
        return SUBSCRIPTIONS_MAX - len(self._subscriptions)

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def subscribe(self, subscription: UpstreamSubscription) -> None:
        self._subscriptions[subscription] = None
        if self._task is None:
            self._task = self._tasks.keep("websocket", self._stay)
        elif self._socket is not None:
            self._ask(subscription)

    def unsubscribe(self, subscription: UpstreamSubscription) -> None:
        """Nothing more comes of it. Twice is no error."""
        self._subscriptions.pop(subscription, None)
        number, subscription.number = subscription.number, None
        if number is not None:
            self._numbers.pop(number, None)
            method = subscription.method.removesuffix("Subscribe") + "Unsubscribe"
            self._send(next(self._ids), method, [number])

    async def close(self) -> None:
        await self._tasks.end(self._task)

    async def _stay(self) -> None:
        """Connected for good, however many connections that takes."""
        attempt = 0
        while True:
            was_of_use = await self._connected()
            attempt = 0 if was_of_use else attempt + 1
            await self._sleep(backoff(attempt, self._random()))

    async def _connected(self) -> bool:
        """One connection until it ends; whether a subscription was acknowledged on it."""
        over = asyncio.Event()
        socket = await self._connect(over)
        if socket is None:
            return False
        self._socket = socket
        try:
            self._observer.on_connected()
            for subscription in list(self._subscriptions):
                self._ask(subscription)
            await over.wait()
        finally:
            self._socket = None
            socket.close()
            was_of_use = bool(self._numbers)
            self._forget()
        return was_of_use

    async def _connect(self, over: asyncio.Event) -> WebSocketClientConnection | None:
        """`over` is set when the connection has ended. None if there is none."""
        connecting = asyncio.ensure_future(
            self._open_socket(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                on_message_callback=partial(self._hear, over),
                ping_interval=self._ping_seconds,
                ping_timeout=min(PONG_SECONDS, self._ping_seconds),
                max_message_size=MESSAGE_BYTES,
            )
        )
        try:
            # Not the future itself: cancelling that would leave a connection behind.
            await asyncio.wait((connecting,), timeout=HANDSHAKE_SECONDS)
        finally:
            if not connecting.done():
                connecting.add_done_callback(_close)
        if not connecting.done():
            _log.warning("no WebSocket to the upstream", kind="TimeoutError")
            return None
        try:
            return connecting.result()
        except (HTTPClientError, WebSocketError, StreamClosedError, OSError, ValueError) as error:
            _log.warning("no WebSocket to the upstream", kind=type(error).__name__)
            return None

    def _forget(self) -> None:
        """Drop the state of a connection that has ended."""
        for _, timer in self._asked.values():
            timer.cancel()
        self._asked.clear()
        lost = list(self._numbers.values())
        self._numbers.clear()
        for subscription in lost:
            subscription.number = None
        if lost:
            _log.warning("the WebSocket to the upstream broke", subscriptions=len(lost))
            self._observer.on_lost(lost)

    def _ask(self, subscription: UpstreamSubscription) -> None:
        number = next(self._ids)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(ACKNOWLEDGE_SECONDS, self._drop)
        self._asked[number] = (subscription, timer)
        self._send(number, subscription.method, subscription.params)

    def _send(self, number: int, method: str, params: Sequence[object]) -> None:
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        if self._socket is not None:
            with suppress(WebSocketClosedError):  # what is asked for is asked for anew
                written = self._socket.write_message(msgspec.json.encode(request))
                written.add_done_callback(_look_at_error)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _hear(self, over: asyncio.Event, message: str | bytes | None) -> None:
        """An exception would end the connection, which is there for others, too."""
        self._tasks.attempt("websocket_message", lambda: self._on_message(over, message))

    def _on_message(self, over: asyncio.Event, message: str | bytes | None) -> None:
        if message is None:
            over.set()
            return
        try:
            head = _decoder.decode(message)
        except UNREADABLE:
            _log.warning("a WebSocket's message can't be read", bytes=len(message))
            return
        if head.params is not None:
            subscription = self._numbers.get(head.params.subscription)
            if subscription is not None:
                self._observer.on_notified(subscription, message)
        elif isinstance(head.id, int) and head.id in self._asked:
            self._on_answer(head, *self._asked.pop(head.id))

    def _on_answer(
        self, head: _Message, subscription: UpstreamSubscription, timer: asyncio.TimerHandle
    ) -> None:
        timer.cancel()
        gone = subscription not in self._subscriptions
        if head.error is not None or not isinstance(head.result, int):
            fault = head.error or Fault()
            if not gone:
                self._subscriptions.pop(subscription)
                self._observer.on_refused(subscription, faults.failure(fault, subscription.method))
            return
        subscription.number = head.result
        self._numbers[head.result] = subscription
        if gone:  # while it was asked for
            self.unsubscribe(subscription)
        else:
            self._observer.on_subscribed(subscription)


def _look_at_error(written: asyncio.Future[None]) -> None:
    if not written.cancelled():
        written.exception()


def _close(connecting: asyncio.Future[WebSocketClientConnection]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()
