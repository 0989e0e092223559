"""How often a subject did something in the last minute: a sliding window of two counters. Pure.

What happened in the minute before counts as if it had been spread evenly, so at the start of a
minute all of it counts, and half of it after 30 seconds. Two numbers a subject, however large its
limit; off by little where callers come in bursts, and never for more than a minute.
"""

import math
from typing import Literal, NamedTuple, Self

WINDOW_SECONDS = 60
# Subjects remembered in one process, about 300 bytes each. Whoever comes from more addresses than
# this within a minute isn't held back by counting addresses.
SUBJECTS_MAX = 50_000

Counted = Literal["requests", "wallets"]


class Window(NamedTuple):
    """Minute number `minute` of the caller's clock and the one before it."""

    minute: int
    current: int
    previous: int

    @classmethod
    def at(cls, now: float) -> Self:
        return cls(int(now // WINDOW_SECONDS), 0, 0)

    def advanced(self, now: float) -> "Window":
        """As seen `now`. A clock that went back stays where it was; one that went back by more than
        a minute was wrong, and what it counted is forgotten."""
        minute = int(now // WINDOW_SECONDS)
        if self.minute > minute + 1:
            return Window(minute, 0, 0)
        if minute <= self.minute:
            return self
        return Window(minute, 0, self.current if minute == self.minute + 1 else 0)

    def estimate(self, now: float) -> float:
        return self.previous * (1 - self.elapsed(now)) + self.current

    def elapsed(self, now: float) -> float:
        """The part of this minute that has passed: 0 to 1."""
        return min(max(now / WINDOW_SECONDS - self.minute, 0.0), 1.0)

    def wait(self, limit: int, now: float) -> float:
        """Seconds until one more is allowed if nothing happens."""
        most = limit - 1
        if self.estimate(now) <= most:
            return 0.0
        if self.current <= most:
            full = 1 - (most - self.current) / self.previous
        else:
            full = 2 - most / self.current
        return max(full - self.elapsed(now), 0.0) * WINDOW_SECONDS


class Usage(NamedTuple):
    """The rest of a limit. `limit` 0: there is none. `seconds`: until more is allowed."""

    allowed: bool
    limit: int
    remaining: int
    seconds: int

    def headers(self, policy: str = "default") -> dict[str, str]:
        """draft-ietf-httpapi-ratelimit-headers-10."""
        if not self.limit:
            return {}
        return {
            "RateLimit-Policy": f'"{policy}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{policy}";r={self.remaining};t={self.seconds}',
        }


UNLIMITED = Usage(True, 0, 0, 0)


def usage(window: Window, limit: int, now: float, *, allowed: bool) -> Usage:
    remaining = max(math.floor(limit - window.estimate(now)), 0)
    over = (1 - window.elapsed(now)) * WINDOW_SECONDS
    seconds = over if remaining else window.wait(limit, now)
    return Usage(allowed, limit, remaining, max(math.ceil(seconds), 1))


class Windows:
    """Many subjects' windows, as many as `most`: then the one that was counted longest ago goes."""

    def __init__(self, most: int = SUBJECTS_MAX) -> None:
        self._most = most
        self._windows: dict[str, Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def peek(self, subject: str, limit: int, now: float) -> Usage:
        """Whether one more would be allowed; nothing is counted."""
        window = self._windows.get(subject)
        if window is None:
            return Usage(True, limit, limit, WINDOW_SECONDS)
        window = window.advanced(now)
        return usage(window, limit, now, allowed=window.estimate(now) + 1 <= limit)

    def spend(self, subject: str, limit: int, now: float) -> Usage:
        """Count one if that is allowed."""
        window = self._windows.pop(subject, None)
        window = Window.at(now) if window is None else window.advanced(now)
        allowed = window.estimate(now) + 1 <= limit
        if allowed:
            window = window._replace(current=window.current + 1)
        if len(self._windows) >= self._most:
            del self._windows[next(iter(self._windows))]
        self._windows[subject] = window
        return usage(window, limit, now, allowed=allowed)
