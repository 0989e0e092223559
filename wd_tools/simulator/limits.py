"""What a plan allows: requests a second, items a batch.

Figures as Helius publishes them. A batch counts as one request: otherwise the free plan couldn't
send one of 100 at all.
"""

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

PlanName = Literal["none", "free", "developer", "business", "professional"]

GET_TRANSACTION_BATCH: Final = 100
HISTORY_BATCH: Final = 10
UNBATCHED: Final = frozenset(("getTransactionsForAddress",))
HISTORY_METHODS: Final = frozenset(("getSignaturesForAddress", "getBlock", "getBlockTime"))
DAS_METHODS: Final = frozenset(("getAsset", "getAssetBatch"))
SUBSCRIPTIONS: Final = 1_000  # of one WebSocket
PAGE: Final = 1_000  # signatures, transactions or assets in one answer


class Plan(Struct, frozen=True):
    """`rpc`, `das`: requests a second. `connections`: WebSockets at a time. `webhooks`: so many
    may be registered. `transactions`: has transactionSubscribe."""

    rpc: int
    das: int
    connections: int
    webhooks: int = 50
    transactions: bool = True


PLANS: Final[dict[PlanName, Plan]] = {
    "free": Plan(10, 2, connections=5, webhooks=5, transactions=False),
    "developer": Plan(50, 10, connections=150),
    "business": Plan(200, 50, connections=250),
    "professional": Plan(500, 100, connections=1_000),
}


class Limits:
    """Two token buckets that hold a second's requests each. `now` is a monotonic clock."""

    def __init__(self, plan: PlanName, now: Callable[[], float]) -> None:
        self._plan = PLANS.get(plan)
        self._now = now
        self._buckets: dict[bool, tuple[float, float]] = {}

    def admit(self, method: str) -> bool:
        """Take one request out of its method's bucket; False if that is empty."""
        if self._plan is None:
            return True
        das = method in DAS_METHODS
        rate, now = (self._plan.das if das else self._plan.rpc), self._now()
        left, before = self._buckets.get(das, (float(rate), now))
        left = min(float(rate), left + (now - before) * rate)
        admitted = left >= 1
        self._buckets[das] = (left - admitted, now)
        return admitted


def largest_batch(method: str) -> int:
    if method in UNBATCHED:
        return 1
    return HISTORY_BATCH if method in HISTORY_METHODS else GET_TRANSACTION_BATCH
