"""Forks: the newest slots leave the chain, but never one that is finalized."""

import asyncio
from collections.abc import Sequence

from wd_tools.simulator.commitments import Commitments
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.faults import Faults
from wd_tools.simulator.feed import Feed
from wd_tools.simulator.market import Fork, Market


class Forks:
    """On order, and by the fault `fork` in slots in which something happened."""

    def __init__(
        self, market: Market, commitments: Commitments, feed: Feed, faults: Faults
    ) -> None:
        self._market = market
        self._commitments = commitments
        self._faults = faults
        self._newest = 0
        self.count = 0
        feed.listen("processed", self._processed)

    def fork(self, depth: int) -> Fork:
        """Abandon the newest `depth` slots, the one that still goes on included."""
        self.count += 1
        kept = self._commitments.slot("processed") - max(0, depth)
        return self._market.fork(max(kept, self._commitments.slot("finalized")))

    def _processed(self, entries: Sequence[Entry]) -> None:
        if entries[-1].slot <= self._newest:
            return
        self._newest = entries[-1].slot
        fault = self._faults.befall("fork", "slot")
        if fault is not None:
            # Not in the middle of telling what is abandoned.
            asyncio.get_running_loop().call_soon(self.fork, fault.depth)
