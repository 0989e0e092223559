"""Very many clients that come and go leave nothing behind."""

import asyncio
from pathlib import Path
from typing import Self, cast
from urllib.parse import urlsplit

from eventsource import EventSource
from processes import PATIENCE, Server, Simulator, server

CLIENTS, ROUNDS = 2000, 10
# Connections begun at a time: few, so that the most that is open at a time is known.
WAVE = 100
# Bytes that a stream may leave in memory, by the last round and the second one, which had filled
# every cache. A stream that is kept has 2,000; 110 to 170 were measured, and no Python object among
# them is known.
LEFT_BY_A_STREAM = 300

TRADE, END = b"\nevent: trade\n", b"\nevent: complete\n"


class Client(asyncio.Protocol):
    """Reads one stream and counts its trades. `done` with the count when it saw `complete`: one
    that follows drops the connection then, another waits until the server ends it."""

    def __init__(self, target: str, follow: bool) -> None:
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._request = f"GET {target}?follow={str(follow).lower()} HTTP/1.1\r\nHost: x\r\n\r\n"
        self._follow = follow
        self._tail = b""
        self._trades = 0
        self._ended = False

    def itself(self) -> Self:
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        self._trades += data.count(TRADE)
        self._ended = self._ended or END in data
        # Shorter than what is looked for, so that nothing counts twice.
        self._tail = data[1 - len(TRADE) :]
        if self._ended and self._follow and not self.done.done():
            self.done.set_result(self._trades)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(self._trades if self._ended else -1)

    def drop(self) -> None:
        self._transport.abort()


def test_two_thousand_clients_ten_times_leave_no_memory_stream_channel_or_pass_behind(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        with EventSource(started.stream(wallet)) as stream:
            trades = sum(event.name == "trade" for event in stream)
        assert trades > 0
        memory = []
        for _ in range(ROUNDS):
            assert asyncio.run(_come_and_go(started, wallet)) == {trades}
            started.wait_for("active_streams", 0)
            memory.append(started.memory())
        print("MB after each round:", [round(each / 1e6, 1) for each in memory])
        assert memory[-1] - memory[1] < LEFT_BY_A_STREAM * CLIENTS * (ROUNDS - 2)

        started.wait_for("analyses_running", 0)
        assert started.get("/health")["streaming"]["active_streams"] == 0
        metrics = started.metrics()
        assert metrics["channels"] == 0
        assert metrics["total_streams"] == CLIENTS * ROUNDS + 1


async def _come_and_go(started: Server, wallet: str) -> set[int]:
    """How many trades the clients got. Half of them stay to the end of the round, so that each
    round has as many streams open at a time, whatever the machine does."""
    target = urlsplit(started.stream(wallet)).path
    counts = set()
    followers = [Client(target, follow=True) for _ in range(CLIENTS // 2)]
    for first in range(0, len(followers), WAVE):
        counts |= await _connect(started, followers[first : first + WAVE])
    for _ in range(0, CLIENTS - len(followers), WAVE):
        counts |= await _connect(started, [Client(target, follow=False) for _ in range(WAVE)])
    for client in followers:
        client.drop()
    return counts


async def _connect(started: Server, clients: list[Client]) -> set[int]:
    """Have these clients read to their end."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(
        *(loop.create_connection(client.itself, "127.0.0.1", started.port) for client in clients)
    )
    return set(
        await asyncio.wait_for(asyncio.gather(*(client.done for client in clients)), PATIENCE)
    )
