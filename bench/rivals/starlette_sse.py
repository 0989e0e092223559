"""Rival: sse-starlette on uvicorn with uvloop and httptools, its fastest parts.

It is handed ready bytes, which spares it the encoding of each event for each client.
"""

import asyncio

import uvicorn
import uvloop
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from tornado.netutil import bind_sockets

from bench.rivals.commands import obey
from bench.rivals.feed import Feed
from bench.rivals.floor import BACKLOG

# Its pings belong to what it is, but 5,000 of them would disturb whoever is measured meanwhile.
PING_SECONDS = 3600


async def serve() -> None:
    feed = Feed()

    async def events(_: Request) -> EventSourceResponse:
        return EventSourceResponse(feed.frames(), ping=PING_SECONDS)

    config = uvicorn.Config(
        Starlette(routes=[Route("/", events)]),
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
    sockets = bind_sockets(0, address="127.0.0.1", backlog=BACKLOG)
    serving = asyncio.create_task(uvicorn.Server(config).serve(sockets))
    await obey(sockets[0].getsockname()[1], feed.publish)
    serving.cancel()


if __name__ == "__main__":
    uvloop.run(serve())
