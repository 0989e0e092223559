"""Calls to Redis: bounded, with deadlines, and with errors that are ours.

Calls of one key are executed in the order in which they were handed in, but for those that leave
together in the moment in which a Cluster moves their slot. What is handed in while others are under
way leaves together: a thousand calls at once cost a few writes.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from time import monotonic
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from wd_server.errors import StoreAway, StoreFull, StoreUnavailable
from wd_server.histogram import Histogram
from wd_server.redis.errors import away, ours
from wd_server.redis.lane import Argument, Call, Lane, Script
from wd_server.redis.shards import STORE_SECONDS, Address, Shards
from wd_server.secret import Secret
from wd_server.tasks import Tasks

__all__ = ["LinkStatistics", "RedisLink", "Script"]

# Calls that wait for one server; more are refused. Some seconds' worth of what it can do.
WAITING_MAX = 100_000
# Seconds until what met a lost connection or a server that can't now is tried again: at least, at
# most.
AGAIN_SECONDS = (0.02, 0.2)
# Seconds after a failure in which `check` refuses, before somebody has to try again.
AWAY_SECONDS = 1.0
# Seconds for which a failure counts as the present state where nobody called since: longer than the
# time between two calls of a server that has nothing to do.
STATE_SECONDS = 5.0
LATENCY_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2)

# How calls fail: nobody answers in time, no memory is left, the server says no.
KINDS: Final = ("away", "full", "refused")

_log = structlog.get_logger("redis")


@dataclass
class LinkStatistics:
    """Totals since the start, but for `waiting`. `again`: calls that were tried again. `failures`
    of calls by one of KINDS. `connections` that were made."""

    calls: int = 0
    batches: int = 0
    again: int = 0
    failures: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    connections: int = 0
    waiting: int = 0
    call_seconds: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS))


class RedisLink:
    """One connection to each primary. `shards` is shared with who listens to announcements, `tasks`
    with all who have their things in Redis."""

    def __init__(self, url: Secret, tasks: Tasks | None = None) -> None:
        self.shards: Final = Shards(url)
        self.tasks: Final = tasks or Tasks()
        self._lanes: dict[Address, Lane] = {}
        # Where calls of a slot are that has moved since they were handed in, so that later ones
        # don't overtake them; as of that version of the shards.
        self._behind: dict[int, Lane] = {}
        self._version = self.shards.version
        self._working: set[asyncio.Task[None]] = set()
        self._random = Random()
        self._statistics = LinkStatistics()
        self._closed = False

    async def open(self) -> None:
        """Before any call. Raises StoreUnavailable if Redis doesn't answer."""
        await self.shards.look()
        await self.call("", "PING")

    async def close(self) -> None:
        """What isn't answered yet raises StoreUnavailable. Closing twice is no error."""
        self._closed = True
        await self.tasks.end(*self._working)
        for lane in self._lanes.values():
            for call in (*lane.sent, *lane.waiting):
                call.fail(_closed())
            lane.waiting.clear()
        await asyncio.gather(*(lane.end() for lane in self._lanes.values()), self.shards.close())

    def statistics(self) -> LinkStatistics:
        self._statistics.waiting = sum(len(lane.waiting) for lane in self._lanes.values())
        return self._statistics

    @property
    def available(self) -> bool:
        """Whether every server that was called answers, as far as is known. From memory."""
        since = monotonic() - STATE_SECONDS
        return not any(lane.failure and lane.failed_at > since for lane in self._lanes.values())

    def check(self, key: str) -> None:
        """Raises StoreAway if what has this key didn't answer just now. From memory."""
        lane = self._lanes.get(self.shards.owner(key))
        if lane is not None and lane.failure and monotonic() - lane.failed_at < AWAY_SECONDS:
            raise away() from lane.failure

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Raises StoreAway (what the script did is then unknown), StoreFull, StoreUnavailable."""
        slot = self.shards.slot(keys[0])
        return await self._answer(slot, script, (len(keys), *keys, *arguments))

    async def call(self, key: str, name: str, *arguments: Argument) -> Any:
        """One command, which may run twice, on the server that has `key`. Raises as `run`."""
        return await self._answer(self.shards.slot(key), name, arguments)

    async def call_at(self, slot: int, name: str, *arguments: Argument) -> Any:
        """`call`, on the server that has this slot."""
        return await self._answer(slot, name, arguments)

    async def _answer(self, slot: int, what: Script | str, arguments: tuple[Argument, ...]) -> Any:
        if self._closed:
            raise _closed()
        asked = monotonic()
        statistics = self._statistics
        statistics.calls += 1
        call = Call(slot, what, arguments)
        lane = self._lane_of(call)
        try:
            self._hand_in(call, lane)
            async with asyncio.timeout(STORE_SECONDS):
                return await call.answer
        except (RedisError, OSError, TimeoutError) as error:
            raised = ours(error)
            statistics.failures[_kind(raised)] += 1
            raise raised from (lane.failure if isinstance(error, TimeoutError) else error)
        finally:
            statistics.call_seconds.observe(monotonic() - asked)

    def _hand_in(self, call: Call, lane: Lane) -> None:
        if len(lane.waiting) >= WAITING_MAX:
            raise TimeoutError  # it would wait for longer than its deadline
        lane.waiting.append(call)
        self._start(lane)

    def _lane_of(self, call: Call) -> Lane:
        if self._version != self.shards.version:
            self._version = self.shards.version
            self._behind = {
                earlier.slot: lane
                for lane in self._lanes.values()
                for earlier in (*lane.sent, *lane.waiting)
                if self.shards.owner_of(earlier.slot) != lane.address
            }
        return self._behind.get(call.slot) or self._lane(self.shards.owner_of(call.slot))

    def _lane(self, address: Address) -> Lane:
        lane = self._lanes.get(address)
        if lane is None:
            lane = self._lanes[address] = Lane(self.shards, address)
        return lane

    def _start(self, lane: Lane) -> None:
        if lane.waiting and not lane.busy:
            lane.busy = True
            go_on = partial(self._start, lane)
            task = self.tasks.spawn("redis_lane", self._work(lane), on_failure=go_on)
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _work(self, lane: Lane) -> None:
        """Until nothing waits on this lane."""
        try:
            while lane.take():
                self._statistics.batches += 1
                pause = await self._exchange(lane)
                for address, calls in lane.asked.items():
                    pause |= await self._ask(address, calls)
                self._statistics.again += lane.put_back()
                if pause and lane.waiting:
                    await self._pause()
                if lane.version != self.shards.version:
                    self._move(lane)
        finally:
            lane.busy = False
        await self._leave()

    async def _exchange(self, lane: Lane) -> bool:
        """Whether what has no answer is to be tried again after a pause only."""
        failed_before = lane.failure is not None
        server = f"{lane.address.host}:{lane.address.port}"
        try:
            async with asyncio.timeout(STORE_SECONDS):
                if await lane.connect():
                    self._statistics.connections += 1
                pause = await lane.exchange()
        except (RedisError, OSError, TimeoutError) as error:
            await lane.fail(error)
            pause = True
        except Exception as error:
            # What wasn't read of its answers must not be taken for the answers of later calls.
            await lane.fail(RedisError(f"an answer can't be read: {type(error).__name__}"))
            raise
        if lane.failure is not None and not failed_before:
            reason = str(lane.failure) or type(lane.failure).__name__
            _log.error("redis doesn't answer", server=server, error=reason)
        elif lane.failure is None and failed_before:
            _log.info("redis answers again", server=server)
        return pause

    async def _ask(self, address: Address, calls: list[Call]) -> bool:
        """Once and for these only: where the Cluster is moving their slots to."""
        aside = Lane(self.shards, address, asking=True)
        aside.sent = calls
        try:
            return await self._exchange(aside)
        finally:
            await aside.close()

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(*AGAIN_SECONDS))
        with suppress(StoreUnavailable):  # each call's own deadline ends it
            await self.shards.look()

    def _move(self, lane: Lane) -> None:
        """What waits here and belongs to others goes there. Nothing of this lane is under way."""
        lane.version = self.shards.version
        self._behind = {slot: other for slot, other in self._behind.items() if other is not lane}
        for call in reversed(lane.give_up()):
            owner = self._lane(self.shards.owner_of(call.slot))
            owner.waiting.appendleft(call)
            self._start(owner)

    async def _leave(self) -> None:
        """Let go of servers that have nothing any more and nothing to do."""
        primaries = self.shards.primaries()
        for lane in tuple(self._lanes.values()):
            if lane.address not in primaries and not lane.busy:
                del self._lanes[lane.address]
                await lane.close()


def _kind(error: StoreUnavailable) -> str:
    if isinstance(error, StoreAway):
        return "away"
    return "full" if isinstance(error, StoreFull) else "refused"


def _closed() -> StoreUnavailable:
    return StoreUnavailable("The server's Redis is disconnected: the server is stopping.")
