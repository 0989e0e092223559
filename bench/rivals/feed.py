"""What readers share that wait each in a coroutine of its own: Tornado's and Starlette's."""

import asyncio
from collections.abc import AsyncIterator

from bench.rivals import wire


class Feed:
    """One number and one event for all readers: the least that such a server has to hold."""

    def __init__(self) -> None:
        self._readers = 0
        self._published = 0
        self._undelivered = 0
        self._delivered = asyncio.Event()
        self._news = asyncio.Event()

    async def frames(self) -> AsyncIterator[bytes]:
        """The greeting, then events as they are published. Who asks for the next one has
        delivered the one before."""
        frame = wire.frame()
        seen = self._published
        self._readers += 1
        try:
            yield wire.GREETING
            while True:
                while seen < self._published:
                    seen += 1
                    yield frame
                    self._undelivered -= 1
                    if self._undelivered == 0:
                        self._delivered.set()
                await self._news.wait()
        finally:
            self._readers -= 1

    async def publish(self, burst: int) -> None:
        self._published += burst
        self._undelivered = burst * self._readers
        self._delivered.clear()
        news, self._news = self._news, asyncio.Event()
        news.set()
        await self._delivered.wait()
