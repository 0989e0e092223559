"""How long things took: counts by bucket, which processes can add up and percentiles come from."""

import math
from bisect import bisect_left
from typing import Final

from msgspec import Struct, field

# Each bucket ends 2 % above the one before, from 10 µs to an hour. A percentile is told as the
# middle of its bucket, so it is wrong by 1 % at most.
_LEAST_MS, _GROWTH, _MOST_MS = 0.01, 1.02, 3_600_000.0


def _bounds() -> tuple[float, ...]:
    bounds = [_LEAST_MS]
    while bounds[-1] < _MOST_MS:
        bounds.append(bounds[-1] * _GROWTH)
    return tuple(bounds)


BOUNDS: Final = _bounds()


class Distribution(Struct):
    """Milliseconds. `counts` are those up to the bound of the same place, and one more for the
    rest."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    largest: float = 0.0

    def add(self, milliseconds: float, times: int = 1) -> None:
        self.counts[bisect_left(BOUNDS, milliseconds)] += times
        if milliseconds > self.largest:
            self.largest = milliseconds

    def merge(self, other: "Distribution") -> None:
        for place, times in enumerate(other.counts):
            self.counts[place] += times
        self.largest = max(self.largest, other.largest)

    @property
    def count(self) -> int:
        return sum(self.counts)

    def percentile(self, percent: float) -> float | None:
        """The value that so many percent don't exceed; None when there is none."""
        count = self.count
        if not count:
            return None
        rank = max(1.0, count * percent / 100)
        seen = 0
        for place, times in enumerate(self.counts):
            seen += times
            if seen >= rank:
                middle = BOUNDS[min(place, len(BOUNDS) - 1)] / math.sqrt(_GROWTH)
                return min(middle, self.largest)
        raise AssertionError("the counts add up to the count")
