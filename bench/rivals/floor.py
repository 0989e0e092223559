"""The floor: the least a Python server can do. A uvloop protocol that writes ready bytes; no HTTP
but one answer to whatever comes, no journal, no positions, no slices, no heartbeats."""

import asyncio
from typing import cast

import uvloop

from bench.rivals import wire
from bench.rivals.commands import obey

# Connections the kernel holds until they are accepted, as wd-server has it.
BACKLOG = 4096
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Reader(asyncio.Protocol):
    __slots__ = ("_readers", "_transport")

    def __init__(self, readers: set[asyncio.WriteTransport]) -> None:
        self._readers = readers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_HEAD + wire.GREETING)
        self._readers.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._readers.discard(self._transport)


async def serve() -> None:
    readers: set[asyncio.WriteTransport] = set()
    frame = wire.frame()

    async def publish(burst: int) -> None:
        data = frame * burst
        for transport in readers:
            transport.write(data)
        await asyncio.sleep(0)  # the loop writes what was handed in at the end of its turn

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Reader(readers), "127.0.0.1", 0, backlog=BACKLOG)
    await obey(server.sockets[0].getsockname()[1], publish)


if __name__ == "__main__":
    uvloop.run(serve())
