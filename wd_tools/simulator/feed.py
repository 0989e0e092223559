"""Tells of new transactions as their slots are processed, confirmed and finalized.

A slot in which nothing happened costs nothing: there is a timer only for one that has news.
"""

import asyncio
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from wd_tools.simulator.commitments import LEVELS, Commitment, Commitments
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.market import Market

Listener = Callable[[Sequence[Entry]], None]
# Seconds that a listener is told later, so that it finds the slot settled when it asks.
_AFTER: Final = 0.001


class Feed:
    """Listeners get the transactions of one or several slots, in the order of the chain unless
    the market made them on the spot."""

    def __init__(self, market: Market, commitments: Commitments) -> None:
        self._market = market
        self._commitments = commitments
        self._listeners: dict[Commitment, list[Listener]] = {level: [] for level in LEVELS}
        self._due: dict[tuple[Commitment, int], list[Entry]] = {}
        self._timers: dict[tuple[Commitment, int], asyncio.TimerHandle] = {}
        market.listen(self._made)

    def listen(self, level: Commitment, listener: Listener) -> None:
        self._listeners[level].append(listener)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _made(self, entries: Sequence[Entry]) -> None:
        for level, listeners in self._listeners.items():
            if not listeners:
                continue
            now: list[Entry] = []
            for entry in entries:
                wait = self._commitments.wait(level, entry.slot)
                if wait <= 0:
                    now.append(entry)
                else:
                    self._later(level, entry, wait)
            if now:
                self._tell(level, now)

    def _later(self, level: Commitment, entry: Entry, wait: float) -> None:
        key = (level, entry.slot)
        self._due.setdefault(key, []).append(entry)
        if key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(wait + _AFTER, self._reached, key)

    def _reached(self, key: tuple[Commitment, int]) -> None:
        del self._timers[key]
        entries = self._due.pop(key)
        # A fork may have taken some of them away meanwhile, or put them into another slot.
        left = [entry for entry in entries if self._market.has(entry)]
        if left:
            self._tell(key[0], sorted(left, key=attrgetter("place")))

    def _tell(self, level: Commitment, entries: Sequence[Entry]) -> None:
        for listener in self._listeners[level]:
            listener(entries)
