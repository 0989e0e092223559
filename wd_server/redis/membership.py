"""Which nodes live, this one among them: the one heartbeat of a process that stores in Redis.

A node has an id that no other has. Every `Pace.heartbeat` seconds it renews two marks in Redis, and
a node that renewed neither for `Pace.dead_after` seconds is dead for the others:

*   the key `wd:node:<id>`, which ends by itself. A lease names its holder's id, so whoever wants a
    wallet asks for this one key.
*   its place in the sorted set `wd:{nodes}:alive`, by the time of the last heartbeat, as
    `<since>-<id>`. `since` is when the node came to life, in Redis' milliseconds, and is new after
    a silence in which the others may have taken the node for dead. Numbers of streams stand under
    this name, and a heartbeat returns the names that live.

    Example: node `100-a1` was silent for 12 seconds. Node `b2` counts the streams of a customer,
    finds `100-a1` dead and drops its number. Then `a1` lives again and writes its number anew. If
    it did so as `100-a1`, then `b2`, which hears only every 3 seconds who lives, would drop the
    number once more. As `13100-a1` it can't be dropped: 13100 is later than what `b2` has heard.

The two marks may lie on different servers of a Cluster, so each is renewed whether or not the other
one could be. Those who depend on a mark (leases on the key, counters on the list) are told after
each heartbeat how it went. Nodes of 0.1.0 write the same two marks, with two different ids.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from wd_server.errors import StoreUnavailable
from wd_server.redis.link import RedisLink, Script

# Until others hear of a crashed node it takes DEAD_SECONDS and one heartbeat: what it had is free
# again within 15 seconds.
HEARTBEAT_SECONDS = 3.0
# Three heartbeats, so that one that is lost or late costs nothing.
DEAD_SECONDS = 10.0
# The part of it for which this node may be sure to live: the rest is for clocks that run unevenly.
ALIVE_SHARE = 0.9
# Dead nodes are listed this long, which is only for whoever looks at Redis.
NODES_KEPT_SECONDS = 3600

_NODE_KEY: Final = "wd:node:{}"
_NODES: Final = "wd:{nodes}:alive"

# Says that a node lives. ARGV: its name ('': a new one), its id, milliseconds after which one is
# dead, milliseconds that it is listed. Returns its name, the time, and who lives.
_ENLIST: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node, since = ARGV[1], now - ARGV[3]
local seen = node ~= '' and redis.call('ZSCORE', KEYS[1], node)
if not seen or tonumber(seen) < since then
    node = string.format('%.0f', now) .. '-' .. ARGV[2]
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), node)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[4]))
return {node, string.format('%.0f', now),
    redis.call('ZRANGE', KEYS[1], string.format('%.0f', since), '+inf', 'BYSCORE')}
""")
_REMOVE: Final = Script("return redis.call('ZREM', KEYS[1], ARGV[1])")


class Pace(NamedTuple):
    """In seconds: between two heartbeats, and without one until a node is dead."""

    heartbeat: float = HEARTBEAT_SECONDS
    dead_after: float = DEAD_SECONDS


class HeartbeatListener(Protocol):
    """What depends on one of the two marks."""

    async def on_heartbeat(self, *, unbroken: bool) -> None:
        """The mark was renewed. `unbroken`: it was there without a break since the last time, so
        that nobody can have taken this node for dead. Raises StoreUnavailable, which is told back
        as a silence."""

    def on_silence(self, error: StoreUnavailable) -> None:
        """The mark couldn't be renewed; the next heartbeat tries again."""


class RedisMembership:
    """The link has to be open as long as this is.

    node: the id of this node
    name: the name under which it is listed, `<since>-<node>`
    heard: when it heard last who lives, in Redis' milliseconds
    living: the names that lived then
    """

    def __init__(self, link: RedisLink, pace: Pace = Pace()) -> None:  # noqa: B008 - immutable
        self.node = secrets.token_hex(8)
        self.name = ""
        self.heard = "0"
        self.living: Sequence[bytes] = ()
        self.pace = pace
        self._link = link
        self._key = _NODE_KEY.format(self.node)
        self._alive_until = 0.0  # monotonic seconds
        self._key_listeners: list[HeartbeatListener] = []
        self._list_listeners: list[HeartbeatListener] = []
        self._beating: tuple[asyncio.Task[None], ...] = ()

    def tell_of_key(self, listener: HeartbeatListener) -> None:
        self._key_listeners.append(listener)

    def tell_of_list(self, listener: HeartbeatListener) -> None:
        self._list_listeners.append(listener)

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self._renew_key()
        await self._enlist()
        # A task for each mark: what goes wrong with those who depend on one, or takes them long,
        # delays the other no more than a server that is away.
        self._beating = tuple(
            self._link.tasks.every("heartbeat", self.pace.heartbeat, beat)
            for beat in (
                partial(_renewed, self._renew_key, self._key_listeners),
                partial(_renewed, self._enlist, self._list_listeners),
            )
        )

    async def close(self) -> None:
        """Others take this node for dead at once. Closing twice is no error."""
        beating, self._beating = self._beating, ()
        if not beating:
            return
        await self._link.tasks.end(*beating)
        with suppress(StoreUnavailable):  # then it counts as dead soon
            await self._link.call(self._key, "DEL", self._key)
        with suppress(StoreUnavailable):
            await self._link.run(_REMOVE, [_NODES], (self.name,))

    @property
    def surely_alive(self) -> bool:
        return monotonic() < self._alive_until

    def nodes(self) -> frozenset[str]:
        """With nodes of 0.1.0, which are listed under an id that isn't that of their leases."""
        return frozenset({self.node, *(name.decode().partition("-")[2] for name in self.living)})

    async def lives(self, node: str) -> bool:
        """Whether the node with this id, by which leases name their holder, lives now. Raises
        StoreUnavailable."""
        key = _NODE_KEY.format(node)
        found: Any = await self._link.call(key, "EXISTS", key)
        return bool(found)

    async def _renew_key(self) -> bool:
        """Whether the key was still there."""
        sent, milliseconds = monotonic(), int(self.pace.dead_after * 1000)
        before = await self._link.call(self._key, "SET", self._key, 1, "PX", milliseconds, "GET")
        self._alive_until = sent + self.pace.dead_after * ALIVE_SHARE
        return before is not None

    async def _enlist(self) -> bool:
        """Whether this node was still listed as alive."""
        name, self.heard, self.living = await self._link.run(
            _ENLIST,
            [_NODES],
            (self.name, self.node, int(self.pace.dead_after * 1000), NODES_KEPT_SECONDS * 1000),
        )
        before, self.name = self.name, name.decode()
        return before == self.name


async def _renewed(
    renew: Callable[[], Awaitable[bool]], listeners: Sequence[HeartbeatListener]
) -> None:
    """Renew a mark and tell those who depend on it."""
    try:
        unbroken = await renew()
    except StoreUnavailable as error:  # the link counts and logs it
        for listener in listeners:
            listener.on_silence(error)
        return
    for listener in listeners:
        try:
            await listener.on_heartbeat(unbroken=unbroken)
        except StoreUnavailable as error:
            listener.on_silence(error)
