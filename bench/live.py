"""How soon a new trade reaches who follows: from the upstream's notification to a client's socket.

1,000 wallets are followed, each by a stream of its own, while the simulated chain makes 200 trades
a second. The notification's moment is when another subscriber has it, which the simulator tells at
the same time as the server.
"""

import asyncio
import json
from statistics import quantiles
from time import perf_counter
from typing import NamedTuple

from tornado.websocket import websocket_connect

from bench import deployment
from bench.row import Row, at_most
from tests.processes import Server, Simulator

WALLETS, SIZE = 1000, 20
# Transactions a second; two of three are trades of these wallets.
RATE = 300
SECONDS = 20
# Seconds for all wallets to be read twice: at first, and when their subscriptions stand.
PATIENCE = 120
PASSES = 'analyses_total{outcome="complete"}'
LOOK_SECONDS = 0.5

P99_MS = 25


class Seen(NamedTuple):
    """Milliseconds from notification to socket, and the server's processor time in seconds."""

    delays: list[float]
    seconds: float
    cpu: float


def measure(wallets: int = WALLETS, rate: float = RATE, seconds: float = SECONDS) -> list[Row]:
    options = ("--only", "--warm", "--wallets", f"{SIZE}x{wallets}", "--end-time", "now")
    with (
        deployment.chain(*options, "--live", str(rate)) as chain,
        deployment.deployed(chain, UPSTREAM_PLAN="professional") as server,
    ):
        return rows(asyncio.run(_watch(chain, server, seconds)), wallets)


def rows(seen: Seen, wallets: int) -> list[Row]:
    cuts = quantiles(seen.delays, n=100)
    trades = len(seen.delays) / seen.seconds
    what = f"notification to socket, {wallets:,} wallets followed, {trades:.0f} trades/s"
    figure = f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"
    a_trade = seen.cpu / len(seen.delays) * 1e3
    used = f"{seen.cpu / seen.seconds:.0%} of a core, {a_trade:.2f} ms a trade"
    return [
        at_most(what, cuts[98], P99_MS, figure, " ms p99"),
        Row("the server meanwhile", used),
    ]


async def _watch(chain: Simulator, server: Server, seconds: float) -> Seen:
    notified: dict[str, float] = {}
    told: dict[str, float] = {}
    wallets = [address for address, _ in chain.wallets]

    async def follow(wallet: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**22)
        writer.write(
            f"GET /v4/wallet/{wallet}/stream?follow=true HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        while True:
            block = await reader.readuntil(b"\n\n")
            now = perf_counter()
            if b"\nevent: trade\n" in b"\n" + block:
                told.setdefault(
                    block.partition(b'"signature":"')[2].partition(b'"')[0].decode(), now
                )

    async def listen() -> None:
        socket = await websocket_connect(chain.url.replace("http", "ws", 1))
        params = [
            {"accountInclude": wallets, "failed": False, "tokenAccounts": "balanceChanged"},
            {"commitment": "confirmed", "transactionDetails": "signatures"},
        ]
        request = {"jsonrpc": "2.0", "id": 1, "method": "transactionSubscribe", "params": params}
        await socket.write_message(json.dumps(request))
        while (message := await socket.read_message()) is not None:
            now = perf_counter()
            signature = str(message).partition('"signature":"')[2].partition('"')[0]
            notified.setdefault(signature, now)

    tasks = [asyncio.create_task(follow(wallet)) for wallet in wallets]
    tasks.append(asyncio.create_task(listen()))
    async with asyncio.timeout(PATIENCE):
        # A server doesn't tell when it has read everything.
        while (await asyncio.to_thread(server.metrics)).get(PASSES, 0) < 2 * len(wallets):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
    before, started = deployment.cpu(server), perf_counter()
    await asyncio.sleep(seconds)
    took, used = perf_counter() - started, deployment.cpu(server).since(before).total
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # Of what came at the end the other half may still be on its way.
    counted = [each for each, at in notified.items() if started < at < started + seconds - 1]
    return Seen(
        [(told[each] - notified[each]) * 1e3 for each in counted if each in told], took, used
    )
