"""How many wallets are read for the first time at a time, and whose is next."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wd_server.chain.turns import FairQueue, Tenant, Turn

# Wallets that are read for the first time at a time. What each holds while it waits for the
# upstream would stay with the process: 9 KB for each of 19,000 that come at once. Enough that some
# large ones don't keep the small ones waiting.
FIRST_READS = 256
# Of them, those of one tenant, so that several find room beside one that wants all. A lone one
# still fills the upstream's connections several times over.
FIRST_READS_EACH = 64
# Places beyond these for tenants who have none yet, so that somebody's first wallet waits for
# nobody's later ones.
NEWCOMERS = 256


class Places:
    """A tenant's turns go round as they do at the upstream."""

    def __init__(self) -> None:
        self._taken: Counter[Tenant] = Counter()
        self._count = 0
        self._waiting: FairQueue[asyncio.Future[Tenant]] = FairQueue()

    @asynccontextmanager
    async def taken(self, turn: Turn, *, first: bool) -> AsyncIterator[None]:
        """Wait for a place, and have it as long as the `with` block lasts. Only a `first` read
        needs one."""
        if not first:
            yield
            return
        tenant = await self._take(turn)
        try:
            yield
        finally:
            self._free(tenant)

    def call(self) -> None:
        """Give places to those who may have one now: some are free, or somebody else wants the same
        wallet."""
        while (
            self._count < FIRST_READS + NEWCOMERS
            and (found := self._waiting.pop(self._may_take)) is not None
        ):
            called, tenant = found
            if not called.done():
                self._taken[tenant] += 1
                self._count += 1
                called.set_result(tenant)

    def _may_take(self, tenant: Tenant) -> bool:
        own = self._taken[tenant]
        return not own or (self._count < FIRST_READS and own < FIRST_READS_EACH)

    async def _take(self, turn: Turn) -> Tenant:
        called: asyncio.Future[Tenant] = asyncio.get_running_loop().create_future()
        self._waiting.add(turn, called)
        self.call()
        try:
            return await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._free(called.result())
            else:
                self._waiting.discard(turn, called)
            raise

    def _free(self, tenant: Tenant) -> None:
        self._count -= 1
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        self.call()
