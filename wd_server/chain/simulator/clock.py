"""Slots and their times: 0.4 seconds a slot, from a given moment on as real time goes."""

from collections.abc import Callable
from typing import Final

SLOT_SECONDS: Final = 0.4
FIRST_SLOT: Final = 430_000_000


class Clock:
    """`start` is the unix time of the newest slot when the simulator begins; `elapsed` tells the
    seconds since then."""

    first_slot = FIRST_SLOT

    def __init__(self, start: int, elapsed: Callable[[], float]) -> None:
        self.start = start
        self._elapsed = elapsed

    def now(self) -> int:
        return self.start + int(self._elapsed())

    def slot(self) -> int:
        return FIRST_SLOT + int(self._elapsed() / SLOT_SECONDS)

    def block_time(self, slot: int) -> int:
        """Unix seconds."""
        # Two slots and a half a second, in integers, so that equal slots have equal times.
        return self.start + (slot - FIRST_SLOT) * 2 // 5
