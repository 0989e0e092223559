"""How fast to ask, how long to wait, when to stop asking. Pure: time and chance are passed in.

All times are seconds on one monotonic clock of the caller's choice.
"""

BACKOFF_BASE = 0.5  # seconds; the upstream's advice is 0.5 to 1
BACKOFF_CAP = 30.0  # seconds; the upstream's advice is 30 to 60
# 2**6 times the base is past the cap already; a larger power only risks overflow.
BACKOFF_MAX_EXPONENT = 6


def backoff(attempt: int, random: float, retry_after: float | None = None) -> float:
    """Seconds to wait after failure number `attempt` (from 0), with full jitter.

    `random` is in [0, 1). What the upstream asks for is waited in full, and the jitter comes on
    top, so that everybody who was told the same doesn't come back together.
    """
    jitter = random * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempt, BACKOFF_MAX_EXPONENT))
    return jitter if retry_after is None else retry_after + jitter


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved up. Takers are served in the order they ask."""

    def __init__(self, rate: float, burst: float) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError("A bucket needs a rate and a burst above 0.")
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, now: float, n: float = 1) -> float:
        """Reserve `n` tokens. Returns the seconds to wait until they are there."""
        self._refill(now)
        self._tokens -= n
        return max(0.0, -self._tokens / self._rate)

    def wait(self, now: float, n: float = 1) -> float:
        """Seconds until `n` tokens are there; nothing is reserved."""
        return max(0.0, (n - self.left(now)) / self._rate)

    def left(self, now: float) -> float:
        """Tokens that nobody has reserved: less than 0 if takers wait."""
        self._refill(now)
        return self._tokens

    def give_back(self, n: float = 1) -> None:
        """A reservation that wasn't used."""
        self._tokens = min(self._burst, self._tokens + n)

    def drain(self, now: float) -> None:
        """The other side says there is nothing left: what was saved up is gone."""
        self._refill(now)
        self._tokens = min(self._tokens, 0.0)

    def _refill(self, now: float) -> None:
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._at = now


class CircuitBreaker:
    """Stops calls that can't succeed for long; then lets one through now and then to look.

    closed: every call goes. open: none goes for `open_seconds`. half-open: one goes, the others
    wait up to `probe_seconds` for what it finds; a probe that never reports is followed by another.
    """

    def __init__(self, open_seconds: float, probe_seconds: float) -> None:
        self._open_seconds = open_seconds
        self._probe_seconds = probe_seconds
        self._shut_until: float | None = None

    @property
    def is_closed(self) -> bool:
        return self._shut_until is None

    def remaining(self, now: float) -> float:
        """Seconds until a call may go; 0 when one may now."""
        return 0.0 if self._shut_until is None else max(0.0, self._shut_until - now)

    def admit(self, now: float) -> bool:
        """Whether this call may go. When half-open it is the probe, and others may not for now."""
        if self._shut_until is None:
            return True
        if now < self._shut_until:
            return False
        self._shut_until = now + self._probe_seconds
        return True

    def trip(self, now: float) -> None:
        self._shut_until = now + self._open_seconds

    def reset(self) -> None:
        self._shut_until = None
