"""Faults of several servers and of what they need, one or two at a time, drawn by a seed.

A fault begins, lasts until a part of the clients has gone on in spite of it (or a while, where
none can), and is healed. Then everybody has to get everything. Trades go on all the time.
"""

import asyncio
import json
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from tests.cluster import Cluster
from tests.follower import Follower, Followers
from tests.network import Link
from tests.processes import Server, Simulator
from tests.redis_server import RedisCluster, RedisServer

# Seconds that a fault lasts at most; and that all clients may take to have everything after it.
HOLD_SECONDS = 20
HEAL_SECONDS = 60
# Seconds for which a node is cut off from Redis: longer than any lease and any client's patience.
CUT_SECONDS = 20
# Seconds between two trades of all wallets together.
TRADE_SECONDS = 0.2
# Requests that a fault of the upstream strikes.
STRIKES = (3, 30)
UPSTREAM_FAULTS: Sequence[Mapping[str, Any]] = (
    {"kind": "429", "retry_after": 0.2},
    {"kind": "500"},
    {"kind": "503"},
    {"kind": "disconnect"},
    {"kind": "truncate"},
    {"kind": "garbage"},
    {"kind": "null_results"},
    {"kind": "rpc_error"},
)
# Those that take a client of the upstream seconds each.
HANGS = 2

Fault = Callable[[], Awaitable[None]]


@dataclass
class Site:
    """All there is. `link` is between the last node and Redis, where that can be cut; `redis_data`
    is the folder of a single Redis."""

    cluster: Cluster
    redis: RedisServer | RedisCluster
    chain: Simulator
    followers: Followers
    link: Link | None = None
    redis_data: Path | None = None


