"""A simulator on a free port of the loopback, and a client that speaks to it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from wd_tools.simulator.options import SimulatorOptions
from wd_tools.simulator.server import Simulator

LONGEST_TEST = 30  # seconds; a test that waits for what never comes fails


class Socket:
    """A WebSocket on which answers are awaited one by one and notifications kept."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self.kept: list[dict[str, Any]] = []
        self.ended = False
        self._number = 0

    async def call(self, method: str, *params: Any) -> Any:
        """The result, or the error object."""
        self._number += 1
        await self.connection.write_message(json.dumps(request(method, params, self._number)))
        while True:
            message = await self._read()
            if message.get("id") == self._number:
                return message.get("error") or message["result"]
            self.kept.append(message)

    async def notified(self) -> dict[str, Any]:
        return self.kept.pop(0) if self.kept else await self._read()

    async def closed(self) -> None:
        """Waits for the end and leaves out what comes before it."""
        while not self.ended:
            self.ended = await self.connection.read_message() is None

    async def _read(self) -> dict[str, Any]:
        message = await self.connection.read_message()
        self.ended = message is None
        assert message is not None, "the connection ended"
        decoded: dict[str, Any] = json.loads(message)
        return decoded


class Client:
    def __init__(self, simulator: Simulator, port: int) -> None:
        self.simulator = simulator
        self.url = f"http://127.0.0.1:{port}"
        self.http = AsyncHTTPClient(force_instance=True)
        self.sockets: list[Socket] = []

    @property
    def wallet(self) -> str:
        """The last wallet, which tests give the size they need."""
        return self.simulator.wallets[-1].address

    async def get(self, path: str) -> HTTPResponse:
        return await self.http.fetch(self.url + path, raise_error=False, request_timeout=10)

    async def post(self, body: Any, query: str = "", seconds: float = 10) -> HTTPResponse:
        raw = body if isinstance(body, str) else json.dumps(body)
        return await self.http.fetch(
            f"{self.url}/{query}",
            method="POST",
            body=raw,
            raise_error=False,
            request_timeout=seconds,
        )

    async def call(self, method: str, *params: Any) -> Any:
        """The result, or the error object."""
        given = params[0] if len(params) == 1 and isinstance(params[0], dict) else list(params)
        answer = json.loads((await self.post(request(method, given))).body)
        return answer.get("error") or answer["result"]

    async def connect(
        self, query: str = "", ping_interval: float | None = None, ping_timeout: float | None = None
    ) -> Socket:
        connection = await websocket_connect(
            f"ws{self.url[4:]}/{query}", ping_interval=ping_interval, ping_timeout=ping_timeout
        )
        self.sockets.append(Socket(connection))
        return self.sockets[-1]


def request(method: str, params: Any, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


Served = Callable[..., None]


@pytest.fixture
def served() -> Served:
    """Runs a test's coroutine function with a client of a simulator that has these options."""

    def run(test: Callable[[Client], Awaitable[None]], **options: Any) -> None:
        async def session() -> None:
            simulator = Simulator(SimulatorOptions(**{"sizes": (0, 1, 250), **options}))
            client = Client(simulator, await simulator.start())
            try:
                async with asyncio.timeout(LONGEST_TEST):
                    await test(client)
            finally:
                client.http.close()
                await simulator.stop()
                for ws in client.sockets:
                    ws.connection.close()
                    await ws.closed()

        asyncio.run(session())

    return run
