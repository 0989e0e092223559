"""Limits calls to the upstream to the plan's rate and to the free connections, in a fair order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from wd_server.chain import faults
from wd_server.chain.pacing import TokenBucket
from wd_server.chain.turns import FairQueue, Tenant, Turn
from wd_server.tasks import Tasks

# Seconds a call may wait for its turn: with more than that queued, refusing is kinder.
MAX_TURN_SECONDS = 120.0


class CallLimiter:
    """`bucket` is this limiter's own, `connections` are shared with others. `clock` is monotonic
    seconds."""

    def __init__(
        self,
        bucket: TokenBucket,
        connections: asyncio.Semaphore,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        tasks: Tasks,
    ) -> None:
        self.bucket: Final = bucket
        self._connections = connections
        self._clock = clock
        self._sleep = sleep
        self._tasks = tasks
        self._waiting: FairQueue[asyncio.Future[Tenant]] = FairQueue()
        self._serving: asyncio.Task[None] | None = None

    @property
    def room(self) -> int:
        """Calls that could be sent now without making others wait."""
        return 0 if self._waiting else max(0, int(self.bucket.left(self._clock())))

    async def acquire(self, turn: Turn) -> Tenant:
        """Wait for a token of the rate and for a connection, and return the tenant in whose turn
        they came. The connection has to be released. Raises UpstreamRateLimit if that would take
        too long."""
        now = self._clock()
        wait = self.bucket.wait(now, self._waiting.ahead(turn) + 1)
        if wait > MAX_TURN_SECONDS:
            raise faults.rate_limited(wait)
        if wait or self._serving is not None or self._connections.locked():
            return await self._queue(turn)
        self.bucket.take(now)
        await self._connections.acquire()
        return next(iter(turn.tenants))

    def give_back(self) -> None:
        """Neither the token nor the connection was used."""
        self.bucket.give_back()
        self._connections.release()

    async def _queue(self, turn: Turn) -> Tenant:
        called: asyncio.Future[Tenant] = asyncio.get_running_loop().create_future()
        self._waiting.add(turn, called)
        if self._serving is None:
            self._serving = self._tasks.keep("turns", self._serve)
        try:
            async with asyncio.timeout(MAX_TURN_SECONDS):
                return await called
        except TimeoutError:
            self._leave(turn, called)
            raise faults.rate_limited(MAX_TURN_SECONDS) from None
        except asyncio.CancelledError:
            self._leave(turn, called)
            raise

    def _leave(self, turn: Turn, called: asyncio.Future[Tenant]) -> None:
        if called.done() and not called.cancelled():
            self.give_back()
            return
        self._waiting.discard(turn, called)
        if not self._waiting and self._serving is not None:
            self._serving.cancel()
            self._serving = None
            self.bucket.give_back()

    async def _serve(self) -> None:
        """Wake the calls that wait, one for each token. Whenever this waits itself, it has taken a
        token: whoever cancels it gives that back."""
        while self._waiting:
            wait = self.bucket.take(self._clock())
            if wait:
                await self._sleep(wait)
            await self._connections.acquire()
            if not self._call_next():
                self.give_back()
        self._serving = None

    def _call_next(self) -> bool:
        while (found := self._waiting.pop()) is not None:
            called, tenant = found
            if not called.done():
                called.set_result(tenant)
                return True
        return False
