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
from typing import Any, Literal, ParamSpec
from urllib.parse import quote, urlencode

from wd_client.backoff import Backoff
from wd_client.chain import Bookmark, Chain, chain_at
from wd_client.connection import Tls, connect
from wd_client.errors import Mismatch, SentAway, StreamError, Unreachable, refused
from wd_client.events import (
    Away,
    Bye,
    Complete,
    Connected,
    Error,
    Event,
    Gap,
    made,
    parsed,
)
from wd_client.frame import Fields
from wd_client.kinds import CHAINED, COMPLETE, COUNTED
from wd_client.position import Position
from wd_client.target import Target, target_of
from wd_client.version import __version__

# Heartbeats that may be missed before a connection counts as dead. They are 20 seconds apart at
# most, so this is the longest silence, too, and the one before the server has said how far apart.
MISSED_HEARTBEATS = 3
SILENCE_SECONDS = 60.0

_VISIBLE = re.compile(r"[!-~]+")
# An id may be any text: it is sent back as UTF-8, as the standard has it.
_ONE_LINE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]+")

Key = str | Callable[[], Awaitable[str]]
P = ParamSpec("P")


def stream(
    url: str,
    wallet: str | Sequence[str],
    *,
    key: Key | None = None,
    follow: bool = False,
    movements: bool = False,
    batch: int | None = None,
    mint: str | None = None,
    side: Literal["buy", "sell", "swap"] | None = None,
    min_usd: Decimal | float | None = None,
    since: int | None = None,
    skip_pricing: bool = False,
    last_event_id: str | None = None,
    bookmark: Bookmark | None = None,
    patience: float = 60.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[Event, None]:
    """The events of a wallet, or of several, of the server at `url`: each that has an id once and
    in order, over as many connections as it takes.

    `key`: an API key or a token, or what gets one for each connection, as tokens soon end. Keep the
    last event's `bookmark` and hand it in to go on in another process, or its id alone as
    `last_event_id`. It ends after `complete`, unless it is to `follow`; with `movements` some of
    these may still come behind it. While the server can't be
    reached, is full or restarts, an `Away` is yielded and the client comes back when the server
    told it to, else after a second and longer and longer. Close it if you leave early
    (`contextlib.aclosing`).

    One wallet's stream without filters, `batch` or `skip_pricing` is compared with the digest that
    the server sends with each `complete` (`Complete.verified`). Where they differ, a `Gap` is
    yielded and the history is read once more; if it differs again, Mismatch is raised.

    Raises ValueError for arguments that can't be sent. Iterating raises NotAllowed, Refused and
    BadAnswer at once; and the cause of being away (Unreachable, Refused, SentAway) when it would
    last longer than `patience` seconds.
    """
    filters = {"batch": batch, "mint": mint, "side": side, "min_usd": min_usd, "since": since}
    include = "movements" if movements else None
    query = _query(follow=follow, include=include, skip_pricing=skip_pricing, **filters)
    server = target_of(url)
    if bookmark is not None and last_event_id is not None:
        raise ValueError("a bookmark has an id: hand in one of the two")
    filtered = skip_pricing or any(each is not None for each in filters.values())
    whole = isinstance(wallet, str) and not filtered
    return _Stream(
        server._replace(path=server.path + _path(wallet, query)),
        cache(lambda: tls or ssl.create_default_context()),
        key,
        Position(bookmark.id if bookmark is not None else last_event_id),
        Backoff(patience, Random().random),
        chain=_chain(last_event_id, bookmark) if whole else None,
        chain_all=_chain_all(last_event_id, bookmark) if whole and movements else None,
        movements=movements,
        awaited=None if follow else 1 if isinstance(wallet, str) else len(set(wallet)),
    ).events()


class _Stream:
    """A stream over all its connections. `chain`: None where not every entry is sent as it is
    stored; `chain_all` has movements, too. `awaited`: how many wallets have to complete before it
    is over, None: it never is."""

    def __init__(
        self,
        target: Target,
        tls: Tls,
        key: Key | None,
        position: Position,
        backoff: Backoff,
        *,
        chain: Chain | None,
        chain_all: Chain | None,
        movements: bool,
        awaited: int | None,
    ) -> None:
        self._target = target
        self._tls = tls
        self._key = key
        self._position = position
        self._backoff = backoff
        self._chain = chain
        self._chain_all = chain_all
        self._movements = movements
        self._awaited = awaited
        self._silence = SILENCE_SECONDS
        self._completed: set[str | None] = set()
        self._mismatched = False

    async def events(self) -> AsyncGenerator[Event, None]:
        while True:
            connection = None
            try:
                headers = await _headers(self._key, self._position.last_event_id)
                connection = await connect(self._target, self._tls, headers)
                if connection is None:
                    return
                if self._position.last_event_id is None:
                    self._begin()
                while found := await connection.read(self._silence):
                    for event in filter(None, map(self._take, found)):
                        yield event
                        if isinstance(event, Bye):
                            raise _sent_away(event)
                    if self._is_complete and not self._movements:
                        return
                if self._is_complete:
                    return
                raise Unreachable("The server ended the stream before it was complete.")
            except StreamError as error:
                cause = error
            finally:
                if connection is not None:
                    connection.close()
            if isinstance(cause, Mismatch):
                yield self._distrust(cause)
            seconds = self._wait(cause)
            if seconds is None:
                raise cause
            yield Away(seconds=seconds, cause=cause)
            await asyncio.sleep(seconds)

    @property
    def _is_complete(self) -> bool:
        return self._awaited is not None and len(self._completed) >= self._awaited

    def _take(self, frame: Fields) -> Event | None:
        """The event, if it is one for the caller. Raises Refused, BadAnswer, Mismatch."""
        if frame.retry is not None:
            self._backoff.told(frame.retry / 1000)
        event_id = None if frame.event_id is None else frame.event_id.decode(errors="replace")
        if not self._move(event_id) or frame.data is None:
            return None
        name = frame.name.decode(errors="replace")
        data = parsed(name, frame.data)
        verified = self._prove(name, frame, data)
        bookmark = self._bookmark() if event_id else None
        ours = {"verified": verified} if name == COMPLETE else {}
        event = made(name, data, id=event_id or None, bookmark=bookmark, **ours)
        if isinstance(event, Connected):
            self._backoff.connected(time.monotonic())
            self._silence = _silence(event.heartbeat_seconds)
        elif isinstance(event, Gap):
            self._completed.discard(event.wallet)
            if event.wallet is None:
                self._begin()
        elif isinstance(event, Complete):
            self._completed.add(event.wallet)
        elif isinstance(event, Error):
            raise _refused(event)
        return event

    def _move(self, event_id: str | None) -> bool:
        """Whether the event is new, by its id. One without an id moves nothing, and an empty id
        forgets the position."""
        if event_id is None:
            return True
        if not event_id:
            self._position.forget()
            return True
        self._backoff.succeeded()
        return self._position.take(event_id)

    def _prove(self, name: str, frame: Fields, data: Mapping[str, Any]) -> bool:
        """Whether this is a `complete` and everything before it has come. Raises Mismatch."""
        if self._chain is None:
            return False
        if name in COUNTED and frame.event_id and frame.data is not None:
            self._chain.add(frame.event_id, frame.data, data.get("number"))
        proved_all = self._prove_all(name, frame, data)
        if name != COMPLETE:
            return False
        proved = self._chain.proves(data.get("entries"), data.get("digest")) and proved_all
        self._mismatched = self._mismatched and not proved
        return proved

    def _prove_all(self, name: str, frame: Fields, data: Mapping[str, Any]) -> bool:
        """The same of the chain with movements; True where that isn't read."""
        if self._chain_all is None:
            return True
        if name in CHAINED and frame.event_id and frame.data is not None:
            self._chain_all.add(frame.event_id, frame.data, None)
        if name != COMPLETE:
            return False
        return self._chain_all.proves(data.get("entries_all"), data.get("digest_all"))

    def _bookmark(self) -> Bookmark:
        ends: list[Any] = []
        for chain in (self._chain, self._chain_all):
            known = chain or Chain(None, None)
            ends += (known.entries, None if known.digest is None else known.digest.hex())
        return Bookmark(self._position.last_event_id or "", *ends)

    def _begin(self) -> None:
        """The whole history follows."""
        self._position.forget()
        if self._chain is not None:
            self._chain = Chain()
        if self._chain_all is not None:
            self._chain_all = Chain()

    def _distrust(self, mismatch: Mismatch) -> Gap:
        """Begin anew: what came can't be relied on. Raises the mismatch if it is the second one."""
        if self._mismatched:
            mismatch.passing = False
            raise mismatch
        self._mismatched = True
        gap = Gap(reason="mismatch", from_id=self._position.last_event_id or "", to_id=None)
        self._begin()
        return gap

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


def _chain(last_event_id: str | None, bookmark: Bookmark | None) -> Chain:
    """Of a stream that goes on there. Raises ValueError."""
    if bookmark is not None:
        return chain_at(bookmark.entries, bookmark.digest)
    return Chain() if last_event_id is None else Chain(None, None)


def _chain_all(last_event_id: str | None, bookmark: Bookmark | None) -> Chain:
    """The same with movements."""
    if bookmark is not None:
        return chain_at(bookmark.entries_all, bookmark.digest_all)
    return _chain(last_event_id, None)


def _sent_away(bye: Bye) -> SentAway:
    milliseconds: int | None = bye.reconnect_after_ms
    return SentAway(bye.reason, None if milliseconds is None else milliseconds / 1000)


def _refused(error: Error) -> StreamError:
    return refused(
        error.error or "The server ended the stream without a reason.",
        error.code or "UNKNOWN",
        retry_after=error.details.retry_after,
        wallet=error.wallet,
    )


def _silence(heartbeat_seconds: int | None) -> float:
    """Seconds without a byte after which a connection counts as dead."""
    if heartbeat_seconds is None or heartbeat_seconds <= 0:
        return SILENCE_SECONDS
    return min(float(MISSED_HEARTBEATS * heartbeat_seconds), SILENCE_SECONDS)


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
        "Accept-Encoding": "identity",
        "Cache-Control": "no-cache",
        "User-Agent": f"wd-server-client/{__version__}",
    }
    secret = await key() if callable(key) else key
    for name, value, sendable in (
        ("Authorization", secret, _VISIBLE),
        ("Last-Event-ID", last_event_id, _ONE_LINE),
    ):
        if value is None:
            continue
        if not sendable.fullmatch(value):
            raise ValueError(f"what would stand in {name} has characters that can't be sent")
        headers[name] = f"Bearer {value}" if name == "Authorization" else value
    return headers
