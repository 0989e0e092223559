"""A timer for very many streams: one-second slots instead of one timer each."""

from typing import Generic, Protocol, TypeVar

# Seconds the wheel reaches ahead; who waits longer is looked at once more on the way.
WHEEL_SECONDS = 64

NOWHERE = -1


class Timed(Protocol):
    """What stands in the wheel. `slot` is the wheel's own note: NOWHERE, or where it stands."""

    slot: int


T = TypeVar("T", bound=Timed)


class TimerWheel(Generic[T]):
    """`now` counts the seconds the wheel was turned: the clock of everybody in it."""

    def __init__(self) -> None:
        self.now = 0
        self._slots: list[set[T]] = [set() for _ in range(WHEEL_SECONDS)]

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def set(self, timed: T, seconds: int) -> None:
        """Stand where the wheel comes by in `seconds`, instead of anywhere else."""
        self.discard(timed)
        timed.slot = (self.now + min(max(seconds, 1), WHEEL_SECONDS - 1)) % WHEEL_SECONDS
        self._slots[timed.slot].add(timed)

    def discard(self, timed: T) -> None:
        if timed.slot != NOWHERE:
            self._slots[timed.slot].discard(timed)
            timed.slot = NOWHERE

    def turn(self) -> list[T]:
        """One second on. Returns who is due; they stand nowhere now."""
        self.now += 1
        slot = self.now % WHEEL_SECONDS
        due = list(self._slots[slot])
        self._slots[slot].clear()
        for timed in due:
            timed.slot = NOWHERE
        return due
