"""A Solana RPC that answers from a script, on a loopback port, and what tests need around it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from wd_server.chain.rpc import RpcClient, upstream_http_client

KEY = "c0ffee00-dead-beef-feed-0123456789ab"


@dataclass
class Reply:
    """One HTTP answer. `body` as it is, or anything that becomes JSON."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Hang:
    """No answer, ever."""


class Truncated(Reply):
    """The connection ends in the middle of the body."""


class Stalled(Reply):
    """No more after the first half of the body."""


def result(value: Any) -> Callable[[Any], Reply]:
    """A JSON-RPC result with the id of whatever was asked."""
    return lambda request: Reply({"jsonrpc": "2.0", "id": request["id"], "result": value})


def error(code: int, message: str = "no", status: int = 200) -> Callable[[Any], Reply]:
    return lambda request: Reply(
        {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}, status
    )


class Handler(RequestHandler):
    async def post(self) -> None:
        server: ScriptedRpc = self.application.settings["server"]
        request = json.loads(self.request.body)
        server.requests.append(request)
        server.paths.append(self.request.uri or "")
        server.connections.add(self.request.connection.context.address)
        reply = server.answer(request)
        if callable(reply):
            reply = reply(request)
        if isinstance(reply, Hang):
            server.hanging.set()
            await server.released.wait()
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if isinstance(reply, Stalled):
            self.set_header("Content-Length", len(body))
            self.write(body[: len(body) // 2])
            await self.flush()
            server.hanging.set()
            await server.released.wait()
            return
        if isinstance(reply, Truncated):
            self.set_header("Content-Length", len(body))
            await self.flush()
            self.request.connection.stream.write(body[: len(body) // 2])
            self.request.connection.stream.close()
            return
        self.finish(body)

    def on_connection_close(self) -> None:
        self.application.settings["server"].dropped.set()


class ScriptedRpc:
    """`script`: answers in the order of requests; afterwards `otherwise` answers."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.otherwise: Callable[[Any], Any] | None = None
        self.requests: list[Any] = []
        self.paths: list[str] = []
        self.connections: set[Any] = set()
        self.hanging = asyncio.Event()
        self.dropped = asyncio.Event()
        self.released = asyncio.Event()
        self.url = ""

    def answer(self, request: Any) -> Any:
        if self.script:
            return self.script.pop(0)
        assert self.otherwise is not None, f"nothing scripted for {request}"
        return self.otherwise(request)


class FakeTime:
    """A clock that only sleeping moves. While `hold` is set nobody wakes up."""

    def __init__(self) -> None:
        self.hold = False
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.hold:
            await asyncio.Event().wait()
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Bench:
    server: ScriptedRpc
    time: FakeTime
    rpc: RpcClient


@asynccontextmanager
async def bench(
    *, rate: float = 1e6, das_rate: float = 1e6, request_timeout: float = 5.0
) -> AsyncGenerator[Bench, None]:
    server, time = ScriptedRpc(), FakeTime()
    application = Application([("/.*", Handler)], server=server, log_function=lambda _: None)
    listener, port = bind_unused_port()
    http_server = HTTPServer(application)
    http_server.add_sockets([listener])
    server.url = f"http://127.0.0.1:{port}/rpc?api-key={KEY}"
    http_client = upstream_http_client()
    rpc = RpcClient(
        server.url,
        http_client,
        rpc_per_second=rate,
        das_per_second=das_rate,
        clock=time.clock,
        random=lambda: 0.5,
        sleep=time.sleep,
        request_timeout=request_timeout,
    )
    try:
        yield Bench(server, time, rpc)
    finally:
        server.released.set()
        http_server.stop()
        await http_server.close_all_connections()
        http_client.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main()

    asyncio.run(bounded())
