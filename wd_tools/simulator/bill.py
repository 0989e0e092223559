"""What the plan would have charged, by the table that Helius publishes."""

import math
from collections import Counter
from typing import Final

GTFA: Final = "getTransactionsForAddress"
STANDARD: Final = 1  # a call of a method that isn't listed
COSTS: Final = {"getAsset": 10, "getAssetBatch": 10}
CONNECTION: Final = 1
WEBHOOK_CALL: Final = 100  # one that manages webhooks
WEBHOOK_EVENT: Final = 1  # also if nobody takes it
# WebSockets are charged by what they carry.
BYTES: Final = 100_000
BYTES_COST: Final = 2


class Bill:
    """Failed calls are free."""

    def __init__(self) -> None:
        self._spent: Counter[str] = Counter()
        self._bytes = 0

    def call(self, method: str) -> None:
        if method != GTFA:
            self._spent[method] += COSTS.get(method, STANDARD)

    def history(self, *, full: bool, count: int) -> None:
        """A page of getTransactionsForAddress."""
        self._spent[GTFA] += 10 * max(1, math.ceil(count / 100)) if full else 10

    def connection(self) -> None:
        self._spent["connection"] += CONNECTION

    def carried(self, size: int) -> None:
        self._bytes += size

    def webhook_call(self) -> None:
        self._spent["webhook_call"] += WEBHOOK_CALL

    def webhook_event(self) -> None:
        self._spent["webhook_event"] += WEBHOOK_EVENT

    def clear(self) -> None:
        self._spent.clear()
        self._bytes = 0

    def spent(self) -> dict[str, int]:
        """By method and other cause; `total` of them all."""
        carried = math.ceil(self._bytes / BYTES) * BYTES_COST
        by_cause = {**self._spent, **({"websocket_bytes": carried} if carried else {})}
        return {**by_cause, "total": sum(by_cause.values())}
