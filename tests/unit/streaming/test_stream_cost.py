"""What a stream keeps in memory, and that an event leaves nothing behind. Counts, not timings."""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from wd_server.chain.turns import Tenant
from wd_server.embedded.journal import SqliteJournal
from wd_server.journal.base import Lease, NewEntry
from wd_server.streaming.channel import Channel
from wd_server.streaming.connection import Limits
from wd_server.streaming.demand import StreamRequest
from wd_server.streaming.registry import StreamRegistry
from wd_server.streaming.view import View

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
ASKED = StreamRequest(Tenant("ip:192.0.2.1"), 0.0)
LIMITS = Limits(heartbeat_seconds=3, write_timeout=5, stream_seconds=0, max_streams=10_000)
STREAMS = 2000
# Bytes kept for an idle stream but for its transport: itself, its id, its counts, and its places in
# the registry, in its channel and in the wheel. They are 520 in CPython 3.11: there is room for a
# field or two more, not for a dictionary, a list or a buffer of its own.
STREAM_BYTES = 560
# Events sent before and between two counts: fewer than 256 in all, of which CPython keeps the
# numbers ready, so that a stream's own count of events needs no memory.
WARM_UP, EVENTS = 20, 60
# Blocks that are there at one time and not at another: caches of the interpreter and of the loop.
# Far below one a stream.
BLOCKS = STREAMS // 10


class Sink(asyncio.Transport):
    """Takes everything and keeps nothing; one does for all streams."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def write(self, data: Any) -> None:
        self.writes += 1

    def abort(self) -> None:
        """Nobody is there who would notice."""


class Nobody:
    """A source that fills nothing by itself."""

    def join(
        self, wallet: str, observer: Channel, follow: bool, tenant: Tenant, *, held: bool
    ) -> None: ...
    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None: ...


class Bench:
    """A registry with STREAMS to be, whose journal begins an epoch."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.sink = Sink()
        self.registry = StreamRegistry(LIMITS, journal, Nobody(), lambda: 1000.0, Random(1))
        self._journal = journal
        self._lease: Lease | None = None
        self._run = 0

    async def begin(self) -> None:
        self._lease = await self._journal.acquire(WALLET)
        assert self._lease is not None
        self._run = await self._journal.begin(self._lease, 1000.0)

    async def open_streams(self) -> Channel:
        view = View(follow=True)
        channel = await self.registry.channel(WALLET)
        for _ in range(STREAMS):
            stream = self.registry.admit(channel, view, None, ASKED)
            stream.answer(b"", chunked=True, compressed=False)
            stream.connection_made(self.sink)
        return channel

    async def tell(self, events: int) -> None:
        """Have every stream write so many trades, one at a time."""
        assert self._lease is not None
        for _ in range(events):
            writes = self.sink.writes
            entries = [NewEntry("trade", b'{"kind":"trade"}')]
            await self._journal.append(self._lease, self._run, entries, b"", 1000.0)
            while self.sink.writes < writes + STREAMS:  # noqa: ASYNC110 - a sink announces nothing
                await asyncio.sleep(0)


def in_house(tmp_path: Path, scene: Callable[[Bench], Awaitable[None]]) -> None:
    async def play() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        bench = Bench(journal)
        await bench.begin()
        try:
            await scene(bench)
        finally:
            bench.registry.close()
            await journal.close()

    asyncio.run(play())


def test_an_idle_stream_keeps_few_bytes(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.registry.channel(WALLET)
        tracemalloc.start()
        try:
            before = _kept()
            await bench.open_streams()
            kept = (_kept() - before) / STREAMS
        finally:
            tracemalloc.stop()
        print(f"{kept:.0f} bytes a stream")
        assert kept <= STREAM_BYTES

    in_house(tmp_path, scene)


def test_an_event_leaves_nothing_behind_in_a_stream(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        channel = await bench.open_streams()

        async def blocks_after(events: int) -> int:
            await bench.tell(events)
            channel.forget()
            gc.collect()
            return sys.getallocatedblocks()

        before = await blocks_after(WARM_UP)
        after = await blocks_after(EVENTS)
        print(f"{after - before} blocks more")
        assert after - before <= BLOCKS

    in_house(tmp_path, scene)


def _kept() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
