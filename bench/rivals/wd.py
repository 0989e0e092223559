"""wd-server itself: its App and Server as `bin/wd-server` starts them, and the settings' defaults
as they are. Only the sessions are left out: the benchmark says what comes into the journal."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from random import Random

import uvloop

from bench.rivals import wire
from bench.rivals.commands import obey
from wd_server import logs
from wd_server.app import App
from wd_server.chain.turns import Tenant
from wd_server.config.settings import Settings
from wd_server.events import kinds, sse
from wd_server.journal.base import NewEntry
from wd_server.server import Server
from wd_server.streaming.channel import Channel
from wd_server.streaming.registry import StreamRegistry
from wd_server.streaming.stream import Stream

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"


class Silence:
    """In the place of the sessions: no wallet's journal is filled because somebody watches it."""

    def join(
        self, wallet: str, observer: Channel, follow: bool, tenant: Tenant, *, held: bool
    ) -> None: ...

    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None: ...


async def serve() -> None:
    settings = Settings.from_environment(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr, settings.secrets())
    app = App(settings)
    app.registry = registry = StreamRegistry(
        app.registry.limits, app.journal, Silence(), time.time, Random()
    )
    server = Server(app)
    await server.start()
    journal = app.journal
    lease = await journal.acquire(WALLET)
    assert lease is not None
    epoch = await journal.begin(lease, time.time())
    head = 0

    async def publish(burst: int) -> None:
        nonlocal head
        entries = [_entry(epoch, seq) for seq in range(head + 1, head + burst + 1)]
        head = (await journal.append(lease, epoch, entries, b"", time.time())).seq
        await _visited(registry)

    await obey(server.port, publish)
    await server.stop(0)


def _entry(epoch: int, seq: int) -> NewEntry:
    around = len(sse.frame(kinds.TRADE, b"", f"{epoch}-{seq}"))
    return NewEntry(kinds.TRADE, wire.payload(wire.EVENT_BYTES - around))


async def _visited(registry: StreamRegistry) -> None:
    """Returns when the streams were visited that the append announced itself to: visits are made
    in the order in which they were asked for."""
    visited = asyncio.get_running_loop().create_future()

    def nobody() -> Iterator[Stream]:
        visited.set_result(None)
        yield from ()

    registry.visit(nobody(), lambda stream: None)
    await visited


if __name__ == "__main__":
    uvloop.run(serve())
