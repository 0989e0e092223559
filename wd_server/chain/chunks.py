"""Transactions that are asked for before older ones have been read, and how much may wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from msgspec import Raw

from wd_server.chain.listing import ListedSignature

# Bytes of answers that may wait, over all reads of an upstream. A read always has its oldest chunk,
# and asks for others while less than this is waiting: so with many reads at a time each has
# little, and a lone one need not wait for anything but the upstream's limit.
HELD_BYTES_MAX = 64 * 1024 * 1024


class HeldBytes:
    """Counts the bytes of answers that wait to be decoded."""

    def __init__(self) -> None:
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        return self.bytes >= HELD_BYTES_MAX


class Chunk:
    """Some transactions in a row, in chain order, that are asked for as soon as this is made.

    `early`: ahead of others that come before it on the chain.
    """

    def __init__(
        self,
        listed: list[ListedSignature],
        asking: Coroutine[Any, Any, list[Raw]],
        held: HeldBytes,
        *,
        early: bool,
    ) -> None:
        self.listed = listed
        self.early = early
        self._held = held
        self._bytes = 0
        self._dropped = False
        self._task = asyncio.get_running_loop().create_task(asking)
        self._task.add_done_callback(self._arrived)

    @property
    def is_there(self) -> bool:
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None

    async def wait(self, seconds: float) -> None:
        """Until it is there or failed, no longer than so many seconds."""
        await asyncio.wait((self._task,), timeout=seconds)

    async def answers(self) -> list[Raw]:
        """Raises what asking raised. A cancelled caller leaves the request running."""
        return await asyncio.shield(self._task)

    async def drop(self) -> None:
        """Let go of the answers; a request that is still under way ends. Twice is no error."""
        self._dropped = True
        self._held.bytes -= self._bytes
        self._bytes = 0
        self._task.cancel()
        await asyncio.wait((self._task,))

    def _arrived(self, task: asyncio.Task[list[Raw]]) -> None:
        if not self.is_there or self._dropped:
            return
        self._bytes = sum(len(memoryview(each)) for each in task.result())
        self._held.bytes += self._bytes
