"""Which wallets were read to their end just now, so that nobody reads them again."""

from time import monotonic

# Seconds in which a wallet that was just read to its end isn't read again for a newcomer.
FRESH_SECONDS = 2.0
# Wallets of which is remembered when they were read last.
FRESH_WALLETS = 100_000


class Freshness:
    def __init__(self) -> None:
        self._read_at: dict[str, float] = {}

    def __contains__(self, wallet: str) -> bool:
        return monotonic() - self._read_at.get(wallet, -FRESH_SECONDS) < FRESH_SECONDS

    def mark(self, wallet: str, is_fresh: bool) -> None:
        self._read_at.pop(wallet, None)
        if is_fresh:
            self._read_at[wallet] = monotonic()
        if len(self._read_at) > FRESH_WALLETS:
            del self._read_at[next(iter(self._read_at))]
