"""Counts of observed values by bucket, cheap enough for every event; metrics read it at scrape."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """`bounds` are the buckets' inclusive upper ends, ascending; one more bucket takes the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
