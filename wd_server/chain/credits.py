"""What the upstream's plan counts: credits by method, and a budget for each day. Pure.

A budget is for one process: with several nodes each has its share.
"""

from collections import Counter
from collections.abc import Callable
from math import ceil

from wd_server.errors import UpstreamQuota

# As published in autumn 2026; failed calls are free. getTransactionsForAddress is 10 per 100 full
# transactions begun: the caller, who sees the page, says so.
CREDITS = {
    "getTransactionsForAddress": 10,
    "getSignaturesForAddress": 1,
    "getTransaction": 1,
    "getAsset": 10,
    "getAssetBatch": 10,
}
DEFAULT_CREDITS = 1  # any other standard RPC call
CONNECTION_CREDITS = 1  # a new WebSocket
# A WebSocket's traffic costs two credits for each 0.1 MB, so one for this many bytes.
BYTES_A_CREDIT = 50_000
DELIVERY_CREDITS = 1  # a webhook's event, whether or not it is wanted
MANAGEMENT_CREDITS = 100  # a call that creates, lists, changes or deletes webhooks

# What of a day's budget following may use up. The rest is for wallets that are asked for by name.
FOLLOW_SHARE = 0.95
DAY_SECONDS = 86_400


class Credits:
    """`daily` 0: no budget. `clock` gives unix seconds; a day is one of UTC."""

    def __init__(self, daily: int, clock: Callable[[], float]) -> None:
        self.daily = daily
        self._clock = clock
        self._spent: Counter[str] = Counter()
        self._bytes = 0
        self._day = 0
        self._today = 0

    @property
    def spent(self) -> dict[str, int]:
        """Credits by method since the start."""
        return dict(self._spent)

    @property
    def today(self) -> int:
        """Credits spent since the day began."""
        self._turn()
        return self._today

    def spend(self, method: str, amount: int) -> None:
        self._turn()
        self._spent[method] += amount
        self._today += amount

    def spend_bytes(self, count: int) -> None:
        """Bytes that a WebSocket brought."""
        before = self._bytes // BYTES_A_CREDIT
        self._bytes += count
        if self._bytes // BYTES_A_CREDIT > before:
            self.spend("websocket", self._bytes // BYTES_A_CREDIT - before)

    def check(self) -> None:
        """Raises UpstreamQuota if nothing is left of today's budget."""
        self._check(self.daily)

    def check_following(self) -> None:
        """Raises UpstreamQuota if what is left of today's budget isn't for following."""
        self._check(int(self.daily * FOLLOW_SHARE))

    def _check(self, most: int) -> None:
        if self.daily and self.today >= most:
            raise UpstreamQuota(
                "This server has used up its budget at the Solana RPC for today (UTC). Its "
                "operator may raise UPSTREAM_DAILY_CREDITS.",
                retry_after=ceil((self._day + 1) * DAY_SECONDS - self._clock()),
            )

    def _turn(self) -> None:
        day = int(self._clock() // DAY_SECONDS)
        if day > self._day:
            self._day, self._today = day, 0
