"""Clients that follow wallets through whatever happens to the servers, and check what they get.

They do what the public contract asks of a client: come back with the last id after the time they
were told, drop what they hold at a `gap`, and leave a stream that says nothing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any

from wd_client.frame import END, cut
from wd_client.response import Head, body_of, read_head

from tests.eventsource import Event, read_event
from wd_tools.load.continuity import Breach, Continuity
from wd_tools.load.frames import Item, parse_frame
from wd_tools.load.stream import RETRY_MS

# Seconds in which a server that is there answers; one that is stopped does not.
ANSWER_SECONDS = 5
# Heartbeats that may fail to come until a stream is taken for dead.
MISSED_HEARTBEATS = 3
# What is read at once, in bytes.
READ_BYTES = 65536
OK = 200


class Held:
    """What a client holds of one wallet. `breaches`: what the contract doesn't allow; `gaps` by
    reason; `complete` is the data of the newest one."""

    def __init__(self) -> None:
        self.trades: list[dict[str, Any]] = []
        self.complete: dict[str, Any] | None = None
        self.gaps: Counter[str] = Counter()
        self.breaches: list[Breach] = []
        self._position = Continuity(follow=True)

    @property
    def last_event_id(self) -> str:
        return self._position.last_event_id

    @property
    def keys(self) -> list[tuple[str, int]]:
        """Signature and part of each trade."""
        return [(trade["signature"], trade["part"]) for trade in self.trades]

    def take(self, event: Event, item: Item | None) -> None:
        """An event came; `item` is how the load tester reads it, where it does."""
        if item is not None and (item.epoch or item.seq):
            self.breaches += self._position.take(item)
        if event.name == "trade":
            self.trades.append(event.data)
        elif event.name == "retract":
            # Also what was pushed before something that a look at the chain found later: it comes
            # again behind that.
            taken_back = event.data["signature"]
            self.trades = [each for each in self.trades if each["signature"] != taken_back]
        elif event.name == "complete":
            self.complete = event.data
        elif event.name == "gap":
            self.gaps[event.data["reason"]] += 1
            self._position.gap()
            self.trades, self.complete = [], None


@lru_cache(4096)
def _read(block: bytes) -> tuple[Event, Item | None]:
    """Many follow the same wallet and get the same bytes."""
    return read_event(block), parse_frame(block).item


class Follower:
    """One client of `url`, a server's or proxy's. `ends`: how its connections and tries ended, in
    words; `changed` is called at whatever it takes notice of."""

    def __init__(self, url: str, wallet: str, changed: Callable[[], None], delay: float) -> None:
        self.wallet = wallet
        self.held = Held()
        self.connected = False
        self.ends: Counter[str] = Counter()
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._changed = changed
        self._delay = delay  # seconds; spreads the first connections
        self._silence = float(ANSWER_SECONDS)
        self._retry_ms = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.sleep(self._delay)
        while True:
            self._retry_ms = RETRY_MS
            try:
                self.ends[await self._connection()] += 1
            except TimeoutError:
                self.ends["silent"] += 1
            except OSError as error:
                self.ends[type(error).__name__] += 1
            self.connected = False
            self._changed()
            await asyncio.sleep(self._retry_ms / 1000)

    async def _connection(self) -> str:
        """From a request to the end of its answer. Says why that came."""
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(self._request())
            return await self._stream(reader)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _stream(self, reader: asyncio.StreamReader) -> str:
        head, data = await self._head(reader)
        if head.status != OK:
            self._retry_ms = int(head.headers.get("retry-after", "1")) * 1000
            return f"status {head.status}"
        body = body_of(head)
        rest = b""
        while True:
            whole, rest = cut(rest + (body.feed(data) if body else data))
            for block in whole.split(END)[:-1]:
                event = self._take(block)
                if event.name in ("bye", "error"):
                    return f"{event.name} {event.data.get('reason') or event.data['code']}"
            self._changed()
            async with asyncio.timeout(self._silence):
                data = await reader.read(READ_BYTES)
            if not data:
                return "dropped"

    async def _head(self, reader: asyncio.StreamReader) -> tuple[Head, bytes]:
        data = b""
        async with asyncio.timeout(ANSWER_SECONDS):
            while (found := read_head(data)) is None:
                received = await reader.read(READ_BYTES)
                if not received:
                    raise ConnectionResetError
                data += received
        return found

    def _take(self, block: bytes) -> Event:
        event, item = _read(block)
        self.held.take(event, item)
        if event.name == "connected":
            self.connected = True
            self._silence = event.data["heartbeat_seconds"] * MISSED_HEARTBEATS
        if event.retry is not None:
            self._retry_ms = event.retry
        return event

    def _request(self) -> bytes:
        lines = [
            f"GET /v4/wallet/{self.wallet}/stream?follow=true HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            "Accept: text/event-stream",
        ]
        if self.held.last_event_id:
            lines.append(f"Last-Event-ID: {self.held.last_event_id}")
        return "\r\n".join([*lines, "", ""]).encode()


class Followers(Sequence[Follower]):
    """All of them, in this process's loop."""

    def __init__(self, url: str, wallets: Sequence[str], seconds: float) -> None:
        """One for each of `wallets`, which may name one several times; they open within so many
        seconds."""
        self._changed = asyncio.Event()
        self._all = [
            Follower(url, wallet, self._changed.set, seconds * number / len(wallets))
            for number, wallet in enumerate(wallets)
        ]

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Follower]:
        return iter(self._all)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.run()) for each in self._all]
            yield
            for task in tasks:
                task.cancel()

    async def until(self, share: float, is_so: Callable[[Follower], bool], seconds: float) -> bool:
        """Wait until it is so for this share of them; False if it isn't in time."""
        wanted = share * len(self._all)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while sum(map(is_so, self._all)) < wanted:
                    self._changed.clear()
                    await self._changed.wait()
                return True
        return False
