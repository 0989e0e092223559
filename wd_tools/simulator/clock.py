"""Slots and their times: 0.4 seconds a slot, from a given moment on as real time goes."""

from collections.abc import Callable
from math import floor
from typing import Final

SLOT_SECONDS: Final = 0.4
FIRST_SLOT: Final = 430_000_000
# What a sum of floats may be short of a whole slot, in slots.
_ROUNDING: Final = 1e-6


class Clock:
    """`start` is the unix time of the first slot, in which the histories end; `elapsed` tells the
    seconds since then. The next slot begins at once."""

    first_slot = FIRST_SLOT

    def __init__(self, start: int, elapsed: Callable[[], float]) -> None:
        self.start = start
        self.elapsed = elapsed

    def now(self) -> int:
        return self.start + int(self.elapsed())

    def slot(self, ago: float = 0.0) -> int:
        """The slot of `ago` seconds ago; the first for all that lies before the start."""
        return self.slot_at(self.elapsed() - ago)

    def slot_at(self, elapsed: float) -> int:
        return FIRST_SLOT + max(0, floor(elapsed / SLOT_SECONDS + _ROUNDING) + 1)

    def begin(self, slot: int) -> float:
        """When the slot begins, as `elapsed` tells it."""
        return (slot - FIRST_SLOT - 1) * SLOT_SECONDS

    def block_time(self, slot: int) -> int:
        """Unix seconds."""
        # Two slots and a half a second, in integers, so that equal slots have equal times.
        return self.start + (slot - FIRST_SLOT) * 2 // 5
