"""Rival: a plain Tornado handler that awaits its flushes, one coroutine a client."""

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from bench.rivals.commands import obey
from bench.rivals.feed import Feed
from bench.rivals.floor import BACKLOG


class Events(RequestHandler):
    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        async for frame in self._feed.frames():
            self.write(frame)
            await self.flush()


async def serve() -> None:
    feed = Feed()
    sockets = bind_sockets(0, address="127.0.0.1", backlog=BACKLOG)
    HTTPServer(Application([("/", Events, {"feed": feed})])).add_sockets(sockets)
    await obey(sockets[0].getsockname()[1], feed.publish)


if __name__ == "__main__":
    uvloop.run(serve())
