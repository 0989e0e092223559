"""Faults on order: what goes wrong, for which requests, how often.

A fault with `count` strikes so many requests, one with `seconds` every request for so long from
its first strike on, one with neither until it is cleared.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, get_args

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
# Not of requests but of connections, of what is notified, and of the chain.
LiveKind = Literal[
    "block_time_missing",
    "ws_refuse",
    "ws_disconnect",
    "ws_silent",
    "missing",
    "duplicate",
    "reorder",
    "delay",
    "fork",
]
LIVE: Final = frozenset[str](get_args(LiveKind))
# Of which `share` says how many are struck.
SHARED: Final = frozenset[LiveKind](("missing", "duplicate", "reorder", "delay", "fork"))
OF_BATCHES = frozenset[FaultKind](("missing_batch_items", "shuffled_batch"))


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """`method` None: any RPC method; `prices` stands for the price routes. The first `after`
    matching requests pass. `retry_after` is seconds in the header of that name. `share` is the
    part of a batch's items that is null or missing, at least one; or the part of notifications,
    or of slots with transactions, that a live fault strikes. `signature`: only requests that name
    this transaction. `delay`: seconds. `depth`: slots that a fork abandons. `all`: a disconnect
    strikes every connection."""

    kind: FaultKind | LiveKind
    count: int | None = None
    seconds: float | None = None
    method: str | None = None
    signature: str | None = None
    after: int = 0
    retry_after: float | None = None
    code: int = -32603
    message: str | None = None
    share: float = 0.5
    delay: float = 1.0
    depth: int = 4
    all: bool = False

    def matches(self, method: str, batch: bool, body: bytes) -> bool:
        if self.kind in LIVE:
            return False
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

    def __init__(self, now: Callable[[], float], seed: int = 0) -> None:
        self._now = now
        self._rng = random.Random(f"faults/{seed}")
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
        return self._first(lambda fault: fault.matches(method, batch, body))

    def befall(self, kind: LiveKind, method: str) -> Fault | None:
        """The fault of this kind that hits a connection (`method` is `connect`), a notification
        of this method, a delivery (`webhook`) or a slot (`slot`)."""
        if not self._active:
            return None
        return self._first(
            lambda fault: fault.kind == kind and fault.method in (None, method),
            chance=self._rng.random if kind in SHARED else lambda: 0.0,
        )

    def lasting(self, kind: LiveKind) -> Fault | None:
        """A fault of this kind that goes on, without striking."""
        for active in self._active:
            if active.fault.kind == kind and not self._used_up(active):
                return active.fault
        return None

    def _first(
        self, matches: Callable[[Fault], bool], chance: Callable[[], float] = lambda: 0.0
    ) -> Fault | None:
        for active in list(self._active):
            fault = active.fault
            if not matches(fault):
                continue
            if active.passed < fault.after:
                active.passed += 1
                continue
            if self._used_up(active):
                self._active.remove(active)
                continue
            if chance() >= fault.share:
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
