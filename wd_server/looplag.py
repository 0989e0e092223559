"""How late the event loop runs its timers: the one number that says whether something blocks it."""

import asyncio
from time import monotonic

from wd_server.histogram import Histogram

# Seconds between two samples: frequent enough to meet a stall of 50 ms every other time, at a cost
# that can't be measured.
SAMPLE_SECONDS = 0.1
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


class LoopLag:
    def __init__(self) -> None:
        self.histogram = Histogram(BUCKETS)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        self._due = monotonic() + SAMPLE_SECONDS
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self._sample)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        self.histogram.observe(max(monotonic() - self._due, 0.0))
        self.start()
