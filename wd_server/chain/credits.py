"""What the upstream's plan counts: credits by method, and a budget for each day. Pure.

A day's budget is one for all processes that share a store. Each has a share of what is spent, which
the store counts together with the others'.
"""

from collections import Counter
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

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


class Share(NamedTuple):
    """What one process `spent` on a day, counted from 1 January 1970. As of the store's last
    answer: what of that it had `counted`, and the `total` of all."""

    day: int
    spent: int = 0
    counted: int = 0
    total: int = 0

    def total_with(self, stored_total: int, stored_spent: int) -> int:
        """The day's total, from what the store has of all and of this process (0: nothing). A
        share is told whole, so it counts once however often it comes; and whoever knows of more
        than a store that lost something brings it back."""
        counted = max(stored_spent, self.counted)
        return max(stored_total, self.total) + max(self.spent - counted, 0)


class Credits:
    """`daily` 0: no budget. `clock` gives unix seconds; a day is one of UTC."""

    def __init__(self, daily: int, clock: Callable[[], float]) -> None:
        self.daily = daily
        self._clock = clock
        self._spent: Counter[str] = Counter()
        self._bytes = 0
        self._day = 0
        # Of today, and of the day before for what the store wasn't told by midnight.
        self._shares = {0: Share(0)}

    @property
    def spent(self) -> dict[str, int]:
        """Credits by method since the start."""
        return dict(self._spent)

    @property
    def today(self) -> int:
        """Credits spent since the day began, by all as far as is known."""
        share = self._share()
        return share.total + share.spent - share.counted

    @property
    def own_today(self) -> int:
        """Those of them that this process spent."""
        return self._share().spent

    def spend(self, method: str, amount: int) -> None:
        self._spent[method] += amount
        share = self._share()
        self._shares[share.day] = share._replace(spent=share.spent + amount)

    def spend_bytes(self, count: int) -> None:
        """Bytes that a WebSocket brought."""
        before = self._bytes // BYTES_A_CREDIT
        self._bytes += count
        if self._bytes // BYTES_A_CREDIT > before:
            self.spend("websocket", self._bytes // BYTES_A_CREDIT - before)

    def shares(self) -> list[Share]:
        """What to tell the store now: today's share, whose answer says what others spent, and what
        is left of yesterday."""
        today = self._share()
        return [
            each for each in self._shares.values() if each is today or each.spent > each.counted
        ]

    def count(self, told: Share, total: int) -> None:
        """The store has this share, and `total` of all."""
        share = self._shares.get(told.day)
        if share is not None:
            self._shares[told.day] = share._replace(counted=told.spent, total=total)

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

    def _share(self) -> Share:
        """Today's."""
        day = int(self._clock() // DAY_SECONDS)
        if day > self._day:
            before = self._shares.get(day - 1)
            self._day, self._shares = day, {day: Share(day)}
            if before is not None:
                self._shares[before.day] = before
        return self._shares[self._day]
