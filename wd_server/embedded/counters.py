"""What callers use, counted in memory for the one process that there is."""

from collections import Counter
from collections.abc import Callable

from wd_server.access.windows import Counted, Usage, Windows


class LocalCounters:
    """They end with the process, so no crash leaves them raised. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[Counted, Windows] = {"requests": Windows(), "wallets": Windows()}
        self._streams: Counter[str] = Counter()

    def close(self) -> None:
        self._streams.clear()

    async def spend(self, who: str, limit: int, what: Counted = "requests") -> Usage:
        return self._windows[what].spend(who, limit, self._clock())

    async def enter(self, who: str, limit: int) -> bool:
        if self._streams[who] >= limit:
            return False
        self._streams[who] += 1
        return True

    def leave(self, who: str) -> None:
        self._streams[who] -= 1
        if self._streams[who] <= 0:
            del self._streams[who]