class Chaos:
    """`rounds`: how many faults or pairs of them there were. `emptied`: Redis lost all;
    `cut_short`: it may have lost the last moment, since a replica took over from a dead primary."""

    def __init__(self, site: Site, chance: Random) -> None:
        self.site = site
        self.rounds = 0
        self.emptied = False
        self.cut_short = False
        self._chance = chance
        self._started = monotonic()
        self._enough = asyncio.Event()
        self._wallets = sorted({each.wallet for each in site.followers})

    def faults(self) -> list[Fault]:
        faults: list[Fault] = [self.kill_a_node, self.pause_a_node, self.upstream_faults]
        if self.site.link is not None:
            faults.append(self.cut_off)
        return faults + self._redis_faults()

    def _redis_faults(self) -> list[Fault]:
        if isinstance(self.site.redis, RedisCluster):
            return [self.fail_over, self.kill_a_primary]
        return [self.restart_redis]

    def _pairs(self) -> list[tuple[Fault, ...]]:
        """Redis bears one at a time."""
        return [
            pair
            for pair in combinations(self.faults(), 2)
            if not all(each in self._redis_faults() for each in pair)
        ]

    async def run(self, seconds: float) -> None:
        """Each fault once, in any order, then at random until the time is over."""
        await self.everybody_has_everything("at the start")
        todo: list[Sequence[Fault]] = [(each,) for each in self.faults()]
        self._chance.shuffle(todo)
        if self.site.redis_data is not None:
            todo.insert(self._chance.randrange(len(todo) + 1), (self.empty_redis,))
        while todo or monotonic() - self._started < seconds:
            await self._round(todo.pop() if todo else self._chance.choice(self._pairs()))
        for wallet in self._wallets:
            # What is no trade shows in totals alone: who has a trade after it has read it.
            while not await asyncio.to_thread(self.site.chain.append, wallet, 1):
                pass
        await self.everybody_has_everything("at the end")

    async def _round(self, faults: Sequence[Fault]) -> None:
        what = " and ".join(each.__name__ for each in faults)
        print(f"{monotonic() - self._started:5.1f} s: {what}", flush=True)
        self.rounds += 1
        self._enough.clear()
        trading = asyncio.create_task(self._trade())
        await asyncio.gather(*(fault() for fault in faults))
        self._enough.set()
        await trading
        await self.everybody_has_everything(f"after {what}")

    async def everybody_has_everything(self, when: str) -> None:
        wanted = {wallet: self.trades_of(wallet) for wallet in self._wallets}

        def is_whole(follower: Follower) -> bool:
            return len(follower.held.trades) >= len(wanted[follower.wallet])

        followers = self.site.followers
        await followers.until(1, is_whole, HEAL_SECONDS)
        wrong = [each for each in followers if each.held.keys != wanted[each.wallet]]
        wrong += [each for each in followers if each.held.breaches]
        said = [f"{len(wrong)} of {len(followers)} clients don't have what they should {when}:"]
        assert not wrong, "\n".join(
            said + [_story(each, wanted[each.wallet]) for each in wrong[:9]]
        )

    def trades_of(self, wallet: str) -> list[tuple[str, int]]:
        """Signature and part of each trade that it really made."""
        truths = self.site.chain.call("simTruth", wallet)
        return [(each["signature"], trade["part"]) for each in truths for trade in each["trades"]]

    async def _trade(self) -> None:
        """All wallets, in turns, until it is enough."""
        while True:
            for wallet in self._chance.sample(self._wallets, len(self._wallets)):
                if self._enough.is_set():
                    return
                await asyncio.to_thread(self.site.chain.call, "simAppend", wallet, 2)
                await asyncio.sleep(TRADE_SECONDS)

    async def _until_some_go_on(self) -> None:
        """Until a part of the clients, how large is a matter of chance, has got something new."""
        share = self._chance.uniform(0.1, 1)
        before = {each: each.held.last_event_id for each in self.site.followers}
        await self.site.followers.until(
            share, lambda each: each.held.last_event_id != before[each], HOLD_SECONDS
        )

    # What goes wrong.

    async def kill_a_node(self) -> None:
        node = self._node()
        node.kill()
        await self._until_some_go_on()
        await asyncio.to_thread(_start, node)

    async def pause_a_node(self) -> None:
        node = self._node()
        node.signal(signal.SIGSTOP)
        await self._until_some_go_on()
        node.signal(signal.SIGCONT)

    async def cut_off(self) -> None:
        assert self.site.link is not None
        self.site.link.cut()
        await asyncio.sleep(CUT_SECONDS)
        self.site.link.mend()

    async def restart_redis(self) -> None:
        self.site.redis.stop()
        await asyncio.sleep(self._chance.uniform(0, HOLD_SECONDS / 2))
        await asyncio.to_thread(self.site.redis.start)

    async def empty_redis(self) -> None:
        assert self.site.redis_data is not None
        self.site.redis.stop()
        shutil.rmtree(self.site.redis_data / "appendonlydir")
        await asyncio.to_thread(self.site.redis.start)
        self.emptied = True

    async def fail_over(self) -> None:
        assert isinstance(self.site.redis, RedisCluster)
        primary = self._chance.choice(self.site.redis.primaries())
        await asyncio.to_thread(self.site.redis.fail_over, primary)
        await self._until_some_go_on()
        await asyncio.to_thread(self.site.redis.wait_until_whole)

    async def kill_a_primary(self) -> None:
        assert isinstance(self.site.redis, RedisCluster)
        primary = self._chance.choice(self.site.redis.primaries())
        primary.stop()
        self.cut_short = True
        await asyncio.to_thread(self.site.redis.wait_until_whole)
        await self._until_some_go_on()
        await asyncio.to_thread(primary.start)
        await asyncio.to_thread(self.site.redis.wait_until_whole)

    async def upstream_faults(self) -> None:
        struck = {"count": self._chance.randint(*STRIKES)}
        fault = self._chance.choice(UPSTREAM_FAULTS) | struck
        self.site.chain.call("simFault", fault, {"kind": "hang", "count": HANGS})
        await self._until_some_go_on()
        self.site.chain.call("simReset")

    def _node(self) -> Server:
        """One that runs: a fault at the same time may have taken another."""
        nodes = self.site.cluster.nodes
        return self._chance.choice([each for each in nodes if _is_up(each)])


def _start(node: Server) -> None:
    """As a supervisor does: again, when it ends because Redis can't be reached now."""
    deadline = monotonic() + HEAL_SECONDS
    while True:
        try:
            node.start()
        except AssertionError:
            if monotonic() > deadline:
                raise
        else:
            return


def _is_up(node: Server) -> bool:
    assert node.process is not None
    return node.process.poll() is None


def _story(follower: Follower, wanted: Sequence[tuple[str, int]]) -> str:
    """What one client has, for who looks for the cause."""
    has = follower.held.keys
    pairs = enumerate(zip(has, wanted, strict=False))
    return json.dumps(
        {
            "wallet": follower.wallet,
            "at": follower.held.last_event_id,
            "trades": len(has),
            "wanted": len(wanted),
            "first difference": next((number for number, (a, b) in pairs if a != b), None),
            "connected": follower.connected,
            "ends": follower.ends,
            "gaps": follower.held.gaps,
            "breaches": follower.held.breaches[:3],
        }
    )
