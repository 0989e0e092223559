"""When to come back, and when to give up."""

from collections.abc import Callable

# Seconds to wait where the server named none; attempts that fail double them, up to the last.
FIRST_SECONDS, LAST_SECONDS = 1.0, 30.0
# Of each wait, so much more at most is added by chance: clients that left together don't come back
# together.
JITTER = 0.25
# Seconds after which a connection counts as one that stood, though nothing came that was stored.
STEADY_SECONDS = 30.0
# Seconds that a server may ask for at most. The longest it means is half an hour; what is more is a
# mistake, and no timer can count to every number that fits a header.
LONGEST_SECONDS = 86400.0


class Backoff:
    """`patience`: seconds without a stream after which it is given up. A stream is one that brings
    something stored or stands for a while: a server that lets clients in and ends them at once is
    none. `chance` gives numbers from 0 to 1. Times are seconds that no one sets back."""

    def __init__(self, patience: float, chance: Callable[[], float]) -> None:
        self._patience = patience
        self._chance = chance
        self._failures = 0
        self._told: float | None = None
        self._since: float | None = None
        self._connected_at: float | None = None

    def connected(self, now: float) -> None:
        self._connected_at = now

    def told(self, seconds: float) -> None:
        """The server says when to come back the next time."""
        self._told = min(max(0.0, seconds), LONGEST_SECONDS)

    def succeeded(self) -> None:
        """Something stored came."""
        self._failures, self._since = 0, None

    def wait(self, now: float) -> float | None:
        """Seconds until the next attempt; None: it would be too late."""
        stood = self._connected_at is not None and now - self._connected_at >= STEADY_SECONDS
        if stood:
            self._failures, self._since = 0, None
        self._connected_at = None
        if self._since is None:
            self._since = now
        least = min(FIRST_SECONDS * 2**self._failures, LAST_SECONDS)
        seconds = least if self._told is None else self._told
        seconds *= 1 + JITTER * self._chance()
        self._failures = min(self._failures + 1, 10)
        self._told = None
        if now + seconds - self._since > self._patience:
            return None
        return seconds
