"""A stream over all its connections: it comes back by itself and goes on where it was."""

import asyncio
import re
import ssl
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from decimal import Decimal
from functools import cache
from random import Random
from typing import Literal, ParamSpec
from urllib.parse import quote, urlencode

from wd_server import __version__
from wd_server.client.backoff import Backoff
from wd_server.client.connection import Tls, connect
from wd_server.client.errors import SentAway, StreamError, Unreachable, refused
from wd_server.client.events import Away, Bye, Complete, Connected, Error, Event, Gap, read
from wd_server.client.frame import Fields
from wd_server.client.position import Position
from wd_server.client.target import Target, target_of

# Heartbeats that may be missed before a connection counts as dead, and the seconds before the
# server has said how far apart they are: it may be 20 at most.
MISSED_HEARTBEATS = 3
SILENCE_SECONDS = 60.0

_VISIBLE = re.compile(r"[!-~]+")

Key = str | Callable[[], Awaitable[str]]
P = ParamSpec("P")


def stream(
    url: str,
    wallet: str | Sequence[str],
    *,
    key: Key | None = None,
    follow: bool = False,
    batch: int | None = None,
    mint: str | None = None,
    side: Literal["buy", "sell", "swap"] | None = None,
    min_usd: Decimal | float | None = None,
    since: int | None = None,
    skip_pricing: bool = False,
    last_event_id: str | None = None,
    patience: float = 60.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[Event, None]:
    """The events of a wallet, or of several, of the server at `url`: each that has an id once and
    in order, over as many connections as it takes.

    `key`: an API key or a token, or what gets one for each connection, as tokens soon end. Keep the
    last event's id and hand it in as `last_event_id` to go on in another process. It ends after
    `complete`, unless it is to `follow`. While the server can't be reached, is full or restarts, an
    `Away` is yielded and the client comes back when the server told it to, else after a second and
    longer and longer. Whoever leaves early closes it (`contextlib.aclosing`).

    Raises ValueError for arguments that can't be sent. Iterating raises NotAllowed, Refused and
    BadAnswer at once; and the cause of being away (Unreachable, Refused, SentAway) when it would
    last longer than `patience` seconds.
    """
    query = _query(
        follow=follow,
        batch=batch,
        mint=mint,
        side=side,
        min_usd=min_usd,
        since=since,
        skip_pricing=skip_pricing,
    )
    server = target_of(url)
    return _Visit(
        server._replace(path=server.path + _path(wallet, query)),
        cache(lambda: tls or ssl.create_default_context()),
        key,
        Position(last_event_id),
        Backoff(patience, Random().random),
        awaited=None if follow else 1 if isinstance(wallet, str) else len(set(wallet)),
    ).events()


class _Visit:
    """A stream over all its connections. `awaited`: how many wallets have to complete before it is
    over, None: it never is."""

    def __init__(
        self,
        target: Target,
        tls: Tls,
        key: Key | None,
        position: Position,
        backoff: Backoff,
        *,
        awaited: int | None,
    ) -> None:
        self._target = target
        self._tls = tls
        self._key = key
        self._position = position
        self._backoff = backoff
        self._awaited = awaited
        self._silence = SILENCE_SECONDS
        self._completed: set[str | None] = set()

    async def events(self) -> AsyncGenerator[Event, None]:
        while True:
            connection = None
            try:
                headers = await _headers(self._key, self._position.last_event_id)
                connection = await connect(self._target, self._tls, headers)
                if connection is None:
                    return
                while found := await connection.read(self._silence):
                    for event in filter(None, map(self._take, found)):
                        yield event
                        if isinstance(event, Bye):
                            raise SentAway(event.reason, event.reconnect_after_ms / 1000)
                    if self._awaited is not None and len(self._completed) >= self._awaited:
                        return
                raise Unreachable("The connection ended.")
            except StreamError as error:
                cause = error
            finally:
                if connection is not None:
                    connection.close()
            seconds = self._wait(cause)
            if seconds is None:
                raise cause
            yield Away(seconds=seconds, cause=cause)
            await asyncio.sleep(seconds)

    def _take(self, frame: Fields) -> Event | None:
        """The event, if it is one for the caller. Raises Refused, BadAnswer."""
        if frame.retry is not None:
            self._backoff.told(frame.retry / 1000)
        if frame.data is None:
            return None
        event_id = frame.event_id.decode(errors="replace") or None
        event = read(frame.name.decode(errors="replace"), event_id, frame.data)
        if event_id is not None:
            self._backoff.succeeded()
            if not self._position.take(event_id):
                return None
        if isinstance(event, Connected):
            self._backoff.connected(time.monotonic())
            self._silence = float(MISSED_HEARTBEATS * event.heartbeat_seconds)
        elif isinstance(event, Gap):
            self._completed.discard(event.wallet)
            if event.wallet is None:
                self._position.forget()
        elif isinstance(event, Complete):
            self._completed.add(event.wallet)
        elif isinstance(event, Error):
            raise refused(
                event.error,
                event.code,
                retry_after=event.details.retry_after,
                wallet=event.wallet,
            )
        return event

    def _wait(self, cause: StreamError) -> float | None:
        """Seconds until the next attempt, None: there is none."""
        if not cause.passing:
            return None
        if cause.retry_after is not None:
            self._backoff.told(cause.retry_after)
        return self._backoff.wait(time.monotonic())


def _blocking(source: Callable[P, AsyncIterator[Event]]) -> Callable[P, Iterator[Event]]:
    def events(*args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        found = source(*args, **kwargs)

        async def following() -> Event | None:
            return await anext(found, None)

        # A caller that leaves early closes the runner, and that closes the stream.
        with asyncio.Runner() as runner:
            while (event := runner.run(following())) is not None:
                yield event

    return events


stream_sync = _blocking(stream)
stream_sync.__doc__ = "`stream` for code without an event loop: `for event in stream_sync(…)`."


def _query(**wishes: object) -> str:
    texts = {
        name: "true" if value is True else str(value)
        for name, value in wishes.items()
        if value is not None and value is not False
    }
    return urlencode(texts)


def _path(wallet: str | Sequence[str], query: str) -> str:
    if isinstance(wallet, str):
        path = f"/v4/wallet/{quote(wallet, safe='')}/stream"
    else:
        path = "/v4/stream"
        query = "&".join(filter(None, [urlencode([("wallet", each) for each in wallet]), query]))
    return f"{path}?{query}" if query else path


async def _headers(key: Key | None, last_event_id: str | None) -> Mapping[str, str]:
    """Raises ValueError."""
    headers = {
        "Accept": "text/event-stream",
        "Cache-Control": "no-cache",
        "User-Agent": f"wd-server-client/{__version__}",
    }
    secret = await key() if callable(key) else key
    for name, value in (("Authorization", secret), ("Last-Event-ID", last_event_id)):
        if value is None:
            continue
        if not _VISIBLE.fullmatch(value):
            raise ValueError(f"what would stand in {name} has characters that can't be sent")
        headers[name] = f"Bearer {value}" if name == "Authorization" else value
    return headers
