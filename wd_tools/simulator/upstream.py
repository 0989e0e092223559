"""The simulated RPC without its sockets: what goes back for a request."""

import asyncio
import math
import random
import time
from typing import Any, Final

from wd_tools.simulator import rpc
from wd_tools.simulator.bill import Bill
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.commitments import Commitments
from wd_tools.simulator.control import Control
from wd_tools.simulator.faults import Fault, Faults
from wd_tools.simulator.feed import Feed
from wd_tools.simulator.forks import Forks
from wd_tools.simulator.hub import Hub
from wd_tools.simulator.limits import PLANS, Limits
from wd_tools.simulator.market import Market
from wd_tools.simulator.methods import Methods, RpcError
from wd_tools.simulator.options import SimulatorOptions
from wd_tools.simulator.prices import Prices
from wd_tools.simulator.replies import BAD_KEY, RATE_LIMITED, Reply, faulty, refused
from wd_tools.simulator.webhooks import MOST, Webhooks

# Faults that an answer is made for before it is spoilt.
SPOILT: Final = frozenset(("null_results", "missing_batch_items", "shuffled_batch", "truncate"))


class Upstream:
    """A market behind a plan's limits, with a key, latency and faults."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self._begun: float | None = None
        self.clock = Clock(options.end_time, self._elapsed)
        self.market = Market(options.seed, options.sizes, self.clock, options.everything)
        self.faults = Faults(time.monotonic, options.seed)
        for fault in options.faults:
            self.faults.add(fault)
        commitments = Commitments(self.clock, options.confirmed_after, options.finalized_after)
        self.bill = Bill()
        methods = Methods(self.market, commitments, self.faults, self.bill)
        self.rpc = rpc.Rpc(methods.table, options.no_gtfa, self.bill)
        self.feed = Feed(self.market, commitments)
        self._rng = random.Random(f"upstream/{options.seed}")
        plan = PLANS.get(options.plan)
        self.webhooks = Webhooks(
            self.feed,
            self.faults,
            self.bill,
            options.seed,
            plan.webhooks if plan else MOST,
            options.webhook_pause,
        )
        self.hub = Hub(
            self.clock,
            commitments,
            self.feed,
            self.faults,
            self.bill,
            plan,
            options.no_transaction_subscribe,
            self._rng,
        )
        forks = Forks(self.market, commitments, self.feed, self.faults)
        self.control = Control(
            self.market, forks, self.faults, self.rpc, self.hub, self.webhooks, self.bill
        )
        self.prices = Prices(self.market.mints)
        self._limits = Limits(options.plan, time.monotonic)

    def begin(self) -> None:
        """From now on time passes."""
        self._begun = time.monotonic()

    def _elapsed(self) -> float:
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    async def answer(self, body: bytes, key: str | None) -> Reply:
        """What goes back for a POST with the API key `key`."""
        try:
            request = rpc.parse(body)
        except RpcError as error:
            return refused(None, error)
        call_id = None if request.batch else request.calls[0].id
        if request.method in self.control.table and not request.batch:
            return await self._controlled(request.calls[0])
        self.rpc.count(request)
        if (refusal := self.wrong_key(key, call_id)) is not None:
            return refusal
        fault = self.faults.strike(request.method, request.batch, body)
        if fault is not None and fault.kind not in SPOILT:
            return faulty(fault, request)
        if not self._limits.admit(request.method):
            self.control.rate_limited += 1
            return refused(call_id, RpcError(RATE_LIMITED, "rate limited", 429))
        await self.delay()
        try:
            return await self._answered(request, fault)
        except RpcError as error:
            return refused(call_id, error)

    def wrong_key(self, key: str | None, call_id: Any = None) -> Reply | None:
        if self.options.api_key in (None, key):
            return None
        message = "Invalid API key" if key else "missing api key"
        return refused(call_id, RpcError(BAD_KEY, message, 401))

    async def _controlled(self, call: rpc.Call) -> Reply:
        try:
            result = await self.control.table[call.method](call.params)
        except RpcError as error:
            return refused(call.id, error)
        return Reply(b"".join(rpc.envelope(call.id, result)))

    async def delay(self) -> None:
        if self.options.latency or self.options.jitter:
            extra = self._rng.uniform(0, self.options.jitter)
            await asyncio.sleep(self.options.latency + extra)

    async def _answered(self, request: rpc.RpcRequest, fault: Fault | None) -> Reply:
        kind = fault.kind if fault else None
        size = len(request.calls)
        hit = self._hit(size, fault.share) if fault else frozenset[int]()
        nulls = hit if kind == "null_results" else frozenset[int]()
        answers = await self.rpc.answer(request, nulls)
        if kind == "missing_batch_items":
            answers = [one for index, one in enumerate(answers) if index not in hit]
        elif kind == "shuffled_batch":
            self._rng.shuffle(answers)
        parts = answers[0] if not request.batch else [b"["]
        if request.batch:
            for one in answers:
                parts += [*one, b","]
            parts[max(1, len(parts) - 1) :] = [b"]"]
        return Reply(b"".join(parts), wire="truncate" if kind == "truncate" else "whole")

    def _hit(self, size: int, share: float) -> frozenset[int]:
        """Which of a batch's items a fault hits: its share, and at least one."""
        count = min(size, max(1, math.ceil(size * share)))
        return frozenset(self._rng.sample(range(size), count))
