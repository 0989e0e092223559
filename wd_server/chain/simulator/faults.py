"""Faults on order: what goes wrong, for which requests, how often.

A fault with `count` strikes so many requests, one with `seconds` every request for so long from
its first strike on, one with neither until it is cleared.
"""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

FaultKind = Literal[
    "429",
    "500",
    "502",
    "503",
    "504",
    "hang",
    "disconnect",
    "truncate",
    "garbage",
    "quota",
    "bad_key",
    "rpc_error",
    "null_results",
    "missing_batch_items",
    "shuffled_batch",
]
OF_BATCHES = frozenset[FaultKind](("missing_batch_items", "shuffled_batch"))


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """`method` None: any RPC method; `prices` stands for the price routes. The first `after`
    matching requests pass. `retry_after` is seconds in the header of that name. `share` is the
    part of a batch's items that is null or missing, at least one. `signature`: only requests that
    name this transaction."""

    kind: FaultKind
    count: int | None = None
    seconds: float | None = None
    method: str | None = None
    signature: str | None = None
    after: int = 0
    retry_after: float | None = None
    code: int = -32603
    message: str | None = None
    share: float = 0.5

    def matches(self, method: str, batch: bool, body: bytes) -> bool:
        if self.signature is not None and self.signature.encode() not in body:
            return False
        if self.kind in OF_BATCHES and not batch:
            return False
        if self.method is None:
            wanted = method == "getTransaction" if self.kind == "null_results" else True
            return wanted and method != "prices"
        return self.method == method


class _Active(Struct):
    fault: Fault
    passed: int = 0
    struck: int = 0
    since: float | None = None


class Faults:
    """The faults that are on order. `now` is a monotonic clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._active: list[_Active] = []
        self.strikes: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        self._active.append(_Active(fault))

    def clear(self) -> None:
        self._active.clear()

    @property
    def pending(self) -> int:
        return len(self._active)

    def strike(self, method: str, batch: bool, body: bytes = b"") -> Fault | None:
        """The fault that hits this request: the oldest that matches and isn't used up."""
        for active in list(self._active):
            fault = active.fault
            if not fault.matches(method, batch, body):
                continue
            if active.passed < fault.after:
                active.passed += 1
                continue
            if self._used_up(active):
                self._active.remove(active)
                continue
            active.struck += 1
            self.strikes[fault.kind] += 1
            return fault
        return None

    def _used_up(self, active: _Active) -> bool:
        fault, now = active.fault, self._now()
        if fault.count is not None and active.struck >= fault.count:
            return True
        if active.since is None:
            active.since = now
        return fault.seconds is not None and now - active.since >= fault.seconds
