"""An upstream's WebSocket that does what a test says, on a loopback port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Handler(WebSocketHandler):
    def open(self, *args: str) -> None:
        self.server: ScriptedSocket = self.application.settings["server"]
        self.server.connections.append(self)
        self.server.changed.set()

    def on_message(self, message: str | bytes) -> None:
        self.server.hear(self, json.loads(message))

    def on_close(self) -> None:
        self.server.connections.remove(self)
        self.server.changed.set()


class ScriptedSocket:
    """`refused`: an error for each method that isn't offered. `silent`: nothing is answered.
    `standing`: subscriptions by number, with their connection, method and parameters."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[Handler] = []
        self.requests: list[dict[str, Any]] = []
        self.refused: dict[str, dict[str, Any]] = {}
        self.silent = False
        self.standing: dict[int, tuple[Handler, str, Any]] = {}
        self.changed = asyncio.Event()
        self._numbers = iter(range(1, 1_000_000))

    def hear(self, connection: Handler, request: dict[str, Any]) -> None:
        self.requests.append(request)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        method = request["method"]
        if method in self.refused:
            answer["error"] = self.refused[method]
        elif method.endswith("Unsubscribe"):
            answer["result"] = self.standing.pop(request["params"][0], None) is not None
        else:
            number = next(self._numbers)
            self.standing[number] = (connection, method, request["params"])
            answer["result"] = number
        if not self.silent:
            connection.write_message(json.dumps(answer))
        self.changed.set()

    def notify(self, number: int, result: Any) -> None:
        connection, method, _ = self.standing[number]
        params = {"subscription": number, "result": result}
        name = method.removesuffix("Subscribe") + "Notification"
        message = {"jsonrpc": "2.0", "method": name, "params": params}
        connection.write_message(json.dumps(message))

    def cut(self) -> None:
        """All connections break without a goodbye."""
        for connection in list(self.connections):
            connection.ws_connection.stream.close()  # type: ignore[union-attr]
        self.standing.clear()

    def wallets(self) -> list[list[str]]:
        """Of each subscription that stands, oldest first."""
        return [
            params[0].get("accountInclude") or params[0]["mentions"]
            for _, (_, _, params) in sorted(self.standing.items())
        ]


async def until(changed: asyncio.Event, holds: Any) -> None:
    """Wait until it holds, looking whenever something changed."""
    async with asyncio.timeout(10):
        while not holds():
            changed.clear()
            await changed.wait()


@asynccontextmanager
async def scripted_socket() -> AsyncIterator[ScriptedSocket]:
    server = ScriptedSocket()
    http = HTTPServer(Application([(r"/.*", Handler)], server=server))
    listener, port = bind_unused_port()
    http.add_socket(listener)
    server.url = f"ws://127.0.0.1:{port}/?api-key=c0ffee00-dead-beef-feed-0123456789ab"
    try:
        yield server
    finally:
        http.stop()
        await http.close_all_connections()
