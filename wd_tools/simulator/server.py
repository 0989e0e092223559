"""The simulator over HTTP: JSON-RPC by POST, DefiLlama's price routes by GET."""

import asyncio
import random
from typing import Any, Final

import msgspec
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from wd_tools.simulator import rpc
from wd_tools.simulator.faults import Faults
from wd_tools.simulator.market import WalletSize
from wd_tools.simulator.options import SimulatorOptions
from wd_tools.simulator.prices import period_seconds
from wd_tools.simulator.replies import Reply, faulty
from wd_tools.simulator.truth import Truth
from wd_tools.simulator.upstream import SPOILT, Upstream
from wd_tools.simulator.webhook_handler import WebhookHandler
from wd_tools.simulator.websocket import SubscriptionHandler, UpgradeMatches

PRICES: Final = rpc.RpcRequest((rpc.Call("prices", None, None),), False)


class Simulator:
    """A Solana RPC that isn't one. Make it anywhere; `start` it on a running event loop."""

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self._upstream = Upstream(self.options)
        self._server: HTTPServer | None = None
        self._live: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def wallets(self) -> list[WalletSize]:
        return self._upstream.market.wallets

    @property
    def faults(self) -> Faults:
        return self._upstream.faults

    async def truth(self, address: str) -> list[Truth]:
        """What each transaction of the wallet did, oldest first; empty for an unknown one."""
        return await self._upstream.market.truth(address)

    async def append(self, address: str, count: int = 1) -> list[str]:
        """Let the wallet do `count` more transactions now; their signatures."""
        entries = await self._upstream.market.append(address, count)
        return [entry.signature for entry in entries]

    def statistics(self) -> dict[str, Any]:
        return self._upstream.control.statistics()

    def app(self) -> Application:
        given = {"upstream": self._upstream, "stopping": self._stopping}
        return Application(
            [
                (UpgradeMatches(), SubscriptionHandler, given),
                (r"/", RpcHandler, given),
                (r"/v0/webhooks(?:/([^/]+))?", WebhookHandler, given),
                (r"/prices/(current|historical/\d+)/(.+)", PricesHandler, given),
                (r"/(batchHistorical)", PricesHandler, given),
                (r"/(chart)/(.+)", PricesHandler, given),
            ],
            log_function=lambda handler: None,
        )

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port. With `warm` the histories are made first."""
        if self.options.warm:
            await self._upstream.market.warm()
        self._upstream.begin()
        self._server = HTTPServer(self.app())
        sockets = bind_sockets(port, address=host)
        self._server.add_sockets(sockets)
        if self.options.live_rate > 0:
            self._live = asyncio.create_task(self._live_market())
        bound: int = sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        self._stopping.set()
        if self._live is not None:
            self._live.cancel()
            await asyncio.gather(self._live, return_exceptions=True)
        self._upstream.feed.stop()
        await self._upstream.webhooks.stop()
        self._upstream.hub.drop_all()
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()

    async def _live_market(self) -> None:
        """Moments are drawn beforehand, so that the same seed makes the same market however
        busy the machine is."""
        rng = random.Random(f"live/{self.options.seed}")
        clock, moment = self._upstream.clock, 0.0
        while True:
            moment += rng.expovariate(self.options.live_rate)
            await asyncio.sleep(max(0.0, moment - clock.elapsed()))
            await self._upstream.market.append_anywhere(moment)


class _Handler(RequestHandler):
    def initialize(self, upstream: Upstream, stopping: asyncio.Event) -> None:
        self.upstream = upstream
        self.stopping = stopping
        self._gone = asyncio.Event()

    def compute_etag(self) -> str | None:
        return None  # hashing megabytes would cost more than sending them

    def on_connection_close(self) -> None:
        self._gone.set()

    async def send(self, reply: Reply) -> None:
        if reply.wire == "hang":
            await self._nothing_happens()
            return
        if reply.wire == "disconnect":
            self.detach().close()
            return
        if reply.wire == "truncate":
            await self._half(reply)
            return
        self.set_status(reply.status)
        self.set_header("Content-Type", reply.content_type)
        if reply.retry_after is not None:
            self.set_header("Retry-After", f"{reply.retry_after:g}")
        self.finish(reply.body)

    async def _nothing_happens(self) -> None:
        ends = [asyncio.ensure_future(e.wait()) for e in (self._gone, self.stopping)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if not self._gone.is_set():
            self.detach().close()

    async def _half(self, reply: Reply) -> None:
        head = (
            "HTTP/1.1 200 OK\r\n"
            f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n\r\n"
        )
        stream = self.detach()
        await stream.write(head.encode() + reply.body[: len(reply.body) // 2])
        stream.close()


class RpcHandler(_Handler):
    async def post(self) -> None:
        key = self.get_query_argument("api-key", None)
        await self.send(await self.upstream.answer(self.request.body, key))


class PricesHandler(_Handler):
    async def get(self, route: str, coins: str = "") -> None:
        self.upstream.rpc.requests["prices"] += 1
        fault = self.upstream.faults.strike("prices", batch=False)
        if fault is not None and fault.kind not in SPOILT:
            await self.send(faulty(fault, PRICES))
            return
        await self.upstream.delay()
        try:
            found = self._prices(route, coins.split(","))
        except (ValueError, msgspec.DecodeError):
            raise HTTPError(400) from None
        kind = fault.kind if fault else None
        body = msgspec.json.encode({"coins": {}} if kind == "null_results" else found)
        await self.send(Reply(body, wire="truncate" if kind == "truncate" else "whole"))

    def _prices(self, route: str, coins: list[str]) -> dict[str, Any]:
        prices, now = self.upstream.prices, self.upstream.market.clock.now()
        if route == "batchHistorical":
            asked = self.get_query_argument("coins")
            return prices.batch(msgspec.json.decode(asked, type=dict[str, list[int]]))
        if route == "chart":
            span = int(self.get_query_argument("span", "1"))
            period = period_seconds(self.get_query_argument("period", "24h"))
            end = int(self.get_query_argument("end", str(now)))
            start = self.get_query_argument("start", None)
            return prices.chart(coins, int(start or end - span * period), span, period)
        _, _, at = route.partition("/")
        return prices.at(coins, int(at) if at else now)
