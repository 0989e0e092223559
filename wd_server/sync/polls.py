"""When followed wallets are looked at again, and how many at a time."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic

# Looks under way at a time: half of the connections to the upstream, so that who comes anew isn't
# kept waiting by polls. With more wallets than that allows, each is looked at less often.
POLLS_AT_ONCE = 8
# A pause is up to this part longer or shorter, so that wallets that were read together don't stay
# together.
SPREAD = 0.25
# Seconds that a timer may come early: uvloop counts in milliseconds.
TIMER_STEP = 0.001

Look = Callable[[str, float], asyncio.Task[None] | None]
"""Starts to look at a wallet; gets the moment that `set` returned. None: there is no need to."""


class Polls:
    """Who was due first is looked at first. `random` gives [0, 1)."""

    def __init__(self, look: Look, random: Callable[[], float]) -> None:
        self._look = look
        self._random = random
        self._due: list[tuple[float, str]] = []
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def set(self, wallet: str, seconds: float) -> float:
        """Have the wallet looked at in about so many seconds. Returns the moment, by which the
        latest call can be told from earlier ones: those stay."""
        due = monotonic() + seconds * (1 - SPREAD + 2 * SPREAD * self._random())
        heappush(self._due, (due, wallet))
        self._wait()
        return due

    def close(self) -> None:
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        """For the earliest, unless it has to wait for one under way anyway."""
        if not self._due or self._under_way >= POLLS_AT_ONCE:
            return
        at = self._due[0][0]
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        delay = max(0.0, at - monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._start)

    def _start(self) -> None:
        self._timer = None
        now = monotonic() + TIMER_STEP
        while self._due and self._due[0][0] <= now and self._under_way < POLLS_AT_ONCE:
            due, wallet = heappop(self._due)
            task = self._look(wallet, due)
            if task is not None:
                self._under_way += 1
                task.add_done_callback(self._ended)
        self._wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way -= 1
        self._wait()
